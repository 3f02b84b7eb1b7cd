/**
 * Bytes to upload that can be opened at any offset, so that an upload which resumes does not read
 * everything again. `BlobFile.source` of `effect-oci/node` makes a source from a file.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Stream from "effect/Stream"
import * as ByteStream from "./ByteStream.js"
import * as BorrowedStream from "./internal/BorrowedStream.js"
import * as PullStream from "./internal/PullStream.js"
import { Unsupported } from "./RegistryError.js"
import type { Descriptor } from "./spec/Descriptor.js"
import * as Digest from "./spec/Digest.js"
import type { RepositoryName } from "./spec/Reference.js"

/**
 * Bytes to upload. Uploads check that they have the declared `size` and `digest`.
 *
 * @since 0.1.0
 * @category models
 */
export interface BlobSource<out E = never, out R = never> {
  /** Streams the bytes from an offset on. */
  readonly open: Open<E, R>
  /** The number of bytes, if it is known. */
  readonly size?: number | undefined
  /** The digest of the bytes, if it is known. */
  readonly digest?: Digest.Digest | undefined
  /**
   * Whether the bytes can be read again. With `once`, `open` is called once at most, with offset 0,
   * and an upload that needs the bytes again fails with `BodyNotReplayable`.
   */
  readonly replay: "any" | "once"
  /** All bytes, if they are in memory. */
  readonly bytes?: Uint8Array | undefined
}

/**
 * The function that opens a source at an offset: see `BlobSource.open`.
 *
 * @since 0.1.0
 * @category models
 */
export type Open<out E = never, out R = never> = (offset: number) => Stream.Stream<Uint8Array, E, R>

const Reused: unique symbol = Symbol.for("effect-oci/BlobSource/Reused")

/**
 * Makes an `open` for `make` that has a second form, `reused`, whose streams may overwrite an array
 * when the second array after it is pulled. Uploads use the second form when their HTTP client has
 * sent the array by then (`ByteStream.BuffersReused`), which saves the allocation of new arrays. A
 * function that wraps `open` has the first form alone, so it may keep the arrays that it sees.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reusing = <E, R>(open: Open<E, R>, reused: Open<E, R>): Open<E, R> =>
  Object.assign((offset: number) => open(offset), { [Reused]: reused })

/**
 * Opens a source for an upload, which keeps no array and verifies the content: see `reusing`.
 *
 * @since 0.1.0
 * @category destructors
 * @internal
 */
export const openReusing =
  <E, R>(open: Open<E, R> & { readonly [Reused]?: Open<E, R> }): Open<E, R> =>
  (offset) =>
    PullStream.unwrap(
      Effect.map(ByteStream.BuffersReused, (reused) =>
        ((reused ? open[Reused] : undefined) ?? open)(offset)
      )
    )

/**
 * What is known of the bytes of a source in advance; `size` is the number of bytes. An upload of
 * bytes with known size and digest takes fewer requests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Known {
  readonly size?: number | undefined
  readonly digest?: Digest.Digest | undefined
}

/**
 * Makes a source from bytes in memory. Its SHA-256 digest is computed synchronously.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array): BlobSource => ({
  open: (offset) =>
    offset === bytes.length ? PullStream.empty : PullStream.succeed(bytes.subarray(offset)),
  size: bytes.length,
  digest: Digest.fromBytes(bytes),
  replay: "any",
  bytes
})

/**
 * Makes a source that can start at any byte, such as a file.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R>(open: Open<E, R>, known: Known = {}): BlobSource<E, R> => ({
  open,
  size: known.size,
  digest: known.digest,
  replay: "any"
})

/**
 * Makes a source from a stream that emits the same bytes each time it is run. Opened at an offset,
 * the stream is run from the start and the bytes before the offset are dropped.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  known: Known = {}
): BlobSource<E, R> => make((offset) => ByteStream.drop(stream, offset), known)

/**
 * Makes a source from a stream that can be run only once, such as the body of an incoming request.
 * Uploads that need the bytes again fail with `BodyNotReplayable`.
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

/**
 * What `fromRegistry` reads with: any `Registry` has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Readable<out E, out RangeError> {
  readonly getBlob: (repository: RepositoryName, blob: Descriptor) => Stream.Stream<Uint8Array, E>
  readonly getBlobRange: (
    repository: RepositoryName,
    digest: Digest.Digest,
    range: { readonly start: number }
  ) => Stream.Stream<Uint8Array, RangeError>
}

/**
 * Makes a source from a blob of a registry, so that it goes to another one as it comes, without
 * a file. An upload that resumes reads from where it stopped, by a range; where the registry has no
 * ranges, it reads the blob again and drops what was sent.
 *
 * Size and digest are those of the descriptor. A blob that is read as a whole is verified on the
 * way, as `getBlob` does; what is read by a range is verified by the upload, and by the registry
 * that it goes to.
 *
 * @example
 * ```ts
 * import * as BlobSource from "effect-oci/BlobSource"
 * import type { Descriptor } from "effect-oci/Descriptor"
 * import type { RepositoryName } from "effect-oci/Reference"
 * import type { Registry } from "effect-oci/Registry"
 *
 * const move = (
 *   from: Registry.Service,
 *   to: Registry.Service,
 *   repository: RepositoryName,
 *   layer: Descriptor
 * ) => to.putBlob(repository, BlobSource.fromRegistry(from, repository, layer))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromRegistry = <E, RangeError>(
  registry: Readable<E, RangeError>,
  repository: RepositoryName,
  blob: Descriptor
): BlobSource<E | RangeError> => {
  const whole = registry.getBlob(repository, blob)
  const open =
    (form: <Error>(stream: Stream.Stream<Uint8Array, Error>) => Stream.Stream<Uint8Array, Error>) =>
    (offset: number): Stream.Stream<Uint8Array, E | RangeError> => {
      if (offset === 0) return form(whole)
      if (offset === blob.size) return PullStream.empty
      return PullStream.catchAll(
        form(registry.getBlobRange(repository, blob.digest, { start: offset })),
        (error): Stream.Stream<Uint8Array, E | RangeError> =>
          error instanceof Unsupported ? ByteStream.drop(whole, offset) : PullStream.fail(error)
      )
    }
  const read = reusing(open(identity), open(BorrowedStream.unhashed))
  return make(read, { size: blob.size, digest: blob.digest })
}
