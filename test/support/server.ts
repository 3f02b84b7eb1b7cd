/**
 * The embedded server for tests: as an `HttpClient` without sockets, and on a socket of 127.0.0.1.
 */
import { createServer, type IncomingMessage, type Server } from "node:http"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, utf8 } from "./fixtures.js"

/**
 * The application as a function of web requests, which runs with the test's runtime, and so on its
 * TestClock.
 */
export const webHandler = (
  options?: RegistryServer.Options
): Effect.Effect<(request: Request) => Promise<Response>, never, Registry | Scope.Scope> =>
  Effect.gen(function* () {
    const app = yield* RegistryServer.make(options)
    return HttpApp.toWebHandlerRuntime(yield* Effect.runtime<Scope.Scope>())(app)
  })

/**
 * An `HttpClient` whose every request, whatever its host, is answered by a server over the
 * `Registry`. Stream bodies stay streams, and `Content-Length` arrives as it was set.
 */
export const layerWebClient = (
  options?: RegistryServer.Options
): Layer.Layer<HttpClient.HttpClient, never, Registry> =>
  Layer.scoped(
    HttpClient.HttpClient,
    Effect.map(webHandler(options), (handler) =>
      HttpClient.make((request, url, signal) =>
        Effect.flatMap(bodyOf(request), (body) =>
          Effect.tryPromise({
            try: () =>
              handler(
                new Request(url, {
                  method: request.method,
                  headers: { ...lengthOf(request), ...request.headers },
                  body,
                  signal,
                  ...(body instanceof ReadableStream && { duplex: "half" })
                })
              ),
            catch: (cause) =>
              new HttpClientError.RequestError({ request, reason: "Transport", cause })
          })
        ).pipe(Effect.map((response) => HttpClientResponse.fromWeb(request, response)))
      )
    )
  )

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Uint8Array | ReadableStream | null> => {
  switch (request.body._tag) {
    case "Uint8Array":
      return Effect.succeed(request.body.body)
    case "Stream":
      return Stream.toReadableStreamEffect(request.body.stream)
    case "Empty":
      return Effect.succeed(null)
    default:
      return Effect.dieMessage(`No test sends a body of type ${request.body._tag}`)
  }
}

const lengthOf = ({ body }: HttpClientRequest.HttpClientRequest) =>
  body.contentLength === undefined ? {} : { "content-length": String(body.contentLength) }

/** Where `layerSocketServer` listens: `http://127.0.0.1:<port>`. */
export class ServerUrl extends Context.Tag("test/ServerUrl")<ServerUrl, string>() {}

/** A server over the `Registry` on a free port of 127.0.0.1. */
export const layerSocketServer = (
  options?: RegistryServer.Options
): Layer.Layer<ServerUrl, ServeError, Registry> => layerListening(RegistryServer.layer(options))

/** An application on a free port of 127.0.0.1. */
export const layerSocketApp = (app: HttpApp.Default<never, Scope.Scope>) =>
  layerListening(HttpServer.serve(app))

const layerListening = <R>(serving: Layer.Layer<never, never, R>) =>
  Layer.effect(
    ServerUrl,
    HttpServer.addressWith((address) =>
      address._tag === "TcpAddress"
        ? Effect.succeed(`http://127.0.0.1:${address.port}`)
        : Effect.dieMessage("The server does not listen on TCP")
    )
  ).pipe(
    Layer.provideMerge(serving),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

/**
 * A server over a registry in memory on a server of Node's, which may be one of https: its port,
 * and the requests that have reached it.
 */
export const registryOn = (make: () => Server = () => createServer()) =>
  Effect.gen(function* () {
    const seen: Array<IncomingMessage> = []
    const listening = yield* Layer.build(
      NodeHttpServer.layer(() => make().on("request", (request) => seen.push(request)), {
        port: 0,
        host: "127.0.0.1"
      })
    )
    yield* Layer.build(
      RegistryServer.layer().pipe(
        Layer.provide(MemoryRegistry.layer()),
        Layer.provide(Layer.succeedContext(listening))
      )
    )
    const { address } = Context.get(listening, HttpServer.HttpServer)
    return address._tag === "TcpAddress"
      ? { port: address.port, seen }
      : yield* Effect.dieMessage("The server does not listen on TCP")
  })

/** A push, and a pull of what was pushed: `b1`. */
export const pushAndPull = Effect.gen(function* () {
  const registry = yield* Registry
  const repository = yield* freshRepository
  const { digest } = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("b1")))
  return yield* Stream.mkString(Stream.decodeText(registry.getBlob(repository, digest)))
})
