/**
 * The responses of a registry server: each says exactly how long it is, and its media type has no
 * parameters (R6, trap 75), but for the boundary of several ranges.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { Digest } from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"

type Headers = Readonly<Record<string, string>>

/**
 * Returns a response without a body. It says `Content-Length: 0`, except a 204, which must not have
 * the field (RFC 9110 section 8.6).
 */
export const empty = (
  status: number,
  headers: Headers = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status,
    headers: status === 204 ? headers : { ...headers, "content-length": "0" }
  })

/** Returns the response to a HEAD for content of `size` bytes (R10). */
export const head = (
  size: number,
  mediaType: string,
  headers: Headers
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 200,
    headers: { ...headers, "content-type": mediaType, "content-length": String(size) }
  })

/** Returns the response to a condition that says that the client has the content (304). */
export const notModified = (headers: Headers): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({ status: 304, headers })

/** Returns a response with these bytes. */
export const bytes = (
  status: number,
  body: Uint8Array,
  mediaType: string,
  headers: Headers = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.uint8Array(body, {
    status,
    headers: { ...headers, "content-type": mediaType, "content-length": String(body.length) }
  })

/**
 * Returns a response with a stream of `size` bytes, read as fast as the client takes them. When it
 * fails, or has another size, the connection breaks: a client that was promised `size` bytes would
 * wait for them, or take the next response for them.
 */
export const stream = <E>(
  request: HttpServerRequest,
  status: number,
  body: Stream.Stream<Uint8Array, E>,
  size: number,
  headers: Headers,
  mediaType: string = MediaType.octetStream
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    Stream.tapErrorCause(ByteStream.verify(body, { size }), () =>
      Effect.sync(() => breakOff(request))
    ),
    {
      status,
      contentType: mediaType,
      headers: { ...headers, "content-length": String(size) }
    }
  )

/**
 * The platform ends a response whose body fails as if it were complete. Node's request can close
 * the connection; a web response whose body fails is broken as it is.
 */
const breakOff = ({ source }: HttpServerRequest): void => {
  if (
    typeof source === "object" &&
    source !== null &&
    "destroy" in source &&
    typeof source.destroy === "function"
  )
    source.destroy()
}

/** Returns a response in JSON. */
export const json = (
  status: number,
  value: unknown,
  headers: Headers = {}
): HttpServerResponse.HttpServerResponse =>
  bytes(status, new TextEncoder().encode(JSON.stringify(value)), "application/json", headers)

/**
 * Adds the header that every response of a registry has. Docker 20.10 does not take a server that
 * responds with 401 and without it for a registry.
 */
export const withVersion = (
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse =>
  withHeader(response, "docker-distribution-api-version", "registry/2.0")

/** Adds a header. */
export const withHeader: (
  response: HttpServerResponse.HttpServerResponse,
  name: string,
  value: string
) => HttpServerResponse.HttpServerResponse = HttpServerResponse.setHeader

/** Returns the header that names the digest of the content (R4). */
export const contentDigest = (digest: Digest): Headers => ({ "docker-content-digest": digest })
