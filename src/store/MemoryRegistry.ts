/**
 * A registry in memory, complete and strict: for tests without a network, and as what an embedded
 * server serves. It behaves as the [distribution
 * specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md) wants a
 * registry to behave, its optional parts included, and forgets everything with the process.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ChangedManifest from "../internal/ChangedManifest.js"
import * as Registries from "../Registries.js"
import { Registry } from "../Registry.js"
import type * as Transfer from "../Transfer.js"
import * as MemoryBlobs from "./internal/MemoryBlobs.js"
import * as MemoryManifests from "./internal/MemoryManifests.js"
import { MemoryRepositories, type Snapshot } from "./internal/MemoryRepositories.js"
import { MemoryUploads } from "./internal/MemoryUploads.js"

export type {
  /**
   * What one repository stores: its tags with what they stand on, and its manifests and blobs by
   * digest.
   *
   * @since 0.1.0
   * @category models
   */
  RepositorySnapshot,
  /**
   * What a registry in memory stores: its repositories by name.
   *
   * @since 0.1.0
   * @category models
   */
  Snapshot
} from "./internal/MemoryRepositories.js"

/**
 * The registry in memory that a layer provides: a `Registry` that can be looked into, and put back
 * to what it was, for the assertions of tests.
 *
 * @since 0.1.0
 * @category services
 */
export class MemoryRegistry extends Context.Tag("effect-oci/MemoryRegistry")<
  MemoryRegistry,
  MemoryRegistry.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace MemoryRegistry {
  /**
   * A `Registry` with what it holds as values.
   *
   * - `snapshot` returns all that is stored. It stays as it is when the registry changes, and its
   *   bytes are the registry's own: they must not be written to.
   * - `restore` replaces all that is stored, and drops the uploads that are open.
   * - `uploads` returns the upload sessions that are neither committed nor cancelled, so that a
   *   test can tell that none was left behind.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service extends Registry.Service {
    readonly snapshot: Effect.Effect<Snapshot>
    readonly restore: (snapshot: Snapshot) => Effect.Effect<void>
    readonly uploads: Effect.Effect<ReadonlyArray<Transfer.UploadState>>
  }
}

/**
 * How strict a registry in memory is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * What happens to a manifest whose config, layers or manifests the repository lacks. `"reject"`,
   * the default, fails with `BlobUnknown`; `"accept"` stores it. Both are allowed by [Pushing
   * Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).
   * A subject and layers that are not to be distributed may always be missing.
   */
  readonly missingReferences?: "reject" | "accept" | undefined
}

/**
 * Makes an empty registry. A repository comes into being with the first content put into it, and
 * stays when that is deleted.
 *
 * @example
 * ```ts
 * import * as BlobSource from "effect-oci/BlobSource"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import * as Reference from "effect-oci/Reference"
 * import * as Effect from "effect/Effect"
 *
 * const put = Effect.gen(function*() {
 *   const registry = yield* MemoryRegistry.make()
 *   const repository = yield* Reference.parseRepositoryName("team/app")
 *   const hello = BlobSource.fromBytes(new TextEncoder().encode("hello"))
 *   return yield* registry.putBlob(repository, hello)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<MemoryRegistry.Service> =>
  Effect.sync(() => unsafeMake(options))

/**
 * Provides one empty registry as `Registry`, and as `MemoryRegistry` for tests that look into it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Registry | MemoryRegistry> =>
  Layer.effectContext(
    Effect.map(make(options), (registry) =>
      Context.make(Registry, registry).pipe(Context.add(MemoryRegistry, registry))
    )
  )

/**
 * Provides one registry for every host, empty when it is first asked for. Docker Hub is one host
 * under all its names. A text that is not a host fails with `InvalidUrl`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (options: Options = {}): Layer.Layer<Registries.Registries> =>
  Registries.layerFrom(() => make(options))

const unsafeMake = ({ missingReferences }: Options): MemoryRegistry.Service => {
  const repositories = new MemoryRepositories()
  const uploads = new MemoryUploads((name, digest, bytes) =>
    repositories.putBlob(name, digest, bytes)
  )
  const manifests = MemoryManifests.manifests(repositories, missingReferences !== "accept")
  return {
    ping: Effect.void,
    ...manifests,
    getChangedManifest: ChangedManifest.by(manifests.getManifest),
    ...MemoryManifests.lists(repositories),
    ...MemoryBlobs.blobs(repositories),
    ...MemoryBlobs.uploads(repositories, uploads),
    startUpload: (repository, options) => uploads.start(repository, options),
    resumeUpload: (state) => uploads.resume(state),
    snapshot: Effect.sync(() => repositories.snapshot()),
    restore: (snapshot) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        uploads.dropAll()
        repositories.restore(snapshot, now)
      }),
    uploads: uploads.open
  }
}
