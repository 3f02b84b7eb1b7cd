/**
 * Images built without a daemon: from nothing or upon a base, of layers of files, with a
 * configuration; other images with changes, or upon another base; and indexes of them. An image to
 * build is a plain value: nothing is read before it is built, and nothing is sent before it is
 * pushed.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Compression } from "../Compression.js"
import type { Decompression } from "../Decompression.js"
import * as References from "../internal/References.js"
import * as Spans from "../internal/Spans.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { InputError } from "../RegistryError.js"
import type { Annotations } from "../spec/Annotations.js"
import type { Platform } from "../spec/Platform.js"
import type * as Reference from "../spec/Reference.js"
import type { Pushed } from "./Artifact.js"
import type { Image } from "./Image.js"
import type { BuildError, BuiltImage } from "./internal/build/Building.js"
import * as Building from "./internal/build/Building.js"
import type { InvalidImage } from "./internal/build/InvalidImage.js"
import * as Mutation from "./internal/build/Mutation.js"
import type { PushError } from "./internal/build/Pushing.js"
import * as Pushing from "./internal/build/Pushing.js"
import type { Changes, Format, ImageBuild, IndexBuild, Item } from "./internal/build/Recipe.js"

export type {
  /**
   * What building an image can fail with, besides the errors of the sources. `InvalidLayer` and the
   * errors of `Registry.getBlob` are those of layers of the base, and of archives, that were read.
   * `BodyNotReplayable` says that a source can be read only once, which `push` alone takes.
   *
   * @since 0.1.0
   * @category errors
   */
  BuildError,
  /**
   * An image that was built: what `push` puts. Its layers are read as those of `Image.pull` are, by
   * the functions of `ImageLayer`; a new one is made again each time.
   *
   * @since 0.1.0
   * @category models
   */
  BuiltImage,
  /**
   * A layer of an image that was built.
   *
   * @since 0.1.0
   * @category models
   */
  BuiltLayer
} from "./internal/build/Building.js"
export {
  /**
   * Occurs when an image cannot be built. `path` says of what: the path of a file, or the option.
   *
   * - `Path`: no file can be there: its name leads out of the image or is that of a whiteout, it is
   *   given twice, or is in what is not a folder.
   * - `Compression`: the level is not one of the algorithm, or the algorithm is not there.
   * - `Config`: a variable or a port is not one.
   * - `Format`: something has no place in the media types of Docker, or an index lists images of
   *   both families.
   * - `Platform`: it is for Windows, whose layers are not made of files here.
   * - `Base`: the image is not based on the one that it is to be moved from, or for another
   *   platform than the one that it is to be moved to.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidImage
} from "./internal/build/InvalidImage.js"
export type {
  /**
   * The errors of a push, besides those of the sources. With nothing sent, `InvalidReference` says
   * that a tag is not one, or that there is none, and `DigestMismatch` also that the reference has
   * a digest and the image has another.
   *
   * @since 0.1.0
   * @category errors
   */
  PushError
} from "./internal/build/Pushing.js"
export type {
  /**
   * How a layer is compressed: by `gzip` at level 6, by `zstd` at level 3, or not at all.
   *
   * @since 0.1.0
   * @category models
   */
  Algorithm,
  /**
   * A layer that is a tar archive. One that is compressed stays as it is, byte for byte, unless
   * `compression` says otherwise: its first bytes tell. What the archive has is not looked into.
   *
   * @since 0.1.0
   * @category models
   */
  ArchiveLayer,
  /**
   * Whose a file is, and when it was modified.
   *
   * @since 0.1.0
   * @category models
   */
  Attributes,
  /**
   * What is changed of an image, or upon a base.
   *
   * @since 0.1.0
   * @category models
   */
  Changes,
  /**
   * How containers of the image are run ([image-spec,
   * Properties](https://github.com/opencontainers/image-spec/blob/main/config.md#properties)). What
   * is not given is as in the base.
   *
   * @since 0.1.0
   * @category models
   */
  Config,
  /**
   * A layer that is in a registry: one of `Image.pull`, or a file of an artifact. It is mounted,
   * skipped or streamed, and never compressed again; only where its `diffId` is not known, it is
   * read for that.
   *
   * @since 0.1.0
   * @category models
   */
  ExistingLayer,
  /**
   * What a layer of files has: a regular file unless `type` says otherwise. `path` is that below
   * the root of the image, with or without a "/" at its start.
   *
   * @since 0.1.0
   * @category models
   */
  File,
  /**
   * A layer of files. Equal files give equal layers: they are sorted, and owners and times are
   * fixed, 0 unless told. The folders that files are in are part of the layer, with what the base
   * says of them: a mode and an owner are kept, and where the base has a link to a folder, the file
   * goes to where that leads. For that, layers of the base are read.
   *
   * @since 0.1.0
   * @category models
   */
  FileLayer,
  /**
   * A folder.
   *
   * @since 0.1.0
   * @category models
   */
  Folder,
  /**
   * The family of media types of an image: OCI's or Docker's. An image is of one of them as a
   * whole.
   *
   * @since 0.1.0
   * @category models
   */
  Format,
  /**
   * An image to build. Its configuration and its annotations are as they will be.
   *
   * @since 0.1.0
   * @category models
   */
  ImageBuild,
  /**
   * An index to build.
   *
   * @since 0.1.0
   * @category models
   */
  IndexBuild,
  /**
   * What an index lists: images to build or that were pulled, other indexes, and descriptors of
   * manifests that are in the repository already.
   *
   * @since 0.1.0
   * @category models
   */
  Item,
  /**
   * A layer of an image, new or not.
   *
   * @since 0.1.0
   * @category models
   */
  Layer,
  /**
   * A symbolic link to any text, or a hard link to a file of the same layer, which has its
   * attributes.
   *
   * @since 0.1.0
   * @category models
   */
  Link,
  /**
   * How a new layer is stored, and what is said of it.
   *
   * @since 0.1.0
   * @category models
   */
  NewLayer,
  /**
   * A layer that is in a registry, to be compressed otherwise. Annotations that describe how it was
   * compressed, those of eStargz and zstd:chunked, are left out.
   *
   * @since 0.1.0
   * @category models
   */
  RecompressedLayer,
  /**
   * A regular file.
   *
   * @since 0.1.0
   * @category models
   */
  RegularFile
} from "./internal/build/Recipe.js"

/**
 * Starts from nothing, for a platform. Its media types are OCI's unless `format` says otherwise.
 *
 * @example
 * ```ts
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import * as Platform from "effect-oci/Platform"
 *
 * const image = (server: Uint8Array) =>
 *   ImageBuild.scratch(Platform.unsafeParse("linux/amd64"), {
 *     layers: [{ files: [{ path: "/server", source: server, mode: 0o755 }] }],
 *     config: { entrypoint: ["/server"], exposedPorts: [8080], user: "65532" }
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const scratch = <E = never, R = never>(
  platform: Platform,
  changes: Changes<E, R> = {}
): ImageBuild<E, R> => Mutation.change(Mutation.empty(platform), changes)

/**
 * Builds upon an image that was pulled. Its layers, configuration, history, annotations and media
 * types are those of the new image, but for what the changes say. The annotations `base.name` and
 * `base.digest` name it ([image-spec, Pre-Defined Annotation
 * Keys](https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys)).
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import { ImageFolder } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const publish = Effect.gen(function*() {
 *   const base = yield* Image.pull("gcr.io/distroless/nodejs22-debian12")
 *   const files = yield* ImageFolder.files("dist", { at: "/app" })
 *   const image = ImageBuild.from(base, {
 *     layers: [{ files }],
 *     config: { cmd: ["/app/main.js"], env: { NODE_ENV: "production" } }
 *   })
 *   return yield* ImageBuild.push("ghcr.io/owner/app:1.0.0", image)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = <E = never, R = never>(
  base: Image,
  changes: Changes<E, R> = {}
): ImageBuild<E, R> => Mutation.upon(base, changes)

/**
 * Changes an image, that was pulled or is to be built, into another one: unlike `from`, it says
 * nothing of a base, and keeps what the image says of its own, as what it is attached to.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import * as Effect from "effect/Effect"
 *
 * const relabel = Effect.gen(function*() {
 *   const image = yield* Image.pull("ghcr.io/owner/app:1.0.0")
 *   const labels = { "org.opencontainers.image.vendor": "Example", maintainer: undefined }
 *   const relabelled = ImageBuild.mutate(image, { config: { labels } })
 *   return yield* ImageBuild.push("ghcr.io/owner/app:1.0.0-vendor", relabelled)
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const mutate = <E = never, R = never, E2 = never, R2 = never>(
  image: Image | ImageBuild<E, R>,
  changes: Changes<E2, R2>
): ImageBuild<E | E2, R | R2> => Mutation.change(Mutation.of(image), changes)

/**
 * Puts the layers that an image has above one base upon another, without reading any. What the
 * configuration and the annotations have of the old base, as values that equal it, is that of the
 * new base; all else stays. `base.name` and `base.digest` name the new one.
 *
 * Attestations of the image that the index has, from which it was pulled, are not for the new one:
 * they are its `attestations`, and stay behind.
 *
 * Fails with `InvalidImage` when the image does not begin with the layers of `from`, as when a tag
 * has moved since it was built, and when `to` is for another platform.
 *
 * @example
 * ```ts
 * import * as Annotations from "effect-oci/Annotations"
 * import * as Image from "effect-oci/Image"
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import * as Effect from "effect/Effect"
 *
 * // Of an index, this is to be done for each platform, and an index of all to be pushed.
 * const update = Effect.gen(function*() {
 *   const image = yield* Image.pull("ghcr.io/owner/app:1.0.0")
 *   const { [Annotations.baseDigest]: digest, [Annotations.baseName]: name } = image.annotations
 *   const from = yield* Image.pull(`${name}@${digest}`)
 *   const to = yield* Image.pull(`${name}`)
 *   const rebased = yield* ImageBuild.rebase(image, { from, to })
 *   return yield* ImageBuild.push("ghcr.io/owner/app:1.0.0", rebased)
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const rebase = <E = never, R = never>(
  image: Image | ImageBuild<E, R>,
  bases: { readonly from: Image; readonly to: Image }
): Effect.Effect<ImageBuild<E, R>, InvalidImage> =>
  Mutation.rebase(Mutation.of(image), bases.from, bases.to)

/**
 * Says what an index has besides what it lists.
 *
 * @since 0.1.0
 * @category models
 */
export interface IndexOptions {
  readonly annotations?: Annotations | undefined
  /**
   * The family of media types, to which images that are built are converted. By default OCI's,
   * unless all that it lists is of Docker's.
   */
  readonly format?: Format | undefined
}

/**
 * Makes an index of images, each listed with the platform that its configuration says. An image
 * that was pulled is listed as it is, byte for byte. What is given twice is listed once.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * // Adds an image to an index, in the place of that for its architecture.
 * const add = (name: string, image: ImageBuild.ImageBuild) =>
 *   Effect.gen(function*() {
 *     const { content } = yield* Registries.manifest(name)
 *     const listed = content._tag === "ImageIndex" ? content.manifests : []
 *     const { architecture } = image.config
 *     const others = listed.filter(({ platform }) => platform?.architecture !== architecture)
 *     return yield* ImageBuild.push(name, ImageBuild.index([...others, image]))
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const index = <E = never, R = never>(
  items: ReadonlyArray<Item<E, R>>,
  { annotations = {}, format }: IndexOptions = {}
): IndexBuild<E, R> => ({ _tag: "IndexBuild", items, annotations, format })

/**
 * Builds an image without pushing it: for its digest, or to read its layers. New layers are made
 * and compressed once, for their digests, and none is held in memory.
 *
 * Fails with `BuildError`, and with the errors of the sources.
 *
 * @example
 * ```ts
 * import * as ImageBuild from "effect-oci/ImageBuild"
 * import * as Reference from "effect-oci/Reference"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * const isThere = (repository: Reference.Reference, image: ImageBuild.ImageBuild) =>
 *   Effect.flatMap(ImageBuild.build(image), ({ manifest }) =>
 *     Registries.exists(Reference.withDigest(repository, manifest.descriptor.digest))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const build = <E = never, R = never>(
  image: ImageBuild<E, R>
): Effect.Effect<BuiltImage<E | BuildError>, E | BuildError, R | Compression | Decompression> =>
  Spans.inSpan("ImageBuild.build", () => ({}), Building.build(image))

/**
 * Says how an image or an index is pushed.
 *
 * @since 0.1.0
 * @category models
 */
export interface PushOptions {
  /**
   * Tags in addition to that of the reference. A reference with neither tag nor digest needs them:
   * an empty list says that the image is to be known by its digest alone.
   */
  readonly tags?: ReadonlyArray<string> | undefined
  /**
   * The size of chunks, in bytes, to upload layers in. By default, a layer is uploaded in one
   * request where possible.
   */
  readonly chunkSize?: number | undefined
  /** How many layers to upload at a time, 3 by default. */
  readonly concurrency?: number | undefined
}

/**
 * Builds an image or an index and pushes it under a reference such as `ghcr.io/owner/name:tag`. A
 * layer that the registry has is skipped, one that it has elsewhere is mounted, and any other is
 * streamed, from where it lives or as it is made: none is held in memory. Then come the
 * configurations, the manifests, the index and its tags. Layers that are not to be distributed are
 * not uploaded ([image-spec, Non-Distributable
 * Layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)).
 * It is never tagged `latest` unless that is written.
 *
 * A new layer is made twice: for its digest, and to be uploaded where the registry does not have
 * it. Where a source can be read only once, the layer is uploaded as it is made.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, with `PushError`, and with
 * the errors of the sources.
 *
 * @since 0.1.0
 * @category operations
 */
export const push = <E = never, R = never>(
  reference: string | Reference.Reference,
  image: ImageBuild<E, R> | IndexBuild<E, R>,
  options?: PushOptions
): Effect.Effect<
  Pushed,
  PushError | InputError | E,
  Registries | Compression | Decompression | R
> =>
  References.run("ImageBuild.push", reference, (parsed) =>
    Effect.gen(function* () {
      const registry = yield* (yield* Registries).get(parsed.host)
      return yield* pushTo(registry, parsed, image, options)
    })
  )

/**
 * Builds an image or an index and pushes it to a registry, as `push` does. The host of the
 * reference says which layers can be mounted.
 *
 * @since 0.1.0
 * @category operations
 */
export const pushTo = <E = never, R = never>(
  registry: Registry.Service,
  reference: Reference.Reference,
  image: ImageBuild<E, R> | IndexBuild<E, R>,
  options?: PushOptions
): Effect.Effect<Pushed, PushError | E, Compression | Decompression | R> =>
  Pushing.push(registry, reference, image, options)
