/**
 * The bare Effect `HttpClient` over undici, with the requests that effect-oci makes and nothing
 * else: no spans, and connections kept after a HEAD.
 */
import { createHash, type Hash } from "node:crypto"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { ResponseError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Undici from "undici"
import { small as smallBlob } from "./content.js"
import { concurrency, many, small, smallBytes, type Task, type Tasks } from "./task.js"

const client = NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
  Layer.provide(
    Layer.sync(
      NodeHttpClient.Dispatcher,
      () => new Undici.Agent({ connections: concurrency, pipelining: 1 })
    )
  ),
  Layer.provideMerge(
    Layer.succeed(NodeHttpClient.UndiciRequestOptions, { path: "/", method: "HEAD", reset: false })
  )
)

const concurrently =
  <E>(
    count: number,
    one: (client: HttpClient.HttpClient, url: string, n: number) => Effect.Effect<unknown, E>
  ): Task =>
  ({ url }) =>
    Effect.flatMap(HttpClient.HttpClient, (client) => {
      const silent = HttpClient.withTracerDisabledWhen(client, () => true)
      return Effect.forEach(
        Array.from({ length: count }, (_, n) => n),
        (n) => one(silent, url, n),
        { concurrency, discard: true }
      )
    }).pipe(Effect.provide(client), Effect.runPromise)

const manifests = (method: "HEAD" | "GET") =>
  concurrently(many, (client, url) =>
    Effect.flatMap(
      client.execute(HttpClientRequest.make(method)(`${url}/v2/bench/manifests/latest`)),
      (response) => (method === "GET" ? response.arrayBuffer : Effect.void)
    )
  )

const smallBlobs = (
  read: (response: HttpClientResponse, hash: Hash) => Effect.Effect<unknown, ResponseError>
) =>
  concurrently(
    small,
    Effect.fnUntraced(function* (client, url, n) {
      const bytes = smallBytes(smallBlob.bytes, n)
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
      yield* client.head(`${url}/v2/bench/blobs/${digest}`)
      const post = HttpClientRequest.post(`${url}/v2/bench/blobs/uploads/?digest=${digest}`, {
        body: HttpBody.uint8Array(bytes)
      })
      yield* (yield* client.execute(post)).arrayBuffer
      const hash = createHash("sha256")
      yield* read(yield* client.get(`${url}/v2/bench/blobs/${smallBlob.digest}`), hash)
      if (`sha256:${hash.digest("hex")}` !== smallBlob.digest) throw new Error("mismatch")
    })
  )

export const tasks: Tasks = {
  // As what `getBlob` is, a stream; and gathered, which is the least that the bare client can do.
  "small blobs": smallBlobs((response, hash) =>
    Stream.runForEach(response.stream, (bytes) => Effect.sync(() => hash.update(bytes)))
  ),
  "small blobs, gathered": smallBlobs((response, hash) =>
    Effect.map(response.arrayBuffer, (buffer) => hash.update(new Uint8Array(buffer)))
  ),
  "manifest HEADs": manifests("HEAD"),
  "manifest GETs": manifests("GET")
}
