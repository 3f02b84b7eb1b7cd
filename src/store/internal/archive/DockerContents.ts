/**
 * Archives of `docker save`: each image is a configuration and a list of layers. The manifest that
 * a registry has of an image is made of them, always the same for the same archive.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { giveBack } from "../../../internal/BorrowedStream.js"
import * as PullStream from "../../../internal/PullStream.js"
import { type Format, formatOf } from "../../../internal/StreamFormat.js"
import type { StorageFailure } from "../../../RegistryError.js"
import * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import * as ImageConfig from "../../../spec/ImageConfig.js"
import * as DockerArchive from "../../../spec/internal/DockerArchive.js"
import * as TarHeader from "../../../spec/internal/TarHeader.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as LayoutIndex from "../layout/LayoutIndex.js"
import * as ArchiveContents from "./ArchiveContents.js"
import { type ArchiveEntries, isFound } from "./ArchiveEntries.js"
import * as ArchiveFile from "./ArchiveFile.js"
import { InvalidArchive } from "./InvalidArchive.js"

const imagesFile = "manifest.json"

/** Whether an archive is one of `docker save`. */
export const isOfDocker = (entries: ArchiveEntries): boolean => entries.has(imagesFile)

/** A layer as it stands in an archive. */
export interface LayerFile {
  readonly format: Format
  readonly digest: Digest.Digest
  readonly size: number
}

/**
 * Returns the manifest of an image: of Docker's types, or of OCI's where Docker has none for the
 * compression of a layer, and all of one family (S28).
 */
export const manifestOf = (
  config: Pick<Descriptor, "digest" | "size">,
  layers: ReadonlyArray<LayerFile>
): Manifest.Manifest => {
  const isOci = layers.some(({ format }) => format === "zstd")
  const types = isOci
    ? { tar: MediaType.layerTar, gzip: MediaType.layerTarGzip, zstd: MediaType.layerTarZstd }
    : { tar: MediaType.dockerLayerTar, gzip: MediaType.dockerLayerTarGzip, zstd: "" }
  return Manifest.image({
    mediaType: isOci ? MediaType.imageManifest : MediaType.dockerManifest,
    config: {
      mediaType: isOci ? MediaType.imageConfig : MediaType.dockerImageConfig,
      digest: config.digest,
      size: config.size
    },
    layers: layers.map(({ digest, format, size }) => ({ mediaType: types[format], digest, size }))
  })
}

/** Reads what an archive of `docker save` holds. */
export const read = Effect.fnUntraced(function* (
  file: ArchiveFile.ArchiveFile,
  entries: ArchiveEntries
) {
  const images = DockerArchive.parse(yield* ArchiveFile.document(file, entries, imagesFile))
  if (Either.isLeft(images)) return yield* invalid(file, "Document", imagesFile, images.left)
  const blobs = new Map<Digest.Digest, ArchiveContents.Stored>()
  const manifests: Array<Descriptor> = []
  for (const image of images.right) {
    const { bytes, descriptor } = yield* readImage(file, entries, image, blobs)
    blobs.set(descriptor.digest, ArchiveContents.made(bytes))
    if (image.names.length === 0) manifests.push(descriptor)
    for (const name of image.names)
      manifests.push({ ...descriptor, annotations: { [Annotations.refName]: name } })
  }
  return ArchiveContents.make({
    format: "docker",
    name: file.name,
    index: Option.getOrElse(LayoutIndex.fromJson({ manifests }), LayoutIndex.empty),
    find: (digest) => blobs.get(digest)
  })
})

/** Makes the manifest of an image, and notes where its blobs are. */
const readImage = Effect.fnUntraced(function* (
  file: ArchiveFile.ArchiveFile,
  entries: ArchiveEntries,
  { config: configFile, layers }: DockerArchive.Image,
  blobs: Map<Digest.Digest, ArchiveContents.Stored>
) {
  const bytes = yield* ArchiveFile.document(file, entries, configFile)
  const config = yield* Effect.mapError(ImageConfig.fromBytes(bytes), ({ message }) =>
    invalid(file, "Content", configFile, `is not what ${imagesFile} says. ${message}`)
  )
  blobs.set(config.descriptor.digest, ArchiveContents.made(bytes))
  const { diff_ids } = config.content.rootfs
  // S10
  if (diff_ids.length !== layers.length)
    return yield* invalid(
      file,
      "Content",
      configFile,
      `has ${diff_ids.length} diff_ids, and ${imagesFile} has ${layers.length} layers for it`
    )
  const files: Array<LayerFile> = []
  for (const [n, diffId] of diff_ids.entries()) {
    const name = layers[n] ?? ""
    const place = entries.find(name)
    // S11
    if (!isFound(place))
      return yield* invalid(
        file,
        "Content",
        name,
        `is a layer in ${imagesFile} and ${place.problem}`
      )
    const format = formatOf(
      yield* file.read(place.start, Math.min(place.size, TarHeader.blockSize))
    )
    if (format === undefined)
      return yield* invalid(file, "Content", name, "is a layer in neither of gzip, zstd and tar")
    const stored = ArchiveContents.placed(file, place)
    const digest = format === "tar" ? diffId : (digestIn(name) ?? (yield* digestOf(stored)))
    blobs.set(digest, stored)
    files.push({ format, digest, size: stored.size })
  }
  return manifestOf(config.descriptor, files)
})

const invalid = (
  { name }: ArchiveFile.ArchiveFile,
  reason: InvalidArchive["reason"],
  path: string,
  problem: string
) => new InvalidArchive({ reason, archive: name, path, problem })

/**
 * The digest that a file is named after, as crane and Docker name those of compressed layers. As
 * every digest, it is verified when the content is read.
 */
const digestIn = (name: string): Digest.Digest | undefined => {
  const [, encoded] = /(?:^|\/)([0-9a-f]{64})(?:\.tar\.gz)?$/.exec(name) ?? []
  const digest = `sha256:${encoded}`
  return Digest.isDigest(digest) ? digest : undefined
}

const digestOf = ({
  stream
}: ArchiveContents.Stored): Effect.Effect<Digest.Digest, StorageFailure> =>
  Effect.suspend(() => {
    const hasher = Digest.hasher("sha256")
    return Effect.map(
      PullStream.runForEachChunk(stream(true), (chunk) => {
        for (const bytes of chunk) {
          hasher.update(bytes)
          giveBack(bytes)
        }
        return undefined
      }),
      () => hasher.digest()
    )
  })
