/**
 * Builds images: what they say, and layers that can be read as often as need be. Layers go from the
 * base up, since what folders a new one has depends on those below it.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../../BlobSource.js"
import * as ByteStream from "../../../ByteStream.js"
import type { Compression } from "../../../Compression.js"
import type { Decompression } from "../../../Decompression.js"
import * as StreamFormat from "../../../internal/StreamFormat.js"
import type { Registry } from "../../../Registry.js"
import { BodyNotReplayable } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as ImageConfig from "../../../spec/ImageConfig.js"
import type { Entry } from "../../../spec/internal/TarEntry.js"
import * as Manifest from "../../../spec/Manifest.js"
import type * as Reference from "../../../spec/Reference.js"
import * as EntryCount from "../EntryCount.js"
import * as FileTree from "../FileTree.js"
import * as Flattening from "../Flattening.js"
import { InvalidLayer } from "../InvalidLayer.js"
import * as LayerContent from "../LayerContent.js"
import * as Format from "./Format.js"
import { InvalidImage } from "./InvalidImage.js"
import * as LayerEntries from "./LayerEntries.js"
import * as LayerStorage from "./LayerStorage.js"
import type {
  ArchiveLayer,
  ExistingLayer,
  FileLayer,
  ImageBuild,
  Layer,
  NewLayer,
  RecompressedLayer,
  RegularFile
} from "./Recipe.js"

/** A layer of an image that was built. */
export interface BuiltLayer<out E = never> extends LayerContent.ImageLayer<E> {
  readonly diffId: Digest
  readonly source: BlobSource.BlobSource<E>
  /** Where it is, if it was pulled. */
  readonly reference?: Reference.Reference | undefined
}

/** An image that was built. */
export interface BuiltImage<out E = never> {
  readonly manifest: Manifest.Manifest
  readonly config: ImageConfig.ImageConfig
  readonly layers: ReadonlyArray<BuiltLayer<E>>
}

/** What building fails with, besides the errors of the sources. */
export type BuildError =
  | InvalidImage
  | BodyNotReplayable
  | LayerContent.ReadError
  | Registry.GetBlobError
  | Registry.GetBlobRangeError

/** Uploads what can be read only once, and returns what it is then. */
export type Upload<E> = (content: BlobSource.BlobSource<E>) => Effect.Effect<
  {
    readonly blob: Pick<Descriptor, "digest" | "size">
    readonly source: BlobSource.BlobSource<E>
  },
  E
>

/** What building needs besides what the sources do. */
export type Services = Compression | Decompression

/** What the layers of an image are built with. */
interface Building<E, R> {
  readonly image: ImageBuild<E, R>
  readonly upload: Upload<E | BuildError> | undefined
  readonly provided: <A, E2>(stream: Stream.Stream<A, E2, R | Services>) => Stream.Stream<A, E2>
  /** What the layers so far make. */
  readonly below: Effect.Effect<FileTree.Tree, E | BuildError, Services>
}

type Added<E, R> = Effect.Effect<
  BuiltLayer<E | BuildError> & { readonly entries?: ReadonlyArray<Entry> },
  E | BuildError,
  R | Services
>

/** Builds an image. What can be read only once needs an `upload`. */
export const build = Effect.fnUntraced(function* <E, R>(
  image: ImageBuild<E, R>,
  upload?: Upload<E | BuildError>
): Effect.fn.Return<BuiltImage<E | BuildError>, E | BuildError, R | Services> {
  const { annotations, config, format, invalid } = image
  if (invalid !== undefined) return yield* invalid
  const context = yield* Effect.context<R | Services>()
  const tree = growing<E | BuildError>()
  const count = EntryCount.make()
  const building: Building<E, R> = {
    image,
    upload,
    provided: (stream) => Stream.provideContext(stream, context),
    below: tree.whole
  }
  const layers: Array<BuiltLayer<E | BuildError>> = []
  for (const layer of image.layers) {
    const { entries, ...built } = yield* add(building, layer)
    const descriptor = Format.layer(built.descriptor, format)
    if (descriptor instanceof InvalidImage) return yield* descriptor
    const { digest } = descriptor
    tree.grow(
      digest,
      entries === undefined
        ? Flattening.entriesOf(LayerContent.uncompressed(built), built.descriptor.digest, count)
        : Effect.succeed(entries)
    )
    layers.push({ ...built, descriptor })
  }
  const diff_ids = layers.map(({ diffId }) => diffId)
  const types = Format.types[format]
  const document = ImageConfig.make(
    { ...config, rootfs: { type: "layers", diff_ids } },
    { mediaType: types.config }
  )
  const manifest = Manifest.image({
    ...image.unknown,
    mediaType: types.manifest,
    config: document.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    // Docker's manifests have neither.
    ...(format === "oci" && { artifactType: image.artifactType, subject: image.subject }),
    ...(Object.keys(annotations).length > 0 && { annotations })
  })
  return { manifest, config: document, layers }
})

const add = <E, R>(building: Building<E, R>, layer: Layer<E, R>): Added<E, R> => {
  if ("files" in layer) return addFiles(building, layer)
  if ("archive" in layer) return addArchive(building, layer)
  return "recompressed" in layer ? addRecompressed(building, layer) : addExisting(layer)
}

// -----------------------------------------------------------------------------
// Layers that there are
// -----------------------------------------------------------------------------

/** A layer whose archive is known is neither read nor compressed (S31). */
const addExisting = (layer: ExistingLayer) =>
  Effect.map(
    layer.diffId === undefined ? diffIdOf(layer) : Effect.succeed(layer.diffId),
    (diffId): BuiltLayer<BuildError> => ({ ...layer, diffId })
  )

const addRecompressed = <E, R>(
  building: Building<E, R>,
  { recompressed, ...options }: RecompressedLayer
): Added<E, R> => {
  const { annotations = {} } = recompressed.descriptor
  return store(
    building,
    { ...options, annotations: { ...Format.withoutForm(annotations), ...options.annotations } },
    LayerContent.uncompressed(recompressed)
  )
}

const diffIdOf = <E>(layer: LayerContent.ImageLayer<E>) =>
  Effect.map(LayerStorage.measured(LayerContent.uncompressed(layer)), ({ digest }) => digest)

// -----------------------------------------------------------------------------
// New layers
// -----------------------------------------------------------------------------

const addFiles = <E, R>(building: Building<E, R>, layer: FileLayer<E, R>): Added<E, R> =>
  Effect.gen(function* () {
    if (building.image.config.os === "windows")
      return yield* new InvalidImage({
        reason: "Platform",
        problem:
          "is for Windows, whose layers have a registry and files in folders of their own: give " +
          "archives in place of files"
      })
    const sizes = new Map<object, number>()
    let replay: BlobSource.BlobSource["replay"] = "any"
    for (const file of layer.files) {
      if (!("source" in file)) continue
      const { path, source } = file
      if ("open" in source && source.replay === "once") replay = "once"
      sizes.set(source, yield* sizeOf(path, source))
    }
    const tree = LayerEntries.hasFolders(layer) ? yield* building.below : FileTree.make()
    const contents = LayerEntries.of(layer, tree, ({ source }) => sizes.get(source) ?? 0)
    if (contents instanceof InvalidImage) return yield* contents
    const stored = yield* store(building, layer, LayerStorage.archive(contents), replay)
    return { ...stored, entries: contents.map(({ entry }) => entry) }
  })

const sizeOf = <E, R>(path: string, source: RegularFile<E, R>["source"]) => {
  if (!("open" in source)) return Effect.succeed(source.length)
  if (source.size !== undefined) return Effect.succeed(source.size)
  return source.replay === "once"
    ? Effect.fail(new BodyNotReplayable({ step: `Measuring ${path}` }))
    : Effect.map(LayerStorage.measured(source.open(0)), ({ size }) => size)
}

const addArchive = <E, R>(
  building: Building<E, R>,
  { archive, ...layer }: ArchiveLayer<E, R>
): Added<E, R> =>
  Effect.gen(function* () {
    const source = "open" in archive ? archive : BlobSource.fromBytes(archive)
    const content = building.provided(source.open(0))
    if (source.replay === "once") return yield* store(building, layer, onlyTar(content), "once")
    const { head } = yield* Effect.scoped(StreamFormat.peeked(content))
    const format = StreamFormat.formatOf(head)
    if (format === undefined) return yield* LayerContent.unknownFormat(newName)
    if (format === "tar") return yield* store(building, layer, content)
    const { annotations, compression = format } = layer
    const blob = yield* LayerStorage.measured(content)
    const described = { content, descriptor: { mediaType: Format.newLayer(format), ...blob } }
    if (compression !== format)
      return yield* store(building, layer, LayerContent.uncompressed(described))
    return {
      ...described,
      descriptor: { ...described.descriptor, ...(annotations !== undefined && { annotations }) },
      diffId: yield* diffIdOf(described),
      source: BlobSource.make((offset) => building.provided(source.open(offset)), blob)
    }
  })

const newName = "that is to be added"

/** An archive that is not compressed: another one would have to be read twice. */
const onlyTar = <E>(content: Stream.Stream<Uint8Array, E>) =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { all, head } = yield* StreamFormat.peeked(content)
      const format = StreamFormat.formatOf(head)
      if (format === undefined) return yield* LayerContent.unknownFormat(newName)
      if (format !== "tar")
        return yield* new BodyNotReplayable({ step: `Adding a layer compressed with ${format}` })
      return all
    })
  )

/** Describes a new layer as it is to be stored, or stores it if it cannot be read again. */
const store = Effect.fnUntraced(function* <E, R>(
  { provided, upload }: Building<E, R>,
  layer: NewLayer,
  archive: Stream.Stream<Uint8Array, E | BuildError, R | Services>,
  replay: BlobSource.BlobSource["replay"] = "any"
): Effect.fn.Return<BuiltLayer<E | BuildError>, E | BuildError, R | Services> {
  const { annotations = {}, compression = "gzip" } = layer
  const encoder = yield* LayerStorage.encoderOf(layer)
  const { content, diffId } = LayerStorage.compressed(provided(archive), encoder)
  const describe = ({ digest, size }: Pick<Descriptor, "digest" | "size">): Descriptor => ({
    mediaType: Format.newLayer(compression),
    digest,
    size,
    ...(Object.keys(annotations).length > 0 && { annotations })
  })
  if (replay === "any") {
    const blob = yield* LayerStorage.measured(content)
    return {
      descriptor: describe(blob),
      diffId: diffId(),
      content: ByteStream.verify(content, blob),
      source: BlobSource.fromStream(content, blob)
    }
  }
  if (upload === undefined) return yield* new BodyNotReplayable({ step: "Building a layer" })
  const { blob, source } = yield* upload(BlobSource.fromStreamOnce(content))
  return { descriptor: describe(blob), diffId: diffId(), content: source.open(0), source }
})

// -----------------------------------------------------------------------------
// What layers make
// -----------------------------------------------------------------------------

/** A tree that layers are put into once somebody asks for it. */
const growing = <E>() => {
  const tree = FileTree.make()
  interface Waiting {
    readonly layer: string
    readonly entries: Effect.Effect<ReadonlyArray<Entry>, E, Services>
  }
  const waiting: Array<Waiting> = []
  let count = 0
  const whole = Effect.gen(function* () {
    const next = waiting.splice(0)
    const all = yield* Effect.forEach(next, ({ entries }) => entries, { concurrency: 3 })
    for (const [n, { layer }] of next.entries()) {
      const problem = FileTree.apply(tree, count++, all[n] ?? [])
      if (problem !== undefined) return yield* new InvalidLayer({ layer, ...problem })
    }
    return tree
  })
  return {
    whole,
    grow: (layer: string, entries: Waiting["entries"]) => waiting.push({ layer, entries })
  }
}
