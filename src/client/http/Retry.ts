/**
 * The outermost step of the pipeline: trying again. Only requests that may be repeated, only
 * temporary failures, and never longer than a deadline.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as MetricLabel from "effect/MetricLabel"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import * as Runtime from "../../internal/Runtime.js"
import * as Metrics from "../../Metrics.js"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import type { Operation } from "../../protocol/Operation.js"
import {
  isTransient,
  RegistryFailure,
  TooManyRequests,
  TransportFailure
} from "../../RegistryError.js"

/**
 * How to try again.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  /** How many times more at most, 4 by default. */
  readonly attempts: number
  /**
   * The wait before the first of them, 250 milliseconds by default, and twice as long before each
   * that follows, jittered by a fifth; never less than the registry's `Retry-After`.
   */
  readonly base: Duration.DurationInput
  /** The longest wait, whatever the registry asks for, 60 seconds by default. */
  readonly maxDelay: Duration.DurationInput
  /** No attempt begins later than this after the first one, 3 minutes by default. */
  readonly deadline: Duration.DurationInput
}

/** The values documented with the type. */
export const defaultRetry: RetryOptions = {
  attempts: 4,
  base: Duration.millis(250),
  maxDelay: Duration.seconds(60),
  deadline: Duration.minutes(3)
}

/** What of an endpoint counts here. */
export interface Retrying {
  readonly origin: string
  readonly retry: RetryOptions
}

/**
 * The milliseconds to wait before a request is sent again that has failed `failures` times, the
 * last time at `now` (in milliseconds of the clock) with `error`, and whose first attempt began at
 * `since`. Nothing when it is not sent again. `jitter` is the factor of the wait.
 */
export const delay = (
  retry: RetryOptions,
  attempts: { readonly failures: number; readonly since: number; readonly now: number },
  error: unknown,
  jitter: number
): number | undefined => {
  const { failures, now, since } = attempts
  const backoff = Duration.toMillis(retry.base) * 2 ** (failures - 1) * jitter
  const wait = Math.min(Math.max(backoff, askedBy(error)), Duration.toMillis(retry.maxDelay))
  const isLate = now + wait - since > Duration.toMillis(retry.deadline)
  return failures > retry.attempts || isLate ? undefined : wait
}

/** Waits until the next attempt after a failure, or fails with it where there is none. */
export type Again<E> = (error: E) => Effect.Effect<void, E>

/**
 * The attempts at one piece of work that began at `since` (in milliseconds of the clock), or with
 * its first failure, as the options of the endpoint allow them: again while the error is
 * `temporary` (by default `RegistryError.isTransient`).
 */
export const attempts = <E extends { readonly _tag: string }>(
  { origin, retry }: Retrying,
  since?: number,
  temporary: (error: E) => boolean = isTransient
): Again<E> => {
  let failures = 0
  let began = since
  return Effect.fnUntraced(function* (error: E) {
    const now = yield* Clock.currentTimeMillis
    const jitter = yield* Random.nextRange(0.8, 1.2)
    began ??= now
    failures++
    const wait = delay(retry, { failures, since: began, now }, error, jitter)
    if (wait === undefined || !temporary(error)) return yield* Effect.fail(error)
    yield* Metrics.update(Metrics.retries, 1, [
      ...Metrics.hostLabels(origin),
      MetricLabel.make("error", error._tag)
    ])
    yield* Effect.sleep(Duration.millis(wait))
  })
}

/** Runs an effect, and again after each failure that `again` lets pass. */
export const repeated = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  again: Again<E>
): Effect.Effect<A, E, R> =>
  Effect.catchAll(effect, (error) => Effect.zipRight(again(error), repeated(effect, again)))

const askedBy = (error: unknown): number =>
  error instanceof TooManyRequests || error instanceof RegistryFailure ? (error.retryAfter ?? 0) : 0

/**
 * `Effect.retry` of an effect that has failed already: the machinery of a schedule is not set up
 * for all the requests that succeed.
 */
export const from = <E, A, R, Out, R2>(
  error: E,
  effect: Effect.Effect<A, E, R>,
  schedule: Schedule.Schedule<Out, E, R2>
): Effect.Effect<A, E, R | R2> =>
  Effect.suspend(() => {
    let first = true
    return Effect.retry(
      Effect.suspend(() => {
        if (!first) return effect
        first = false
        return Effect.fail(error)
      }),
      schedule
    )
  })

/** Whether a request never reached the registry, or the registry did not take it. */
export const isUnsent = (error: { readonly _tag: string }): boolean =>
  error instanceof TooManyRequests ||
  (error instanceof TransportFailure && error.reason === "Connect")

/** What a registry certainly did not carry out, so that sending it again leaves nothing behind. */
const isRefused = (error: { readonly _tag: string }): boolean =>
  isUnsent(error) ||
  (isTransient(error) &&
    "url" in error &&
    typeof error.url === "string" &&
    !sessions.test(error.url))

/**
 * Where sessions are opened. What failed elsewhere is the request for a token, and the operation
 * itself was not sent.
 */
const sessions = /\/blobs\/uploads\/?(\?|$)/

/**
 * Tries a request again where its method allows (RFC 9110 §9.2.2): everything but the POST and
 * PATCH of uploads and the PUT that closes them, and nothing whose body is a stream (`replayable`
 * is false). A POST that the registry had no time for, or that never reached it, is repeated as
 * well, and so is one that waited for a token server that failed for the moment.
 */
export const retried = <A, E extends { readonly _tag: string }, R>(
  request: Effect.Effect<A, E, R>,
  operation: Operation,
  to: Retrying,
  replayable = true
): Effect.Effect<A, E, R> => {
  const repeat = factsOf(operation).retry
  if (!replayable || repeat === "Never") return request
  return Runtime.withFiber((fiber) => {
    const since = Runtime.clockOf(fiber).unsafeCurrentTimeMillis()
    const temporary: (error: E) => boolean = repeat === "Always" ? isTransient : isRefused
    return Effect.catchAll(request, (error) =>
      temporary(error)
        ? Effect.suspend(() => {
            const again = attempts(to, since, temporary)
            return Effect.zipRight(again(error), repeated(request, again))
          })
        : Effect.fail(error)
    )
  })
}
