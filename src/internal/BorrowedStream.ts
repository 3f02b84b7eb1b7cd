/**
 * Streams of bytes with more than one form: one whose arrays are the consumer's for good, which is
 * all that users see, and others whose arrays are borrowed. Whoever runs a borrowed form keeps no
 * array, and may give each back when it is done with it, so that its memory is used again. A stream
 * that anybody has made out of another has no other form: nobody's code sees borrowed arrays that
 * does not know of it.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as PullStream from "./PullStream.js"

/**
 * How a stream is run: whether its arrays are borrowed, and whether its content is hashed to verify
 * it, which whoever hashes it anyway need not have done twice.
 */
export interface Form {
  readonly borrowed: boolean
  readonly hashed: boolean
}

const Forms: unique symbol = Symbol.for("effect-oci/BorrowedStream/Forms")

interface Formed<A, E, R> extends Stream.Stream<A, E, R> {
  readonly [Forms]?: (form: Form) => Stream.Stream<A, E, R>
}

/** Makes a stream of all forms. Those that `make` returns must be new ones. */
export const make = <A, E, R>(
  make: (form: Form) => Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  Object.assign(make({ borrowed: false, hashed: true }), { [Forms]: make })

/** One form of a stream, if it has others than itself. */
export const formOf = <A, E, R>(stream: Formed<A, E, R>, form: Form): Stream.Stream<A, E, R> =>
  stream[Forms]?.(form) ?? stream

/** The borrowed form of a stream, if it has one, else the stream itself. */
export const of = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  formOf(stream, { borrowed: true, hashed: true })

/** The same for whoever verifies the digest of the content. */
export const unhashed = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  formOf(stream, { borrowed: true, hashed: false })

/** Changes all forms of a stream in a way that neither keeps arrays nor hands them to others. */
export const map = <A, E, R, A2, E2, R2>(
  stream: Stream.Stream<A, E, R>,
  f: (stream: Stream.Stream<A, E, R>) => Stream.Stream<A2, E2, R2>
): Stream.Stream<A2, E2, R2> => make((form) => f(form.borrowed ? formOf(stream, form) : stream))

const given = new WeakSet<object>()

/** Marks a stream whose arrays nobody else uses or keeps, not even after it has been run. */
export const give = <S extends Stream.Stream<Uint8Array, unknown, unknown>>(stream: S): S => {
  given.add(stream)
  return stream
}

/**
 * Whether a consumer that is to keep the bytes of a stream need not copy them. One that is made out
 * of a given stream is not given.
 */
export const isGiven = (stream: Stream.Stream<Uint8Array, unknown, unknown>): boolean =>
  given.has(stream)

const lenders = new WeakMap<ArrayBufferLike, (bytes: Uint8Array) => void>()

/** Names what gets memory back that was lent. */
export const lend = (memory: ArrayBufferLike, giveBack: (bytes: Uint8Array) => void): void => {
  lenders.set(memory, giveBack)
}

/** Gives an array back that was borrowed, to be called once for each; others are left alone. */
export const giveBack = (bytes: Uint8Array): void => lenders.get(bytes.buffer)?.(bytes)

/** Runs a stream of both forms whose bytes nobody wants. */
export const drain = <E, R>(stream: Stream.Stream<Uint8Array, E, R>): Effect.Effect<void, E, R> =>
  PullStream.runForEachChunk(of(stream), (chunk) => {
    for (const bytes of chunk) giveBack(bytes)
    return undefined
  })
