/** The failures of a caller's stream, kept apart from those of the request that sends it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as PullStream from "../../internal/PullStream.js"
import { BodyNotReplayable, DigestMismatch, SizeMismatch } from "../../RegistryError.js"

/**
 * The failure of a stream being sent: the caller's own, whatever its tag, and never a reason to try
 * again.
 */
export class SourceFailure<out E> {
  readonly _tag = "SourceFailure"
  readonly message = "The source of the content failed"
  constructor(readonly cause: Cause.Cause<E>) {}
}

/** An error of a source as a `SourceFailure`. */
export const of = <E>(error: E): SourceFailure<E> => new SourceFailure(Cause.fail(error))

/**
 * Whether an error is a source's own, as opposed to what is wrong with the content that it has.
 */
export const isOfSource = (error: unknown): boolean =>
  error instanceof SourceFailure &&
  !Option.exists(
    Cause.failureOption(error.cause),
    (own) => own instanceof DigestMismatch || own instanceof SizeMismatch
  )

/**
 * Sends a stream whose own failure, if it has one, comes out as a `SourceFailure`, and not as the
 * failure of the request that it breaks.
 */
export const streaming = <E, R, A, E2, R2>(
  stream: Stream.Stream<Uint8Array, E, R>,
  use: (body: Stream.Stream<Uint8Array, unknown>) => Effect.Effect<A, E2, R2>
): Effect.Effect<A, SourceFailure<E> | E2, R | R2> =>
  Effect.flatMap(Effect.context<R>(), (context) => {
    let failure: Cause.Cause<E> | undefined
    const body = PullStream.suspend(() => {
      failure = undefined
      return PullStream.observe(stream, {
        onEnd: (cause) => {
          failure = cause
        }
      })
    })
    return Effect.catchAllCause(
      use(PullStream.provideContext(body, context)),
      (cause): Effect.Effect<never, SourceFailure<E> | E2> =>
        failure === undefined || Cause.isInterruptedOnly(failure)
          ? Effect.failCause(cause)
          : Effect.fail(new SourceFailure(failure))
    )
  })

/** A stream that is run one time, and fails the second, which would not be the same bytes. */
export const readOnce = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | BodyNotReplayable, R> => {
  let isSpent = false
  return PullStream.suspend((): Stream.Stream<Uint8Array, E | BodyNotReplayable, R> => {
    if (isSpent)
      return PullStream.fail(new BodyNotReplayable({ step: "Sending the content again" }))
    isSpent = true
    return stream
  })
}

/** Lets the failures of sources out as what they are. */
export const exposed = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<
  A,
  Exclude<E, SourceFailure<unknown>> | (E extends SourceFailure<infer Own> ? Own : never),
  R
> =>
  Effect.catchAll(
    effect,
    (
      error
    ): Effect.Effect<
      never,
      Exclude<E, SourceFailure<unknown>> | (E extends SourceFailure<infer Own> ? Own : never)
    > =>
      error instanceof SourceFailure
        ? Effect.failCause(error.cause)
        : Effect.fail(error as Exclude<E, SourceFailure<unknown>>)
  )
