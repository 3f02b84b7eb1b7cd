/**
 * A registry server: an HTTP application over any `Registry`, with the endpoints of the
 * [distribution
 * specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints).
 * Content and decisions are those of the registry behind it; the server adds upload sessions, pages
 * and error responses.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { UploadState } from "../internal/UploadState.js"
import { otherMethods } from "../protocol/internal/OperationDecoder.js"
import { factsOf } from "../protocol/internal/OperationTable.js"
import type * as Operation from "../protocol/Operation.js"
import { Registry } from "../Registry.js"
import { Unsupported } from "../RegistryError.js"
import * as Faults from "./Faults.js"
import * as BlobEndpoints from "./internal/BlobEndpoints.js"
import * as Connection from "./internal/Connection.js"
import * as Discovery from "./internal/Discovery.js"
import * as ErrorResponse from "./internal/ErrorResponse.js"
import * as FaultyHandler from "./internal/FaultyHandler.js"
import * as Handler from "./internal/Handler.js"
import * as InProcess from "./internal/InProcess.js"
import { Bounds, type Limits } from "./internal/Limits.js"
import * as ListEndpoints from "./internal/ListEndpoints.js"
import * as ManifestEndpoints from "./internal/ManifestEndpoints.js"
import * as QuirkyHandler from "./internal/QuirkyHandler.js"
import * as RequestBody from "./internal/RequestBody.js"
import * as RequestLog from "./internal/RequestLog.js"
import * as ServerResponse from "./internal/ServerResponse.js"
import * as UploadSessions from "./internal/UploadSessions.js"
import type { Quirks } from "./Quirks.js"
import type { ServerAuthorization } from "./ServerAuthorization.js"

export type {
  /**
   * What a server takes at most. What is too large is refused with 413, with nothing stored; an
   * upload that becomes too large is over.
   *
   * @since 0.1.0
   * @category models
   */
  Limits
} from "./internal/Limits.js"
export type {
  /**
   * A request that a server got, and its response, as a value: for assertions, and for access logs.
   * Bodies are not in it.
   *
   * @since 0.1.0
   * @category models
   */
  Exchange
} from "./internal/RequestLog.js"

/**
 * A registry server that runs, as a test sees it: where it is, and what it was asked.
 *
 * @since 0.1.0
 * @category services
 */
export class RegistryServer extends Context.Tag("effect-oci/RegistryServer")<
  RegistryServer,
  RegistryServer.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace RegistryServer {
  /**
   * - `url` is where it is reached, without a slash at its end: `http://127.0.0.1:49152`.
   * - `requests` returns the last 1000 requests with their responses, oldest first.
   * - `uploads` returns the upload sessions that are open.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly url: string
    readonly requests: Effect.Effect<ReadonlyArray<RequestLog.Exchange>>
    readonly uploads: Effect.Effect<ReadonlyArray<UploadState>>
  }
}

/**
 * How to serve.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Where clients reach the server, without a slash at its end, as its service tells; by default
   * the address that it listens on.
   */
  readonly url?: string | undefined
  /** Decides who may do what. Without it everybody may do everything. */
  readonly authorization?: ServerAuthorization | Effect.Effect<ServerAuthorization> | undefined
  /**
   * The most referrers in one page, 1000 by default (see [Listing
   * Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
   * Tags and repositories come in pages only to clients that ask for them.
   */
  readonly referrersPageSize?: number | undefined
  /**
   * Whether tags, manifests and blobs can be deleted, `true` by default. Where not, that is refused
   * with 405 (see [Content
   * Management](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-management));
   * uploads can be cancelled all the same.
   */
  readonly deletes?: boolean | undefined
  /**
   * The order of tags: `"ASCII"`, the default, or `"lexical"`, without regard to case, which is
   * the one that version 1.1 of the specification and earlier ones know (see [Listing
   * Tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)). A
   * lexical list is read as a whole for each of its pages.
   */
  readonly tagOrder?: "ASCII" | "lexical" | undefined
  /**
   * The host whose registry this one is a proxy of, such as `docker.io`. Pulls that name it as `ns`
   * are answered with it as `OCI-Namespace` (see [Registry
   * Proxying](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying)).
   */
  readonly proxyOf?: string | undefined
  /** What the server takes at most. */
  readonly limits?: Limits | undefined
  /** Makes the server behave as another registry does, for tests: `Quirks.harbor`. */
  readonly quirks?: Quirks | undefined
  /** Makes requests fail, for tests. Without it none does. */
  readonly faults?: ReadonlyArray<Faults.Fault> | Faults.Faults | undefined
  /**
   * Is run with each request once its response is decided, and before that is sent: an access log,
   * say.
   */
  readonly onExchange?: ((exchange: RequestLog.Exchange) => Effect.Effect<void>) | undefined
}

/**
 * Makes the application over the `Registry` in the environment. Manifests have their quoted digest
 * as `ETag`, and conditions on it are heeded ([RFC 9110 section
 * 13.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1)): those of a PUT of a tag are as
 * atomic as the registry behind is. It never fails: errors of the
 * registry become responses. Upload sessions live as long as the Scope.
 *
 * An error in the middle of a request's body is sent at once, with `Connection: close`; the rest of
 * the body is then read and dropped, for at most 10 seconds or 64 MiB, so that a client that is
 * still sending sees the error before its connection closes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<HttpApp.Default<never, Scope.Scope>, never, Registry | Scope.Scope> =>
  Effect.map(makeWith(options), ({ app }) => app)

/** Makes the application, and the service of the server that runs it at an address. */
const makeWith = (
  options: Options = {}
): Effect.Effect<
  {
    readonly app: HttpApp.Default<never, Scope.Scope>
    readonly service: (address: string) => RegistryServer.Service
  },
  never,
  Registry | Scope.Scope
> =>
  Effect.gen(function* () {
    const behind = yield* Registry
    const registry = options.deletes === false ? withoutDeletes(behind) : behind
    const bounds = new Bounds(options.limits)
    const server: Server = {
      registry,
      bounds,
      sessions: yield* UploadSessions.make(registry, bounds),
      referrersPageSize: options.referrersPageSize ?? 1000,
      tagOrder: options.tagOrder ?? "ASCII"
    }
    const authorization = Effect.isEffect(options.authorization)
      ? yield* options.authorization
      : options.authorization
    const quirks = options.quirks ?? {}
    const content = QuirkyHandler.content(quirks, (received) => received.carryOut(received))
    const guarded: Handler.Handler = (received) =>
      Effect.merge(
        Effect.flatMap(authorized(server, authorization, received), (server) =>
          content({ ...received, carryOut: carryOut(server) })
        )
      )
    const quirky = QuirkyHandler.exchange(
      quirks,
      (received) =>
        Effect.map(guarded(received), (response) =>
          withNamespace(ServerResponse.withVersion(response), received, options.proxyOf)
        ),
      (received) => content({ ...received, carryOut: carryOut(server) })
    )
    const healthy: Handler.Handler = (received) =>
      RequestBody.handled(received.request, quirky(received))
    const handler = yield* faulty(options, healthy)
    const log = new RequestLog.RequestLog(1000)
    const onExchange = (exchange: RequestLog.Exchange) =>
      Effect.suspend(() => {
        log.add(exchange)
        return options.onExchange?.(exchange) ?? Effect.void
      })
    const app = Effect.gen(function* () {
      const original = yield* HttpServerRequest.HttpServerRequest
      const received = yield* Handler.received(inOriginForm(original))
      return yield* Effect.ensuring(
        RequestLog.exchange(received, handler(received), onExchange),
        Connection.awaitTurn(original)
      )
    })
    return {
      app,
      service: (address) => ({
        url: options.url ?? address,
        requests: log.requests,
        uploads: server.sessions.open
      })
    }
  })

/**
 * Serves the `Registry` in the environment on the `HttpServer` in the environment. On Node,
 * `NodeRegistryServer` in `effect-oci/node` has the server with it, with the limits that pushes of
 * large blobs need.
 *
 * @example
 * ```ts
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import * as RegistryServer from "effect-oci/RegistryServer"
 * import * as Layer from "effect/Layer"
 * import { createServer } from "node:http"
 *
 * // Without Node's limit of 300 seconds for a request, which ends a large push in the middle.
 * const server = () => createServer({ requestTimeout: 0, keepAliveTimeout: 65_000 })
 *
 * RegistryServer.layer().pipe(
 *   Layer.provide(MemoryRegistry.layer()),
 *   Layer.provide(NodeHttpServer.layer(server, { port: 5000 })),
 *   Layer.launch,
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options
): Layer.Layer<RegistryServer, never, Registry | HttpServer.HttpServer> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const { app, service } = yield* makeWith(options)
      const { address } = yield* HttpServer.HttpServer
      return Layer.merge(
        HttpServer.serve(app),
        Layer.succeed(RegistryServer, service(HttpServer.formatAddress(address)))
      )
    })
  )

/**
 * How to serve a program in the same process.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestOptions extends Options {
  /**
   * The hosts that there are, with their ports where URLs have them: `registry.example:5000`. By
   * default every host is this registry. Requests to others fail as those to a name that does not
   * resolve.
   */
  readonly hosts?: ReadonlyArray<string> | undefined
}

/**
 * Provides an `HttpClient` whose requests the `Registry` in the environment answers in this
 * process: for tests of programs that use a registry over HTTP, without sockets. Time is that of
 * the test: with a `TestClock`, retries and the expiry of uploads wait for it.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import * as RegistryClient from "effect-oci/RegistryClient"
 * import * as RegistryServer from "effect-oci/RegistryServer"
 * import * as TokenCache from "effect-oci/TokenCache"
 * import * as Layer from "effect/Layer"
 *
 * // Every registry that the program asks for is the one in memory.
 * const Test = RegistryClient.layerRegistries().pipe(
 *   Layer.provideMerge(RegistryServer.layerTest()),
 *   Layer.provideMerge(MemoryRegistry.layer()),
 *   Layer.provide([Credentials.layerAnonymous, TokenCache.layerMemory])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = ({
  hosts,
  ...options
}: TestOptions = {}): Layer.Layer<HttpClient.HttpClient | RegistryServer, never, Registry> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const { app, service } = yield* makeWith(options)
      const client = yield* InProcess.client(app, (host) => hosts?.includes(host) ?? true)
      return Context.make(HttpClient.HttpClient, client).pipe(
        Context.add(RegistryServer, service(`https://${hosts?.[0] ?? "registry.test"}`))
      )
    })
  )

const faulty = ({ faults, quirks = {} }: Options, healthy: Handler.Handler) =>
  faults === undefined
    ? Effect.succeed(healthy)
    : Effect.map("draw" in faults ? Effect.succeed(faults) : Faults.make(faults), (drawing) =>
        FaultyHandler.make(drawing, QuirkyHandler.isTokenRequest(quirks))(healthy)
      )

interface Server {
  readonly bounds: Bounds
  readonly registry: Registry.Service
  readonly sessions: UploadSessions.UploadSessions
  readonly referrersPageSize: number
  readonly tagOrder: "ASCII" | "lexical"
}

/** The switch covers all that the specification can delete (V21). */
const withoutDeletes = (registry: Registry.Service): Registry.Service => {
  const refused = () => Effect.fail(new Unsupported({ operation: "deletes" }))
  return { ...registry, deleteTag: refused, deleteManifest: refused, deleteBlob: refused }
}

/** A proxy says for which registry it answered (R44). */
const withNamespace = (
  response: HttpServerResponse,
  { operation, request }: Handler.Received,
  proxyOf: string | undefined
): HttpServerResponse => {
  const isPull = Either.isRight(operation) && factsOf(operation.right).isPull === true
  const namespace = new URLSearchParams(request.url.split("?")[1] ?? "").get("ns")
  return isPull && namespace !== null && namespace === proxyOf
    ? ServerResponse.withHeader(response, "oci-namespace", namespace)
    : response
}

/** Proxies may send the whole URL as the target of a request (RFC 9112 section 3.2.2). */
const inOriginForm = (
  request: HttpServerRequest.HttpServerRequest
): HttpServerRequest.HttpServerRequest => {
  const [, target] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(request.url) ?? []
  if (target === undefined) return request
  return request.modify({ url: target.startsWith("/") ? target : `/${target}` })
}

/** What a server does with a request, whoever sent it. */
const carryOut =
  (server: Server): Handler.Handler =>
  ({ operation, request }) =>
    Either.match(operation, {
      onLeft: (invalid) => Effect.succeed(Discovery.response(request) ?? ofInvalidRequest(invalid)),
      onRight: (operation) => respond(server, operation, request)
    })

/** The server as far as whoever sent a request may use it, or the response that refuses it. */
const authorized = (
  server: Server,
  authorization: ServerAuthorization | undefined,
  { operation, request }: Handler.Received
): Effect.Effect<Server, HttpServerResponse, Scope.Scope> =>
  authorization === undefined
    ? Effect.succeed(server)
    : Effect.map(
        authorization.authorize(request, Either.getRight(operation)),
        ({ mayList, mayMount, user }) => ({
          ...server,
          sessions: UploadSessions.ownedBy(server.sessions, Option.getOrUndefined(user)),
          registry: {
            ...server.registry,
            // Whether a blob is there is not for everybody to know (V18).
            mountBlob: (repository, digest, from) =>
              mayMount(from)
                ? server.registry.mountBlob(repository, digest, from)
                : Effect.succeed(false),
            repositories: (options) => Stream.filter(server.registry.repositories(options), mayList)
          }
        })
      )

const ofInvalidRequest = ({
  allow,
  code,
  message,
  status
}: Operation.InvalidRequest): HttpServerResponse =>
  ErrorResponse.toResponse(
    new ErrorResponse.ErrorResponse({
      status,
      code,
      message,
      ...(allow === undefined ? {} : { headers: { allow } })
    })
  )

/**
 * Applications run uninterruptibly; a client that has gone away needs no response, and nothing more
 * done for it.
 */
const respond = (
  server: Server,
  operation: Operation.Operation,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse, never, Scope.Scope> =>
  handle(server, operation, request).pipe(
    Effect.catchAll(
      Effect.fnUntraced(function* (failure) {
        const error = ErrorResponse.fromFailure(failure, operation._tag)
        if (error.status >= 500) yield* Effect.logWarning(`${operation._tag} failed`, failure)
        const response = ErrorResponse.toResponse(error)
        // Which methods there are has to be said (RFC 9110 section 15.5.6).
        return error.status === 405
          ? ServerResponse.withHeader(response, "allow", otherMethods(request))
          : response
      })
    ),
    Effect.interruptible
  )

const handle = (
  { bounds, referrersPageSize, registry, sessions, tagOrder }: Server,
  operation: Operation.Operation,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse, ErrorResponse.Failure, Scope.Scope> => {
  switch (operation._tag) {
    case "Ping":
      return Effect.as(registry.ping, ServerResponse.json(200, {}))
    case "GetManifest":
      return ManifestEndpoints.getManifest(registry, operation, request)
    case "HeadManifest":
      return ManifestEndpoints.headManifest(registry, operation, request)
    case "PutManifest":
      return ManifestEndpoints.putManifest(registry, bounds, operation, request)
    case "DeleteManifest":
      return ManifestEndpoints.deleteManifest(registry, operation, request)
    case "GetBlob":
      return BlobEndpoints.getBlob(registry, operation, request)
    case "HeadBlob":
      return BlobEndpoints.headBlob(registry, operation, request)
    case "DeleteBlob":
      return Effect.as(
        registry.deleteBlob(operation.repository, operation.digest),
        ServerResponse.empty(202)
      )
    case "StartUpload":
      return BlobEndpoints.startUpload(sessions, operation)
    case "UploadBlob":
    case "PutBlob":
      return BlobEndpoints.uploadBlob(registry, bounds, operation, request)
    case "MountBlob":
      return BlobEndpoints.mountBlob(registry, sessions, operation)
    case "UploadChunk":
      return BlobEndpoints.uploadChunk(sessions, bounds, operation, request)
    case "CompleteUpload":
      return BlobEndpoints.completeUpload(sessions, bounds, operation, request)
    case "UploadStatus":
      return BlobEndpoints.uploadStatus(sessions, operation)
    case "CancelUpload":
      return BlobEndpoints.cancelUpload(sessions, operation)
    case "ListTags":
      return ListEndpoints.listTags(registry, operation, tagOrder, request)
    case "ListRepositories":
      return ListEndpoints.listRepositories(registry, operation, request)
    case "ListReferrers":
      return ListEndpoints.listReferrers(registry, operation, referrersPageSize, request)
  }
}
