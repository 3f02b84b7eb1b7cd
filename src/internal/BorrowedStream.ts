/**
 * Streams of bytes in two forms: one whose arrays are the consumer's for good, which is all that
 * users see, and one whose arrays are borrowed. Whoever runs the borrowed form keeps no array, and
 * may give each back when it is done with it, so that its memory is used again. A stream that
 * anybody has made out of another has no borrowed form: nobody's code sees borrowed arrays that
 * does not know of it.
 */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as StreamChannel from "./StreamChannel.js"

const Borrowed: unique symbol = Symbol.for("effect-oci/BorrowedStream/Borrowed")

interface Forms<A, E, R> extends Stream.Stream<A, E, R> {
  readonly [Borrowed]?: () => Stream.Stream<A, E, R>
}

/** Makes a stream of both forms. It must be a new one. */
export const make = <A, E, R>(
  form: (borrowed: boolean) => Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> => Object.assign(form(false), { [Borrowed]: () => form(true) })

/** The borrowed form of a stream, if it has one, else the stream itself. */
export const of = <A, E, R>(stream: Forms<A, E, R>): Stream.Stream<A, E, R> =>
  stream[Borrowed]?.() ?? stream

/** Changes both forms of a stream in a way that neither keeps arrays nor hands them to others. */
export const map = <A, E, R, A2, E2, R2>(
  stream: Stream.Stream<A, E, R>,
  f: (stream: Stream.Stream<A, E, R>) => Stream.Stream<A2, E2, R2>
): Stream.Stream<A2, E2, R2> => make((borrowed) => f(borrowed ? of(stream) : stream))

const lenders = new WeakMap<ArrayBufferLike, (bytes: Uint8Array) => void>()

/** Names what gets memory back that was lent. */
export const lend = (memory: ArrayBufferLike, giveBack: (bytes: Uint8Array) => void): void => {
  lenders.set(memory, giveBack)
}

/** Gives an array back that was borrowed, to be called once for each; others are left alone. */
export const giveBack = (bytes: Uint8Array): void => lenders.get(bytes.buffer)?.(bytes)

/** Runs a stream of both forms whose bytes nobody wants. */
export const drain = <E, R>(stream: Stream.Stream<Uint8Array, E, R>): Effect.Effect<void, E, R> =>
  StreamChannel.runFlushing(
    of(stream),
    (bytes) => {
      giveBack(bytes)
      return false
    },
    Effect.void
  )
