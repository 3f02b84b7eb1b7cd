/**
 * The outermost step of the pipeline: trying again. Only requests that may be repeated, only failures that may pass, and never longer than a
 * deadline.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Operation } from "../protocol/Operation.js"
import { isTransient, TooManyRequests } from "../RegistryError.js"

/**
 * How to try again: at most `attempts` times more, first after `base` and each time after twice as long (jittered by a fifth), but not sooner than
 * the registry's `Retry-After`, which counts up to `maxDelay`; and not beyond `deadline` from the first attempt. By default 4 times, from 250
 * milliseconds, up to 60 seconds, within 3 minutes.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  readonly attempts: number
  readonly base: Duration.DurationInput
  readonly maxDelay: Duration.DurationInput
  readonly deadline: Duration.DurationInput
}

/**
 * The values documented with the type.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultRetry: RetryOptions = {
  attempts: 4,
  base: Duration.millis(250),
  maxDelay: Duration.seconds(60),
  deadline: Duration.minutes(3)
}

/**
 * The schedule of `RetryOptions`: it reads each error, continues while it is transient (`RegistryError.isTransient`), and waits as the error asks.
 *
 * @since 0.1.0
 * @category constructors
 */
export const schedule = <E extends { readonly _tag: string }>(
  options: RetryOptions = defaultRetry
): Schedule.Schedule<E, E> =>
  Schedule.exponential(options.base).pipe(
    Schedule.jittered,
    Schedule.intersect(Schedule.recurs(options.attempts)),
    Schedule.zipRight(Schedule.identity<E>()),
    Schedule.whileInput((error: E) => isTransient(error)),
    Schedule.modifyDelay((error, backoff) => {
      const asked = error instanceof TooManyRequests ? (error.retryAfter ?? 0) : 0
      return Duration.min(Duration.max(backoff, Duration.millis(asked)), Duration.decode(options.maxDelay))
    }),
    Schedule.upTo(options.deadline)
  )

/** Opening a session twice leaves one behind, and a PATCH appends: the session is asked instead (trap 4, jib's lost chunk). */
const unrepeatable: ReadonlySet<Operation["_tag"]> = new Set(["StartUpload", "MountBlob", "UploadBlob", "UploadChunk"])

/**
 * Tries a request again where its method allows: everything but the POST and PATCH of uploads (RFC 9110 §9.2.2), and nothing whose body is a
 * stream.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retried =
  (operation: Operation, options: { readonly retry: RetryOptions; readonly replayable: boolean }) =>
  <A, E extends { readonly _tag: string }, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    options.replayable && !unrepeatable.has(operation._tag)
      ? Effect.retry(request, schedule<E>(options.retry))
      : request
