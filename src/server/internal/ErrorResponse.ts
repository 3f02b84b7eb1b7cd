/**
 * The errors of a registry server: what a failure means to the client, as the status and the error
 * code that the specification has for it (R40).
 */
import type { RequestError } from "@effect/platform/HttpServerError"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
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
  PreconditionFailed,
  RangeMismatch,
  SizeMismatch,
  Unsupported,
  UploadUnknown
} from "../../RegistryError.js"
import * as ServerResponse from "./ServerResponse.js"

/** An error as the client sees it: a status, one error of the registry's list, and headers. */
export class ErrorResponse extends Data.TaggedError("ErrorResponse")<{
  readonly status: number
  readonly code: string
  readonly message: string
  readonly detail?: unknown
  readonly headers?: Readonly<Record<string, string>>
}> {}

/**
 * What serving one request can fail with: what any operation of a registry can, a request body that
 * breaks off, and an error of the server's own.
 */
export type Failure =
  | BlobUnknown
  | BodyNotReplayable
  | CommonError
  | DigestMismatch
  | ErrorResponse
  | InvalidDigest
  | InvalidManifest
  | ManifestUnknown
  | MediaTypeMismatch
  | NameUnknown
  | PreconditionFailed
  | RangeMismatch
  | RequestError
  | SizeMismatch
  | Unsupported
  | UploadUnknown

/** Returns the response that carries the error. */
export const toResponse = ({
  code,
  detail,
  headers,
  message,
  status
}: ErrorResponse): HttpServerResponse => {
  const body = ErrorBody.encode([{ code, message, ...(detail === undefined ? {} : { detail }) }])
  return ServerResponse.bytes(status, new TextEncoder().encode(body), "application/json", headers)
}

/**
 * Returns what a failure of an operation means to the client. A registry behind this server that
 * fails, or does not let the server in, is a bad gateway; the messages about it say nothing of
 * where it is or how it is reached.
 */
export const fromFailure = (failure: Failure, operation: Operation["_tag"]): ErrorResponse => {
  switch (failure._tag) {
    case "ErrorResponse":
      return failure
    case "NameUnknown":
    case "ManifestUnknown":
    case "BlobUnknown":
    case "UploadUnknown":
      return ofUnknown(failure, operation)
    case "InvalidManifest":
    case "MediaTypeMismatch":
    case "DigestMismatch":
    case "SizeMismatch":
    case "RangeMismatch":
      return uploads.has(operation) ? ofContent(failure) : badGateway
    case "InvalidDigest":
      return new ErrorResponse({ status: 400, code: "DIGEST_INVALID", message: failure.message })
    case "PreconditionFailed":
      return ofPrecondition(failure)
    case "RequestError":
      return new ErrorResponse({
        status: 400,
        code: "BLOB_UPLOAD_INVALID",
        message: "The body of the request broke off"
      })
    default:
      return ofRegistry(failure, operation)
  }
}

/** Operations whose body came from the client: what is wrong with it is the client's mistake. */
const uploads: ReadonlySet<Operation["_tag"]> = new Set([
  "PutManifest",
  "UploadBlob",
  "PutBlob",
  "UploadChunk",
  "CompleteUpload"
])

const ofUnknown = (
  failure: NameUnknown | ManifestUnknown | BlobUnknown | UploadUnknown,
  operation: Operation["_tag"]
): ErrorResponse => {
  switch (failure._tag) {
    case "NameUnknown":
      return new ErrorResponse({
        status: 404,
        code: "NAME_UNKNOWN",
        message: `Repository ${failure.repository} is unknown`
      })
    case "ManifestUnknown":
      return new ErrorResponse({
        status: 404,
        code: "MANIFEST_UNKNOWN",
        message: `Repository ${failure.repository} has no manifest ${failure.reference}`
      })
    case "BlobUnknown": // distribution answers 400 to a manifest with missing content (R12)
      return operation === "PutManifest"
        ? new ErrorResponse({
            status: 400,
            code: "MANIFEST_BLOB_UNKNOWN",
            message: `The manifest refers to content that repository ${failure.repository} lacks`,
            ...(failure.digest === undefined ? {} : { detail: { digest: failure.digest } })
          })
        : new ErrorResponse({
            status: 404,
            code: "BLOB_UNKNOWN",
            message: `Repository ${failure.repository} has no such blob`
          })
    case "UploadUnknown":
      return new ErrorResponse({
        status: 404,
        code: "BLOB_UPLOAD_UNKNOWN",
        message: "The upload does not exist: it was finished or cancelled, or it timed out"
      })
  }
}

/**
 * The error of a condition that does not hold. The specification has no code for it, and leaves
 * room for others.
 */
export const preconditionFailed = (message: string, detail?: unknown): ErrorResponse =>
  new ErrorResponse({ status: 412, code: "PRECONDITION_FAILED", message, detail })

const ofPrecondition = ({ actual, expected, reason, tag }: PreconditionFailed): ErrorResponse =>
  preconditionFailed(
    {
      Changed: `Tag ${tag} is not ${expected}: nothing was put`,
      LostRace: `Tag ${tag} was put, and another writer has replaced it`,
      Unconfirmed: `Tag ${tag} was put, and still reads as before`
    }[reason],
    { tag, expected, ...(actual !== undefined && { actual }) }
  )

const ofContent = (
  failure: InvalidManifest | MediaTypeMismatch | DigestMismatch | SizeMismatch | RangeMismatch
): ErrorResponse => {
  switch (failure._tag) {
    case "InvalidManifest":
    case "MediaTypeMismatch":
      return new ErrorResponse({ status: 400, code: "MANIFEST_INVALID", message: failure.message })
    case "DigestMismatch":
      return new ErrorResponse({
        status: 400,
        code: "DIGEST_INVALID",
        message: `The content does not have digest ${failure.expected} but ${failure.actual}`
      })
    case "SizeMismatch":
      return new ErrorResponse({
        status: 400,
        code: "SIZE_INVALID",
        message: `The content does not have the ${failure.expected} bytes that were announced`
      })
    case "RangeMismatch":
      return new ErrorResponse({
        status: 416,
        code: "BLOB_UPLOAD_INVALID",
        message: "The chunk does not continue the upload"
      })
  }
}

const ofRegistry = (
  failure: CommonError | Unsupported | BodyNotReplayable,
  operation: Operation["_tag"]
): ErrorResponse => {
  switch (failure._tag) {
    case "Denied":
      return new ErrorResponse({
        status: 403,
        code: "DENIED",
        message: "This operation is not allowed"
      })
    case "Unsupported":
      return operation === "Ping"
        ? new ErrorResponse({
            status: 404,
            code: "UNSUPPORTED",
            message: "There is no registry here"
          })
        : new ErrorResponse({
            status: 405,
            code: "UNSUPPORTED",
            message: "This operation is not supported"
          })
    case "TooManyRequests":
      return new ErrorResponse({
        status: 429,
        code: "TOOMANYREQUESTS",
        message: "Too many requests",
        ...(failure.retryAfter === undefined
          ? {}
          : { headers: { "retry-after": String(Math.ceil(failure.retryAfter / 1000)) } })
      })
    case "StorageFailure":
      return new ErrorResponse({
        status: 500,
        code: "UNKNOWN",
        message: "The registry's storage failed"
      })
    // The registry behind asked for the body again; the client can send it again.
    case "BodyNotReplayable":
      return new ErrorResponse({
        status: 503,
        code: "UNAVAILABLE",
        message: "The upload was interrupted: send it again"
      })
    case "TransportFailure":
      return failure.reason === "Timeout" || failure.reason === "Stall"
        ? new ErrorResponse({
            status: 504,
            code: "UNAVAILABLE",
            message: "The registry behind this server did not respond"
          })
        : badGateway
    case "LimitExceeded": // of this registry, and not of one behind it (V12)
      return failure.url === undefined ? tooLarge(operation) : badGateway
    case "RegistryFailure": // a limit of the registry behind is the client's affair
      return failure.status === 413 && uploads.has(operation) ? tooLarge(operation) : badGateway
    default:
      return badGateway
  }
}

const tooLarge = (operation: Operation["_tag"]): ErrorResponse =>
  new ErrorResponse({
    status: 413,
    code: operation === "PutManifest" ? "MANIFEST_INVALID" : "SIZE_INVALID",
    message: "The registry does not take this much"
  })

const badGateway = new ErrorResponse({
  status: 502,
  code: "UNAVAILABLE",
  message: "The registry behind this server failed"
})
