/**
 * Images: what they say of themselves without their layers, and the files that their layers make.
 * `pull` takes a reference, and the registry from `Registries`; `pullFrom` takes the registry as
 * well.
 *
 * @since 0.1.0
 */
import type { FileSystem } from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Decompression } from "../Decompression.js"
import { DefaultPlatform } from "../internal/DefaultPlatform.js"
import * as ImageManifest from "../internal/ImageManifest.js"
import * as OlderParts from "../internal/OlderParts.js"
import * as References from "../internal/References.js"
import * as Spans from "../internal/Spans.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { InputError } from "../RegistryError.js"
import type { Annotations } from "../spec/Annotations.js"
import type { Digest } from "../spec/Digest.js"
import * as ImageConfig from "../spec/ImageConfig.js"
import type { Manifest } from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import type * as Platform from "../spec/Platform.js"
import * as Reference from "../spec/Reference.js"
import type { PulledContent } from "./Artifact.js"
import type {
  FileContent,
  FileUnknown,
  ReadError,
  ReadFileOptions,
  ReadOptions
} from "./ImageLayer.js"
import * as FileLookup from "./internal/FileLookup.js"
import * as Flattening from "./internal/Flattening.js"
import { contentOf } from "./internal/PulledContent.js"
import * as SignedImage from "./internal/SignedImage.js"
import * as Spool from "./internal/Spool.js"

/**
 * One layer of an image, to be read by the functions of `ImageLayer`. Nothing is requested before
 * its content is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Layer extends PulledContent {
  /**
   * The digest of its tar archive, as the configuration has it. None is known of an image of schema
   * 1: {@link withDiffIds} computes them.
   */
  readonly diffId: Digest | undefined
  /** The step that made it, if the history goes so far. */
  readonly history: Option.Option<ImageConfig.History>
}

/**
 * An image.
 *
 * @since 0.1.0
 * @category models
 */
export interface Image {
  /** The reference to its manifest by digest. */
  readonly reference: Reference.Reference
  /** The reference that it was pulled by. */
  readonly requested: Reference.Reference
  /**
   * What the reference stands for that was pulled: the index that the image was chosen from, or its
   * own manifest.
   */
  readonly root: Manifest
  readonly manifest: Manifest
  /**
   * Its configuration. An image of schema 1 has its manifest for one, whose `bytes` and
   * `descriptor` it has, and `diff_ids` that are empty until {@link withDiffIds} has computed them.
   */
  readonly config: ImageConfig.ImageConfig
  /** The labels of the configuration, none if there are none. */
  readonly labels: Annotations
  /** The annotations of the manifest, none if there are none. */
  readonly annotations: Annotations
  /** The layers, from the base to the top. */
  readonly layers: ReadonlyArray<Layer>
}

/**
 * Says which image is pulled.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullOptions {
  /**
   * The platform to choose from an index and the indexes in it, or several in order of preference.
   * The manifest that `Platform.rank` has first is taken ([image-spec, Image
   * Index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions)).
   * If there is none, the configurations of manifests that are listed without a platform are read,
   * of 32 at most. What is not an index is pulled as it is. `DefaultPlatform` by default.
   */
  readonly platform?: Platform.Platform | ReadonlyArray<Platform.Platform> | undefined
}

export {
  /**
   * What `platform` is where it is not given. There is none by default, so that an index fails. The
   * layers of `NodeRegistry` of `effect-oci/node` provide that of the machine, and so does
   * `NodePlatform.layer`.
   *
   * @example
   * ```ts
   * import * as Image from "effect-oci/Image"
   * import * as Platform from "effect-oci/Platform"
   * import * as Effect from "effect/Effect"
   *
   * const forServers = Effect.provideService(
   *   Image.DefaultPlatform,
   *   Platform.unsafeParse("linux/amd64")
   * )
   * ```
   *
   * @since 0.1.0
   * @category services
   */
  DefaultPlatform
}

/**
 * The errors of `pull`. `MediaTypeMismatch` also says that the reference is that of something other
 * than an image manifest: an index of which no platform is asked for, or not for that one. It has
 * the choices. `InvalidImageConfig` says that it is not that of an image, or that the configuration
 * has other layers than the manifest.
 *
 * @since 0.1.0
 * @category errors
 */
export type PullError =
  | Registry.GetManifestError
  | Registry.GetBlobError
  | ImageConfig.InvalidImageConfig

/**
 * Gets the image under a reference such as `ghcr.io/owner/name:tag`: its manifest and its
 * configuration, both verified, and its layers to be read. Without tag and digest, the tag is
 * `latest`.
 *
 * A manifest of Docker's schema 1, signed or not, is that of an image as well: what it says of its
 * steps is the configuration, and steps that changed no files have no layer. Nobody has said the
 * digests of its layers' archives (see {@link withDiffIds}), and their sizes are got by one HEAD
 * each. Its signatures are for `SignedManifest.verify` to verify.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, and with `PullError`.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as Platform from "effect-oci/Platform"
 * import * as Effect from "effect/Effect"
 *
 * const version = Effect.gen(function*() {
 *   const { labels } = yield* Image.pull("ghcr.io/owner/app:1.0.0", {
 *     platform: Platform.unsafeParse("linux/arm64")
 *   })
 *   return labels["org.opencontainers.image.version"]
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pull = (
  reference: string | Reference.Reference,
  options?: PullOptions
): Effect.Effect<Image, PullError | InputError, Registries> =>
  References.run("Image.pull", reference, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) => pullFrom(registry, parsed, options))
  )

/**
 * Gets an image from a registry, as `pull` does. The host of the reference is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const pullFrom = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  options?: PullOptions
): Effect.fn.Return<Image, PullError> {
  const { repository } = reference
  const root = yield* registry.getManifest(repository, Reference.tagOrDigest(reference))
  return yield* imageOf(registry, reference, root, options)
})

const imageOf = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  root: Manifest,
  options: PullOptions | undefined
): Effect.fn.Return<Image, PullError> {
  const platform = options?.platform ?? (yield* DefaultPlatform)
  const { repository } = reference
  const chosen = yield* ImageManifest.chooseImage(registry, repository, root, { platform })
  const { manifest } = chosen
  const { annotations, config, layers } = OlderParts.isSchema1(manifest)
    ? yield* SignedImage.read(registry, repository, manifest)
    : yield* read(registry, reference, chosen, { platform })
  return {
    reference: Reference.withDigest(reference, manifest.descriptor.digest),
    requested: reference,
    root,
    manifest,
    config,
    labels: config.content.config?.Labels ?? {},
    annotations,
    layers: layers.map(({ descriptor, ...layer }) => ({
      ...contentOf(registry, reference, descriptor),
      ...layer
    }))
  }
})

const read = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  chosen: ImageManifest.Chosen,
  options: PullOptions
) {
  const names = ImageManifest.namesOf(reference)
  const content = yield* ImageManifest.contentOf(chosen, names, options)
  const { repository } = reference
  const found = yield* ImageManifest.read(registry, repository, content, names.manifest)
  return { ...found, annotations: content.annotations ?? {} }
})

/**
 * Gets the image under a reference, as `pull` does, if what the reference stands for is no longer
 * the manifest with this digest, the `root` of an image that was pulled: `None` says that it is
 * unchanged. That costs one conditional request: see `Registry.getChangedManifest`.
 *
 * Fails as `pull` does.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const refreshed = (reference: string, known: Image.Image) =>
 *   Effect.map(
 *     Image.pullChanged(reference, known.root.descriptor.digest),
 *     Option.getOrElse(() => known)
 *   )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pullChanged = (
  reference: string | Reference.Reference,
  known: Digest,
  options?: PullOptions
): Effect.Effect<Option.Option<Image>, PullError | InputError, Registries> =>
  References.run("Image.pullChanged", reference, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) =>
      pullChangedFrom(registry, parsed, known, options)
    )
  )

/**
 * Gets an image from a registry if it has changed, as `pullChanged` does. The host of the reference
 * is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const pullChangedFrom = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  known: Digest,
  options?: PullOptions
): Effect.fn.Return<Option.Option<Image>, PullError> {
  const { repository } = reference
  const at = Reference.tagOrDigest(reference)
  const root = yield* registry.getChangedManifest(repository, at, known)
  return Option.isNone(root)
    ? Option.none()
    : Option.some(yield* imageOf(registry, reference, root.value, options))
})

/**
 * Computes the digests of the layers' tar archives where they are not known, which is so for images
 * of Docker's schema 1: each of those layers is read to its end. What is returned has them in a
 * configuration of Docker's type, so that the image can be pushed with a manifest of schema 2.
 * Other images are returned as they are.
 *
 * Fails as reading layers does: with `ReadError` of `ImageLayer`, and as getting blobs does.
 *
 * @example
 * ```ts
 * import * as BlobSource from "effect-oci/BlobSource"
 * import * as Image from "effect-oci/Image"
 * import * as Manifest from "effect-oci/Manifest"
 * import * as MediaType from "effect-oci/MediaType"
 * import type { Tag } from "effect-oci/Reference"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * // Puts an image of schema 1 beside it as one of schema 2.
 * const convert = (reference: string, tag: Tag) =>
 *   Effect.gen(function*() {
 *     const { config, layers } = yield* Effect.flatMap(Image.pull(reference), Image.withDiffIds)
 *     const { registry, repository } = yield* Registries.open(reference)
 *     yield* registry.putBlob(repository, BlobSource.fromBytes(config.bytes))
 *     const manifest = Manifest.image({
 *       mediaType: MediaType.dockerManifest,
 *       config: config.descriptor,
 *       layers: layers.map(({ descriptor }) => descriptor)
 *     })
 *     return yield* registry.putManifest(repository, manifest, { tags: [tag] })
 *   })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const withDiffIds: (
  image: Image,
  options?: ReadOptions
) => Effect.Effect<Image, Registry.GetBlobError | ReadError, Decompression> = Effect.fnUntraced(
  function* (image, options) {
    const computed = yield* SignedImage.diffIds(image.layers, options)
    if (computed.size === 0) return image
    const layers = image.layers.map((layer) => ({
      ...layer,
      diffId: layer.diffId ?? computed.get(layer.descriptor.digest)
    }))
    const diff_ids = layers.flatMap(({ diffId }) => diffId ?? [])
    const { content } = image.config
    const config = ImageConfig.make(
      { ...content, rootfs: { ...content.rootfs, diff_ids } },
      { mediaType: MediaType.dockerImageConfig }
    )
    return { ...image, config, layers }
  }
)

/**
 * Reads one file of an image: what its path has once all layers are extracted one over the other,
 * as {@link flatten} has it, links followed within the image. The last entry of the topmost layer
 * counts, and what layers remove is heeded.
 *
 * Layers are read from the top down, each to its end and verified, as far as it takes to know:
 * where a layer has the file and the folders that it is in, no further. A layer without entries for
 * those may have written through a symbolic link of a lower one. The layer that has the file is
 * read once more where another path led to it.
 *
 * Fails with `FileUnknown`, with `LimitExceeded` also for a file larger than `fileLimit` and for
 * more entries than `entryLimit`, and as reading layers does.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as Effect from "effect/Effect"
 *
 * const release = Effect.gen(function*() {
 *   const image = yield* Image.pull("debian:12")
 *   const { bytes } = yield* Image.readFile(image, "/etc/os-release")
 *   return new TextDecoder().decode(bytes)
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const readFile = (
  image: Image,
  path: string,
  options?: ReadFileOptions
): Effect.Effect<FileContent, Registry.GetBlobError | ReadError | FileUnknown, Decompression> =>
  Spans.inSpan(
    "Image.readFile",
    () => ({ "oci.reference": Reference.format(image.reference) }),
    FileLookup.read(image.layers, path, options)
  )

/**
 * Says how an image is flattened.
 *
 * @since 0.1.0
 * @category models
 */
export interface FlattenOptions extends ReadOptions {
  /**
   * The most entries that all layers may have, 1,000,000 by default: each of them takes memory, the
   * content of none does.
   */
  readonly entryLimit?: number | undefined
  /**
   * Where the layers are kept decompressed until their files are emitted. They are got from the
   * registry and decompressed once then, and need room on the disk instead.
   */
  readonly spool?: Spool.Spool | undefined
}

export type {
  /**
   * Where layers are kept while an image is flattened: in a folder that is gone when that has
   * ended, failed or been interrupted.
   *
   * @since 0.1.0
   * @category models
   */
  Spool,
  /**
   * The folder of a spool, for one image.
   *
   * @since 0.1.0
   * @category models
   */
  SpoolFolder
} from "./internal/Spool.js"

/**
 * Makes a spool in a folder, that of the system for temporary files by default. `FileSystem` is
 * that of `NodeFileSystem.layer` of `@effect/platform-node`, for example.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import { BlobFile } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const save = Effect.gen(function*() {
 *   const spool = yield* Image.spool({ folder: "/var/tmp" })
 *   const image = yield* Image.pull("ghcr.io/owner/large:1.0.0")
 *   yield* BlobFile.write("large.tar", Image.flatten(image, { spool }))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const spool: (options?: {
  readonly folder?: string | undefined
}) => Effect.Effect<Spool.Spool, never, FileSystem> = Spool.make

/**
 * What flattening can fail with. `InvalidLayer` also says that a hard link leads to nothing, and
 * `LimitExceeded` that there are more entries than `entryLimit`.
 *
 * @since 0.1.0
 * @category errors
 */
export type FlattenError = Registry.GetBlobError | ReadError

/**
 * Streams a tar archive of the files of an image: those that its layers make when they are
 * extracted one over the other, the base first ([image-spec, Applying
 * Changesets](https://github.com/opencontainers/image-spec/blob/main/layer.md#applying-changesets)).
 * Folders stand before what is in them, a hard link behind the file that it leads to, extended
 * attributes are kept byte for byte, and equal images give equal archives.
 *
 * Nothing is emitted before all layers are verified, and memory is that of the names alone. So the
 * layers are read twice: to their ends for what there is, and those that have files in the end
 * again for the contents. With a {@link spool} they are read once.
 *
 * Fails with `FlattenError`.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import { BlobFile } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const save = Effect.gen(function*() {
 *   const image = yield* Image.pull("alpine:3.22")
 *   yield* BlobFile.write("alpine.tar", Image.flatten(image))
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const flatten = (
  image: Image,
  options?: FlattenOptions
): Stream.Stream<Uint8Array, FlattenError, Decompression> =>
  Spans.streamInSpan(
    "Image.flatten",
    () => ({ "oci.reference": Reference.format(image.reference) }),
    Flattening.encoded(Flattening.parts(image.layers, options))
  )

const registryOf = ({ host }: Reference.Reference) =>
  Effect.flatMap(Registries, ({ get }) => get(host))
