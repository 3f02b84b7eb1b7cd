/**
 * Archives of images, on Node: files and streams that `docker save`, `podman save`, skopeo, crane
 * and BuildKit write and read.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Decompression } from "../Decompression.js"
import type { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { InputError, StorageFailure } from "../RegistryError.js"
import type * as Reference from "../spec/Reference.js"
import * as Archive from "../store/Archive.js"
import type * as LayoutRegistry from "../store/LayoutRegistry.js"
import * as BlobFile from "./BlobFile.js"
import * as NodeDecompression from "./NodeDecompression.js"
import * as NodeLayout from "./NodeLayout.js"

/** Everything that archives need. */
const platform: Layer.Layer<FileSystem.FileSystem | Decompression> = Layer.merge(
  NodeFileSystem.layer,
  NodeDecompression.layer
)

/**
 * Reads an archive, a file by its path or a stream, as `Archive.read` does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = <E = never, R = never>(
  archive: string | Stream.Stream<Uint8Array, E, R>,
  options?: Archive.ReadOptions
): Effect.Effect<
  Archive.Archive,
  E | Archive.ReadError,
  Exclude<R, FileSystem.FileSystem | Decompression> | Scope.Scope
> => Effect.provide(Archive.read(archive, options), platform)

/**
 * Provides the images of an archive as a registry, as `Archive.layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  path: string,
  options?: Archive.ReadOptions
): Layer.Layer<Registry, Archive.ReadError> => Layer.provide(Archive.layer(path, options), platform)

/**
 * Writes images to a file, as `Archive.write` does. The file appears when it is complete, and one
 * that was there stays until then.
 *
 * @example
 * ```ts
 * import { NodeArchive } from "effect-oci/node"
 *
 * const save = NodeArchive.write("images.tar", ["alpine:3.22", "ghcr.io/owner/app:1.0"])
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const write = (
  path: string,
  references: Iterable<string | Reference.Reference>
): Effect.Effect<void, Archive.WriteError | InputError | StorageFailure, Registries> =>
  BlobFile.write(path, Archive.write(references))

/**
 * Writes images of any registries to a file, as `Archive.writeFrom` and {@link write} do.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeFrom = (
  path: string,
  images: Iterable<Archive.ImageSource>
): Effect.Effect<void, Archive.WriteError | StorageFailure> =>
  BlobFile.write(path, Archive.writeFrom(images))

/**
 * Writes images to a file for `docker load`, as `Archive.writeDocker` and {@link write} do, and
 * returns what manifests they have now.
 *
 * @example
 * ```ts
 * import { NodeArchive } from "effect-oci/node"
 * import * as Platform from "effect-oci/Platform"
 *
 * // As `docker pull` and `docker save` do.
 * const save = NodeArchive.writeDocker("alpine.tar", ["alpine:3.22"], {
 *   platform: Platform.unsafeParse("linux/arm64")
 * })
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeDocker = (
  path: string,
  references: Iterable<string | Reference.Reference>,
  options?: Archive.DockerOptions
): Effect.Effect<
  ReadonlyArray<Archive.WrittenImage>,
  Archive.WriteDockerError | InputError | StorageFailure,
  Registries
> => written(path, (options) => Archive.writeDocker(references, options), options)

/**
 * Writes images of any registries to a file for `docker load`, as `Archive.writeDockerFrom` and
 * {@link writeDocker} do.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeDockerFrom = (
  path: string,
  images: Iterable<Archive.ImageSource>,
  options?: Archive.DockerOptions
): Effect.Effect<ReadonlyArray<Archive.WrittenImage>, Archive.WriteDockerError | StorageFailure> =>
  written(path, (options) => Archive.writeDockerFrom(images, options), options)

/**
 * Writes what an effect puts into a registry to a file, as `Archive.writeFilled` and {@link write}
 * do.
 *
 * @since 0.1.0
 * @category destructors
 */
export const writeFilled = <E, R>(
  path: string,
  fill: (target: Archive.Target) => Effect.Effect<unknown, E, R>,
  options?: Archive.FillOptions
): Effect.Effect<
  void,
  E | Archive.WriteError | StorageFailure,
  Exclude<R, FileSystem.FileSystem | Path.Path | LayoutRegistry.System>
> =>
  BlobFile.write(path, Archive.writeFilled(fill, options)).pipe(
    Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeLayout.layerSystem))
  )

const written = <E, R>(
  path: string,
  write: (
    options: Archive.DockerOptions
  ) => Stream.Stream<Uint8Array, E, R | FileSystem.FileSystem | Decompression>,
  options: Archive.DockerOptions = {}
) =>
  Effect.gen(function* () {
    const images: Array<Archive.WrittenImage> = []
    const onWritten = (image: Archive.WrittenImage) => {
      images.push(image)
      return options.onWritten?.(image) ?? Effect.void
    }
    yield* BlobFile.write(path, write({ ...options, onWritten }))
    return images
  }).pipe(Effect.provide(platform))
