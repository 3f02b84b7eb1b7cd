/**
 * Bytes to upload that can be opened again: a resume starts at the first byte the registry lacks
 * instead of reading everything once more. A file is opened by `BlobFile.source` of
 * `effect-oci/node`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "./ByteStream.js"
import * as Digest from "./spec/Digest.js"

/**
 * Re-creatable bytes. Whatever `size` and `digest` declare is checked while the bytes are sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface BlobSource<out E = never, out R = never> {
  /** The bytes from an offset on. */
  readonly open: Open<E, R>
  /** How many bytes there are, if that is known. */
  readonly size: Option.Option<number>
  /** The digest of the bytes, if it is known. */
  readonly digest: Option.Option<Digest.Digest>
  /**
   * With `once`, `open` works one time only, from 0, and a step that needs the bytes again fails
   * with `BodyNotReplayable`.
   */
  readonly replay: "any" | "once"
  /** All of the bytes, where they are in memory anyway. */
  readonly bytes?: Uint8Array | undefined
}

/**
 * How a source is opened: `BlobSource.open`.
 *
 * @since 0.1.0
 * @category models
 */
export type Open<out E = never, out R = never> = (offset: number) => Stream.Stream<Uint8Array, E, R>

const Reused: unique symbol = Symbol.for("effect-oci/BlobSource/Reused")

/**
 * An `open` for `make` with a second form, `reused`, whose streams may overwrite an array as soon
 * as the second array after it is asked for. An upload uses the second form where its HTTP client
 * has sent the array by then (`ByteStream.BuffersReused`): to allocate a gigabyte in new arrays
 * costs more than everything else. A function that wraps `open` loses the second form, so it may
 * keep the arrays that it sees.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reusing = <E, R>(open: Open<E, R>, reused: Open<E, R>): Open<E, R> =>
  Object.assign((offset: number) => open(offset), { [Reused]: reused })

/**
 * The stream of a source for a consumer that keeps no array. See `reusing`.
 *
 * @since 0.1.0
 * @category destructors
 * @internal
 */
export const openReusing =
  <E, R>(open: Open<E, R> & { readonly [Reused]?: Open<E, R> }): Open<E, R> =>
  (offset) =>
    ByteStream.unwrap(
      Effect.map(ByteStream.BuffersReused, (reused) =>
        ((reused ? open[Reused] : undefined) ?? open)(offset)
      )
    )

/**
 * What is known of the bytes of a stream beforehand. `size` is in bytes. Knowing either saves a
 * round trip or a hash.
 *
 * @since 0.1.0
 * @category models
 */
export interface Known {
  readonly size?: number | undefined
  readonly digest?: Digest.Digest | undefined
}

/**
 * A source over bytes in memory. Its digest (sha256) is computed here, synchronously.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array): BlobSource => ({
  open: (offset) => (offset === bytes.length ? Stream.empty : Stream.make(bytes.subarray(offset))),
  size: Option.some(bytes.length),
  digest: Option.some(Digest.fromBytes(bytes)),
  replay: "any",
  bytes
})

/**
 * A source that can start at any byte by itself, such as a file or a range request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R>(open: Open<E, R>, known: Known = {}): BlobSource<E, R> => ({
  open,
  size: Option.fromNullable(known.size),
  digest: Option.fromNullable(known.digest),
  replay: "any"
})

/**
 * A source over a stream that yields the same bytes each time it is run. Opening it at an offset
 * runs it from the start and skips.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  known: Known = {}
): BlobSource<E, R> => make((offset) => ByteStream.drop(stream, offset), known)

/**
 * A source over a stream that can be run one time only, such as the body of a request being served.
 * Upload steps that would need the bytes again fail with `BodyNotReplayable`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStreamOnce = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  known: Known = {}
): BlobSource<E, R> => ({
  ...make(() => stream, known),
  replay: "once"
})
