/**
 * Registries made of other registries. Each is a `Registry`, so they can be put together, served by
 * a `RegistryServer`, and given to any program. Where an operation of the registries that one is
 * made of has no meaning for it, it fails with `Unsupported` instead of passing it on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { make, type Registry } from "../Registry.js"
import type { CommonError } from "../RegistryError.js"
import { isRepositoryName, type RepositoryName } from "../spec/Reference.js"
import * as CachedRegistry from "./internal/cache/CachedRegistry.js"
import * as LimitedRegistry from "./internal/LimitedRegistry.js"
import * as LoggedRegistry from "./internal/LoggedRegistry.js"
import { merged } from "./internal/MergedList.js"
import * as Mirrors from "./internal/Mirrors.js"
import * as ObservedRegistry from "./internal/ObservedRegistry.js"
import { readsOf } from "./internal/Reads.js"
import { routed } from "./internal/RoutedRegistry.js"
import * as UnionRegistry from "./internal/UnionRegistry.js"

/**
 * Makes a registry that can be read and not changed: all that puts, mounts, deletes or opens an
 * upload fails with `Unsupported`, with nothing sent.
 *
 * @since 0.1.0
 * @category combinators
 */
export const readOnly = (registry: Registry.Service): Registry.Service => make(readsOf(registry))

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
      repositories: ({ after, pageSize } = {}) => {
        const from = after === undefined ? undefined : within(after)
        return registry.repositories({ after: from, pageSize }).pipe(
          Stream.filterMap(without),
          // What would be too long with the prefix cannot be asked for.
          Stream.filter((name) => after === undefined || from !== undefined || name > after)
        )
      }
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

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Limited,
  /**
   * @since 0.1.0
   * @category models
   */
  Limits
} from "./internal/LimitedRegistry.js"

/**
 * Makes a registry that takes so many bytes, and so many operations in a time.
 *
 * What would exceed `bytes` fails with `LimitExceeded`: content of a known size before anything is
 * sent, an upload at the first byte too many, which cancels it. What open uploads have sent counts,
 * those that were detached too. Content that is put again takes nothing; what is deleted, cancelled
 * or refused gives its bytes back. Each put asks first whether the content is there. A blob is
 * mounted only from a repository that is named, whose size tells. What others put into `registry`
 * itself is not seen.
 *
 * An operation that exceeds `rate` fails with `TooManyRequests` and nothing sent, whose
 * `retryAfter` says when there is room for one again.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // A registry in memory that takes a gigabyte, and a hundred operations a second.
 * const layer = Layer.effect(
 *   Registry,
 *   Effect.flatMap(
 *     MemoryRegistry.make(),
 *     ComposedRegistry.limited({
 *       bytes: 1024 ** 3,
 *       rate: { operations: 100, per: "1 second" }
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const limited: {
  (
    limits: LimitedRegistry.Limits
  ): (registry: Registry.Service) => Effect.Effect<LimitedRegistry.Limited>
  (
    registry: Registry.Service,
    limits: LimitedRegistry.Limits
  ): Effect.Effect<LimitedRegistry.Limited>
} = dual(2, (registry: Registry.Service, limits: LimitedRegistry.Limits) =>
  Effect.sync(() => LimitedRegistry.limited(registry, limits))
)

/**
 * How operations are logged: at which level, `LogLevel.Info` by default, and as those of which
 * host, if it is to be named.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogOptions {
  readonly level?: LogLevel.LogLevel | undefined
  readonly host?: string | undefined
}

/**
 * Makes a registry that logs a line for each operation when it has ended, and for each step of an
 * upload session, such as `getManifest ghcr.io/owner/name:tag completed in 12 ms`. A stream ends
 * with its last item, or when nobody wants more of it (`abandoned`). A failure is named with its
 * message, which holds no secret; of an error that is not of this library, as that of a source, the
 * tag alone is shown.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import * as Registries from "effect-oci/Registries"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Registries.layerFrom((host) =>
 *   Effect.flatMap(Registries.Registries, ({ get }) =>
 *     Effect.map(get(host), ComposedRegistry.logged({ host }))
 *   )
 * ).pipe(Layer.provide(NodeRegistry.layerDefault))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const logged: {
  (options?: LogOptions): (registry: Registry.Service) => Registry.Service
  (registry: Registry.Service, options?: LogOptions): Registry.Service
} = dual(
  (args) => Predicate.hasProperty(args[0], "getManifest"),
  (registry: Registry.Service, { host, level = LogLevel.Info }: LogOptions = {}) =>
    LoggedRegistry.logged(host, level, registry)
)

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Operation
} from "./internal/AroundRegistry.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  ObserveOptions,
  /**
   * @since 0.1.0
   * @category models
   */
  Performed
} from "./internal/ObservedRegistry.js"

/**
 * Makes a registry whose operations are seen as those of a client over HTTP are: each has a span
 * `effect-oci/Registry.<operation>`, each step of an upload session one
 * `effect-oci/UploadSession.<step>`, and `Metrics.transferDuration` has how long blobs take.
 * `onOperation` is called with each that has ended, such as for an audit, or for metrics of your
 * own. Clients over HTTP have these spans and metrics by themselves.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import { Registry } from "effect-oci/Registry"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Layer.effect(
 *   Registry,
 *   Effect.map(
 *     MemoryRegistry.make(),
 *     ComposedRegistry.observed({
 *       host: "registry.lan:5000",
 *       onOperation: ({ name, outcome, repository }) => Console.log(name, repository, outcome)
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const observed: {
  (options: ObservedRegistry.ObserveOptions): (registry: Registry.Service) => Registry.Service
  (registry: Registry.Service, options: ObservedRegistry.ObserveOptions): Registry.Service
} = dual(2, (registry: Registry.Service, options: ObservedRegistry.ObserveOptions) =>
  ObservedRegistry.observedAs(options, registry)
)

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  CachedOptions
} from "./internal/cache/CachedRegistry.js"

/**
 * Makes a registry that stores manifests and blobs as they are read, and reads what it has stored
 * from there: a pull-through cache, when it is served.
 *
 * - A blob is downloaded once, however many read it. The download belongs to the Scope, and goes on
 *   when its readers leave; a slow reader delays nobody. It counts as stored when the whole of it
 *   was verified; when it fails before, its readers fail.
 * - A tag is asked for with HEAD once its time is over, and its manifest is read by digest where
 *   that is not stored yet.
 * - The upstream registry is asked whether a repository has a blob before one that is stored for
 *   another repository is given out. Lists and referrers are not stored: it is asked each time.
 * - All that puts, mounts, deletes or opens an upload fails with `Unsupported`.
 *
 * Content is read with the rights of `upstream` and given to everybody who can ask the cache. Serve
 * private content with an `authorization` of its own.
 *
 * The store belongs to the cache alone. It has manifests as blobs, since a registry need not take a
 * manifest before its content, and in each repository an inventory under the tag
 * `effect-oci.cache`. A store that outlives the process is found again with sizes, tags and, as far
 * as it was written, the order of use. A download that did not end is not continued, and is
 * cleared. Readers of a download in progress take from `memory`, and those who fall behind from the
 * upload in the store, if it is of this library, or once it is stored.
 *
 * Fails as the store does when its inventories cannot be read. Reads fail as `upstream` does: a
 * store that fails is logged as a warning, and content is read past it.
 *
 * @example
 * ```ts
 * import * as ComposedRegistry from "effect-oci/ComposedRegistry"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import { Registries } from "effect-oci/Registries"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Layer.scoped(
 *   Registry,
 *   Effect.gen(function*() {
 *     const upstream = yield* (yield* Registries).get("ghcr.io")
 *     const store = yield* MemoryRegistry.make()
 *     return yield* ComposedRegistry.cached(upstream, { store, capacity: 1024 ** 3 })
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const cached: {
  (
    options: CachedRegistry.CachedOptions
  ): (registry: Registry.Service) => Effect.Effect<Registry.Service, CommonError, Scope.Scope>
  (
    registry: Registry.Service,
    options: CachedRegistry.CachedOptions
  ): Effect.Effect<Registry.Service, CommonError, Scope.Scope>
} = dual(2, CachedRegistry.make)
