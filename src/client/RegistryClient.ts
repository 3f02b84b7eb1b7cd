/**
 * A `Registry` over HTTP. It needs an `HttpClient`, `Credentials` and a `TokenCache`; `effect-oci/node` has layers that bring all three.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Credentials } from "../auth/Credentials.js"
import { TokenCache } from "../auth/TokenCache.js"
import * as ByteRange from "../protocol/ByteRange.js"
import * as Operation from "../protocol/Operation.js"
import { redact } from "../protocol/RedactedUrl.js"
import { Registries } from "../Registries.js"
import { Registry } from "../Registry.js"
import { type AuthChallenge, DigestMismatch, type InvalidUrl, ProtocolViolation } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as Digest from "../spec/Digest.js"
import { apiHost, isRepositoryName, isTag } from "../spec/Reference.js"
import * as BlobDownload from "./BlobDownload.js"
import * as BlobUpload from "./BlobUpload.js"
import * as Limits from "./Limits.js"
import * as Manifests from "./Manifests.js"
import * as Pages from "./Pages.js"
import { type Endpoint, type EndpointOptions, endpoint, execute, type Send, sender } from "./Pipeline.js"

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
} from "./Limits.js"
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
   * @category models
   */
  type ExchangeError,
  /**
   * @since 0.1.0
   * @category constructors
   */
  endpoint,
  /**
   * @since 0.1.0
   * @category operations
   */
  execute
} from "./Pipeline.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  RetryOptions
} from "./Retry.js"

/**
 * How to reach a registry, and when to try again after a challenge: by default once (`defaultSchedule`). A schedule with needs of its own, such as
 * an interactive login, adds them to those of the layer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends EndpointOptions {
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
 * The client of one registry. Nothing is sent until an operation runs. Fails with `InvalidUrl` when `url` does not name a registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(options: Options<R>): Effect.Effect<Registry.Service, InvalidUrl, Services | R> =>
  Effect.gen(function* () {
    const to = yield* endpoint(options)
    const context = yield* Effect.context<Services | R>()
    // Only the services we need are fixed here. All else is the caller's at the time of each call, such as its tracer,
    // its observer of transfers and its scope; what a schedule needs is taken from here where the caller lacks it.
    const ours = services(context)
    const environment = (caller: Context.Context<never>) =>
      options.schedule === undefined ? Context.merge(caller, ours) : Context.merge(Context.merge(context, caller), ours)
    return over(
      to,
      sender(to, (operation, body) =>
        Effect.mapInputContext(
          execute(to, operation, { body, schedule: options.schedule }),
          // Without a schedule there is no `R`.
          (caller: Context.Context<never>) => environment(caller) as Context.Context<Services | R>
        )
      )
    )
  })

/**
 * The client of one registry, as the `Registry` of a program.
 *
 * @example
 * import * as Credentials from "effect-oci/Credentials"
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as TokenCache from "effect-oci/TokenCache"
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as Layer from "effect/Layer"
 *
 * const GitHub = RegistryClient.layer({ url: "https://ghcr.io" }).pipe(
 *   Layer.provide([FetchHttpClient.layer, Credentials.layerAnonymous, TokenCache.layerMemory])
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(options: Options<R>): Layer.Layer<Registry, InvalidUrl, Services | R> =>
  Layer.effect(Registry, make(options))

/**
 * The clients of all registries, each opened when its host is first asked for. `docker.io` is reached at its API host; loopback hosts are reached
 * over http and all others over https, unless `hosts` has other options for them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (
  options: { readonly hosts?: Readonly<Record<string, Partial<EndpointOptions>>> | undefined } = {}
): Layer.Layer<Registries, never, Services> =>
  Layer.effect(
    Registries,
    Effect.map(Effect.context<Services>(), (context) => {
      const known = new Map<string, Registry.Service>()
      const hosts = new Map(Object.entries(options.hosts ?? {}).map(([host, settings]) => [apiHost(host), settings]))
      return {
        get: (host) =>
          Effect.suspend(() => {
            const url = apiHost(host)
            const registry = known.get(url)
            return registry !== undefined
              ? Effect.succeed(registry)
              : Effect.tap(
                  Effect.mapInputContext(make({ url, ...hosts.get(url) }), () => services(context)),
                  (made) => Effect.sync(() => known.set(url, made))
                )
          })
      }
    })
  )

const services: (context: Context.Context<Services>) => Context.Context<Services> = Context.pick(
  HttpClient.HttpClient,
  Credentials,
  TokenCache
)

/** The operations over a pipeline, each in a span of its own. */
const over = (to: Endpoint, send: Send): Registry.Service => {
  const headBlob: Registry.Service["headBlob"] = (repository, digest) =>
    send(Operation.HeadBlob({ repository, digest })).pipe(
      Effect.flatMap((response): Effect.Effect<Descriptor, DigestMismatch | ProtocolViolation> => {
        const announced = response.headers["docker-content-digest"]
        if (Digest.isDigest(announced) && Digest.disagree(announced, digest))
          return Effect.fail(new DigestMismatch({ ...factsOf(response), expected: digest, actual: announced }))
        const size = Option.getOrUndefined(ByteRange.parseLength(response.headers["content-length"] ?? ""))
        return size === undefined
          ? Effect.fail(
              new ProtocolViolation({ ...factsOf(response), problem: "The registry does not say how long the blob is" })
            )
          : Effect.succeed({ mediaType: "application/octet-stream", digest, size })
      }),
      Effect.map(Option.some),
      Effect.catchTags({ BlobUnknown: () => Effect.succeedNone, NameUnknown: () => Effect.succeedNone })
    )
  const manifests = Manifests.make(to, send)
  const uploads = BlobUpload.make(to, send, headBlob)
  const getBlob = BlobDownload.getBlob(send)
  const getBlobRange = BlobDownload.getBlobRange(send)

  return {
    ping: spanned("ping", {})(Effect.asVoid(Effect.flatMap(send(Operation.Ping()), Limits.excerpt))),
    getManifest: (repository, reference) =>
      spanned("getManifest", { repository, reference })(manifests.getManifest(repository, reference)),
    headManifest: (repository, reference) =>
      spanned("headManifest", { repository, reference })(manifests.headManifest(repository, reference)),
    putManifest: (repository, manifest, options) =>
      spanned("putManifest", { repository, digest: manifest.descriptor.digest })(
        manifests.putManifest(repository, manifest, options)
      ),
    deleteTag: (repository, tag) => spanned("deleteTag", { repository, tag })(manifests.deleteTag(repository, tag)),
    deleteManifest: (repository, digest) =>
      spanned("deleteManifest", { repository, digest })(manifests.deleteManifest(repository, digest)),
    tags: (repository, options) =>
      Pages.paginate(to, Operation.ListTags({ ...options, repository }), (operation) =>
        Effect.flatMap(send(operation), (answer) => Pages.names(to, answer, "tags", isTag))
      ).pipe(Stream.withSpan("effect-oci/Registry.tags", { captureStackTrace: false, attributes: { repository } })),
    repositories: (options) =>
      Pages.paginate(to, Operation.ListRepositories({ ...options }), (operation) =>
        Effect.flatMap(send(operation), (answer) => Pages.names(to, answer, "repositories", isRepositoryName))
      ).pipe(Stream.withSpan("effect-oci/Registry.repositories", { captureStackTrace: false })),
    referrers: (repository, digest, options) =>
      Stream.withSpan(manifests.referrers(repository, digest, options), "effect-oci/Registry.referrers", {
        captureStackTrace: false,
        attributes: { repository, digest }
      }),
    headBlob: (repository, digest) => spanned("headBlob", { repository, digest })(headBlob(repository, digest)),
    getBlob: (repository, blob) =>
      Stream.withSpan(getBlob(repository, blob), "effect-oci/Registry.getBlob", {
        captureStackTrace: false,
        attributes: { repository, digest: typeof blob === "string" ? blob : blob.digest }
      }),
    getBlobRange: (repository, digest, range) =>
      Stream.withSpan(getBlobRange(repository, digest, range), "effect-oci/Registry.getBlobRange", {
        captureStackTrace: false,
        attributes: { repository, digest }
      }),
    putBlob: (repository, source, options) =>
      spanned("putBlob", { repository })(uploads.putBlob(repository, source, options)),
    deleteBlob: (repository, digest) =>
      spanned("deleteBlob", { repository, digest })(
        Effect.asVoid(Effect.flatMap(send(Operation.DeleteBlob({ repository, digest })), Limits.excerpt))
      ),
    startUpload: (repository) => spanned("startUpload", { repository })(uploads.startUpload(repository)),
    resumeUpload: (state) => spanned("resumeUpload", { repository: state.repository })(uploads.resumeUpload(state)),
    mountBlob: (repository, digest, from) =>
      spanned("mountBlob", { repository, digest })(uploads.mountBlob(repository, digest, from))
  }
}

/** Without a stack trace, whose capture would cost more than the span. */
const spanned =
  (operation: string, attributes: Readonly<Record<string, string>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.withSpan(effect, `effect-oci/Registry.${operation}`, { captureStackTrace: false, attributes })

const factsOf = (response: HttpClientResponse) => ({
  method: response.request.method,
  url: redact(response.request.url),
  status: response.status
})
