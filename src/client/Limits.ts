/**
 * The innermost step of the pipeline: what a request may cost. Every failure of the HTTP client becomes a `TransportFailure` here, every answer must
 * begin in time, and bodies are read under a limit.
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import { redact } from "../protocol/RedactedUrl.js"
import { LimitExceeded, TransportFailure } from "../RegistryError.js"

/**
 * Upper bounds on what a registry may send (T4, T6). Going over one is `LimitExceeded`, never a truncated value.
 *
 * - `manifest`: bytes of a manifest, 8 MiB by default (C70).
 * - `page`: bytes of one page of a list, 8 MiB.
 * - `pages`: pages of one list, 10,000.
 * - `redirects`: redirects of one request, 10.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  readonly manifest: number
  readonly page: number
  readonly pages: number
  readonly redirects: number
}

/**
 * How long to wait. `response`: until an answer begins, counted from the last byte of a request body that was taken, 60 seconds by default;
 * it also bounds the reading of a document. The time to connect is a setting of the HTTP client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  readonly response: Duration.DurationInput
}

/**
 * The values documented with the type.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultLimits: Limits = {
  manifest: 8 * 1024 * 1024,
  page: 8 * 1024 * 1024,
  pages: 10_000,
  redirects: 10
}

/**
 * The values documented with the type.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultTimeouts: Timeouts = { response: Duration.seconds(60) }

/** Of an answer that is not wanted, as much is read as keeps its connection usable. */
const discardable = 64 * 1024

/**
 * The client with its failures typed and its answers bounded in time. No span and no trace header of its own: the default ones would carry signed
 * URLs and reach strangers (T13).
 *
 * @since 0.1.0
 * @category combinators
 */
export const limited =
  (timeouts: Timeouts) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient.With<TransportFailure | LimitExceeded> => {
    const silent = HttpClient.withTracerDisabledWhen(client, () => true)
    return HttpClient.makeWith<TransportFailure | LimitExceeded, never, TransportFailure | LimitExceeded, never>(
      Effect.flatMap((request) => exchange(silent, request, Duration.decode(timeouts.response))),
      Effect.succeed
    )
  }

const exchange = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  timeout: Duration.Duration
): Effect.Effect<HttpClientResponse, TransportFailure | LimitExceeded> =>
  Effect.suspend(() => {
    const { body } = request
    let taken = 0
    const counted =
      body._tag === "Stream"
        ? HttpClientRequest.setBody(
            request,
            HttpBody.stream(
              ByteStream.tap(body.stream, () => {
                taken++
              }),
              body.contentType,
              body.contentLength
            )
          )
        : request
    const silence = (before: number): Effect.Effect<never, TransportFailure> =>
      Effect.flatMap(Effect.sleep(timeout), () =>
        taken === before ? Effect.fail(new TransportFailure({ ...facts(request), reason: "Timeout" })) : silence(taken)
      )
    return Effect.raceFirst(
      Effect.mapError(client.execute(counted), (error) => failure(request, error)),
      Effect.suspend(() => silence(taken))
    )
  })

/**
 * The body of an answer, its failures typed. The chunks are plain `Uint8Array`s, on Node too, whose `Buffer` has another `slice`.
 *
 * @since 0.1.0
 * @category destructors
 */
export const body = (response: HttpClientResponse): Stream.Stream<Uint8Array, TransportFailure> =>
  response.stream.pipe(
    Stream.mapChunks(Chunk.map((bytes) => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    Stream.mapError(
      ({ cause }) =>
        new TransportFailure({ ...facts(response.request), status: response.status, reason: "Reset", cause })
    )
  )

/**
 * The whole body of an answer that is a document, within `limit` bytes and the response timeout.
 *
 * @since 0.1.0
 * @category destructors
 */
export const document = (
  response: HttpClientResponse,
  limit: { readonly what: string; readonly limit: number; readonly option: string },
  timeouts: Timeouts
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> =>
  ByteStream.collect(body(response), limit).pipe(
    Effect.timeoutFail({
      duration: timeouts.response,
      onTimeout: () => new TransportFailure({ ...facts(response.request), status: response.status, reason: "Stall" })
    }),
    Effect.mapError((error) =>
      error._tag === "LimitExceeded"
        ? new LimitExceeded({ ...error, ...facts(response.request), status: response.status })
        : error
    )
  )

/**
 * The first 64 KiB of a body whose rest is of no interest, such as that of an error: what could be read of it, without failing. The connection can
 * be used again if that was all, and is closed if not.
 *
 * @since 0.1.0
 * @category destructors
 */
export const excerpt = (response: HttpClientResponse): Effect.Effect<Uint8Array> =>
  response.headers["content-length"] === "0" || response.status === 204 || response.request.method === "HEAD"
    ? Effect.succeed(new Uint8Array())
    : Effect.suspend(() => {
        const parts: Array<Uint8Array> = []
        let count = 0
        return Stream.runForEachWhile(body(response), (bytes) => {
          parts.push(bytes.subarray(0, discardable - count))
          count += bytes.length
          return Effect.succeed(count < discardable)
        }).pipe(
          Effect.timeout(Duration.seconds(5)),
          Effect.ignore,
          Effect.map(() => ByteStream.concat(parts))
        )
      })

/** The facts of an exchange that an error may show. */
const facts = (request: HttpClientRequest.HttpClientRequest) => ({ method: request.method, url: redact(request.url) })

/** The platform's error holds the request with its credentials, so only the cause beneath it is kept (T13). */
const failure = (
  request: HttpClientRequest.HttpClientRequest,
  error: HttpClientError
): TransportFailure | LimitExceeded => {
  const code = codeOf(error.cause)
  return code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW"
    ? new LimitExceeded({ ...facts(request), what: "The header section of the answer", limit: 16_384 })
    : new TransportFailure({ ...facts(request), reason: reasonOf(code), cause: error.cause })
}

const codeOf = (cause: unknown): string => {
  if (typeof cause !== "object" || cause === null) return ""
  if ("code" in cause && typeof cause.code === "string") return cause.code
  return "cause" in cause ? codeOf(cause.cause) : ""
}

const connecting = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT"
])

const reasonOf = (code: string): TransportFailure["reason"] => {
  if (connecting.has(code)) return "Connect"
  if (/CERT|_TLS_|_SSL_|SIGNATURE|^EPROTO$/.test(code)) return "Tls"
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT" ? "Timeout" : "Reset"
}
