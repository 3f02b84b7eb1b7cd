/**
 * What the responses that are not a success mean, by operation: one table of the statuses of
 * success and of the errors that are an operation's own.
 */
import * as Data from "effect/Data"
import * as ErrorDetail from "../../internal/ErrorDetail.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import type { Operation } from "../../protocol/Operation.js"
import {
  BlobUnknown,
  DigestMismatch,
  type Exchange,
  isTransientStatus,
  ManifestUnknown,
  NameUnknown,
  PreconditionFailed,
  RangeMismatch,
  Unsupported,
  UploadUnknown
} from "../../RegistryError.js"
import * as ReferrersApi from "../manifests/ReferrersApi.js"

/** The errors that are one operation's own, beyond those of every status (`StatusError`). */
export interface OwnErrors {
  readonly Ping: Unsupported
  readonly GetManifest: ManifestUnknown | NameUnknown
  readonly HeadManifest: HeadUnsupported
  readonly PutManifest: NameUnknown | BlobUnknown | PreconditionFailed
  readonly DeleteManifest: ManifestUnknown | NameUnknown | Unsupported
  readonly GetBlob: BlobUnknown | NameUnknown | RangeMismatch
  readonly HeadBlob: HeadUnsupported
  readonly DeleteBlob: BlobUnknown | NameUnknown | Unsupported
  readonly StartUpload: NameUnknown | Unsupported
  readonly UploadBlob: NameUnknown | Unsupported
  readonly PutBlob: DigestMismatch | NameUnknown | Unsupported
  readonly MountBlob: NameUnknown | Unsupported
  readonly UploadChunk: UploadUnknown | RangeMismatch | Unsupported
  readonly CompleteUpload: UploadUnknown | DigestMismatch
  readonly UploadStatus: UploadUnknown
  readonly CancelUpload: UploadUnknown
  readonly ListTags: NameUnknown
  readonly ListRepositories: Unsupported
  readonly ListReferrers: Unsupported
}

/**
 * The response to a HEAD says nothing of what was asked for, and a GET has to: the registry does
 * not take this method, or has redirected to storage, which refuses a URL that is signed for GET.
 */
export class HeadUnsupported extends Data.TaggedError("HeadUnsupported") {}

/** The error of its own that a response to an operation means, if it means one. */
export type Meaning<K extends Operation["_tag"], O = Case<K>> = (
  response: ErrorResponse,
  operation: O
) => OwnErrors[K] | undefined

/** What is known of a response that is not a success. */
export interface ErrorResponse {
  readonly status: number
  /** Those of the registry: what another host calls its errors decides nothing. */
  readonly codes: ReadonlyArray<string>
  readonly messages: ReadonlyArray<string>
  /** False for the page of a router or proxy that knows nothing of registries. */
  readonly fromRegistry: boolean
  /** True for the response of another origin, after a redirect. */
  readonly foreign: boolean
  /** The statuses of the redirects before it. */
  readonly redirects: ReadonlyArray<number>
  readonly isPage: boolean
  /** The range that the registry names: of an upload `Range`, of a blob `Content-Range`. */
  readonly range: string | undefined
  /** Whether it says where something goes on. */
  readonly linked: boolean
  readonly exchange: Exchange
}

/** Whether a response reports one of these codes. */
export const has = (response: ErrorResponse, ...codes: ReadonlyArray<string>): boolean =>
  codes.some((code) => response.codes.includes(code))

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/** Whether the registry's own code says what the status leaves open. */
const reports = (response: ErrorResponse, ...codes: ReadonlyArray<string>): boolean =>
  !response.foreign &&
  response.status >= 400 &&
  response.status < 500 &&
  !decided.has(response.status) &&
  has(response, ...codes)

/** Statuses that mean the same whatever the code beside them. */
const decided = new Set([401, 403, 429])

/** Returns the error of a repository that the registry says it does not know. */
export const nameUnknown = (response: ErrorResponse, operation: { readonly repository: string }) =>
  reports(response, "NAME_UNKNOWN")
    ? new NameUnknown({ ...response.exchange, repository: operation.repository })
    : undefined

const manifestUnknown = (
  response: ErrorResponse,
  operation: { readonly repository: string; readonly reference: string }
) =>
  nameUnknown(response, operation) ??
  (response.status === 404 || reports(response, "MANIFEST_UNKNOWN")
    ? new ManifestUnknown({
        ...response.exchange,
        repository: operation.repository,
        reference: operation.reference
      })
    : undefined)

const blobUnknown = (
  response: ErrorResponse,
  operation: { readonly repository: string; readonly digest: string }
) =>
  nameUnknown(response, operation) ??
  (response.status === 404 || reports(response, "BLOB_UNKNOWN")
    ? new BlobUnknown({
        ...response.exchange,
        repository: operation.repository,
        digest: operation.digest
      })
    : undefined)

/** Docker's registry answers 404 with `BLOB_UPLOAD_INVALID` as well (C55), olareg 400. */
const uploadUnknown = (response: ErrorResponse, operation: { readonly repository: string }) =>
  response.status === 404 || reports(response, "BLOB_UPLOAD_UNKNOWN")
    ? new UploadUnknown({ ...response.exchange, repository: operation.repository })
    : undefined

const rangeMismatch = (response: ErrorResponse, expected: string) =>
  response.status === 416 || reports(response, "RANGE_INVALID")
    ? new RangeMismatch({ ...response.exchange, expected, actual: response.range ?? "" })
    : undefined

/** What is missing where a ping finds no registry. */
export const distributionApi = "the distribution API (GET /v2/)"

/**
 * Returns the error of what a registry does not offer: for 405, the code, or a 404 that no registry
 * wrote (rule 13, C96).
 */
export const unsupported = (response: ErrorResponse, operation: string) =>
  response.status === 405 ||
  response.status === 501 ||
  reports(response, "UNSUPPORTED") ||
  (response.status === 404 && !response.fromRegistry)
    ? new Unsupported({ ...response.exchange, operation })
    : undefined

/**
 * Where deletion is switched off the response may be 400 as well (C95, C96, C99); to Docker's
 * registry a tag is an invalid digest. One that links to the rest has deleted a part (Cloudflare,
 * quirks §4).
 */
const deletionUnsupported = (
  response: ErrorResponse,
  operation: "deleting manifests" | "deleting tags" | "deleting blobs"
) =>
  unsupported(response, operation) ??
  (response.status === 400 &&
  !response.linked &&
  !reports(response, "NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN") &&
  (operation === "deleting tags" || response.codes.length === 0)
    ? new Unsupported({ ...response.exchange, operation })
    : undefined)

/**
 * Where HEAD is not taken, or storage behind a redirect refuses it: a URL that is signed for GET
 * admits nothing else. What may pass is tried again.
 */
const headUnsupported = ({ redirects, status }: ErrorResponse) =>
  status === 405 ||
  status === 501 ||
  (redirects.length > 0 && status < 500 && !isTransientStatus(status))
    ? new HeadUnsupported()
    : undefined

const digestMismatch = (response: ErrorResponse, operation: { readonly digest: string }) =>
  reports(response, "DIGEST_INVALID")
    ? new DigestMismatch({ ...response.exchange, expected: operation.digest })
    : undefined

const preconditionFailed = (response: ErrorResponse, operation: Case<"PutManifest">) =>
  response.status === 412 && operation.onlyIf !== undefined
    ? new PreconditionFailed({
        ...response.exchange,
        repository: operation.repository,
        tag: operation.tags?.[0] ?? operation.reference,
        expected: operation.onlyIf,
        reason: "Changed"
      })
    : undefined

const uploadRefused = (response: ErrorResponse, operation: { readonly repository: string }) =>
  unsupported(response, "uploading blobs") ??
  (response.status === 404 || reports(response, "NAME_UNKNOWN")
    ? new NameUnknown({ ...response.exchange, repository: operation.repository })
    : undefined)

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

/** What responses mean, by operation. */
export const meanings: { readonly [K in Operation["_tag"]]: Meaning<K> } = {
  Ping: (response) =>
    response.status === 404
      ? new Unsupported({ ...response.exchange, operation: distributionApi })
      : undefined,
  GetManifest: manifestUnknown,
  HeadManifest: headUnsupported,
  PutManifest: (response, operation) =>
    preconditionFailed(response, operation) ??
    (reports(response, "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
      ? new BlobUnknown({
          ...response.exchange,
          repository: operation.repository,
          digest: ErrorDetail.digestOf(response.exchange.errors?.[0]?.detail)
        })
      : response.status === 404 || reports(response, "NAME_UNKNOWN")
        ? new NameUnknown({ ...response.exchange, repository: operation.repository })
        : undefined),
  DeleteManifest: (response, operation) =>
    deletionUnsupported(
      response,
      operation.reference.includes(":") ? "deleting manifests" : "deleting tags"
    ) ?? manifestUnknown(response, operation),
  GetBlob: (response, operation) =>
    blobUnknown(response, operation) ??
    rangeMismatch(
      response,
      operation.range === undefined ? "" : ByteRange.formatRequest(operation.range)
    ),
  HeadBlob: headUnsupported,
  DeleteBlob: (response, operation) =>
    deletionUnsupported(response, "deleting blobs") ?? blobUnknown(response, operation),
  StartUpload: uploadRefused,
  UploadBlob: uploadRefused,
  PutBlob: (response, operation) =>
    digestMismatch(response, operation) ?? uploadRefused(response, operation),
  MountBlob: uploadRefused,
  UploadChunk: (response, operation) =>
    unsupported(response, "uploading by PATCH") ??
    uploadUnknown(response, operation) ??
    rangeMismatch(
      response,
      operation.range === undefined ? "" : `${operation.range.start}-${operation.range.end}`
    ),
  CompleteUpload: (response, operation) =>
    uploadUnknown(response, operation) ?? digestMismatch(response, operation),
  UploadStatus: uploadUnknown,
  CancelUpload: uploadUnknown,
  ListTags: (response, operation) =>
    response.status === 404 || reports(response, "NAME_UNKNOWN")
      ? new NameUnknown({ ...response.exchange, repository: operation.repository })
      : undefined,
  ListRepositories: (response) =>
    response.status === 404
      ? unsupported({ ...response, fromRegistry: false }, "listing repositories")
      : unsupported(response, "listing repositories"),
  ListReferrers: (response) =>
    ReferrersApi.refused(response) === "absent"
      ? new Unsupported({ ...response.exchange, operation: "the referrers API" })
      : undefined
}
