/**
 * The HTTP client that this library is measured and tested with: undici, through `@effect/platform-node`. Unlike node:http it keeps
 * backpressure, sends the declared length of a streamed body and reads an answer that comes before the body was sent.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Agent } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * An undici agent of its own, destroyed with its Scope: at most 128 connections to one origin, each carrying one request at a time, and answers
 * with up to 64 KiB of headers (signed locations can take more than undici's 16 KiB). Timeouts are left to Effect.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDispatcher: Layer.Layer<NodeHttpClient.Dispatcher> = Layer.scoped(
  NodeHttpClient.Dispatcher,
  Effect.acquireRelease(
    // A bound, against running out of file descriptors, far above what concurrent transfers hold: one that needs a second connection while it
    // holds its first must always get it.
    Effect.sync(() => new Agent({ connections: 128, pipelining: 1, maxHeaderSize: 65_536 })),
    (agent) => Effect.promise(() => agent.destroy())
  )
)

/**
 * An `HttpClient` over a dispatcher of the caller's, such as an `Undici.Agent` with a private CA or an `Undici.EnvHttpProxyAgent`. It follows no
 * redirects and decodes no content codings. A connection is used again after a HEAD, which undici by itself closes.
 *
 * @example
 * import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
 * import { EnvHttpProxyAgent } from "@effect/platform-node/Undici"
 * import { NodeHttp } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const proxied = Layer.scoped(
 *   NodeHttpClient.Dispatcher,
 *   Effect.acquireRelease(
 *     Effect.sync(() => new EnvHttpProxyAgent()),
 *     (agent) => Effect.promise(() => agent.destroy())
 *   )
 * )
 * const layer = Layer.provide(NodeHttp.layerHttpClientWithoutDispatcher, proxied)
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClientWithoutDispatcher: Layer.Layer<HttpClient.HttpClient, never, NodeHttpClient.Dispatcher> =
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(NodeHttpClient.Dispatcher, (dispatcher) =>
      NodeHttpClient.makeUndici(dispatcher).pipe(
        HttpClient.mapRequestEffect((request) => Effect.as(nextTurn, request)),
        HttpClient.transformResponse(Effect.provideService(NodeHttpClient.UndiciRequestOptions, requestOptions))
      )
    )
  )

/** The type asks for a path and a method, which every request replaces. */
const requestOptions = { path: "/", method: "HEAD", reset: false } as const

/** undici takes a connection back one turn of the event loop after the answer; a request made before that would open another. */
const nextTurn = Effect.async<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/**
 * An `HttpClient` over `layerDispatcher`, ready for `RegistryClient.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient: Layer.Layer<HttpClient.HttpClient> = Layer.provide(
  layerHttpClientWithoutDispatcher,
  layerDispatcher
)
