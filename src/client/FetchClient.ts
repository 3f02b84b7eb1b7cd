/**
 * The HTTP client of runtimes other than Node: whatever `fetch` they have.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * An `HttpClient` over `fetch`, for Bun, Deno and workers; on Node, `effect-oci/node` does more. Redirects are left to the registry client, which
 * knows what may go along. A `FetchHttpClient.Fetch` in the environment of the layer is used instead of the global one.
 *
 * What `fetch` cannot do:
 *
 * - A body that is a stream goes out without `Content-Length`, in chunks. Some registries want the length (C37): they take blobs that are arrays only.
 * - A streamed upload has no backpressure in most runtimes: what the connection does not take yet waits in memory.
 * - Answers that come compressed are decompressed, although nobody asked for it. Their headers are corrected here; but what was not meant to be
 *   decompressed (a blob that somebody labelled `Content-Encoding: gzip`) fails with `DigestMismatch`.
 * - Browsers hide where redirects lead, so nothing that is redirected works there.
 * - Authorities, client certificates, proxies and the time to connect are the runtime's own settings.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFetch: Layer.Layer<HttpClient.HttpClient> = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, releasing)
).pipe(
  Layer.provide(FetchHttpClient.layer),
  Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" })),
  Layer.provide(
    Layer.effect(
      FetchHttpClient.Fetch,
      Effect.map(Effect.serviceOption(FetchHttpClient.Fetch), (own) =>
        corrected(Option.getOrElse(own, () => (input, init) => globalThis.fetch(input, init)))
      )
    )
  )
)

/** A `fetch` that is aborted leaves its body as it is, and the source would stay open. */
function releasing(client: HttpClient.HttpClient): HttpClient.HttpClient {
  return HttpClient.makeWith<HttpClientError, never, HttpClientError, never>(
    Effect.flatMap((request) => {
      const { body } = request
      return body._tag === "Stream"
        ? Effect.flatMap(Deferred.make<void>(), (aborted) => {
            const stream = Stream.interruptWhenDeferred(body.stream, aborted)
            return Effect.onExit(
              client.execute(
                HttpClientRequest.setBody(request, HttpBody.stream(stream, body.contentType, body.contentLength))
              ),
              (exit) => (Exit.isSuccess(exit) ? Effect.void : Deferred.succeed(aborted, undefined))
            )
          })
        : client.execute(request)
    }),
    Effect.succeed
  )
}

/** The codings that every runtime decodes. */
const decoded = /^(gzip|x-gzip|br)$/i

/** `fetch` with headers that describe the body it hands out. */
function corrected(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    if (response.body === null || !decoded.test(response.headers.get("content-encoding") ?? "")) return response
    const headers = new Headers(response.headers)
    headers.delete("content-encoding")
    headers.delete("content-length")
    return new Response(response.body, { status: response.status, headers })
  }
}
