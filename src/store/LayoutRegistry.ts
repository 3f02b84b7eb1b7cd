/**
 * A registry in folders on a disk: [OCI image
 * layouts](https://github.com/opencontainers/image-spec/blob/main/image-layout.md), which skopeo,
 * podman, buildah and others read and write as well. One layout is one repository, and a tree of
 * layouts is a whole registry. `NodeLayout` of `effect-oci/node` makes them on Node.
 *
 * What is put is on the disk when the operation returns, and is whole or not there, whenever a
 * process ends. Any number of processes, in containers on one volume too, read and write one layout
 * at a time without losing what another has put.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ChangedManifest from "../internal/ChangedManifest.js"
import { Registry } from "../Registry.js"
import { StorageFailure } from "../RegistryError.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Collect from "./internal/layout/Collect.js"
import { Files } from "./internal/layout/Files.js"
import * as LayoutBlobs from "./internal/layout/LayoutBlobs.js"
import * as LayoutManifests from "./internal/layout/LayoutManifests.js"
import { Layouts } from "./internal/layout/Layouts.js"
import { LayoutUploads } from "./internal/layout/LayoutUploads.js"
import { System } from "./internal/layout/System.js"
import * as Verify from "./internal/layout/Verify.js"

export type {
  /**
   * @since 0.1.0
   * @category errors
   */
  CollectError,
  /**
   * @since 0.1.0
   * @category models
   */
  Collected,
  /**
   * @since 0.1.0
   * @category models
   */
  CollectedBlob,
  /**
   * @since 0.1.0
   * @category models
   */
  CollectOptions
} from "./internal/layout/Collect.js"
export {
  /**
   * @since 0.1.0
   * @category models
   */
  type ProcessIdentity,
  /**
   * @since 0.1.0
   * @category services
   */
  System
} from "./internal/layout/System.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Finding,
  /**
   * @since 0.1.0
   * @category errors
   */
  VerifyError
} from "./internal/layout/Verify.js"

/**
 * A `Registry` in layouts, and what is to be done about its disk.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayoutRegistry extends Registry.Service {
  /**
   * Removes the blobs that nothing refers to which `index.json` leads to, and uploads that nobody
   * went on with. Digests count wherever they stand in a document, whatever its type, and a
   * manifest that cannot be read stops the collection of its repository. Nothing is removed that
   * was put, mounted, or found to be there and so not uploaded, within the time of `grace`.
   *
   * Others may read and write meanwhile. A program other than this library may count on a blob that
   * it finds, and that is old: let none write while this runs, or see to it that its manifests
   * come before.
   *
   * Fails with `DigestMismatch`, `InvalidManifest`, `LimitExceeded` or `StorageFailure` for a
   * manifest that cannot be read, and with `NameUnknown` for a repository that is not there.
   */
  readonly collect: (
    options?: Collect.CollectOptions
  ) => Effect.Effect<Collect.Collected, Collect.CollectError>
  /**
   * Reads all blobs of a repository, or of all of them, and emits what is missing, corrupt,
   * ambiguous or unreferenced. It changes nothing.
   *
   * Fails where an index cannot be read, and with `NameUnknown` for a repository that is not there.
   */
  readonly verify: (
    repository?: RepositoryName
  ) => Stream.Stream<Verify.Finding, Verify.VerifyError>
}

/**
 * Where a registry of layouts is, and how strict it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The folder. Without `repository`, it is a tree: the layout in its folder `team/app` is the
   * repository `team/app`, and a new repository makes such a folder. A folder that is not there
   * has no repositories, and is made when something is put.
   */
  readonly path: string
  /**
   * The name of the only repository, if `path` itself is the layout. Others are unknown.
   */
  readonly repository?: RepositoryName | undefined
  /**
   * What happens to a manifest whose config, layers or manifests the repository lacks. `"reject"`,
   * the default, fails with `BlobUnknown`; `"accept"` stores it. Both are allowed by [Pushing
   * Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).
   * A subject and layers that are not to be distributed may always be missing.
   */
  readonly missingReferences?: "reject" | "accept" | undefined
  /**
   * The folders that symbolic links may lead to, none by default: a link that leads out of `path`
   * elsewhere fails with `StorageFailure`. Bazel writes layouts whose blobs are links to its own
   * folders.
   */
  readonly linkTargets?: ReadonlyArray<string> | undefined
}

/**
 * Makes a registry of layouts. A tag is the name of an entry of `index.json`: the annotation
 * `org.opencontainers.image.ref.name`. One that is a full reference, as podman writes it, counts by
 * its tag, and a sole entry that nobody named is `latest`. Every manifest that is put is an entry,
 * without a name if it has no tag. Components of names that a layout uses itself (`blobs`,
 * `index.json`, `oci-layout`) are folders with an underscore before them.
 *
 * What other programs wrote is kept as it is. What this library needs besides, such as its lock and
 * the files of uploads, is in a folder `.effect-oci` of each layout. Operations fail with
 * `StorageFailure` where a file cannot be read or written, is not what it should be, or where a tag
 * stands on several manifests.
 *
 * Fails with `StorageFailure` if `path` is not a folder, or is a layout and no `repository` is
 * named.
 *
 * @example
 * ```ts
 * import { NodeLayout } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * // What `skopeo copy docker://alpine:3.20 oci:images/alpine:3.20` has written.
 * const tags = Effect.gen(function*() {
 *   const registry = yield* NodeLayout.make({ path: "images" })
 *   const alpine = yield* Reference.parseRepositoryName("alpine")
 *   return yield* Stream.runCollect(registry.tags(alpine))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<LayoutRegistry, StorageFailure, FileSystem.FileSystem | Path.Path | System> =>
  Effect.gen(function* () {
    const paths = yield* Path.Path
    const files = new Files(
      yield* FileSystem.FileSystem,
      paths,
      yield* System,
      paths.resolve(options.path),
      (options.linkTargets ?? []).map((target) => paths.resolve(target))
    )
    yield* checkRoot(files, options.repository)
    const layouts = new Layouts(files, options.repository)
    const uploads = new LayoutUploads(layouts)
    const manifests = LayoutManifests.manifests(layouts, options.missingReferences !== "accept")
    return {
      ping: Effect.void,
      ...manifests,
      getChangedManifest: ChangedManifest.by(manifests.getManifest),
      ...LayoutManifests.lists(layouts),
      ...LayoutBlobs.blobs(layouts),
      ...LayoutBlobs.uploads(layouts, uploads),
      startUpload: (repository, options) => uploads.start(repository, options),
      resumeUpload: (state) => uploads.resume(state),
      collect: Effect.fnUntraced(function* (options = {}) {
        const { repository } = options
        const all: Array<Collect.Collected> = []
        if (repository !== undefined)
          all.push(yield* Collect.collect((yield* layouts.get(repository)).layout, options))
        else
          for (const name of yield* layouts.begun)
            all.push(yield* Collect.collect((yield* layouts.open(name)).layout, options))
        return {
          blobs: all.flatMap(({ blobs }) => blobs),
          uploads: all.reduce((sum, { uploads }) => sum + uploads, 0)
        }
      }),
      verify: (repository) =>
        Stream.flatMap(
          repository === undefined
            ? Stream.fromIterableEffect(layouts.names)
            : Stream.make(repository),
          (name) =>
            Stream.unwrap(Effect.map(layouts.get(name), ({ layout }) => Verify.verify(layout)))
        )
    }
  })

/**
 * Provides a registry of layouts. Fails as `make` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<Registry, StorageFailure, FileSystem.FileSystem | Path.Path | System> =>
  Layer.effect(Registry, make(options))

const checkRoot = Effect.fnUntraced(function* (
  files: Files,
  repository: RepositoryName | undefined
) {
  const { root } = files
  const found = yield* files.find(root, files.fs.stat(root))
  if (Option.isNone(found)) return
  if (found.value.type !== "Directory")
    return yield* new StorageFailure({
      path: root,
      cause: new Error("it is not a folder. Archive reads image layouts in one file")
    })
  const header = yield* files.info(files.join(root, "oci-layout"))
  if (repository === undefined && Option.isSome(header))
    return yield* new StorageFailure({
      path: root,
      cause: new Error(
        "it is a layout itself: name it with the option repository, or give the folder above it"
      )
    })
})
