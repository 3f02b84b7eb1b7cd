/**
 * Everything a registry operation can fail with, as typed errors. Those about one request carry its
 * method, its redacted URL, the status and the registry's own error list; no error holds a secret,
 * a signed query or an unbounded text from a server.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  exchange,
  ofTransport,
  ofUnauthorized,
  ofUntrusted,
  sentence
} from "./internal/ErrorMessage.js"
import { Challenge } from "./protocol/Challenge.js"
import type { ErrorInfo } from "./protocol/ErrorBody.js"
import type * as Trust from "./protocol/Trust.js"
import type { InvalidReference } from "./spec/Reference.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidDigest
} from "./spec/Digest.js"
export {
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidManifest,
  /**
   * @since 0.1.0
   * @category errors
   */
  MediaTypeMismatch
} from "./spec/Manifest.js"
export {
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidReference
} from "./spec/Reference.js"

/**
 * The facts of one exchange, as the errors of this module carry them: `url` is redacted, `errors`
 * is the registry's own list with open codes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Exchange {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly status?: number | undefined
  readonly errors?: ReadonlyArray<ErrorInfo> | undefined
}

// -----------------------------------------------------------------------------
// Authorization
// -----------------------------------------------------------------------------

/**
 * Occurs when the registry answers 401, with its parsed challenges ([RFC 9110 section
 * 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)) and the scopes that the request
 * needs. Seen by callers of `RegistryClient.attempt`; everything above it answers the challenge or
 * reports `Unauthorized`. `answerable` tells whether another attempt would send something that was
 * not refused yet: a credential, a new token, one for more scopes. One that a token server gave no
 * token for has the facts of that server's answer, and is not answerable.
 *
 * @since 0.1.0
 * @category errors
 */
export class AuthChallenge extends Schema.TaggedError<AuthChallenge>("effect-oci/AuthChallenge")(
  "AuthChallenge",
  {
    ...exchange,
    origin: Schema.String,
    challenges: Schema.Array(Challenge),
    scopes: Schema.Array(Schema.String),
    sent: Schema.Literal("nothing", "basic", "bearer"),
    answerable: Schema.Boolean
  }
) {
  override get message(): string {
    const schemes = this.challenges.map((challenge) => challenge.scheme).join(", ")
    const named = schemes === "" ? " without naming a scheme" : ` (${schemes})`
    return sentence(`${this.origin} asks for authorization${named}`, this)
  }
}

/**
 * Occurs when a `challenge` could not be answered. `Challenge`: the registry keeps answering 401 to
 * what the credentials source offers (which may be nothing); `TokenServer`: the token server
 * refused or gave no usable token for the request that `operation` names, as in `GET https://…`.
 * Log in again, or supply other `Credentials`.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("effect-oci/Unauthorized")(
  "Unauthorized",
  {
    ...exchange,
    reason: Schema.Literal("Challenge", "TokenServer"),
    origin: Schema.String,
    operation: Schema.optional(Schema.String),
    challenge: Schema.optional(AuthChallenge)
  }
) {
  override get message(): string {
    return sentence(ofUnauthorized(this), this)
  }
}

/**
 * Occurs when the registry understands who is asking and refuses (403, or `DENIED`).
 *
 * @since 0.1.0
 * @category errors
 */
export class Denied extends Schema.TaggedError<Denied>("effect-oci/Denied")("Denied", exchange) {
  override get message(): string {
    return sentence("The registry refuses this operation to the current credentials", this)
  }
}

/**
 * Occurs when a source of credentials is broken: a file that does not parse, a helper that fails.
 * `source` names it, `fix` says what to do.
 *
 * @since 0.1.0
 * @category errors
 */
export class CredentialsFailure extends Schema.TaggedError<CredentialsFailure>(
  "effect-oci/CredentialsFailure"
)("CredentialsFailure", {
  source: Schema.String,
  problem: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `Credentials from ${this.source}: ${this.problem}. ${this.fix}`
  }
}

// -----------------------------------------------------------------------------
// Absence
// -----------------------------------------------------------------------------

/**
 * Occurs when the registry does not know the repository, or does not show it to the current
 * credentials (404, `NAME_UNKNOWN`).
 *
 * @since 0.1.0
 * @category errors
 */
export class NameUnknown extends Schema.TaggedError<NameUnknown>("effect-oci/NameUnknown")(
  "NameUnknown",
  {
    ...exchange,
    repository: Schema.String
  }
) {
  override get message(): string {
    return sentence(`Repository ${this.repository} is unknown`, this)
  }
}

/**
 * Occurs when the repository has no such manifest (404, `MANIFEST_UNKNOWN`). `reference` is the tag
 * or digest asked for.
 *
 * @since 0.1.0
 * @category errors
 */
export class ManifestUnknown extends Schema.TaggedError<ManifestUnknown>(
  "effect-oci/ManifestUnknown"
)("ManifestUnknown", {
  ...exchange,
  repository: Schema.String,
  reference: Schema.String
}) {
  override get message(): string {
    return sentence(`Repository ${this.repository} has no manifest ${this.reference}`, this)
  }
}

/**
 * Occurs when the repository has no such blob (404, `BLOB_UNKNOWN`), or a pushed manifest refers to
 * one that it does not have (`MANIFEST_BLOB_UNKNOWN`); `digest` is absent when the registry does
 * not say which.
 *
 * @since 0.1.0
 * @category errors
 */
export class BlobUnknown extends Schema.TaggedError<BlobUnknown>("effect-oci/BlobUnknown")(
  "BlobUnknown",
  {
    ...exchange,
    repository: Schema.String,
    digest: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    return sentence(
      `Repository ${this.repository} lacks ` +
        (this.digest === undefined ? "content that the manifest refers to" : `blob ${this.digest}`),
      this
    )
  }
}

/**
 * Occurs when the upload session is gone: finished, cancelled or timed out (404,
 * `BLOB_UPLOAD_UNKNOWN`). Start a new one.
 *
 * @since 0.1.0
 * @category errors
 */
export class UploadUnknown extends Schema.TaggedError<UploadUnknown>("effect-oci/UploadUnknown")(
  "UploadUnknown",
  {
    ...exchange,
    repository: Schema.String
  }
) {
  override get message(): string {
    return sentence(
      `The upload session in ${this.repository} no longer exists: start a new upload`,
      this
    )
  }
}

// -----------------------------------------------------------------------------
// Refusals
// -----------------------------------------------------------------------------

/**
 * Occurs when the registry still limits the rate of requests (429) after the retries were spent.
 * `retryAfter` is the wait the registry asked for, in milliseconds; `limit` and `remaining` are its
 * `RateLimit` headers as sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>(
  "effect-oci/TooManyRequests"
)("TooManyRequests", {
  ...exchange,
  retryAfter: Schema.optional(Schema.Number),
  limit: Schema.optional(Schema.String),
  remaining: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return sentence(
      "The registry limits the rate of requests" +
        (this.retryAfter === undefined
          ? ""
          : `; try again in ${Math.ceil(this.retryAfter / 1000)} s`),
      this
    )
  }
}

/**
 * Occurs when the registry does not offer this (405, `UNSUPPORTED`, or a path it does not route).
 * `operation` names what was asked for.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unsupported extends Schema.TaggedError<Unsupported>("effect-oci/Unsupported")(
  "Unsupported",
  {
    ...exchange,
    operation: Schema.String
  }
) {
  override get message(): string {
    return sentence(`The registry does not support ${this.operation}`, this)
  }
}

/**
 * Occurs for any other response that is not a success. `snippet` is at most 512 characters of its
 * body, without control characters; `retryAfter` the wait it asked for, in milliseconds.
 *
 * @since 0.1.0
 * @category errors
 */
export class RegistryFailure extends Schema.TaggedError<RegistryFailure>(
  "effect-oci/RegistryFailure"
)("RegistryFailure", {
  ...exchange,
  snippet: Schema.optional(Schema.String),
  retryAfter: Schema.optional(Schema.Number)
}) {
  override get message(): string {
    const facts = this.errors === undefined || this.errors.length === 0
    return sentence(
      facts && this.snippet !== undefined && this.snippet !== ""
        ? `The registry failed: ${this.snippet}`
        : "The registry failed",
      this
    )
  }
}

// -----------------------------------------------------------------------------
// Verification
// -----------------------------------------------------------------------------

/**
 * Occurs when content does not have the digest that it was asked for or declared with ([image-spec,
 * Digests](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests)). The
 * bytes must not be used. `actual` is absent where the registry says so (`DIGEST_INVALID`) without
 * naming the digest that it found. `manifest` is the reference of an artifact that was to be pushed
 * under another digest than its own.
 *
 * @since 0.1.0
 * @category errors
 */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>("effect-oci/DigestMismatch")(
  "DigestMismatch",
  {
    ...exchange,
    manifest: Schema.optional(Schema.String),
    expected: Schema.String,
    actual: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    if (this.manifest !== undefined)
      return `The manifest for ${this.manifest} has the digest ${this.actual ?? "of other content"}`
    return sentence(
      `Content was expected to have digest ${this.expected} and has ${this.actual ?? "another"}: ` +
        "it was corrupted or replaced, and is not to be trusted",
      this
    )
  }
}

/**
 * Occurs when content is not as long as its descriptor or declaration says ([image-spec,
 * Verification](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#verification)).
 * Both in bytes; `actual` counts up to the first excess byte.
 *
 * @since 0.1.0
 * @category errors
 */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>("effect-oci/SizeMismatch")(
  "SizeMismatch",
  {
    ...exchange,
    expected: Schema.Number,
    actual: Schema.Number
  }
) {
  override get message(): string {
    return sentence(
      `Content was expected to have ${this.expected} bytes and has ` +
        (this.actual > this.expected ? "more" : `only ${this.actual}`),
      this
    )
  }
}

/**
 * Occurs when the range of a response is not the range asked for: `expected` and `actual` are as on
 * the wire, and empty where none was asked for or named. Or `expected` is not a range, and nothing
 * was asked: then there is no status.
 *
 * @since 0.1.0
 * @category errors
 */
export class RangeMismatch extends Schema.TaggedError<RangeMismatch>("effect-oci/RangeMismatch")(
  "RangeMismatch",
  {
    ...exchange,
    expected: Schema.String,
    actual: Schema.String
  }
) {
  override get message(): string {
    const wanted = this.expected === "" ? "no range" : `range ${this.expected}`
    return this.status === undefined && this.actual === ""
      ? `${this.expected} is not a range: it takes whole numbers, none negative, ` +
          "and an end that is not before the start"
      : sentence(
          `The registry was asked for ${wanted} and speaks of ${this.actual || "none"}`,
          this
        )
  }
}

/**
 * Occurs when there is more than a limit allows: bytes of a document, items of a list, pages,
 * redirects. Nothing is ever truncated to fit. `option` is the setting that raises the limit.
 *
 * @since 0.1.0
 * @category errors
 */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>("effect-oci/LimitExceeded")(
  "LimitExceeded",
  {
    ...exchange,
    what: Schema.String,
    limit: Schema.Number,
    option: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    return sentence(
      `${this.what} exceeds the limit of ${this.limit}` +
        (this.option === undefined ? "" : ` (option ${this.option})`),
      this
    )
  }
}

// -----------------------------------------------------------------------------
// Transport
// -----------------------------------------------------------------------------

/**
 * Occurs when a server supplies a URL that the trust policy refuses to follow. `host` is where it
 * leads; `option` is the allow-list that would permit it, if any would.
 *
 * @since 0.1.0
 * @category errors
 */
export class UntrustedLocation extends Schema.TaggedError<UntrustedLocation>(
  "effect-oci/UntrustedLocation"
)("UntrustedLocation", {
  ...exchange,
  kind: Schema.Literal("Redirect", "Upload", "Link", "Realm", "Layer"),
  host: Schema.String,
  reason: Schema.String,
  option: Schema.optional(Schema.String)
}) {
  /** The error of a URL that `Trust.decide` refused. */
  static readonly from = (
    kind: UntrustedLocation["kind"],
    refused: Extract<Trust.Decision, { readonly _tag: "Refused" }>,
    facts: Exchange
  ): UntrustedLocation =>
    new UntrustedLocation({
      ...facts,
      kind,
      host: refused.host,
      reason: refused.message,
      option: Option.getOrUndefined(Option.map(refused.option, (list) => `trust.${list}`))
    })

  override get message(): string {
    return sentence(ofUntrusted(this), this)
  }
}

/**
 * Occurs when a response lacks what the specification requires, or makes no sense, and when a list
 * breaks off, so that what came of it is not all. `problem` says what and where.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProtocolViolation extends Schema.TaggedError<ProtocolViolation>(
  "effect-oci/ProtocolViolation"
)("ProtocolViolation", {
  ...exchange,
  problem: Schema.String
}) {
  override get message(): string {
    return sentence(this.problem, this)
  }
}

/**
 * Occurs when there is no response of the server, or half of one. `Connect`: no connection, with
 * `status` if a proxy reported it; `Tls`: no secure one; `Proxy`: a proxy on the way refuses to let
 * the request through, with `status`; `Reset`: the connection broke; `Malformed`: the response is
 * not HTTP; `Timeout`: no response in time; `Stall`: a body stopped arriving. `Tls`, `Proxy` and
 * `Malformed` are never retried. `cause` is what the HTTP client failed with, less what it holds of
 * the request and the response. The message has the code of the system or of TLS, such as
 * `ENOTFOUND`, if the cause has one, and what could not be reached, which may be a proxy.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportFailure extends Schema.TaggedError<TransportFailure>(
  "effect-oci/TransportFailure"
)("TransportFailure", {
  ...exchange,
  reason: Schema.Literal("Connect", "Tls", "Proxy", "Reset", "Malformed", "Timeout", "Stall"),
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return sentence(ofTransport(this), this)
  }
}

/**
 * Occurs when a store behind the interface fails: a file that cannot be read or written. The
 * message says why, if the cause is an error.
 *
 * @since 0.1.0
 * @category errors
 */
export class StorageFailure extends Schema.TaggedError<StorageFailure>("effect-oci/StorageFailure")(
  "StorageFailure",
  {
    path: Schema.String,
    cause: Schema.optional(Schema.Defect)
  }
) {
  override get message(): string {
    const why = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    return `Storage failed at ${this.path}${why}`
  }
}

// -----------------------------------------------------------------------------
// Input
// -----------------------------------------------------------------------------

/**
 * Occurs when a step must send the bytes again and the source is a one-shot stream. Use a source
 * that can be reopened, such as a file.
 *
 * @since 0.1.0
 * @category errors
 */
export class BodyNotReplayable extends Schema.TaggedError<BodyNotReplayable>(
  "effect-oci/BodyNotReplayable"
)("BodyNotReplayable", {
  step: Schema.String
}) {
  override get message(): string {
    return (
      `${this.step} needs the bytes again, and their source can be read only once: ` +
      "use BlobSource.fromBytes, fromStream or a file"
    )
  }
}

/**
 * Occurs when a registry or proxy cannot be reached as it is configured: its URL or host does not
 * parse or would send credentials in the clear, or another option for it cannot be sent. `problem`
 * says which, and shows no value.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidUrl extends Schema.TaggedError<InvalidUrl>("effect-oci/InvalidUrl")(
  "InvalidUrl",
  {
    url: Schema.String,
    problem: Schema.String
  }
) {
  override get message(): string {
    return `Cannot use ${this.url}: ${this.problem}`
  }
}

// -----------------------------------------------------------------------------
// Groups
// -----------------------------------------------------------------------------

/**
 * What any operation can fail with, whatever stands behind the interface. Each operation adds its
 * own to this.
 *
 * @since 0.1.0
 * @category models
 */
export type CommonError =
  | Unauthorized
  | Denied
  | CredentialsFailure
  | TooManyRequests
  | Unsupported
  | RegistryFailure
  | ProtocolViolation
  | UntrustedLocation
  | LimitExceeded
  | TransportFailure
  | StorageFailure

/**
 * What a program that starts from references can fail with before the first request.
 *
 * @since 0.1.0
 * @category models
 */
export type InputError = InvalidReference | InvalidUrl

const transient = new Set([408, 429, 499, 500, 502, 503, 504, 522])

/**
 * Whether a status is one that registries, and the proxies before them, use for temporary failures:
 * 408, 429, 499, 500, 502, 503, 504, 522.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTransientStatus = (status: number): boolean => transient.has(status)

/**
 * Whether trying again later may help: a broken connection or timeout (never TLS, a proxy that
 * refuses, or a response that is not HTTP), a rate limit, or the status of a temporary failure
 * (`isTransientStatus`).
 *
 * @since 0.1.0
 * @category guards
 */
export const isTransient = (error: {
  readonly _tag: string
}): error is TransportFailure | TooManyRequests | RegistryFailure =>
  error instanceof TransportFailure
    ? error.reason !== "Tls" && error.reason !== "Proxy" && error.reason !== "Malformed"
    : error instanceof TooManyRequests ||
      (error instanceof RegistryFailure &&
        error.status !== undefined &&
        isTransientStatus(error.status))
