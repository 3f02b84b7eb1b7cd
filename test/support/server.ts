/**
 * The embedded server for tests: as an `HttpClient` without sockets, and on a socket of 127.0.0.1.
 */
import { createServer, type IncomingMessage, type Server } from "node:http"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeRegistryServer from "../../src/node/NodeRegistryServer.js"
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

/** Where `layerSocketServer` listens: `http://127.0.0.1:<port>`. */
export class ServerUrl extends Context.Tag("test/ServerUrl")<ServerUrl, string>() {}

/** A server over the `Registry` on a free port of 127.0.0.1. */
export const layerSocketServer = (
  options?: RegistryServer.Options
): Layer.Layer<ServerUrl, ServeError, Registry> =>
  Layer.project(
    NodeRegistryServer.layer({ port: 0, ...options }),
    RegistryServer.RegistryServer,
    ServerUrl,
    ({ url }) => url
  )

/** Serves a registry on a free port of 127.0.0.1, and returns where. */
export const serving = (registry: Registry.Service) =>
  Effect.flatMap(
    Layer.build(Layer.provide(layerSocketServer(), Layer.succeed(Registry, registry))),
    (services) => Effect.provide(ServerUrl, services)
  )

/** An application on a free port of 127.0.0.1. */
export const layerSocketApp = (app: HttpApp.Default<never, Scope.Scope>) =>
  Layer.effect(
    ServerUrl,
    HttpServer.addressWith((address) => Effect.succeed(HttpServer.formatAddress(address)))
  ).pipe(
    Layer.provideMerge(HttpServer.serve(app)),
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
