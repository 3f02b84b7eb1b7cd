/**
 * The client of registries: `Registry` over HTTP. It needs an `HttpClient`, `Credentials` and a
 * `TokenCache`; the layers of `effect-oci/node` bring the first and the last.
 *
 * @since 0.1.0
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Credentials, type Login } from "../auth/Credentials.js"
import { TokenCache } from "../auth/TokenCache.js"
import { invalidHost } from "../internal/HostProblem.js"
import { withDefaults } from "../internal/Options.js"
import * as Spans from "../internal/Spans.js"
import * as Operation from "../protocol/Operation.js"
import * as Registries from "../Registries.js"
import { Registry } from "../Registry.js"
import { type AuthChallenge, InvalidUrl, Unsupported } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import { isRepositoryName, isTag } from "../spec/Reference.js"
import * as Mirrors from "../store/internal/Mirrors.js"
import * as ObservedRegistry from "../store/internal/ObservedRegistry.js"
import * as BlobDownload from "./blobs/BlobDownload.js"
import * as BlobHead from "./blobs/BlobHead.js"
import * as BlobUpload from "./blobs/BlobUpload.js"
import type { Endpoint } from "./http/ClientService.js"
import * as ClientService from "./http/ClientService.js"
import type { EndpointOptions } from "./http/Endpoint.js"
import * as Endpoints from "./http/Endpoint.js"
import type { Defaults } from "./http/EndpointDefaults.js"
import * as EndpointDefaults from "./http/EndpointDefaults.js"
import type { ExchangeError } from "./http/ExchangeError.js"
import * as FetchClient from "./http/FetchClient.js"
import * as HiddenContent from "./http/HiddenContent.js"
import * as Ping from "./http/Ping.js"
import * as Pipelines from "./http/Pipeline.js"
import * as RequestExchange from "./http/RequestExchange.js"
import * as Verify from "./http/Verify.js"
import * as Names from "./lists/Names.js"
import * as Pages from "./lists/Pages.js"
import * as Manifests from "./manifests/Manifests.js"
import * as Request from "./Request.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Overrides
} from "../internal/Options.js"
export {
  /**
   * @since 0.1.0
   * @category constructors
   */
  defaultSchedule
} from "./http/Challenges.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Endpoint
} from "./http/ClientService.js"
export {
  /**
   * @since 0.1.0
   * @category services
   */
  RegistryClient
} from "./http/ClientService.js"
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
  type EndpointOptions,
  /**
   * @since 0.1.0
   * @category type ids
   */
  EndpointTypeId
} from "./http/Endpoint.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Defaults
} from "./http/EndpointDefaults.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  ExchangeError
} from "./http/ExchangeError.js"
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
  Rate,
  /**
   * @since 0.1.0
   * @category models
   */
  Rates
} from "./http/Rates.js"
export type {
  /**
   * @since 0.1.0
   * @category errors
   */
  RequestError,
  /**
   * @since 0.1.0
   * @category models
   */
  Sending
} from "./http/RequestExchange.js"
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
 * Makes an endpoint for `attempt` and `execute`. Nothing is sent.
 *
 * Fails with `InvalidUrl` when `url` is not http or https, or has a user name, a query or a
 * fragment; when `headers`, `userAgent` or `namespace` have a value that no request can carry; when
 * a rate cannot be kept; or when an entry of `trust` is not a host.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endpoint = (options: EndpointOptions): Effect.Effect<Endpoint, InvalidUrl> =>
  Endpoints.make(options)

/**
 * Sends an operation once, with the authorization that is known, and returns the response whatever
 * its status. `TokenCache` keeps the challenge of a 401, so that the next attempt answers it: an
 * application can put a loop of its own around this. `execute` has one.
 *
 * Requests are not counted towards the `concurrency` and the `rates` of the endpoint. The body of
 * the response has to be read, or its stream abandoned.
 *
 * Fails with `AuthChallenge` for a 401 of the registry, and with `ExchangeError`.
 *
 * @since 0.1.0
 * @category operations
 */
export const attempt = (
  endpoint: Endpoint,
  operation: Operation.Operation,
  options?: { readonly body?: HttpBody.HttpBody | undefined }
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError, Services> =>
  Pipelines.attempt(known(endpoint), operation, options)

/**
 * Sends an operation or a `Request`, answers the challenges of the registry, and returns the final
 * response whatever its status. `schedule`, which is `defaultSchedule` by default, decides whether
 * to try again after a challenge. It sees the same challenge again, no longer answerable, when the
 * token server gave no token for it: another credential, from a login say, may help then. The body
 * of the response has to be read, or its stream abandoned. A `body` that is a stream is run again
 * for each attempt and each redirect: it must yield the same bytes each time, or fail.
 *
 * `scopes` are those that a `Request` needs, by default what the specification's request of the
 * same path needs, and of any other what the registry's challenge asks for. `defaultName` is the
 * repository of a template that does not say one.
 *
 * Fails with `ExchangeError`; a challenge that `schedule` gives up on becomes `Unauthorized`. A
 * `Request` that cannot be sent fails with `InvalidReference` or `InvalidUrl`, and with
 * `BodyNotReplayable` where its stream has other bytes the second time. One of GET or HEAD, and
 * others that say so, are sent again after temporary failures; operations are not.
 *
 * @example
 * ```ts
 * import * as Operation from "effect-oci/Operation"
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as Request from "effect-oci/Request"
 * import * as Effect from "effect/Effect"
 *
 * const responses = Effect.gen(function*() {
 *   const endpoint = yield* RegistryClient.endpoint({ url: "https://registry.example.com" })
 *   const ping = yield* RegistryClient.execute(endpoint, Operation.Ping())
 *   const scan = Request.get("/api/scans/<name>", { name: "owner/name" })
 *   return [ping, yield* RegistryClient.execute(endpoint, scan)]
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export function execute<R = never>(
  endpoint: Endpoint,
  operation: Operation.Operation,
  options?: ExecuteOptions<R> & { readonly body?: HttpBody.HttpBody | undefined }
): Effect.Effect<HttpClientResponse, ExchangeError, Services | R>
export function execute<R = never>(
  endpoint: Endpoint,
  request: Request.Request,
  options?: ExecuteOptions<R> & RequestExchange.Sending
): Effect.Effect<HttpClientResponse, RequestExchange.RequestError, Services | R>
export function execute<R = never>(
  endpoint: Endpoint,
  request: Operation.Operation | Request.Request,
  options: ExecuteOptions<R> &
    RequestExchange.Sending & { readonly body?: HttpBody.HttpBody | undefined } = {}
): Effect.Effect<HttpClientResponse, RequestExchange.RequestError, Services | R> {
  const to = known(endpoint)
  return Request.isRequest(request)
    ? Effect.flatMap(Pipelines.provided, (services) => {
        const exchange = Pipelines.exchanging(to, services, options.schedule)
        return RequestExchange.execute(to, exchange, request, options)
      })
    : Pipelines.execute(to, request, options)
}

/**
 * How `execute` answers challenges.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExecuteOptions<R = never> {
  readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
}

/** Returns the whole of an endpoint: there are none but those that `endpoint` made. */
const known = (endpoint: Endpoint): Endpoints.Endpoint => endpoint as Endpoints.Endpoint

/**
 * How to reach a registry, and how to answer its challenges.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends EndpointOptions {
  /**
   * Decides whether to try again after a challenge, as in `execute`; `defaultSchedule` by default.
   * What it requires, for an interactive login say, is required when the client is built. Services
   * that the caller of an operation provides take precedence.
   */
  readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
}

/**
 * How to reach a registry, with what the service `RegistryClient` takes besides.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions<R = never> extends Options<R> {
  /** The repository of a `Request` whose template has `<name>` and that does not say which. */
  readonly defaultName?: string | undefined
}

/**
 * The services that clients require.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = HttpClient.HttpClient | Credentials | TokenCache

/**
 * Makes the client of one registry. Nothing is sent until an operation runs.
 *
 * Fails with `InvalidUrl` as `endpoint` does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(
  options: Options<R>
): Effect.Effect<Registry.Service, InvalidUrl, Services | R> =>
  Effect.map(open(options), Context.get(Registry))

/** Makes the client of one registry as both services. */
const open = <R = never>(
  options: LayerOptions<R>
): Effect.Effect<
  Context.Context<Registry | ClientService.RegistryClient>,
  InvalidUrl,
  Services | R
> =>
  Effect.gen(function* () {
    const to = yield* Endpoints.make(options)
    // Only these are captured. All else is the caller's at the time of each call, such as its
    // tracer, its observer of transfers and its scope.
    const services = {
      client: yield* HttpClient.HttpClient,
      credentials: yield* Credentials,
      cache: yield* TokenCache
    }
    const { schedule } = options
    const needs = yield* Effect.context<R>()
    const exchange =
      schedule === undefined
        ? Pipelines.exchanging(to, services)
        : Pipelines.exchanging(
            to,
            services,
            Schedule.mapInputContext(schedule, (caller: Context.Context<never>) =>
              Context.merge(needs, caller)
            )
          )
    const through = Pipelines.pipeline(to, exchange)
    const registry = over(
      to,
      through,
      HiddenContent.revealed(to, services, through),
      FetchClient.sendsLength(services.client)
    )
    return Context.make(Registry, ObservedRegistry.observed(to.observation, registry)).pipe(
      Context.add(
        ClientService.RegistryClient,
        ClientService.make(to, exchange, options.defaultName)
      )
    )
  })

/**
 * Provides the client of one registry as `Registry`, and as `RegistryClient` for requests in the
 * terms of HTTP. Fails as `make` does.
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
  options: LayerOptions<R>
): Layer.Layer<Registry | ClientService.RegistryClient, InvalidUrl, Services | R> =>
  Layer.effectContext(open(options))

/**
 * Provides what `layer` does, with options that it reads from the configuration. Options that are
 * functions are given by `Config.succeed`. Fails as `layer` does, and with `ConfigError` if a value
 * is missing or cannot be read.
 *
 * @example
 * ```ts
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as Config from "effect/Config"
 *
 * const Configured = RegistryClient.layerConfig({
 *   url: Config.string("REGISTRY_URL"),
 *   defaultName: Config.string("REGISTRY_REPOSITORY"),
 *   timeouts: { overall: Config.withDefault(Config.duration("REGISTRY_TIMEOUT"), "2 minutes") }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<LayerOptions>
): Layer.Layer<
  Registry | ClientService.RegistryClient,
  InvalidUrl | ConfigError.ConfigError,
  Services
> => Layer.unwrapEffect(Effect.map(Config.unwrap(options), (options) => layer(options)))

/**
 * Whether a login works: the registry accepted it, or did not ask for it.
 *
 * @since 0.1.0
 * @category models
 */
export type Verification = "Accepted" | "NotAsked"

/**
 * Verifies that a login works, by a ping with it: before it is stored, say. No other credential is
 * sent, and no token that was issued earlier. `NotAsked` is returned where the registry answers the
 * ping of anybody: then the login was not sent, and may be right or wrong. That it is accepted says
 * nothing about what it may do.
 *
 * Loopback hosts are reached over http by default, and all others over https, Docker Hub at its API
 * host; `url` is another base. `anonymousPulls` means nothing here.
 *
 * Fails with
 *
 * - `InvalidUrl` if `host` is not a host, as `Host.parse` takes it, and as `endpoint` does;
 * - `Unauthorized` if the registry or its token server refuses the login, or neither takes its
 *   kind, such as an identity token where passwords are asked for;
 * - what else a ping fails with: `Unsupported` if this is no registry, `TransportFailure` if it
 *   cannot be reached.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as DockerConfig from "effect-oci/DockerConfig"
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const login = (host: string, username: string, password: Redacted.Redacted) => {
 *   const login = Credentials.basic(username, password)
 *   return Effect.zipRight(
 *     RegistryClient.verify(host, login),
 *     DockerConfig.store(host, login)
 *   )
 * }
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const verify = (
  host: string,
  login: Login,
  options: Partial<EndpointOptions> = {}
): Effect.Effect<Verification, Registry.PingError | InvalidUrl, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const name = yield* Effect.mapError(Host.parse(host), invalidHost("it"))
    const to = yield* Endpoints.make(
      withDefaults<EndpointOptions>({ url: Host.apiHost(name) }, options)
    )
    const isAskedFor = yield* Spans.inSpan(
      "RegistryClient.verify",
      () => ({ "server.address": to.observation.address, "server.port": to.observation.port }),
      Verify.isAskedFor(to, login)
    )
    return isAskedFor ? "Accepted" : "NotAsked"
  })

/**
 * How to reach one host of many, and how to answer its challenges. Loopback hosts are reached over
 * http by default, and all others over https.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostOptions<out R = never> extends Omit<Options<R>, "url"> {
  /** The base of the registry, as in `EndpointOptions`; by default, it follows from the host. */
  readonly url?: string | undefined
  /**
   * Registries with copies of what the host has. Manifests and blobs are requested from each in
   * order before the host itself; a mirror that fails, with whatever error, is passed over, and a
   * blob goes on at the next one from the bytes that have come, verified as one. A mirror that does
   * not respond is left alone for a minute. Unless its own options say otherwise, it is not
   * retried, and its `timeouts` are 10 seconds for a response and 30 for a whole exchange.
   *
   * `headManifest` and `headBlob` ask the host first, since programs decide by them what to write,
   * and mirrors only when it fails. Lists and everything that writes go to the host alone. A mirror
   * receives the credentials for its own host and no others.
   */
  readonly mirrors?: ReadonlyArray<MirrorOptions> | undefined
}

/**
 * How to reach a mirror. Its options are not those of the host that it has copies of, but those
 * given here over the `defaults` of `RegistriesOptions`, less `schedule` and the number of retries,
 * and with shorter `timeouts`.
 *
 * @since 0.1.0
 * @category models
 */
export interface MirrorOptions extends EndpointOptions {
  /**
   * The repository below which the mirror has those of the host: with `docker-hub`,
   * `library/alpine` is `docker-hub/library/alpine` there. The proxy caches of Harbor, Artifactory,
   * ECR and others, which mirror several hosts, are set up so.
   */
  readonly prefix?: string | undefined
}

/**
 * How to reach all registries.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistriesOptions<out R = never> {
  /** Options for all hosts and mirrors, beneath those of each. */
  readonly defaults?: Defaults<R> | undefined
  /** Options for single hosts, under keys in any form that `Host.parse` takes. */
  readonly hosts?: Readonly<Record<string, HostOptions<R> | undefined>> | undefined
}

/**
 * Provides the clients of all registries as `Registries`. A client is made when its host is first
 * asked for. Docker Hub is reached at its API host under all its names. What the schedules in the
 * options require is required by the layer.
 *
 * Fails with `InvalidUrl` when a key of `hosts` is not a host, or two keys are the same host.
 * `Registries.get` fails with it when the options of a host are not valid.
 *
 * @example
 * ```ts
 * import * as RegistryClient from "effect-oci/RegistryClient"
 *
 * const layer = RegistryClient.layerRegistries({
 *   defaults: { userAgent: "updates/1.0", timeouts: { overall: "2 minutes" } },
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
export const layerRegistries = <R = never>({
  defaults = {},
  hosts = {}
}: RegistriesOptions<R> = {}): Layer.Layer<Registries.Registries, InvalidUrl, Services | R> =>
  Layer.unwrapEffect(
    Effect.map(Effect.mapError(Host.byHost(hosts), invalidHost("this key of hosts")), (byHost) =>
      Registries.layerFrom((host) => openHost(host, defaults, byHost.get(host) ?? {}))
    )
  )

/** Makes the client of a host and those of its mirrors. */
const openHost = <R>(
  host: Host.Host,
  defaults: Defaults<R>,
  { mirrors = [], ...settings }: HostOptions<R>
): Effect.Effect<Registry.Service, InvalidUrl, Services | R> =>
  Effect.gen(function* () {
    const own = withDefaults<Options<R>>({ url: Host.apiHost(host) }, settings)
    const registry = yield* make(EndpointDefaults.merged(defaults, own))
    const opened = yield* Effect.forEach(mirrors, ({ prefix, ...mirror }) =>
      Effect.gen(function* () {
        const registry = yield* make(
          EndpointDefaults.merged(
            EndpointDefaults.ofMirrors(defaults),
            withDefaults<EndpointOptions>({ url: mirror.url, namespace: host }, mirror)
          )
        )
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

/** Makes the operations over a pipeline, and over another one for reads that a caller asked for. */
const over = (
  to: Endpoints.Endpoint,
  through: Pipelines.Pipeline,
  asked: Pipelines.Pipeline,
  sendsLength: boolean
): Registry.Service => {
  const { remove, send } = through
  const head = BlobHead.make(to, send)
  return {
    ping: Effect.flatMap(send(Operation.Ping()), Ping.check),
    ...Manifests.make(to, through, asked),
    tags: (repository, options) =>
      Pages.paginate(
        to,
        Operation.ListTags({ repository, n: options?.pageSize, last: options?.after }),
        {
          page: (operation) =>
            Effect.flatMap(asked.read(operation, Pages.pageLimit(to)), (page) =>
              Names.names(to, page, "tags", isTag)
            ),
          key: identity,
          after: (operation, last) => ({ ...operation, last })
        }
      ),
    // The specification has no list of them.
    manifests: () => Stream.fail(new Unsupported({ operation: "listing manifests" })),
    repositories: (options) =>
      Pages.paginate(
        to,
        Operation.ListRepositories({ n: options?.pageSize, last: options?.after }),
        {
          page: (operation) =>
            Effect.flatMap(asked.read(operation, Pages.pageLimit(to)), (page) =>
              Names.names(to, page, "repositories", isRepositoryName)
            ),
          key: identity,
          after: (operation, last) => ({ ...operation, last })
        }
      ),
    headBlob: BlobHead.make(to, asked.send).headBlob,
    ...BlobDownload.make(to, asked.send),
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
