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
  DigestMismatch,
  LimitExceeded,
  RangeMismatch,
  SizeMismatch
} from "./internal/ContentErrors.js"
import { CredentialInfo } from "./internal/CredentialInfo.js"
import { exchange, ofUntrusted, sentence, serverOf } from "./internal/ErrorMessage.js"
import * as ErrorStatus from "./internal/ErrorStatus.js"
import { BodyNotReplayable, InvalidUrl, StorageFailure } from "./internal/LocalErrors.js"
import { ofPartial, PartialIndex } from "./internal/PartialIndex.js"
import { PreconditionFailed } from "./internal/PreconditionFailed.js"
import * as RefusalMessage from "./internal/RefusalMessage.js"
import * as ResponseMessage from "./internal/ResponseMessage.js"
import { TransportFailure } from "./internal/TransportFailure.js"
import { Challenge } from "./protocol/Challenge.js"
import type { ErrorInfo } from "./protocol/ErrorBody.js"
import type * as Trust from "./protocol/Trust.js"
import { InvalidDigest } from "./spec/Digest.js"
import { InvalidManifest, MediaTypeMismatch } from "./spec/Manifest.js"
import { InvalidReference } from "./spec/Reference.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  BodyNotReplayable,
  /**
   * @since 0.1.0
   * @category models
   */
  CredentialInfo,
  /**
   * @since 0.1.0
   * @category errors
   */
  DigestMismatch,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidDigest,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidManifest,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidReference,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidUrl,
  /**
   * @since 0.1.0
   * @category errors
   */
  LimitExceeded,
  /**
   * @since 0.1.0
   * @category errors
   */
  MediaTypeMismatch,
  /**
   * @since 0.1.0
   * @category errors
   */
  PreconditionFailed,
  /**
   * @since 0.1.0
   * @category errors
   */
  RangeMismatch,
  /**
   * @since 0.1.0
   * @category errors
   */
  SizeMismatch,
  /**
   * @since 0.1.0
   * @category errors
   */
  StorageFailure,
  /**
   * @since 0.1.0
   * @category errors
   */
  TransportFailure
}

/**
 * The facts of one exchange, as the errors of this module carry them: `url` is redacted, `errors`
 * is the registry's own list with open codes. `page` is the title of an HTML page that came instead
 * of a response, empty if it has none. `server` says which server it was if not the registry: a
 * token server, or one that the registry redirected to; `onBehalfOf` is then the request to the
 * registry, as in `GET https://…`. `stored` is the digest of a manifest that was put before this
 * failed: a referrer that could not be listed among those of its subject.
 *
 * @since 0.1.0
 * @category models
 */
export interface Exchange {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly status?: number | undefined
  readonly errors?: ReadonlyArray<ErrorInfo> | undefined
  readonly page?: string | undefined
  readonly server?: "TokenServer" | "Redirect" | undefined
  readonly onBehalfOf?: string | undefined
  readonly stored?: string | undefined
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
 * token for has the facts of that server's answer, and is not answerable. `credential` says with
 * whose credential the request was sent, or which there is for the challenge.
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
    credential: Schema.optional(CredentialInfo),
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
 * `credential` says whose credential was refused, or where none was found; the scopes are those of
 * `challenge`. Log in again, or supply other `Credentials`.
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
    credential: Schema.optional(CredentialInfo),
    challenge: Schema.optional(AuthChallenge)
  }
) {
  override get message(): string {
    const { challenge, credential, operation, origin, reason } = this
    const { scopes = [], sent = "nothing" } = challenge ?? {}
    return sentence(
      reason === "Challenge"
        ? `${origin} ${RefusalMessage.ofChallenge(sent, scopes, credential)}`
        : `The token server of ${origin} ` +
            RefusalMessage.ofTokenServer(operation, scopes, credential),
      this
    )
  }
}

/**
 * Occurs when the registry understands who is asking and refuses (403, or `DENIED`). `credential`
 * says with whose credential the request was sent, or that there was none, and `scopes` what its
 * operation needs. Both are absent if no HTTP was spoken. Where it is not the registry that refuses
 * but the configuration of this machine, `problem` says why, and what to do.
 *
 * @since 0.1.0
 * @category errors
 */
export class Denied extends Schema.TaggedError<Denied>("effect-oci/Denied")("Denied", {
  ...exchange,
  credential: Schema.optional(CredentialInfo),
  scopes: Schema.optional(Schema.Array(Schema.String)),
  problem: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const { credential, problem, scopes = [] } = this
    if (problem !== undefined) return sentence(problem, this)
    return sentence(`The registry ${RefusalMessage.ofDenied(scopes, credential)}`, this)
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
    return sentence(`Repository ${this.repository} is unknown`, this, ResponseMessage.ofName(this))
  }
}

/**
 * Occurs when the repository has no such manifest (404, `MANIFEST_UNKNOWN`). `reference` is the tag
 * or digest asked for, and `host` the registry, where the reference to it was given. `index` is an
 * index that lists it, where that is known to have some of its manifests and to lack others, by
 * their platforms: those that are present can be read by their own digests.
 *
 * @since 0.1.0
 * @category errors
 */
export class ManifestUnknown extends Schema.TaggedError<ManifestUnknown>(
  "effect-oci/ManifestUnknown"
)("ManifestUnknown", {
  ...exchange,
  host: Schema.optional(Schema.String),
  repository: Schema.String,
  reference: Schema.String,
  index: Schema.optional(PartialIndex)
}) {
  override get message(): string {
    const { host, repository } = this
    return sentence(
      `Repository ${host === undefined ? "" : `${host}/`}${repository} has no manifest ` +
        this.reference +
        ofPartial(this.index),
      this,
      ResponseMessage.ofPage(this)
    )
  }
}

/**
 * Occurs when the repository has no such blob (404, `BLOB_UNKNOWN`), or a pushed manifest refers to
 * one that it does not have (`MANIFEST_BLOB_UNKNOWN`); `digest` is absent when the registry does
 * not say which. `index` is as that of `ManifestUnknown`: one that the blob belongs to.
 *
 * @since 0.1.0
 * @category errors
 */
export class BlobUnknown extends Schema.TaggedError<BlobUnknown>("effect-oci/BlobUnknown")(
  "BlobUnknown",
  {
    ...exchange,
    repository: Schema.String,
    digest: Schema.optional(Schema.String),
    index: Schema.optional(PartialIndex)
  }
) {
  override get message(): string {
    return ResponseMessage.ofBlob(this)
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
 * Without a `status`, nothing was sent: the registry has asked others to wait longer than the
 * request would, or it allows only those requests that the option `leave` of a copy or sync leaves
 * alone. `remaining` is their number then, and after `retryAfter` there are more at the latest.
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
    const left =
      this.status === undefined && this.remaining !== undefined
        ? `, and the ${this.remaining} that it still allows are left alone`
        : ""
    return sentence(
      `The ${serverOf(this)} limits the rate of requests${left}`,
      this,
      this.retryAfter === undefined
        ? "try again later"
        : `try again in ${Math.ceil(this.retryAfter / 1000)} s`
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
    return ResponseMessage.ofUnsupported(this)
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
    return ResponseMessage.ofFailure(this)
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
    return sentence(this.problem, this, ResponseMessage.ofPage(this))
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
 * Everything that this library fails with. Each operation names its own part of it.
 *
 * @since 0.1.0
 * @category models
 */
export type RegistryError =
  | CommonError
  | InputError
  | AuthChallenge
  | NameUnknown
  | ManifestUnknown
  | BlobUnknown
  | UploadUnknown
  | PreconditionFailed
  | DigestMismatch
  | SizeMismatch
  | MediaTypeMismatch
  | RangeMismatch
  | InvalidDigest
  | InvalidManifest
  | BodyNotReplayable

const classes = [
  AuthChallenge,
  Unauthorized,
  Denied,
  CredentialsFailure,
  NameUnknown,
  ManifestUnknown,
  BlobUnknown,
  UploadUnknown,
  PreconditionFailed,
  TooManyRequests,
  Unsupported,
  RegistryFailure,
  DigestMismatch,
  SizeMismatch,
  MediaTypeMismatch,
  RangeMismatch,
  InvalidReference,
  InvalidDigest,
  InvalidManifest,
  InvalidUrl,
  LimitExceeded,
  UntrustedLocation,
  ProtocolViolation,
  TransportFailure,
  StorageFailure,
  BodyNotReplayable
]

const isRegistryError = (u: unknown): u is RegistryError =>
  classes.some((class_) => u instanceof class_)

/**
 * Returns whether trying again later may help: after a broken connection or timeout (never TLS, a
 * proxy that refuses, or a response that is not HTTP), a rate limit, or the status of a temporary
 * failure (`isTransientStatus`). False for what is not an error of this library.
 *
 * It is no refinement: a `TransportFailure` that is not transient is left over.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTransient = (u: unknown): boolean =>
  u instanceof TransportFailure
    ? u.reason !== "Tls" && u.reason !== "Proxy" && u.reason !== "Malformed"
    : u instanceof TooManyRequests ||
      (u instanceof RegistryFailure && u.status !== undefined && isTransientStatus(u.status))

/**
 * Returns whether what was asked for is not there, or not for the current credentials:
 * `NameUnknown`, `ManifestUnknown`, `BlobUnknown` and `UploadUnknown`. False for what is not an
 * error of this library.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAbsent = (
  u: unknown
): u is NameUnknown | ManifestUnknown | BlobUnknown | UploadUnknown =>
  u instanceof NameUnknown ||
  u instanceof ManifestUnknown ||
  u instanceof BlobUnknown ||
  u instanceof UploadUnknown

/**
 * Returns whether other credentials may help: for `Unauthorized`, `AuthChallenge` and `Denied`.
 * False for what is not an error of this library.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnauthorized = (u: unknown): u is Unauthorized | AuthChallenge | Denied =>
  u instanceof Unauthorized || u instanceof AuthChallenge || u instanceof Denied

/**
 * Returns the HTTP status with which a service that uses a registry reports an error to its own
 * client, or nothing for what is not an error of this library.
 *
 * | status | errors |
 * |---|---|
 * | 400 | `InvalidReference`, `InvalidDigest`, `InvalidUrl`; a mismatch of what was to be pushed |
 * | 401, 403 | `Unauthorized` and `AuthChallenge`; `Denied` |
 * | 404 | `NameUnknown`, `ManifestUnknown`, `BlobUnknown`, `UploadUnknown` |
 * | 412 | `PreconditionFailed` |
 * | 413 | `LimitExceeded` of what was to be pushed, and a `RegistryFailure` that says the same |
 * | 416 | `RangeMismatch` |
 * | 429 | `TooManyRequests`, whose `retryAfter` is for the header `Retry-After` |
 * | 500 | `CredentialsFailure`, `StorageFailure` |
 * | 501 | `Unsupported` |
 * | 502 | whatever a registry did wrong, and no connection to it |
 * | 503 | `BodyNotReplayable`, and a `RegistryFailure` that says the same: trying again may help |
 * | 504 | timeouts |
 *
 * @since 0.1.0
 * @category getters
 */
export const httpStatus = (u: unknown): number | undefined =>
  isRegistryError(u) ? ErrorStatus.of(u) : undefined

/**
 * Returns what of an error a client of a service may see: which it is, and its message. Method,
 * status and cause are left out. The message names the registry, and may name a file with
 * credentials.
 *
 * @since 0.1.0
 * @category getters
 */
export const toPublic = <E extends RegistryError>(
  error: E
): { readonly _tag: E["_tag"]; readonly message: string } => ({
  _tag: error._tag,
  message: error.message
})
