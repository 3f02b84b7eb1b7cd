/**
 * Blobs as files: a file as the source of an upload, and downloads to files that appear under their
 * names only when they are complete.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import type { PulledContent } from "../content/Artifact.js"
import * as BorrowedStream from "../internal/BorrowedStream.js"
import * as LocalFile from "../internal/LocalFile.js"
import * as ReadInto from "../internal/ReadInto.js"
import type { Registry } from "../Registry.js"
import type { StorageFailure } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type * as Digest from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import { FileExists, notRegular, stateOf, tellSkipped } from "./internal/ExistingFile.js"
import { attempt, drain, inTurn, newBlocks, read, readInto } from "./internal/FileBlocks.js"
import * as KeptDownload from "./internal/KeptDownload.js"
import * as PartialFile from "./internal/PartialFile.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  FileExists
} from "./internal/ExistingFile.js"

/**
 * The errors of a download to a file.
 *
 * @since 0.1.0
 * @category errors
 */
export type DownloadError = Registry.GetBlobError | StorageFailure | FileExists

/**
 * Says how a blob is written to a file.
 *
 * @since 0.1.0
 * @category models
 */
export interface DownloadOptions {
  /**
   * Whether to replace a file or symbolic link with other content, false by default: `FileExists`
   * says so then, with nothing downloaded.
   */
  readonly overwrite?: boolean | undefined
}

/**
 * Makes a source from a file, with the size in bytes that the file has now. Each `open` reads the
 * file from its offset to its end, in chunks of up to 1 MiB. A file that changes in the meantime is
 * caught by the checks of size and digest.
 *
 * Fails with `StorageFailure` when there is no regular file at `path`. Reading the source fails
 * with `StorageFailure` too.
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
      LocalFile.at(
        ReadInto.readable(
          BlobSource.reusing(
            (offset) => read(path, offset, () => newBlocks(stats.size)),
            (offset) => read(path, offset, () => inTurn(stats.size))
          ),
          readInto(path)
        ),
        path
      ),
      { size: stats.size }
    )
  )

/**
 * Writes a stream to a file. The bytes are written to a temporary file in the same directory, which
 * is renamed to `path` when the stream has ended successfully. A file or symbolic link that was at
 * `path` is replaced then, and stays as it was on failure or interruption, when the temporary file
 * is removed. The disk is not told to flush its caches: after a loss of power, check the digest.
 *
 * Fails with the error of the stream, or with `StorageFailure` for `path`: before the stream is
 * started when the directory is missing or something other than a regular file is there.
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
    yield* drain(BorrowedStream.of(stream), path, partial.file, 0)
    yield* Effect.uninterruptible(attempt(path, partial.publish))
  }).pipe(Effect.scoped)

/**
 * Writes content that was pulled, such as a file of `Artifact.pull` or a layer of `Image.pull`, to
 * a file, as `download` does.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import { BlobFile } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const saved = Effect.gen(function*() {
 *   const { files: [model] } = yield* Artifact.pull("ghcr.io/owner/model:1.0.0")
 *   if (model !== undefined) yield* BlobFile.save(model, "model.gguf")
 * })
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const save = (
  { descriptor, reference, registry }: PulledContent,
  path: string,
  options?: DownloadOptions
): Effect.Effect<void, DownloadError> =>
  download(registry, reference.repository, descriptor, path, options)

/**
 * Downloads a blob to a file. The bytes are written to a partial file beside `path`, which takes
 * the name when the blob is complete and verified. A file that has the content already is left as
 * it is, and nothing is downloaded; one with other content is replaced only with `overwrite`.
 *
 * When a download fails, or its process ends, the partial file stays. The next download of the same
 * blob to the same path, in whatever process, hashes what is there and requests the rest
 * ([RFC 9110 section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)); if that turns out to
 * be something else, it starts over. Downloads at the same time do not share a partial file.
 *
 * Fails as `Registry.getBlob` does, with `StorageFailure` for `path`, or with `FileExists`.
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
  path: string,
  { overwrite = false }: DownloadOptions = {}
): Effect.Effect<void, DownloadError> => {
  const expected = typeof blob === "string" ? { digest: blob } : blob
  return Effect.gen(function* () {
    const state = yield* stateOf(path, expected)
    if (state === "same") return yield* tellSkipped({ repository, ...expected })
    if (state === "else" && !overwrite) return yield* new FileExists({ paths: [path] })
    return yield* KeptDownload.run(registry, repository, blob, path, overwrite)
  })
}

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
