/**
 * A registry server: an HTTP application over any `Registry`, with the endpoints end-1 to end-14 of
 * the distribution specification. Content and decisions are those of the registry behind it; the
 * server adds upload sessions, pages and error answers.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Operation from "../protocol/Operation.js"
import { Registry } from "../Registry.js"
import * as Answer from "./internal/Answer.js"
import * as BlobEndpoints from "./internal/BlobEndpoints.js"
import * as ListEndpoints from "./internal/ListEndpoints.js"
import * as ManifestEndpoints from "./internal/ManifestEndpoints.js"
import * as RequestBody from "./internal/RequestBody.js"
import * as UploadSessions from "./internal/UploadSessions.js"
import type { ServerAuthorization } from "./ServerAuthorization.js"

/**
 * How to serve.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Who may do what. Without it everybody may do everything. */
  readonly authorization?: ServerAuthorization | undefined
  /**
   * The most referrers answered in one page (R36), 1000 by default; tags and repositories come in
   * pages only to clients that ask for them.
   */
  readonly referrersPageSize?: number | undefined
}

/**
 * The application over the `Registry` in the environment. It never fails: errors of the registry
 * become answers. Upload sessions live as long as the Scope; a session left alone for an hour is
 * cancelled (R23), and 1000 can be open at a time. Manifests may have 4 MiB (R31).
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<HttpApp.Default<never, Scope.Scope>, never, Registry | Scope.Scope> =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const server: Server = {
      registry,
      sessions: yield* UploadSessions.make(registry),
      referrersPageSize: options.referrersPageSize ?? 1000
    }
    return Effect.gen(function* () {
      const request = inOriginForm(yield* HttpServerRequest.HttpServerRequest)
      const response = Effect.matchEffect(Operation.fromRequest(request), {
        onFailure: (invalid) =>
          guarded(options, request, [], Effect.succeed(refuseInvalid(invalid))),
        onSuccess: (operation) =>
          guarded(
            options,
            request,
            Operation.requiredScopes(operation),
            answer(server, operation, request)
          )
      })
      return yield* RequestBody.handled(request, Effect.map(response, Answer.withVersion))
    })
  })

/**
 * Serves the `Registry` in the environment on the `HttpServer` in the environment.
 *
 * @example
 * ```ts
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import * as RegistryServer from "effect-oci/RegistryServer"
 * import * as Layer from "effect/Layer"
 * import { createServer } from "node:http"
 *
 * RegistryServer.layer().pipe(
 *   Layer.provide(MemoryRegistry.layer()),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 5000 })),
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
): Layer.Layer<never, never, Registry | HttpServer.HttpServer> =>
  Layer.unwrapScoped(Effect.map(make(options), (app) => HttpServer.serve(app)))

interface Server {
  readonly registry: Registry.Service
  readonly sessions: UploadSessions.UploadSessions
  readonly referrersPageSize: number
}

/** Proxies may send the whole URL as the target of a request (RFC 9112 section 3.2.2). */
const inOriginForm = (
  request: HttpServerRequest.HttpServerRequest
): HttpServerRequest.HttpServerRequest => {
  const [, target] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(request.url) ?? []
  if (target === undefined) return request
  return request.modify({ url: target.startsWith("/") ? target : `/${target}` })
}

const guarded = <R>(
  { authorization }: Options,
  request: HttpServerRequest.HttpServerRequest,
  scopes: ReadonlyArray<string>,
  answer: Effect.Effect<HttpServerResponse, never, R>
): Effect.Effect<HttpServerResponse, never, R | Scope.Scope> =>
  authorization === undefined
    ? answer
    : Effect.flatMap(
        authorization.intercept(request, scopes),
        Option.match({ onNone: () => answer, onSome: Effect.succeed })
      )

const refuseInvalid = ({
  allow,
  code,
  message,
  status
}: Operation.InvalidRequest): HttpServerResponse =>
  Answer.refused(
    new Answer.Refusal({
      status,
      code,
      message,
      ...(allow === undefined ? {} : { headers: { allow } })
    })
  )

/**
 * Applications run uninterruptibly; a client that has gone away needs no answer, and nothing more
 * done for it.
 */
const answer = (
  server: Server,
  operation: Operation.Operation,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse, never, Scope.Scope> =>
  handle(server, operation, request).pipe(
    Effect.catchAll((failure) => {
      const refusal = Answer.refusal(failure, operation._tag)
      return Effect.as(
        refusal.status >= 500
          ? Effect.logWarning(`${operation._tag} failed`, failure)
          : Effect.void,
        Answer.refused(refusal)
      )
    }),
    Effect.interruptible
  )

const handle = (
  { referrersPageSize, registry, sessions }: Server,
  operation: Operation.Operation,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse, Answer.Failure, Scope.Scope> => {
  switch (operation._tag) {
    case "Ping":
      return Effect.as(registry.ping, Answer.json(200, {}))
    case "GetManifest":
      return ManifestEndpoints.getManifest(registry, operation)
    case "HeadManifest":
      return ManifestEndpoints.headManifest(registry, operation)
    case "PutManifest":
      return ManifestEndpoints.putManifest(registry, operation, request)
    case "DeleteManifest":
      return ManifestEndpoints.deleteManifest(registry, operation)
    case "GetBlob":
      return BlobEndpoints.getBlob(registry, operation, request)
    case "HeadBlob":
      return BlobEndpoints.headBlob(registry, operation)
    case "DeleteBlob":
      return Effect.as(
        registry.deleteBlob(operation.repository, operation.digest),
        Answer.empty(202)
      )
    case "StartUpload":
      return BlobEndpoints.startUpload(sessions, operation)
    case "UploadBlob":
    case "PutBlob":
      return BlobEndpoints.uploadBlob(registry, operation, request)
    case "MountBlob":
      return BlobEndpoints.mountBlob(registry, sessions, operation)
    case "UploadChunk":
      return BlobEndpoints.uploadChunk(sessions, operation, request)
    case "CompleteUpload":
      return BlobEndpoints.completeUpload(sessions, operation, request)
    case "UploadStatus":
      return BlobEndpoints.uploadStatus(sessions, operation)
    case "CancelUpload":
      return BlobEndpoints.cancelUpload(sessions, operation)
    case "ListTags":
      return ListEndpoints.listTags(registry, operation, request)
    case "ListRepositories":
      return ListEndpoints.listRepositories(registry, operation, request)
    case "ListReferrers":
      return ListEndpoints.listReferrers(registry, operation, referrersPageSize, request)
  }
}
