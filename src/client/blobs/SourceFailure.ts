/** The failures of a caller's stream, kept apart from those of the request that sends it. */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * The failure of a stream being sent: the caller's own, whatever its tag, and never a reason to try
 * again.
 */
export class SourceFailure<out E> {
  readonly _tag = "SourceFailure"
  constructor(readonly cause: Cause.Cause<E>) {}
}

/** An error of a source as a `SourceFailure`. */
export const of = <E>(error: E): SourceFailure<E> => new SourceFailure(Cause.fail(error))

/**
 * A stream while it is sent: `isIdle` tells whether more of it is being waited for, and with the
 * first chunk that finds `isWanted` to be false it ends.
 */
export interface Reading {
  isIdle: boolean
  isWanted: boolean
}

/**
 * Sends a stream whose own failure, if it has one, comes out as a `SourceFailure`, and not as the
 * failure of the request that it breaks. `taken`: how many of its bytes were read, `ended`: whether
 * its end was seen.
 */
export const streaming = <E, R, A, E2, R2>(
  stream: Stream.Stream<Uint8Array, E, R>,
  use: (body: Stream.Stream<Uint8Array, unknown>) => Effect.Effect<A, E2, R2>,
  reading: Reading = { isIdle: false, isWanted: true }
): Effect.Effect<
  { readonly result: A; readonly taken: number; readonly ended: boolean },
  SourceFailure<E> | E2,
  R | R2
> =>
  Effect.flatMap(Effect.context<R>(), (context) => {
    let failure: Cause.Cause<E> | undefined
    let taken = 0
    let ended = false
    const body = Stream.suspend(() => {
      failure = undefined
      taken = 0
      ended = false
      const over = () => {
        reading.isIdle = false
        ended = true
        return Channel.void
      }
      const ask = (): Channel.Channel<
        Chunk.Chunk<Uint8Array>,
        Chunk.Chunk<Uint8Array>,
        E,
        E,
        unknown,
        unknown
      > => {
        reading.isIdle = true
        return read
      }
      const read = Channel.readWithCause({
        onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
          if (!reading.isWanted) return over()
          reading.isIdle = false
          for (const bytes of chunk) taken += bytes.length
          return Channel.flatMap(Channel.write(chunk), ask)
        },
        onFailure: (cause: Cause.Cause<E>) => {
          reading.isIdle = false
          failure = cause
          return Channel.failCause(cause)
        },
        onDone: over
      })
      return Stream.pipeThroughChannel(stream, Channel.suspend(ask))
    })
    return use(Stream.provideContext(body, context)).pipe(
      Effect.map((result) => ({ result, taken, ended })),
      Effect.catchAllCause(
        (cause): Effect.Effect<never, SourceFailure<E> | E2> =>
          failure === undefined || Cause.isInterruptedOnly(failure)
            ? Effect.failCause(cause)
            : Effect.fail(new SourceFailure(failure))
      )
    )
  })

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
