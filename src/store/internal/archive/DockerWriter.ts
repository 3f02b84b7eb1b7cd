/**
 * Writes an archive for `docker load`: configurations byte for byte, and layers that are not
 * compressed, which make another manifest than the one they were pulled by (S13).
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import type { Decompression, InvalidEncoding } from "../../../Decompression.js"
import * as BorrowedStream from "../../../internal/BorrowedStream.js"
import { DefaultPlatform } from "../../../internal/DefaultPlatform.js"
import * as ImageManifest from "../../../internal/ImageManifest.js"
import type * as IndexChoices from "../../../internal/IndexChoices.js"
import * as StreamFormat from "../../../internal/StreamFormat.js"
import type { Registry } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import * as DockerArchive from "../../../spec/internal/DockerArchive.js"
import type * as Manifest from "../../../spec/Manifest.js"
import * as FileBytes from "../FileBytes.js"
import * as ArchiveFiles from "./ArchiveFiles.js"
import type * as ArchiveGraph from "./ArchiveGraph.js"
import * as ArchiveNames from "./ArchiveNames.js"
import * as DockerContents from "./DockerContents.js"
import { InvalidArchive } from "./InvalidArchive.js"
import type * as OciWriter from "./OciWriter.js"
import * as Spool from "./Spool.js"

/** An image that was written, and the manifest that it has now. */
export interface WrittenImage {
  /** Its names in the archive. */
  readonly names: ReadonlyArray<string>
  /** The manifest that was read. */
  readonly source: Descriptor
  /** The manifest that the image has as the archive has it, with its layers not compressed. */
  readonly descriptor: Descriptor
}

/** How images are written. */
export interface Options extends Pick<IndexChoices.Options, "platform"> {
  readonly spool?: Spool.SpoolOptions | undefined
  readonly onWritten?: ((image: WrittenImage) => Effect.Effect<void>) | undefined
}

/** What writing for Docker can fail with. */
export type WriteError = OciWriter.WriteError | ImageConfig.InvalidImageConfig | InvalidEncoding

interface Layer {
  readonly diffId: Digest.Digest
  readonly descriptor: Descriptor
}

interface Image extends ArchiveGraph.Place {
  readonly names: ReadonlyArray<string>
  readonly manifest: Manifest.Manifest
  readonly config: ImageConfig.ImageConfig
  readonly layers: ReadonlyArray<Layer>
}

/** Streams the archive. `manifest.json` is the last of it, without which it is none. */
export const write = <E, R>(
  found: Effect.Effect<ReadonlyArray<OciWriter.Image>, E, R>,
  options: Options = {}
): Stream.Stream<Uint8Array, E | WriteError, R | FileSystem.FileSystem | Decompression> =>
  ArchiveFiles.archive(
    Effect.gen(function* () {
      const platform = options.platform ?? (yield* DefaultPlatform)
      const images = yield* Effect.forEach(yield* found, (image) => imageOf(image, { platform }))
      yield* ArchiveNames.checkDistinct(
        images.map(({ config, names }) => ({ digest: config.descriptor.digest, names }))
      )
      const sizes = new Map<Digest.Digest, number>()
      type Files = Map<
        string,
        Stream.Stream<Uint8Array, WriteError, FileSystem.FileSystem | Decompression>
      >
      const files: Files = new Map()
      for (const image of images) {
        const { bytes } = image.config
        files.set(configFile(image), ArchiveFiles.document(configFile(image), bytes))
        // Equal content is stored and fetched once, however often it is listed (S12).
        for (const layer of image.layers)
          if (!files.has(layerFile(layer)))
            files.set(layerFile(layer), layerContent(image, layer, sizes, options.spool))
      }
      const document = DockerArchive.encode(
        images.map((image) => ({
          config: configFile(image),
          names: image.names,
          layers: image.layers.map(layerFile)
        }))
      )
      const { onWritten = () => Effect.void } = options
      return [
        ...files.values(),
        ArchiveFiles.document("manifest.json", document),
        Stream.execute(Effect.forEach(images, (image) => onWritten(writtenOf(image, sizes))))
      ]
    })
  )

const configFile = ({ config }: Pick<Image, "config">): string =>
  `${Digest.encoded(config.descriptor.digest)}.json`

const layerFile = ({ diffId }: Layer): string => `${Digest.encoded(diffId)}.tar`

const writtenOf = (
  { config, layers, manifest, names }: Image,
  sizes: ReadonlyMap<Digest.Digest, number>
): WrittenImage => ({
  names,
  source: manifest.descriptor,
  descriptor: DockerContents.manifestOf(
    config.descriptor,
    layers.map(({ diffId }) => ({ format: "tar", digest: diffId, size: sizes.get(diffId) ?? 0 }))
  ).descriptor
})

/** Reads what is to be known of an image before the first byte. */
const imageOf = Effect.fnUntraced(function* (
  { names, registry, repository, root }: OciWriter.Image,
  options: IndexChoices.Options
): Effect.fn.Return<
  Image,
  Registry.GetManifestError | Registry.GetBlobError | ImageConfig.InvalidImageConfig
> {
  const chosen = yield* ImageManifest.chooseImage(registry, repository, root, options)
  const called = { manifest: `${repository}@${root.descriptor.digest}`, repository }
  const content = yield* ImageManifest.contentOf(chosen, called, options)
  const { config, layers } = yield* ImageManifest.read(
    registry,
    repository,
    content,
    called.manifest
  )
  return {
    registry,
    repository,
    names: names.map((name) => ArchiveNames.format(name, repository)),
    manifest: chosen.manifest,
    config,
    layers
  }
})

/**
 * Streams a layer as a file of the archive. Its size stands before its content, so that one which
 * is compressed goes through a temporary file.
 */
const layerContent = (
  { registry, repository }: ArchiveGraph.Place,
  layer: Layer,
  sizes: Map<Digest.Digest, number>,
  options: Spool.SpoolOptions | undefined
): Stream.Stream<Uint8Array, WriteError, FileSystem.FileSystem | Decompression> => {
  const { descriptor, diffId } = layer
  const content = registry.getBlob(repository, descriptor)
  if (descriptor.digest === diffId) {
    sizes.set(diffId, descriptor.size)
    return ArchiveFiles.file(layerFile(layer), descriptor.size, content)
  }
  return BorrowedStream.make(({ borrowed }) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const uncompressed = StreamFormat.uncompressed(content, (format) =>
          format === undefined
            ? new InvalidArchive({
                reason: "Content",
                archive: `The layer ${descriptor.digest} of ${repository}`,
                problem: "is neither gzip, zstd nor a tar archive"
              })
            : Effect.succeed(format)
        )
        const path = yield* Spool.write(
          ByteStream.verify(uncompressed, { digest: diffId }),
          options
        )
        const size = Number((yield* FileBytes.step(path, fs.stat(path))).size)
        sizes.set(diffId, size)
        const plain = FileBytes.stream(fs, path, 0, size, borrowed)
        return ArchiveFiles.file(layerFile(layer), size, plain)
      })
    )
  )
}
