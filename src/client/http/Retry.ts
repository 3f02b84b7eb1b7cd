/**
 * The outermost step of the pipeline: trying again. Only requests that may be repeated, only
 * temporary failures, and never longer than a deadline.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as MetricLabel from "effect/MetricLabel"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleInterval from "effect/ScheduleInterval"
import * as Metrics from "../../Metrics.js"
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
 * The schedule of an endpoint's `RetryOptions`, for work that began at `since` (milliseconds of the
 * clock), or with its first failure: it reads each error, continues while it is `temporary` (by
 * default `RegistryError.isTransient`), and waits as the error asks.
 */
export const schedule = <E extends { readonly _tag: string }>(
  { origin, retry }: Retrying,
  since?: number,
  temporary: (error: E) => boolean = isTransient
): Schedule.Schedule<E, E> => {
  const base = Duration.toMillis(retry.base)
  const maxDelay = Duration.toMillis(retry.maxDelay)
  const deadline = Duration.toMillis(retry.deadline)
  return Schedule.makeWithState({ attempt: 0, since }, (now, error: E, { attempt, since = now }) =>
    Effect.flatMap(Random.nextRange(0.8, 1.2), (jitter) => {
      const backoff = base * 2 ** attempt * jitter
      const delay = Math.min(Math.max(backoff, askedBy(error)), maxDelay)
      const again = attempt < retry.attempts && temporary(error) && now + delay - since <= deadline
      const decision = again
        ? ScheduleDecision.continueWith(ScheduleInterval.after(now + delay))
        : ScheduleDecision.done
      const labels = () => [...Metrics.hostLabels(origin), MetricLabel.make("error", error._tag)]
      const counted = again ? Metrics.update(Metrics.retries, 1, labels()) : Effect.void
      return Effect.as(counted, [{ attempt: attempt + 1, since }, error, decision] as const)
    })
  )
}

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

/**
 * Opening a session twice leaves one behind, and a PATCH appends: the session is asked instead
 * (trap 4, jib's lost chunk). A lost answer to the closing PUT is settled by a HEAD, in Session.
 */
const unrepeatable: ReadonlySet<Operation["_tag"]> = new Set([
  "StartUpload",
  "MountBlob",
  "UploadBlob",
  "UploadChunk",
  "CompleteUpload"
])

/** Those of them that append nothing can be repeated where they were certainly not carried out. */
const opening: ReadonlySet<Operation["_tag"]> = new Set(["StartUpload", "MountBlob", "UploadBlob"])

const isRefused = (error: { readonly _tag: string }): boolean =>
  error instanceof TooManyRequests ||
  (error instanceof TransportFailure && error.reason === "Connect") ||
  (isTransient(error) && error.url !== undefined && !sessions.test(error.url))

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
  const repeatable = !unrepeatable.has(operation._tag)
  if (!replayable || !(repeatable || opening.has(operation._tag))) return request
  return Effect.clockWith((clock) => {
    const since = clock.unsafeCurrentTimeMillis()
    const temporary: (error: E) => boolean = repeatable ? isTransient : isRefused
    return Effect.catchAll(request, (error) =>
      temporary(error) ? from(error, request, schedule(to, since, temporary)) : Effect.fail(error)
    )
  })
}
