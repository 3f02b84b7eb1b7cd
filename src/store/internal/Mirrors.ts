/** A registry with copies elsewhere: content is read from the first that has it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { make, type Registry } from "../../Registry.js"
import { isRepositoryName, type RepositoryName } from "../../spec/Reference.js"
import * as BeforeFirstByte from "./BeforeFirstByte.js"
import * as RenamedTransfer from "./RenamedTransfer.js"

/**
 * A registry that has repositories of another one, below `prefix` if that is given: `<prefix>/app`
 * for `app`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mirror {
  readonly registry: Registry.Service
  readonly prefix?: RepositoryName | undefined
}

/**
 * Puts mirrors in front of a registry: see `HostOptions.mirrors`. Fails as the registry itself
 * does; what a mirror failed with is logged at debug level. A mirror where the name of a repository
 * would be too long is passed over.
 */
export const mirrored = (
  registry: Registry.Service,
  mirrors: ReadonlyArray<Mirror>
): Registry.Service => {
  if (mirrors.length === 0) return registry
  const copies = <A>(
    repository: RepositoryName,
    read: (at: Registry.Service, repository: RepositoryName) => A
  ) =>
    mirrors.flatMap(({ prefix, registry }) => {
      const name = prefix === undefined ? repository : `${prefix}/${repository}`
      return isRepositoryName(name) ? [read(registry, name)] : []
    })
  return make({
    ping: registry.ping,
    putManifest: registry.putManifest,
    deleteTag: registry.deleteTag,
    deleteManifest: registry.deleteManifest,
    tags: registry.tags,
    repositories: registry.repositories,
    referrers: registry.referrers,
    putBlob: registry.putBlob,
    deleteBlob: registry.deleteBlob,
    startUpload: registry.startUpload,
    resumeUpload: registry.resumeUpload,
    mountBlob: registry.mountBlob,
    getManifest: (repository, reference) =>
      first(
        registry.getManifest(repository, reference),
        copies(repository, (at, name) => at.getManifest(name, reference))
      ),
    getBlob: (repository, blob) =>
      firstStream(
        repository,
        registry.getBlob(repository, blob),
        copies(repository, (at, name) => at.getBlob(name, blob))
      ),
    getBlobBytes: (repository, blob, options) =>
      RenamedTransfer.effectWith(
        first(
          registry.getBlobBytes(repository, blob, options),
          copies(repository, (at, name) => at.getBlobBytes(name, blob, options))
        ),
        RenamedTransfer.asOne(repository)
      ),
    getBlobRange: (repository, digest, range) =>
      firstStream(
        repository,
        registry.getBlobRange(repository, digest, range),
        copies(repository, (at, name) => at.getBlobRange(name, digest, range))
      ),
    headManifest: (repository, reference) =>
      instead(
        registry.headManifest(repository, reference),
        copies(repository, (at, name) => at.headManifest(name, reference))
      ),
    headBlob: (repository, digest) =>
      instead(
        registry.headBlob(repository, digest),
        copies(repository, (at, name) => at.headBlob(name, digest))
      )
  })
}

/** The copies in order, then the original. */
const first = <A, E extends Error, R>(
  original: Effect.Effect<A, E, R>,
  copies: ReadonlyArray<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> =>
  copies.reduceRight(
    (next, copy) => Effect.catchAll(copy, (error) => Effect.zipRight(passOver(error), next)),
    original
  )

/** The same, until the first byte. */
const firstStream = <E extends Error, R>(
  repository: RepositoryName,
  original: Stream.Stream<Uint8Array, E, R>,
  copies: ReadonlyArray<Stream.Stream<Uint8Array, E, R>>
): Stream.Stream<Uint8Array, E, R> =>
  RenamedTransfer.streamWith(
    copies.reduceRight(
      (next, copy) =>
        BeforeFirstByte.orElse(copy, (error) => Stream.unwrap(Effect.as(passOver(error), next))),
      original
    ),
    RenamedTransfer.asOne(repository)
  )

/**
 * The original; while it fails, the first copy that has something. That a copy lacks it says
 * nothing of the original.
 */
const instead = <A, E extends Error, R>(
  original: Effect.Effect<Option.Option<A>, E, R>,
  copies: ReadonlyArray<Effect.Effect<Option.Option<A>, E, R>>
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.catchAll(original, (failure) =>
    copies.reduceRight<Effect.Effect<Option.Option<A>, E, R>>(
      (next, copy) =>
        Effect.matchEffect(copy, {
          onFailure: (error) => Effect.zipRight(passOver(error), next),
          onSuccess: (found) => (Option.isSome(found) ? Effect.succeed(found) : next)
        }),
      Effect.fail(failure)
    )
  )

const passOver = (error: Error): Effect.Effect<void> =>
  Effect.logDebug(`A mirror is passed over: ${error.message}`)
