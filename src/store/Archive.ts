/**
 * Images in one file: archives of [OCI image
 * layouts](https://github.com/opencontainers/image-spec/blob/main/image-layout.md), which skopeo
 * calls `oci-archive`, and those of `docker save`. An archive that is read is a `Registry` of one
 * repository, from which images are copied as from any other, and images of any registry are
 * written as a stream. `NodeArchive` of `effect-oci/node` does both with files on Node.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Decompression, InvalidEncoding } from "../Decompression.js"
import * as StreamFormat from "../internal/StreamFormat.js"
import { Registries } from "../Registries.js"
import { Registry } from "../Registry.js"
import type { InputError, LimitExceeded, StorageFailure } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as Digest from "../spec/Digest.js"
import type { InvalidImageConfig } from "../spec/ImageConfig.js"
import * as TarHeader from "../spec/internal/TarHeader.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import type * as Platform from "../spec/Platform.js"
import * as Reference from "../spec/Reference.js"
import * as ArchiveFile from "./internal/archive/ArchiveFile.js"
import * as ArchiveNames from "./internal/archive/ArchiveNames.js"
import * as ArchiveRegistry from "./internal/archive/ArchiveRegistry.js"
import * as DockerWriter from "./internal/archive/DockerWriter.js"
import { InvalidArchive } from "./internal/archive/InvalidArchive.js"
import * as OciWriter from "./internal/archive/OciWriter.js"
import * as OpenedArchive from "./internal/archive/OpenedArchive.js"
import * as Spool from "./internal/archive/Spool.js"
import { limited } from "./internal/LimitedRegistry.js"
import * as LayoutRegistry from "./LayoutRegistry.js"

export type {
  /**
   * An image that was written for Docker, and the manifest that it has now.
   *
   * @since 0.1.0
   * @category models
   */
  WrittenImage
} from "./internal/archive/DockerWriter.js"
export {
  /**
   * Occurs when an archive is not one of images, or cannot be one of the images asked for.
   * `archive` is its path or what it was called, and `path` the name in it that is concerned.
   *
   * - `Format`: it is neither a tar archive nor one that is compressed with gzip or zstd, or it is
   *   neither a layout nor one of `docker save`.
   * - `Archive`: the tar archive is broken or cut off.
   * - `Path`: a name in it leads out of it.
   * - `Unsupported`: it has entries of a kind that are not read.
   * - `Document`: `oci-layout`, `index.json` or `manifest.json` is missing or not what it must be.
   * - `Content`: the layers of an image are not there, or not those of its configuration.
   * - `Names`: two images are to be written under one name.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidArchive
} from "./internal/archive/InvalidArchive.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  SpoolOptions
} from "./internal/archive/Spool.js"

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/**
 * An archive that is being read: a `Registry` of one repository. What writes to it fails with
 * `Unsupported`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Archive extends Registry.Service {
  /** The repository that has all that is in the archive. Others are unknown. */
  readonly repository: Reference.RepositoryName
  /** The images, and whatever else the archive lists, in its order. */
  readonly images: ReadonlyArray<ArchivedImage>
  /** The form that it is read as. */
  readonly format: Format
  /** Whether its content was written to a temporary file first, which is gone with the Scope. */
  readonly isSpooled: boolean
}

/**
 * An image in an archive.
 *
 * @since 0.1.0
 * @category models
 */
export interface ArchivedImage {
  /** Its manifest, or the index of its platforms. */
  readonly descriptor: Descriptor
  /** Its names as the archive has them, such as `docker.io/library/alpine:3.22` or `3.22`. */
  readonly names: ReadonlyArray<string>
}

/**
 * The form of an archive: an image layout, or what `docker save` wrote before Docker 25 and
 * `docker load` reads.
 *
 * @since 0.1.0
 * @category models
 */
export type Format = "oci" | "docker"

/**
 * Says how an archive is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  /** The name of its repository, `archive` by default. */
  readonly repository?: Reference.RepositoryName | undefined
  /** What errors call it: its path by default, and `the archive` where it is a stream. */
  readonly name?: string | undefined
  /** Where a stream is kept, and one that is compressed. */
  readonly spool?: Spool.SpoolOptions | undefined
}

/**
 * What `read` can fail with, besides what a stream does. `InvalidEncoding` says that what an
 * archive is compressed with is broken.
 *
 * @since 0.1.0
 * @category errors
 */
export type ReadError = InvalidArchive | InvalidEncoding | StorageFailure | LimitExceeded

/**
 * Reads an archive, until the Scope closes: a file by its path, or a stream. It may be compressed
 * with gzip or zstd, and have any number of images.
 *
 * Of a file, the headers and documents alone are read at first, and each blob where it stands when
 * it is asked for: the file is to stay as it is. A stream, and a file that is compressed, cannot be
 * read at any place: they are written to a temporary file first (`isSpooled`, and a line in the
 * log), bounded by `spool.limit`. It is gone when the Scope closes, or the reading fails or is
 * interrupted.
 *
 * All images are in one repository, by the rules of {@link LayoutRegistry}: a tag is a name that is
 * equal to it or ends in it, as in `alpine:3.22`, and a sole image that nobody named is `latest`.
 * `images` has all names, and digests to read by where a tag does not tell. The manifests of an
 * archive of `docker save`, which has none, are made of its configurations and layers: of Docker's
 * types, with the layers as they are, and always the same ones. Where an archive has both forms, it
 * is read as a layout, unless an image in that is not whole and the other form's are.
 *
 * Manifests and blobs are verified when they are read. Names in it only look up what is in it.
 * Reading what an index lists and the archive lacks fails with `ManifestUnknown` or `BlobUnknown`,
 * which have the platforms that are present and missing.
 *
 * Fails with {@link ReadError} and as the stream does.
 *
 * @example
 * ```ts
 * import * as Archive from "effect-oci/Archive"
 * import { NodeArchive } from "effect-oci/node"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 *
 * // What `docker save`, `podman save` or `skopeo copy … oci-archive:images.tar` has written.
 * const list = Effect.scoped(
 *   Effect.gen(function*() {
 *     const archive: Archive.Archive = yield* NodeArchive.read("images.tar")
 *     for (const { descriptor, names } of archive.images)
 *       yield* Console.log(descriptor.digest, names.join(" "))
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = <E = never, R = never>(
  archive: string | Stream.Stream<Uint8Array, E, R>,
  options: ReadOptions = {}
): Effect.Effect<Archive, E | ReadError, R | FileSystem.FileSystem | Decompression | Scope.Scope> =>
  Effect.gen(function* () {
    const name = options.name ?? (typeof archive === "string" ? archive : "the archive")
    const { file, isSpooled } = yield* opened(archive, name, options.spool)
    const contents = yield* OpenedArchive.read(file)
    const repository = options.repository ?? defaultRepository
    return {
      ...ArchiveRegistry.make(contents, repository),
      repository,
      images: ArchiveRegistry.imagesOf(contents),
      format: contents.format,
      isSpooled
    }
  }).pipe(heldOnSuccess)

const defaultRepository = Reference.unsafeParseRepositoryName("archive")

/** Keeps what an effect has acquired until the Scope closes; where it fails, until then. */
const heldOnSuccess = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    return yield* Scope.extend(self, scope).pipe(
      Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
    )
  })

/** Finds a file that can be read at any place: the archive itself, or a temporary one. */
const opened = Effect.fnUntraced(function* <E, R>(
  archive: string | Stream.Stream<Uint8Array, E, R>,
  name: string,
  options: Spool.SpoolOptions | undefined
) {
  let content: Stream.Stream<Uint8Array, E | StorageFailure, R>
  if (typeof archive === "string") {
    const file = yield* ArchiveFile.open(archive, name)
    const head = yield* file.read(0, TarHeader.blockSize)
    if (StreamFormat.formatOf(head) === "tar") return { file, isSpooled: false }
    content = file.stream(0, file.size)
  } else content = archive
  const path = yield* Spool.write(
    StreamFormat.uncompressed(content, (format) =>
      format === undefined
        ? new InvalidArchive({ reason: "Format", archive: name, problem: unknownFormat })
        : Effect.succeed(format)
    ),
    options
  )
  yield* Effect.logInfo(
    `${name} cannot be read at any place, so ${path} has its content until it is closed`
  )
  return { file: yield* ArchiveFile.open(path, name), isSpooled: true }
})

const unknownFormat =
  "begins with bytes that are neither a tar archive nor gzip or zstd: other formats are not read"

/**
 * Provides the images of an archive as a registry, to be read. Fails as {@link read} does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E = never, R = never>(
  archive: string | Stream.Stream<Uint8Array, E, R>,
  options?: ReadOptions
): Layer.Layer<
  Registry,
  E | ReadError,
  Exclude<R | FileSystem.FileSystem | Decompression, Scope.Scope>
> => Layer.scoped(Registry, read(archive, options))

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

/**
 * An image that is to be written.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageSource {
  readonly registry: Registry.Service
  readonly repository: Reference.RepositoryName
  readonly reference: Reference.Tag | Digest.Digest
  /**
   * The names that it is to have in the archive: tags, or full references such as
   * `ghcr.io/owner/app:1.0`. By default that is `reference` if it is a tag, and none otherwise.
   */
  readonly names?: ReadonlyArray<string> | undefined
}

/**
 * What `writeFrom` can fail with. `InvalidReference` is about a name.
 *
 * @since 0.1.0
 * @category errors
 */
export type WriteError =
  | InvalidArchive
  | Reference.InvalidReference
  | Registry.GetManifestError
  | Registry.GetBlobError

/**
 * Streams an archive of images by references such as `ghcr.io/owner/app:1.0`, an image layout in
 * which they have these names. A reference by digest alone has no name there.
 *
 * Every manifest and blob is in it byte for byte, with all platforms of an index; equal content is
 * in it once, and read once. Manifests are read before the first byte, and blobs go through as they
 * come, in constant memory and verified. Equal images give equal archives. Where anything is
 * missing the stream fails, and what it has emitted by then is not an archive: write it with
 * `BlobFile.write` or `NodeArchive.write`, whose file appears when it is complete.
 *
 * Fails with {@link WriteError}, and with `InvalidReference` or `InvalidUrl` before anything is
 * sent.
 *
 * @example
 * ```ts
 * import * as Archive from "effect-oci/Archive"
 * import { BlobFile } from "effect-oci/node"
 *
 * // As `skopeo copy --all docker://alpine:3.22 oci-archive:alpine.tar:3.22` does.
 * const save = BlobFile.write("alpine.tar", Archive.write(["alpine:3.22"]))
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const write = (
  references: Iterable<string | Reference.Reference>
): Stream.Stream<Uint8Array, WriteError | InputError, Registries> =>
  OciWriter.write(Effect.flatMap(sourcesOf(references), resolved))

const sourcesOf = (references: Iterable<string | Reference.Reference>) =>
  Effect.flatMap(
    Effect.forEach(references, (reference) =>
      typeof reference === "string" ? Reference.parse(reference) : Effect.succeed(reference)
    ),
    (parsed) => Effect.forEach(parsed, sourceOf)
  )

/** Where an image of a reference is, which is its name in an archive too. */
const sourceOf = (reference: Reference.Reference) =>
  Effect.map(
    Effect.flatMap(Registries, ({ get }) => get(reference.host)),
    (registry): ImageSource => ({
      registry,
      repository: reference.repository,
      reference: Reference.tagOrDigest(reference),
      names:
        Option.isSome(reference.digest) && Option.isNone(reference.tag)
          ? []
          : [Reference.format({ ...reference, digest: Option.none() })]
    })
  )

/**
 * Streams an archive of images of any registries, as {@link write} does.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeFrom = (images: Iterable<ImageSource>): Stream.Stream<Uint8Array, WriteError> =>
  OciWriter.write(resolved(images))

/**
 * Says how images are written for Docker.
 *
 * @since 0.1.0
 * @category models
 */
export interface DockerOptions {
  /**
   * The platform to choose from an index and the indexes in it, or several in order of preference,
   * as `Image.pull` does. `Image.DefaultPlatform` by default.
   */
  readonly platform?: Platform.Platform | ReadonlyArray<Platform.Platform> | undefined
  /** Where one layer at a time is kept, if it is compressed. */
  readonly spool?: Spool.SpoolOptions | undefined
  /** Is called for each image when all of the archive is written but its end. */
  readonly onWritten?: ((image: DockerWriter.WrittenImage) => Effect.Effect<void>) | undefined
}

/**
 * What `writeDockerFrom` can fail with. `InvalidEncoding` and `InvalidImageConfig` are about layers
 * and configurations of the images. `MediaTypeMismatch` also says that there is nothing for the
 * platform, or that it is not an image.
 *
 * @since 0.1.0
 * @category errors
 */
export type WriteDockerError = WriteError | InvalidImageConfig | InvalidEncoding

/**
 * Streams an archive of images by references, as {@link write} does, for `docker load`, `podman
 * load` and `crane push`: what `docker save` wrote before Docker 25, and skopeo calls
 * `docker-archive`.
 *
 * Configurations are in it byte for byte, and layers as tar archives, with their diff ids verified.
 * In registries they are compressed mostly, so that the manifest becomes another one, which
 * `onWritten` has. Of an index, the image of one platform is written. The size of a layer stands
 * before its content: one that is compressed goes through a temporary file, one at a time, bounded
 * by `spool.limit`.
 *
 * Fails with {@link WriteDockerError}, and with `InvalidReference` or `InvalidUrl` before anything
 * is sent.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeDocker = (
  references: Iterable<string | Reference.Reference>,
  options?: DockerOptions
): Stream.Stream<
  Uint8Array,
  WriteDockerError | InputError,
  Registries | FileSystem.FileSystem | Decompression
> => DockerWriter.write(Effect.flatMap(sourcesOf(references), resolved), options)

/**
 * Streams an archive of images of any registries, as {@link writeDocker} does. A name that is a tag
 * alone is one of the repository.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeDockerFrom = (
  images: Iterable<ImageSource>,
  options?: DockerOptions
): Stream.Stream<Uint8Array, WriteDockerError, FileSystem.FileSystem | Decompression> =>
  DockerWriter.write(resolved(images), options)

/**
 * Where the content of an archive is put before it is written. It can be read there, too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly registry: Registry.Service
  readonly repository: Reference.RepositoryName
}

/**
 * Says how an archive of what is put is written.
 *
 * @since 0.1.0
 * @category models
 */
export interface FillOptions {
  /** Where the content is kept until it is written. */
  readonly spool?: Spool.SpoolOptions | undefined
}

/**
 * Streams an archive of what an effect puts into a registry that it is given: images of some
 * platforms alone, those with their referrers, or new ones. It has all tags of its repository, and
 * without names the manifests that neither have a tag nor are in an index.
 *
 * The registry is an image layout in a temporary folder, bounded by `spool.limit` and gone when the
 * stream ends. Content that is to go through as it is needs none with {@link writeFrom}.
 *
 * Fails as the effect does, and as `writeFrom` does.
 *
 * @example
 * ```ts
 * import * as Archive from "effect-oci/Archive"
 * import * as Copy from "effect-oci/Copy"
 * import * as Reference from "effect-oci/Reference"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * const withReferrers = Archive.writeFilled((target) =>
 *   Effect.gen(function*() {
 *     const source = yield* Registries.open("ghcr.io/owner/app:1.0")
 *     const reference = Reference.unsafeParseTag("1.0")
 *     yield* Copy.between(source, { ...target, reference }, { referrers: true })
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeFilled = <E, R>(
  fill: (target: Target) => Effect.Effect<unknown, E, R>,
  { spool = {} }: FillOptions = {}
): Stream.Stream<
  Uint8Array,
  E | WriteError,
  R | FileSystem.FileSystem | Path.Path | LayoutRegistry.System
> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { limit: bytes = Spool.defaultLimit } = spool
      const repository = defaultRepository
      const path = yield* Spool.makeFolder(spool)
      const layout = yield* LayoutRegistry.make({ path, repository })
      yield* fill({ registry: limited(layout, { bytes }, "spool.limit"), repository })
      return writeFrom(yield* rootsOf(layout, repository))
    })
  )

/** What is in a layout under its tags, and what nothing else leads to. */
const rootsOf = Effect.fnUntraced(
  function* (registry: Registry.Service, repository: Reference.RepositoryName) {
    const tags = yield* Stream.runCollect(registry.tags(repository))
    const listed = yield* Stream.runCollect(registry.manifests(repository))
    const reached = new Set<Digest.Digest>()
    for (const tag of tags)
      reached.add((yield* registry.getManifest(repository, tag)).descriptor.digest)
    for (const { descriptor } of listed)
      if (MediaType.isIndex(descriptor.mediaType)) {
        const index = yield* registry.getManifest(repository, descriptor.digest)
        for (const { digest } of Manifest.references(index)) reached.add(digest)
      }
    return [
      ...tags,
      ...[...listed]
        .map(({ descriptor }) => descriptor.digest)
        .filter((digest) => !reached.has(digest))
    ].map((reference): ImageSource => ({ registry, repository, reference }))
  },
  Effect.catchTag("NameUnknown", () => Effect.succeed([]))
)

/** Reads the manifests of images. Names are checked before. */
const resolved = Effect.fnUntraced(function* (images: Iterable<ImageSource>) {
  const named = yield* Effect.forEach(images, (image) => {
    const own = Digest.isDigest(image.reference) ? [] : [image.reference]
    return Effect.map(ArchiveNames.parse(image.names ?? own), (names) => ({ ...image, names }))
  })
  return yield* Effect.forEach(named, (image) =>
    Effect.map(image.registry.getManifest(image.repository, image.reference), (root) => ({
      ...image,
      root
    }))
  )
})
