/**
 * A `Registry` over HTTP. It needs an `HttpClient`, `Credentials` and a `TokenCache`;
 * `effect-oci/node` has layers that bring all three.
 *
 * @since 0.1.0
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
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
import type { EndpointOptions, EndpointTypeId } from "./http/Endpoint.js"
import * as Endpoints from "./http/Endpoint.js"
import type { ExchangeError } from "./http/Exchange.js"
import * as Exchange from "./http/Exchange.js"
import * as FetchClient from "./http/FetchClient.js"
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
  type EndpointOptions
} from "./http/Endpoint.js"
export {
  /**
   * @since 0.1.0
   * @category constructors
   */
  defaultSchedule,
  /**
   * @since 0.1.0
   * @category models
   */
  type ExchangeError
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
  Limits
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
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Timeouts
} from "./http/Timeouts.js"

/**
 * One registry as a client knows it: how to reach it, and what it has shown of itself so far.
 * Requests for one registry share an endpoint, and with it the limits on them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  readonly [EndpointTypeId]: typeof EndpointTypeId
  /** The URL that the paths of operations are added to, without a slash at its end. */
  readonly base: string
  /** The origin of `base`, as `Trust.origin` returns it. */
  readonly origin: string
}

/**
 * Checks how a registry is to be reached. Nothing is sent.
 *
 * Fails with `InvalidUrl` when `url` is not http or https, or holds a user name, a query or a
 * fragment; when no request could carry `headers`, `userAgent` or `namespace`; and when an entry of
 * `trust` is not a host, which it names.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endpoint = (options: EndpointOptions): Effect.Effect<Endpoint, InvalidUrl> =>
  Endpoints.make(options)

/**
 * Sends an operation with authorization and returns whatever the registry responds, except that a
 * 401 of its own is the error `AuthChallenge`. The challenge is remembered in `TokenCache`, so that
 * the next attempt answers it: this is for applications that bring their own loop.
 *
 * It does not count towards the `concurrency` of the endpoint. The body of the response is the
 * caller's to read or to abandon.
 *
 * @since 0.1.0
 * @category operations
 */
export const attempt = (
  endpoint: Endpoint,
  operation: Operation.Operation,
  options?: { readonly body?: HttpBody.HttpBody | undefined }
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError, Services> =>
  Exchange.attempt(known(endpoint), operation, options)

/**
 * Sends an operation, answers the challenges of the registry, and returns whatever it responds in
 * the end. `schedule` decides whether to try again after a challenge, by default with
 * `defaultSchedule`; when it gives up, the challenge becomes `Unauthorized`. It sees the challenge
 * again, as not answerable, when the token server gave no token for it: another credential, from a
 * login say, may help then. As with `attempt`, the body of the response is the caller's.
 *
 * @since 0.1.0
 * @category operations
 */
export const execute = <R = never>(
  endpoint: Endpoint,
  operation: Operation.Operation,
  options?: {
    readonly body?: HttpBody.HttpBody | undefined
    readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
  }
): Effect.Effect<HttpClientResponse, ExchangeError, Services | R> =>
  Exchange.execute(known(endpoint), operation, options)

/** There are no endpoints but those that `endpoint` made. */
const known = (endpoint: Endpoint): Endpoints.Endpoint => endpoint as Endpoints.Endpoint

/**
 * How to reach a registry, and when to try again after a challenge.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends EndpointOptions {
  /**
   * When to try again after a challenge, as with `execute`: `defaultSchedule` by default. What a
   * schedule needs, for an interactive login say, is added to the needs of the layer; the caller's
   * own services come first while it runs.
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
    const to = yield* Endpoints.make(options)
    // Only these services are fixed here. All else is the caller's at the time of each call, such as
    // its tracer, its observer of transfers and its scope.
    const services = {
      client: yield* HttpClient.HttpClient,
      credentials: yield* Credentials,
      cache: yield* TokenCache
    }
    const { schedule } = options
    const needs = yield* Effect.context<R>()
    const exchange =
      schedule === undefined
        ? Exchange.exchanging(to, services)
        : Exchange.exchanging(
            to,
            services,
            Schedule.mapInputContext(schedule, (caller: Context.Context<never>) =>
              Context.merge(needs, caller)
            )
          )
    const registry = over(to, pipeline(to, exchange), FetchClient.sendsLength(services.client))
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
        Endpoints.invalidHost("this key of hosts")
      )
      const known = new Map<Host.Host, Registry.Service>()
      return {
        get: (text) =>
          Effect.gen(function* () {
            const host = yield* Effect.mapError(Host.parse(text), Endpoints.invalidHost("it"))
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
const over = (
  to: Endpoints.Endpoint,
  through: Pipeline,
  sendsLength: boolean
): Registry.Service => {
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
    ...BlobUpload.make(to, send, head, sendsLength),
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
