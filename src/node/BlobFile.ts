/**
 * Blobs as files: a file as the source of an upload, which can start at any byte, and a download to
 * a file, which appears under its name only when it is complete.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import * as ByteStream from "../ByteStream.js"
import type { Registry } from "../Registry.js"
import { type RangeMismatch, StorageFailure, type Unsupported } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type * as Digest from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import { attempt, drain, inTurn, newBlock, read, readFrom } from "./internal/FileBlocks.js"
import * as PartialFile from "./internal/PartialFile.js"

/**
 * What a download to a file can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type DownloadError = Registry.GetBlobError | StorageFailure

/**
 * A file as bytes to upload, of the size it has now (in bytes). Every `open` reads the file anew
 * from the offset, in chunks of up to 1 MiB, to wherever it ends by then: a file that changes
 * meanwhile is caught by the checks of size and digest. Fails with `StorageFailure` when there is
 * no regular file at `path`; reading it fails with the same.
 *
 * @example
 * ```ts
 * import { BlobFile } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 *
 * const pushed = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/model")
 *   return yield* registry.putBlob(repository, yield* BlobFile.source("weights.safetensors"))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const source = (
  path: string
): Effect.Effect<BlobSource.BlobSource<StorageFailure>, StorageFailure> =>
  Effect.map(regularFile(path), (stats) =>
    BlobSource.make(
      BlobSource.reusing(
        (offset) => read(path, offset, () => newBlock),
        (offset) => read(path, offset, inTurn)
      ),
      { size: stats.size }
    )
  )

/**
 * Writes a stream to a file. The bytes go to a new partial file in the same directory, which takes
 * the name `path` only after the stream has ended well; so what stands there is complete, and
 * verified if the stream verifies. The file or symbolic link that was there is replaced, not
 * written through. On failure or interruption it stays as it was, and the partial file is removed.
 * The disk is not told to flush its caches: after a loss of power, check the digest.
 *
 * Fails with the stream's own error, or with `StorageFailure` naming `path`: before the stream is
 * started when the directory is missing or something other than a file is there.
 *
 * @since 0.1.0
 * @category destructors
 */
export const write = <E, R>(
  path: string,
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.gen(function* () {
    yield* replaceable(path)
    const partial = yield* PartialFile.acquire(path)
    yield* drain(stream, path, partial.file, 0)
    yield* Effect.uninterruptible(attempt(path, partial.publish))
  }).pipe(Effect.scoped)

/**
 * Downloads a blob to a file. What has arrived when the download fails, or its process ends, stays
 * beside `path` in a partial file with a name of its own, and the next download of that blob to
 * that path continues it, in this or another process, once it has hashed what is there (C28, trap
 * 77). The name `path` is taken only by the whole blob, verified; until then whatever stands there
 * stays. A partial file that turns out to hold something else is thrown away, and all is
 * downloaded. Downloads under way at the same time do not share a partial file.
 *
 * Fails like `Registry.getBlob`, or with `StorageFailure` naming `path`.
 *
 * @example
 * ```ts
 * import { BlobFile } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Digest from "effect-oci/Digest"
 * import * as Effect from "effect/Effect"
 *
 * const pulled = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/model")
 *   const digest = yield* Digest.parse(`sha256:${"0".repeat(64)}`)
 *   yield* BlobFile.download(registry, repository, digest, "weights.safetensors")
 * })
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const download = (
  registry: Pick<Registry.Service, "getBlob" | "getBlobRange">,
  repository: RepositoryName,
  blob: Digest.Digest | Descriptor,
  path: string
): Effect.Effect<void, DownloadError> => {
  const expected: ByteStream.Expected & { readonly digest: Digest.Digest } =
    typeof blob === "string" ? { digest: blob } : blob
  /** From the byte where the partial file ends. */
  const remaining = (
    verifier: ByteStream.Verifier,
    offset: number
  ): Stream.Stream<Uint8Array, DownloadError | RangeMismatch | Unsupported> =>
    observed(
      verifier.pass(
        offset === expected.size
          ? Stream.empty
          : registry.getBlobRange(repository, expected.digest, { start: offset }),
        offset
      ),
      { direction: "download", repository, digest: expected.digest, size: expected.size },
      offset
    )
  const downloaded = (keep: boolean): Effect.Effect<void, DownloadError> =>
    Effect.gen(function* () {
      yield* replaceable(path)
      const verifier = yield* ByteStream.verifier(expected)
      const { discard, file, publish } = yield* PartialFile.acquireKept(path, expected.digest, keep)
      yield* Stream.runDrain(ByteStream.tap(readFrom(path, file, 0, inTurn()), verifier.update))
      const offset = verifier.seen()
      const content =
        offset === 0 ? registry.getBlob(repository, blob) : remaining(verifier, offset)
      yield* Effect.catchAll(
        drain(content, path, file, offset),
        (error): Effect.Effect<never, DownloadError | Unusable> => {
          if (error._tag === "RangeMismatch" || error._tag === "Unsupported")
            return Effect.zipRight(discard, Effect.fail(new Unusable()))
          if (error._tag !== "DigestMismatch" && error._tag !== "SizeMismatch")
            return Effect.fail(error)
          return Effect.zipRight(discard, Effect.fail(offset > 0 ? new Unusable() : error))
        }
      )
      yield* Effect.uninterruptible(publish)
    }).pipe(
      Effect.scoped,
      Effect.catchTag("Unusable", () => downloaded(false))
    )
  return downloaded(true)
}

/** A partial file that does not continue to the blob wanted. */
class Unusable {
  readonly _tag = "Unusable"
}

/** The part of a download that a partial file leaves to do, shown to observers as the whole. */
const observed = <E, R>(
  rest: Stream.Stream<Uint8Array, E, R>,
  subject: Transfer.Subject & { readonly digest: Digest.Digest },
  offset: number
): Stream.Stream<Uint8Array, E, R> =>
  Stream.unwrap(
    Effect.as(
      Effect.zipRight(
        Transfer.emit({ _tag: "Started", subject }),
        Transfer.emit({ _tag: "Resumed", subject, offset })
      ),
      Stream.concat(
        Transfer.track(rest, subject, offset),
        Stream.execute(
          Effect.zipRight(
            Transfer.emit({ _tag: "Verified", subject, digest: subject.digest }),
            Transfer.emit({ _tag: "Completed", subject, skipped: false })
          )
        )
      )
    )
  )

/** Renaming would replace a device such as /dev/null, too. */
const replaceable = (path: string): Effect.Effect<void, StorageFailure> =>
  Effect.flatMap(Effect.option(attempt(path, () => Fs.stat(path))), (existing) =>
    Option.isSome(existing) && !existing.value.isFile()
      ? Effect.fail(notRegular(path))
      : Effect.void
  )

const regularFile = (path: string) =>
  Effect.filterOrFail(
    attempt(path, () => Fs.stat(path)),
    (stats) => stats.isFile(),
    () => notRegular(path)
  )

const notRegular = (path: string) =>
  new StorageFailure({ path, cause: new Error("not a regular file") })
