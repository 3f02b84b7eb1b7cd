/** The HTTP client of runtimes other than Node: whatever `fetch` they have. */
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
 * An `HttpClient` over `fetch`, for Bun, Deno and workers; on Node, `effect-oci/node` does more.
 * Redirects are left to the registry client, which knows what may go along.
 *
 * A `FetchHttpClient.Fetch` in the environment of the layer is used instead of the global one, and
 * a `FetchHttpClient.RequestInit` goes along with each request, without headers (those of
 * `EndpointOptions` go to the registry alone): there is the place for what a runtime has of its own
 * for proxies and certificates, such as Bun's `proxy` and `tls` and Deno's `client`.
 *
 * What `fetch` cannot do:
 *
 * - A body that is a stream goes out without `Content-Length`. Chunks of an upload and blobs in
 *   memory are sent as arrays, which have it; where a registry wants the length of all else as well
 *   (411), a blob is sent in chunks.
 * - Node's own `fetch` keeps all that it has streamed until the request ends; the source is slowed
 *   by the connection there as elsewhere.
 * - Responses that come compressed may be decompressed, although nobody asked for it. What was not
 *   meant to be (a blob that somebody labelled `Content-Encoding: gzip`) fails with
 *   `ProtocolViolation`.
 * - It writes the URLs anew that a registry sends, as the URL standard has it: an apostrophe in a
 *   query, which redirects to storage and the locations of uploads may have, becomes `%27`. Where
 *   the query is signed as it was, the request is refused.
 * - Browsers hide where redirects lead, so nothing that is redirected works there.
 * - The time to connect, the number of connections and the limit on headers are the runtime's own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFetch: Layer.Layer<HttpClient.HttpClient> = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const own = Option.getOrElse(
      yield* Effect.serviceOption(FetchHttpClient.RequestInit),
      () => ({})
    )
    // Whatever the application has for requests of its own at the time of a call is not ours: its
    // headers would go to strangers (T1).
    const init: RequestInit = { ...own, headers: {}, redirect: "manual" }
    const client = releasing(
      HttpClient.transformResponse(
        yield* HttpClient.HttpClient,
        Effect.provideService(FetchHttpClient.RequestInit, init)
      )
    )
    lengthless.add(client)
    return client
  })
).pipe(Layer.provide(FetchHttpClient.layer))

const lengthless = new WeakSet<HttpClient.HttpClient>()

/** Whether a client says how long a stream is that it sends, if that is known. */
export const sendsLength = (client: HttpClient.HttpClient): boolean => !lengthless.has(client)

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
                HttpClientRequest.setBody(
                  request,
                  HttpBody.stream(stream, body.contentType, body.contentLength)
                )
              ),
              (exit) => (Exit.isSuccess(exit) ? Effect.void : Deferred.succeed(aborted, undefined))
            )
          })
        : client.execute(request)
    }),
    Effect.succeed
  )
}
