/**
 * A `Registry` over HTTP. It needs an `HttpClient`, `Credentials` and a `TokenCache`;
 * `effect-oci/node` has layers that bring all three.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import { Credentials } from "../auth/Credentials.js"
import { TokenCache } from "../auth/TokenCache.js"
import { type Overrides, withDefaults } from "../internal/Options.js"
import * as Operation from "../protocol/Operation.js"
import { Registries } from "../Registries.js"
import { Registry } from "../Registry.js"
import { type AuthChallenge, InvalidUrl } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import { isRepositoryName, isTag } from "../spec/Reference.js"
import * as Mirrors from "../store/internal/Mirrors.js"
import * as ObservedRegistry from "../store/internal/ObservedRegistry.js"
import * as BlobDownload from "./blobs/BlobDownload.js"
import * as BlobHead from "./blobs/BlobHead.js"
import * as BlobUpload from "./blobs/BlobUpload.js"
import { type Endpoint, type EndpointOptions, endpoint, invalidHost } from "./http/Endpoint.js"
import { type Exchanging, exchanging } from "./http/Exchange.js"
import * as Ping from "./http/Ping.js"
import { type Pipeline, pipeline } from "./http/Pipeline.js"
import type { RetryOptions } from "./http/Retry.js"
import * as Names from "./lists/Names.js"
import * as Pages from "./lists/Pages.js"
import * as Manifests from "./manifests/Manifests.js"

export {
  /**
   * @since 0.1.0
   * @category constants
   */
  defaultUserAgent,
  /**
   * @since 0.1.0
   * @category models
   */
  type Endpoint,
  /**
   * @since 0.1.0
   * @category models
   */
  type EndpointOptions,
  /**
   * @since 0.1.0
   * @category constructors
   */
  endpoint
} from "./http/Endpoint.js"
export {
  /**
   * @since 0.1.0
   * @category operations
   */
  attempt,
  /**
   * @since 0.1.0
   * @category constructors
   */
  defaultSchedule,
  /**
   * @since 0.1.0
   * @category models
   */
  type ExchangeError,
  /**
   * @since 0.1.0
   * @category operations
   */
  execute
} from "./http/Exchange.js"
export {
  /**
   * @since 0.1.0
   * @category layers
   */
  layerFetch
} from "./http/FetchClient.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Limits,
  /**
   * @since 0.1.0
   * @category models
   */
  Timeouts
} from "./http/Limits.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  RateLimit
} from "./http/RateLimit.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  RetryOptions
} from "./http/Retry.js"

/**
 * How to reach a registry, and when to try again after a challenge.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends EndpointOptions {
  /**
   * By default as `defaultSchedule` says, else as with `execute`. A schedule with needs of its own,
   * such as an interactive login, adds them to those of the layer.
   */
  readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
}

/**
 * The services that a client takes at its creation.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = HttpClient.HttpClient | Credentials | TokenCache

/**
 * The client of one registry. Nothing is sent until an operation runs. Fails with `InvalidUrl` when
 * `url` does not name a registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(
  options: Options<R>
): Effect.Effect<Registry.Service, InvalidUrl, Services | R> =>
  Effect.gen(function* () {
    const to = yield* endpoint(options)
    const context = yield* Effect.context<Services | R>()
    // Only the services we need are fixed here. All else is the caller's at the time of each call,
    // such as its tracer, its observer of transfers and its scope; what a schedule needs is taken
    // from here where the caller lacks it.
    const given = {
      client: Context.get(context, HttpClient.HttpClient),
      credentials: Context.get(context, Credentials),
      cache: Context.get(context, TokenCache)
    }
    const { schedule } = options
    const scheduled: Exchanging = (bounds, operation, body) =>
      Effect.mapInputContext(
        exchanging(to, given, schedule)(bounds, operation, body),
        (caller: Context.Context<never>) => Context.merge(context, caller)
      )
    const registry = over(
      to,
      pipeline(to, schedule === undefined ? exchanging(to, given) : scheduled)
    )
    return ObservedRegistry.observed(to.observation, registry)
  })

/**
 * The client of one registry, as the `Registry` of a program.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as TokenCache from "effect-oci/TokenCache"
 * import * as Layer from "effect/Layer"
 *
 * const GitHub = RegistryClient.layer({ url: "https://ghcr.io" }).pipe(
 *   Layer.provide([RegistryClient.layerFetch, Credentials.layerAnonymous, TokenCache.layerMemory])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  options: Options<R>
): Layer.Layer<Registry, InvalidUrl, Services | R> => Layer.effect(Registry, make(options))

/**
 * How to reach one host of many: all that `EndpointOptions` has, the `url` only where it does not
 * follow from the host. Plain http takes an `url` that says so, except at loopback hosts.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostOptions extends Omit<EndpointOptions, "url"> {
  /** The base of the registry, as in `EndpointOptions`, by default that of the host. */
  readonly url?: string | undefined
  /**
   * Registries that have copies of what the host has. Each is asked for manifests and blobs before
   * the host itself, in order, and passed over when it fails with whatever error before the first
   * byte of content; without `retry` options of its own it is not asked twice. Whether something is
   * there (HEAD), the host itself decides, since programs ask that before they write; a mirror
   * answers only while the host fails. Lists and everything that writes are the host's alone. A
   * mirror is a registry of its own origin, and gets the credentials for that origin and no others
   * (T22).
   */
  readonly mirrors?: ReadonlyArray<MirrorOptions> | undefined
}

/**
 * How to reach a mirror.
 *
 * @since 0.1.0
 * @category models
 */
export interface MirrorOptions extends EndpointOptions {
  /**
   * With `docker-hub`, what its host has as `library/alpine` the mirror has as
   * `docker-hub/library/alpine`: so do the proxy caches of Harbor, Artifactory, ECR and others,
   * which mirror several hosts.
   */
  readonly prefix?: string | undefined
}

/**
 * The clients of all registries, each opened when its host is first asked for. `docker.io` is
 * reached at its API host; loopback hosts are reached over http and all others over https, unless
 * `hosts` has other options for them. Its keys are hosts in any form that `Host.parse` takes.
 *
 * Building the layer fails with `InvalidUrl` when a key of `hosts` is not a host, or two are the
 * same host. `get` fails with it where the options of a host do not name a registry.
 *
 * @example
 * ```ts
 * import * as RegistryClient from "effect-oci/RegistryClient"
 *
 * const layer = RegistryClient.layerRegistries({
 *   hosts: {
 *     "docker.io": { mirrors: [{ url: "https://harbor.example.com", prefix: "docker-hub" }] },
 *     "registry.lan:5000": { url: "http://registry.lan:5000", headers: { "x-tenant": "blue" } }
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (
  options: { readonly hosts?: Readonly<Record<string, HostOptions | undefined>> | undefined } = {}
): Layer.Layer<Registries, InvalidUrl, Services> =>
  Layer.effect(
    Registries,
    Effect.gen(function* () {
      const context = Context.pick(
        HttpClient.HttpClient,
        Credentials,
        TokenCache
      )(yield* Effect.context<Services>())
      const hosts = yield* Effect.mapError(
        Host.byHost(options.hosts ?? {}),
        invalidHost("this key of hosts")
      )
      const known = new Map<Host.Host, Registry.Service>()
      return {
        get: (text) =>
          Effect.gen(function* () {
            const host = yield* Effect.mapError(Host.parse(text), invalidHost("it"))
            const registry =
              known.get(host) ??
              (yield* Effect.provide(openHost(host, hosts.get(host) ?? {}), context))
            known.set(host, registry)
            return registry
          })
      }
    })
  )

/** The registry of a host behind its mirrors. */
const openHost = (
  host: Host.Host,
  { mirrors = [], ...settings }: HostOptions
): Effect.Effect<Registry.Service, InvalidUrl, Services> =>
  Effect.gen(function* () {
    const registry = yield* make(
      withDefaults<EndpointOptions>({ url: Host.apiHost(host) }, settings)
    )
    const opened = yield* Effect.forEach(mirrors, ({ prefix, ...mirror }) =>
      Effect.gen(function* () {
        const retry = withDefaults<Overrides<RetryOptions>>({ attempts: 0 }, mirror.retry)
        const registry = yield* make({
          ...withDefaults<EndpointOptions>({ url: mirror.url, namespace: host }, mirror),
          retry
        })
        if (prefix !== undefined && !isRepositoryName(prefix))
          return yield* new InvalidUrl({
            url: mirror.url,
            problem: 'its prefix is not the name of a repository, such as "docker-hub"'
          })
        return { registry, prefix }
      })
    )
    return Mirrors.mirrored(registry, opened)
  })

/** The operations over a pipeline. */
const over = (to: Endpoint, through: Pipeline): Registry.Service => {
  const { read, remove, send } = through
  const head = BlobHead.make(to, send)
  const manifests = Manifests.make(to, through)

  return {
    ping: Effect.flatMap(send(Operation.Ping()), Ping.check),
    ...manifests,
    tags: (repository, options) =>
      Pages.paginate(to, Operation.ListTags({ ...options, repository }), {
        page: (operation) =>
          Effect.flatMap(read(operation, Pages.pageLimit(to)), (page) =>
            Names.names(to, page, "tags", isTag)
          ),
        key: identity,
        after: (operation, last) => ({ ...operation, last })
      }),
    repositories: (options) =>
      Pages.paginate(to, Operation.ListRepositories({ ...options }), {
        page: (operation) =>
          Effect.flatMap(read(operation, Pages.pageLimit(to)), (page) =>
            Names.names(to, page, "repositories", isRepositoryName)
          ),
        key: identity,
        after: (operation, last) => ({ ...operation, last })
      }),
    headBlob: head.headBlob,
    ...BlobDownload.make(to, send),
    ...BlobUpload.make(to, send, head),
    deleteBlob: (repository, digest) =>
      remove(
        Operation.DeleteBlob({ repository, digest }),
        Effect.match(head.exists(repository, digest), {
          onFailure: () => false,
          onSuccess: (exists) => !exists
        })
      )
  }
}
