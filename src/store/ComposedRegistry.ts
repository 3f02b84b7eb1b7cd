/**
 * Registries made of other registries. Each is a `Registry`, so they can be put together, served by
 * a `RegistryServer`, and given to any program. Where an operation of the registries that one is
 * made of has no meaning for it, it fails with `Unsupported` instead of passing it on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { make, type Registry } from "../Registry.js"
import { isRepositoryName, type RepositoryName } from "../spec/Reference.js"
import { merged } from "./internal/MergedList.js"
import * as Mirrors from "./internal/Mirrors.js"
import { routed } from "./internal/RoutedRegistry.js"
import * as UnionRegistry from "./internal/UnionRegistry.js"

/**
 * Makes a registry that can be read and not changed: all that puts, mounts, deletes or opens an
 * upload fails with `Unsupported`, with nothing sent.
 *
 * @since 0.1.0
 * @category combinators
 */
export const readOnly = (registry: Registry.Service): Registry.Service =>
  make({
    ping: registry.ping,
    getManifest: registry.getManifest,
    headManifest: registry.headManifest,
    tags: registry.tags,
    repositories: registry.repositories,
    referrers: registry.referrers,
    headBlob: registry.headBlob,
    getBlob: registry.getBlob,
    getBlobBytes: registry.getBlobBytes,
    getBlobRange: registry.getBlobRange
  })

/**
 * Makes a registry of the repositories below `prefix`, under their names without it: `app` is
 * `<prefix>/app` in `registry`. Errors, states of uploads and events have the names without the
 * prefix. A repository whose whole name would be too long is unknown. A blob is mounted only from a
 * repository that is named, so that nothing outside of the prefix can be had by its digest.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // The registry of one team, for programs that know nothing of teams.
 * const layer = Layer.effect(
 *   Registry,
 *   Effect.map(Registry, (registry) =>
 *     ComposedRegistry.prefixed(registry, Reference.unsafeParseRepositoryName("teams/blue"))
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const prefixed: {
  (prefix: RepositoryName): (registry: Registry.Service) => Registry.Service
  (registry: Registry.Service, prefix: RepositoryName): Registry.Service
} = dual(2, (registry: Registry.Service, prefix: RepositoryName): Registry.Service => {
  const start = `${prefix}/`
  const within = (name: RepositoryName) => {
    const repository = `${start}${name}`
    return isRepositoryName(repository) ? repository : undefined
  }
  const without = (repository: RepositoryName) => {
    const name = repository.slice(start.length)
    return repository.startsWith(start) && isRepositoryName(name)
      ? Option.some(name)
      : Option.none()
  }
  return routed(
    (name) => {
      const repository = within(name)
      return repository === undefined ? undefined : { registry, repository }
    },
    {
      ping: registry.ping,
      repositories: ({ after, pageSize } = {}) =>
        Stream.filterMap(
          registry.repositories({
            after: after === undefined ? undefined : within(after),
            pageSize
          }),
          without
        )
    }
  )
})

/**
 * Which repositories a registry serves in a `select`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  readonly registry: Registry.Service
  /** Whether the repository of this name is there. */
  readonly has: (repository: RepositoryName) => boolean
}

/**
 * Makes one registry of several, each with repositories of its own: an operation goes to the first
 * whose `has` says so, and a repository that none has is unknown. `repositories` merges the lists
 * of all, in ASCII order, and fails when one of them cannot list; `ping` asks all. A blob is
 * mounted only from a repository that is named and in the same registry.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import type { Registry } from "effect-oci/Registry"
 *
 * const withTools = (own: Registry.Service, tools: Registry.Service) =>
 *   ComposedRegistry.select([
 *     { registry: tools, has: (repository) => repository.startsWith("tools/") },
 *     { registry: own, has: () => true }
 *   ])
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const select = (selections: ReadonlyArray<Selection>): Registry.Service => {
  const selected = (repository: RepositoryName) => selections.find(({ has }) => has(repository))
  return routed(
    (repository) => {
      const selection = selected(repository)
      return selection === undefined ? undefined : { registry: selection.registry, repository }
    },
    {
      ping: Effect.forEach(selections, ({ registry }) => registry.ping, { discard: true }),
      repositories: (options) =>
        merged(
          selections.map((selection) =>
            Stream.filter(
              selection.registry.repositories(),
              (repository) => selected(repository) === selection
            )
          ),
          options
        )
    }
  )
}

/**
 * Makes one registry of several with the same repositories: what one lacks is read from the next,
 * in the order given, and lists have what any has, each item once, the lists of tags and
 * repositories in ASCII order. Any other failure is a failure: content is never taken from a later
 * registry since an earlier one does not answer.
 *
 * All that is put goes to the first one, whose rules hold: a manifest whose content only another
 * registry has is refused where the first demands that it be there, and a condition (`onlyIf`) is
 * about the tags of the first. What another one has cannot be deleted: `Unsupported`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const union = (
  first: Registry.Service,
  ...others: ReadonlyArray<Registry.Service>
): Registry.Service => UnionRegistry.union(first, others)

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Mirror
} from "./internal/Mirrors.js"

/**
 * Makes a registry that reads manifests and blobs from its mirrors first, in the order given, and
 * from itself where none of them has what was asked for. A blob whose mirror fails goes on at the
 * next one from the bytes that have come, by a range where there are such, and is verified as one:
 * where mirrors have different content, it fails with `DigestMismatch`. HEADs, whose responses
 * cannot be verified, lists and all that is put go to the registry itself, and HEADs to mirrors
 * only while it fails.
 *
 * What a mirror failed with is logged at debug level. One that did not respond
 * (`TransportFailure`, unless its connection broke while it was read) is left alone for a minute,
 * which is logged as a warning. How long a mirror may take is for its own client to say
 * (`timeouts`).
 *
 * Each mirror is a registry with credentials of its own: it never sees those of `registry`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const mirrored: {
  (mirrors: ReadonlyArray<Mirrors.Mirror>): (registry: Registry.Service) => Registry.Service
  (registry: Registry.Service, mirrors: ReadonlyArray<Mirrors.Mirror>): Registry.Service
} = dual(2, Mirrors.mirrored)
