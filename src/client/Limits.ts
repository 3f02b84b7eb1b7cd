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
import { isTransientStatus, LimitExceeded, TransportFailure } from "../RegistryError.js"
import { onTurn } from "./Turns.js"
import * as Watchdog from "./Watchdog.js"

/**
 * Upper bounds on what a registry may send (T4, T6). Going over one is `LimitExceeded`, never a truncated value.
 *
 * - `manifest`: bytes of a manifest, 8 MiB by default (C70).
 * - `page`: bytes of one page of a list, 8 MiB.
 * - `pages`: pages of one list, 10,000.
 * - `items`: entries of one list, 1,000,000.
 * - `headers`: bytes of the header section of an answer, names and values, 64 KiB. The HTTP client may have a lower limit.
 * - `redirects`: redirects of one request, 10.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  readonly manifest: number
  readonly page: number
  readonly pages: number
  readonly items: number
  readonly headers: number
  readonly redirects: number
}

/**
 * How long to wait.
 *
 * - `response`: until an answer begins, for each request, 60 seconds by default. Only the registry is waited for: while a stream is sent, the time
 *   since it took what there was. A body in memory has a second more for each 64 KiB.
 * - `overall`: for all of an exchange in which no blob travels, its redirects, token requests and the document at the end included, 2 minutes. Blobs
 *   take as long as they keep moving.
 *
 * Either may be overrun by a second. The time to connect is a setting of the HTTP client, and counts as waiting for an answer here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  readonly response: Duration.DurationInput
  readonly overall: Duration.DurationInput
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
  items: 1_000_000,
  headers: 64 * 1024,
  redirects: 10
}

/**
 * The values documented with the type.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultTimeouts: Timeouts = { response: Duration.seconds(60), overall: Duration.minutes(2) }

/** Of an answer that is not wanted, as much is read as keeps its connection usable. */
const discardable = 64 * 1024

/**
 * What bounds one exchange: the limits, the milliseconds until an answer must begin, the time (in milliseconds of the clock) when all must be over, and
 * who watches both.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bounds {
  readonly limits: Limits
  readonly response: number
  readonly until: number
  readonly watchdog: Watchdog.Watchdog
}

/**
 * The client with its failures typed and its answers bounded in time and in the size of their headers. No span and no trace header of its own: the
 * default ones would carry signed URLs and reach strangers (T13).
 *
 * @since 0.1.0
 * @category combinators
 */
export const limited =
  (bounds: Bounds) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient.With<TransportFailure | LimitExceeded> => {
    const silent = HttpClient.withTracerDisabledWhen(client, always)
    return HttpClient.makeWith<TransportFailure | LimitExceeded, never, TransportFailure | LimitExceeded, never>(
      Effect.flatMap((request) => exchange(silent, request, bounds)),
      Effect.succeed
    )
  }

const always = () => true

const exchange = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  bounds: Bounds
): Effect.Effect<HttpClientResponse, TransportFailure | LimitExceeded> =>
  Effect.flatMap(
    Watchdog.watch(
      bounds.watchdog,
      (deadline) => {
        const { body } = request
        const patience = bounds.response + (body._tag === "Uint8Array" ? body.contentLength / 65.536 : 0)
        const awaited = () => {
          deadline.at = Math.min(bounds.until, deadline.clock.unsafeCurrentTimeMillis() + patience)
        }
        awaited()
        return Effect.mapError(client.execute(observed(request, deadline, awaited)), (error) =>
          failure(request, error, bounds.limits)
        )
      },
      () => new TransportFailure({ ...facts(request), reason: "Timeout" })
    ),
    (response): Effect.Effect<HttpClientResponse, TransportFailure | LimitExceeded> => {
      // Plain http goes through proxies as it is; servers have no such status.
      if (response.status === 407)
        return Effect.zipRight(excerpt(response), Effect.fail(refusedByProxy(request, response.status)))
      let size = 0
      for (const [name, value] of Object.entries(response.headers)) size += name.length + value.length
      return size <= bounds.limits.headers
        ? Effect.succeed(response)
        : Effect.zipRight(excerpt(response), Effect.fail(tooManyHeaders(request, bounds.limits)))
    }
  )

/** A body is not late while its source is being waited for. */
const observed = (
  request: HttpClientRequest.HttpClientRequest,
  deadline: Watchdog.Deadline,
  awaited: () => void
): HttpClientRequest.HttpClientRequest => {
  const { body } = request
  if (body._tag !== "Stream") return request
  const asked = () => {
    deadline.at = Number.POSITIVE_INFINITY
  }
  const stream = onTurn(body.stream, { asked, given: awaited })
  return HttpClientRequest.setBody(request, HttpBody.stream(stream, body.contentType, body.contentLength))
}

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
        new TransportFailure({
          ...facts(response.request),
          status: response.status,
          reason: codeOf(cause) === "UND_ERR_BODY_TIMEOUT" ? "Stall" : "Reset",
          cause
        })
    )
  )

/**
 * The whole body of an answer that is a document, within `limit` bytes and the time of its exchange.
 *
 * @since 0.1.0
 * @category destructors
 */
export const document = (
  response: HttpClientResponse,
  limit: { readonly what: string; readonly limit: number; readonly option: string },
  bounds: Bounds
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> =>
  Watchdog.watch(
    bounds.watchdog,
    (deadline) => {
      deadline.at = bounds.until
      return ByteStream.collect(body(response), limit)
    },
    () => new TransportFailure({ ...facts(response.request), status: response.status, reason: "Stall" })
  ).pipe(
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
  error: HttpClientError,
  limits: Limits
): TransportFailure | LimitExceeded => {
  const code = codeOf(error.cause)
  if (code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW") return tooManyHeaders(request, limits)
  const refused = tunnelRefusal(error.cause)
  return refused === undefined
    ? new TransportFailure({ ...facts(request), reason: reasonOf(code), cause: error.cause })
    : refusedByProxy(request, refused, error.cause)
}

/** A proxy that cannot reach the server says so with a status of passing trouble. */
const refusedByProxy = (
  request: HttpClientRequest.HttpClientRequest,
  status: number,
  cause?: unknown
): TransportFailure =>
  new TransportFailure({
    ...facts(request),
    status,
    reason: isTransientStatus(status) ? "Connect" : "Proxy",
    ...(cause !== undefined && { cause })
  })

/** The status that a proxy answered to CONNECT with, of which undici tells in words only. */
const tunnelRefusal = (cause: unknown): number | undefined => {
  if (typeof cause !== "object" || cause === null) return undefined
  const found =
    "message" in cause && typeof cause.message === "string"
      ? /^Proxy response \((\d{3})\) !== 200 when HTTP Tunneling$/.exec(cause.message)
      : null
  return found !== null ? Number(found[1]) : "cause" in cause ? tunnelRefusal(cause.cause) : undefined
}

const tooManyHeaders = (request: HttpClientRequest.HttpClientRequest, { headers }: Limits): LimitExceeded =>
  new LimitExceeded({
    ...facts(request),
    what: "The header section of the answer",
    limit: headers,
    option: "limits.headers"
  })

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
  if (/CERT|_TLS(_|$)|_SSL_|SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|^EPROTO$/.test(code)) return "Tls"
  return code === "UND_ERR_HEADERS_TIMEOUT" ? "Timeout" : "Reset"
}
