/**
 * The answers of a registry server: every one says exactly how long it is, and its media type has
 * no parameters (R6, trap 75). A failure becomes the status and the error code that the
 * specification has for it (R40).
 */
import type { RequestError } from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import type { Operation } from "../../protocol/Operation.js"
import type {
  BlobUnknown,
  BodyNotReplayable,
  CommonError,
  DigestMismatch,
  InvalidDigest,
  InvalidManifest,
  ManifestUnknown,
  MediaTypeMismatch,
  NameUnknown,
  RangeMismatch,
  SizeMismatch,
  Unsupported,
  UploadUnknown
} from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"

/**
 * A request that is answered with an error: its `status`, one error of the registry's list, and
 * headers that belong to the answer.
 */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly status: number
  readonly code: string
  readonly message: string
  readonly detail?: unknown
  readonly headers?: Readonly<Record<string, string>>
}> {}

/**
 * All that serving one request can fail with: what any registry operation can, a request body that
 * breaks off, and a refusal of the server's own.
 */
export type Failure =
  | BlobUnknown
  | BodyNotReplayable
  | CommonError
  | DigestMismatch
  | InvalidDigest
  | InvalidManifest
  | ManifestUnknown
  | MediaTypeMismatch
  | NameUnknown
  | RangeMismatch
  | Refusal
  | RequestError
  | SizeMismatch
  | Unsupported
  | UploadUnknown

type Headers = Readonly<Record<string, string>>

/**
 * An answer without a body. It says `Content-Length: 0`, except a 204, which must not have the
 * field (RFC 9110 section 8.6).
 */
export const empty = (
  status: number,
  headers: Headers = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status,
    headers: status === 204 ? headers : { ...headers, "content-length": "0" }
  })

/** The answer to a HEAD for content of `size` bytes (R10). */
export const head = (
  size: number,
  mediaType: string,
  headers: Headers
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 200,
    headers: { ...headers, "content-type": mediaType, "content-length": String(size) }
  })

/** An answer with these bytes. */
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
 * An answer with a stream of `size` bytes, read as fast as the client takes them. When it fails, or
 * has another size, the connection breaks: a client that was promised `size` bytes would wait for
 * them, or take the next response for them.
 */
export const stream = <E>(
  request: HttpServerRequest,
  status: number,
  body: Stream.Stream<Uint8Array, E>,
  size: number,
  headers: Headers
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    Stream.tapErrorCause(ByteStream.verify(body, { size }), () =>
      Effect.sync(() => breakOff(request))
    ),
    {
      status,
      contentType: MediaType.octetStream,
      headers: { ...headers, "content-length": String(size) }
    }
  )

/**
 * The platform ends a response whose body fails as if it were complete. Node's request can close the
 * connection; a web response whose body fails is broken as it is.
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

/** An answer in JSON. */
export const json = (
  status: number,
  value: unknown,
  headers: Headers = {}
): HttpServerResponse.HttpServerResponse =>
  bytes(status, new TextEncoder().encode(JSON.stringify(value)), "application/json", headers)

/** The answer to a refused request. */
export const refused = ({
  code,
  detail,
  headers,
  message,
  status
}: Refusal): HttpServerResponse.HttpServerResponse => {
  const body = ErrorBody.encode([{ code, message, ...(detail === undefined ? {} : { detail }) }])
  return bytes(status, new TextEncoder().encode(body), "application/json", headers)
}

/**
 * The response with the header that every response of a registry has. Docker 20.10 takes what
 * answers 401 without it for no registry.
 */
export const withVersion = (
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeader(response, "docker-distribution-api-version", "registry/2.0")

/** The header that names the digest of the content (R4). */
export const contentDigest = (digest: Digest): Headers => ({ "docker-content-digest": digest })

/**
 * Operations whose body came from the client: content that does not verify is its mistake, and the
 * registry's in all others.
 */
const uploads = new Set<Operation["_tag"]>([
  "PutManifest",
  "UploadBlob",
  "PutBlob",
  "UploadChunk",
  "CompleteUpload"
])

/**
 * What a failure of an operation means to the client. A registry behind this server that fails, or
 * does not let the server in, is a bad gateway; the messages about it say nothing of where it is or
 * how it is reached.
 */
export const refusal = (failure: Failure, operation: Operation["_tag"]): Refusal => {
  const fromClient = uploads.has(operation)
  switch (failure._tag) {
    case "Refusal":
      return failure
    case "NameUnknown":
      return new Refusal({
        status: 404,
        code: "NAME_UNKNOWN",
        message: `Repository ${failure.repository} is unknown`
      })
    case "ManifestUnknown":
      return new Refusal({
        status: 404,
        code: "MANIFEST_UNKNOWN",
        message: `Repository ${failure.repository} has no manifest ${failure.reference}`
      })
    case "BlobUnknown": // distribution answers 400 to a manifest with missing content (R12)
      return operation === "PutManifest"
        ? new Refusal({
            status: 400,
            code: "MANIFEST_BLOB_UNKNOWN",
            message: `The manifest refers to content that repository ${failure.repository} lacks`,
            ...(failure.digest === undefined ? {} : { detail: { digest: failure.digest } })
          })
        : new Refusal({
            status: 404,
            code: "BLOB_UNKNOWN",
            message: `Repository ${failure.repository} has no such blob`
          })
    case "UploadUnknown":
      return new Refusal({
        status: 404,
        code: "BLOB_UPLOAD_UNKNOWN",
        message: "The upload does not exist: it was finished or cancelled, or it timed out"
      })
    case "InvalidDigest":
      return new Refusal({ status: 400, code: "DIGEST_INVALID", message: failure.message })
    case "InvalidManifest":
    case "MediaTypeMismatch":
      return fromClient
        ? new Refusal({ status: 400, code: "MANIFEST_INVALID", message: failure.message })
        : badGateway
    case "DigestMismatch":
      return fromClient
        ? new Refusal({
            status: 400,
            code: "DIGEST_INVALID",
            message: `The content does not have digest ${failure.expected}${failure.actual === undefined ? "" : ` but ${failure.actual}`}`
          })
        : badGateway
    case "SizeMismatch":
      return fromClient
        ? new Refusal({
            status: 400,
            code: "SIZE_INVALID",
            message: `The content does not have the ${failure.expected} bytes that were announced`
          })
        : badGateway
    case "RangeMismatch":
      return fromClient
        ? new Refusal({
            status: 416,
            code: "BLOB_UPLOAD_INVALID",
            message: "The chunk does not continue the upload"
          })
        : badGateway
    case "RequestError":
      return new Refusal({
        status: 400,
        code: "BLOB_UPLOAD_INVALID",
        message: "The body of the request broke off"
      })
    case "Denied":
      return new Refusal({ status: 403, code: "DENIED", message: "This operation is not allowed" })
    case "Unsupported":
      return operation === "Ping"
        ? new Refusal({ status: 404, code: "UNSUPPORTED", message: "There is no registry here" })
        : new Refusal({
            status: 405,
            code: "UNSUPPORTED",
            message: "This operation is not supported"
          })
    case "TooManyRequests":
      return new Refusal({
        status: 429,
        code: "TOOMANYREQUESTS",
        message: "Too many requests",
        ...(failure.retryAfter === undefined
          ? {}
          : { headers: { "retry-after": String(Math.ceil(failure.retryAfter / 1000)) } })
      })
    case "StorageFailure":
      return new Refusal({ status: 500, code: "UNKNOWN", message: "The registry's storage failed" })
    case "BodyNotReplayable": // the registry behind asked for the body again; the client can send it again
      return new Refusal({
        status: 503,
        code: "UNAVAILABLE",
        message: "The upload was interrupted: send it again"
      })
    case "TransportFailure":
      return failure.reason === "Timeout" || failure.reason === "Stall"
        ? new Refusal({
            status: 504,
            code: "UNAVAILABLE",
            message: "The registry behind this server did not answer"
          })
        : badGateway
    case "RegistryFailure": // a limit of the registry behind is the client's affair
      return failure.status === 413 && fromClient
        ? new Refusal({
            status: 413,
            code: operation === "PutManifest" ? "MANIFEST_INVALID" : "SIZE_INVALID",
            message: "The registry does not take this much"
          })
        : badGateway
    case "Unauthorized":
    case "CredentialsFailure":
    case "ProtocolViolation":
    case "UntrustedLocation":
    case "LimitExceeded":
      return badGateway
  }
}

const badGateway = new Refusal({
  status: 502,
  code: "UNAVAILABLE",
  message: "The registry behind this server failed"
})
