/**
 * The layers of images: tar archives, most of them compressed ([image-spec,
 * Layers](https://github.com/opencontainers/image-spec/blob/main/layer.md)). A file of an artifact
 * that is such an archive is read in the same way.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Decompression } from "../Decompression.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type { Entry } from "../spec/internal/TarEntry.js"
import type { FileUnknown } from "./internal/FileLookup.js"
import * as FileLookup from "./internal/FileLookup.js"
import type { ImageLayer, ReadError, ReadOptions } from "./internal/LayerContent.js"
import * as LayerContent from "./internal/LayerContent.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Entry,
  /**
   * @since 0.1.0
   * @category models
   */
  EntryType
} from "../spec/internal/TarEntry.js"
export {
  /**
   * Occurs when a layer cannot be read. `layer` is its digest, and `path` the name of the entry, as
   * far as it is known.
   *
   * - `Format`: its first bytes are neither those of gzip or zstd nor those of a tar archive.
   * - `Compression`: the compressed bytes are corrupt or cut off, or go on after their end, or no
   *   decoder is there.
   * - `Archive`: the tar archive is broken, or cut off, or its sizes contradict each other.
   * - `Path`: a name leads out of the image, or no file can have it.
   * - `Unsupported`: an entry is of a kind that is not read, such as a sparse file of GNU tar.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidLayer
} from "./internal/InvalidLayer.js"

export type {
  /**
   * A layer to read: one of an image, or a file of an artifact (`Artifact.PulledFile`).
   *
   * @since 0.1.0
   * @category models
   */
  ImageLayer,
  /**
   * What reading a layer can fail with, besides the error of its content. `DigestMismatch` says
   * that the archive does not have its diff id, and `LimitExceeded` that it is larger than `limit`.
   *
   * @since 0.1.0
   * @category errors
   */
  ReadError,
  /**
   * Says how a layer is read.
   *
   * @since 0.1.0
   * @category models
   */
  ReadOptions
} from "./internal/LayerContent.js"

/**
 * Streams the tar archive of a layer, decompressed. Its first bytes decide how, whatever its media
 * type says; where the two disagree, a warning is logged. The stream fails where the archive would
 * end if it does not have its diff id, which is that of all its bytes, or if the blob does not have
 * its digest.
 *
 * Fails with `ReadError`, and with the error of the content.
 *
 * @since 0.1.0
 * @category operations
 */
export const uncompressed: <E>(
  layer: ImageLayer<E>,
  options?: ReadOptions
) => Stream.Stream<Uint8Array, E | ReadError, Decompression> = LayerContent.uncompressed

/**
 * Lists the entries of a layer as they stand in it, in constant memory: one may follow for a path
 * that another one had, and replaces it then; whiteouts are among them. The layer is read to its
 * end and verified: where it turns out to be another, the stream fails after the entries.
 *
 * Fails with `ReadError`, and with the error of the content.
 *
 * @since 0.1.0
 * @category operations
 */
export const entries = <E>(
  layer: ImageLayer<E>,
  options?: ReadOptions
): Stream.Stream<Entry, E | ReadError, Decompression> =>
  LayerContent.read(layer, options, (emit) => ({
    take: (part) => {
      if (LayerContent.isEntry(part)) emit(part)
    }
  }))

/**
 * Returns the extended attributes of an entry, such as `security.capability`, as bytes.
 *
 * @since 0.1.0
 * @category getters
 */
export const attributes = ({ records }: Entry): ReadonlyMap<string, Uint8Array> =>
  new Map(
    Array.from(records)
      .filter(([keyword]) => keyword.startsWith(attribute))
      .map(([keyword, value]) => [keyword.slice(attribute.length), value])
  )

const attribute = "SCHILY.xattr."

export {
  /**
   * Occurs when there is no file to read under a path: nothing is there (`Missing`), or something
   * other than a file (`NotAFile`), or it leads through more than 40 links (`Links`).
   *
   * @since 0.1.0
   * @category errors
   */
  FileUnknown
} from "./internal/FileLookup.js"

/**
 * Says how one file is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadFileOptions extends ReadOptions {
  /** The most that the file may have, in bytes, 4 MiB by default. */
  readonly fileLimit?: number | undefined
  /**
   * The most entries that the layers which are read may have, 1,000,000 by default: each of them
   * takes memory.
   */
  readonly entryLimit?: number | undefined
  /**
   * Whether to stop at the first entry for the file, false by default. Its bytes are not verified
   * then, which the result says, and a later entry of the same layer may replace it.
   */
  readonly stopEarly?: boolean | undefined
}

/**
 * A file that was read.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileContent {
  /** Its entry: that of the file itself where the path leads through links. */
  readonly entry: Entry
  readonly bytes: Uint8Array
  /** The layer that the bytes come from. */
  readonly layer: Descriptor
  /** Whether the layer was read to its end and verified. */
  readonly verified: boolean
}

/**
 * Reads one file of a layer. The last entry of its path counts, and links are followed, within the
 * layer: `Image.readFile` follows them through all layers of an image. The layer is read to its end
 * and verified first, and once more where a link led to the file.
 *
 * Fails with `FileUnknown`, with `LimitExceeded` also for a file larger than `fileLimit` and for
 * more entries than `entryLimit`, with `ReadError`, and with the error of the content.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as ImageLayer from "effect-oci/ImageLayer"
 * import * as Effect from "effect/Effect"
 *
 * // A plug-in that is an archive.
 * const description = Effect.gen(function*() {
 *   const { files: [archive] } = yield* Artifact.pull("ghcr.io/owner/plugin:1.0.0")
 *   if (archive === undefined) return undefined
 *   return yield* ImageLayer.readFile(archive, "plugin.json")
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const readFile = <E>(
  layer: ImageLayer<E>,
  path: string,
  options?: ReadFileOptions
): Effect.Effect<FileContent, E | ReadError | FileUnknown, Decompression> =>
  FileLookup.read([layer], path, options)
