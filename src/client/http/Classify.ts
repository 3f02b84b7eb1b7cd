/**
 * The fourth step of the pipeline: from a status and an error body to a typed error. What an
 * operation can fail with is in one table; everything beyond it is common to all.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sent from "../../auth/internal/Sent.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as RetryAfter from "../../protocol/internal/RetryAfter.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type { Operation } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import {
  BlobUnknown,
  Denied,
  DigestMismatch,
  type Exchange,
  isTransientStatus,
  ManifestUnknown,
  NameUnknown,
  ProtocolViolation,
  RangeMismatch,
  RegistryFailure,
  TooManyRequests,
  Unsupported,
  UploadUnknown
} from "../../RegistryError.js"
import * as MediaType from "../../spec/MediaType.js"
import * as ReferrersApi from "../manifests/ReferrersApi.js"
import * as Received from "./Received.js"

/** What each operation can be refused with, beyond `Refusal`. */
export interface OwnErrors {
  readonly Ping: Unsupported
  readonly GetManifest: ManifestUnknown | NameUnknown
  readonly HeadManifest: HeadUnsupported
  readonly PutManifest: NameUnknown | BlobUnknown
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

/** What any operation can be refused with. */
export type Refusal = Denied | TooManyRequests | RegistryFailure | ProtocolViolation

/**
 * The response to a HEAD says nothing of what was asked for, and a GET has to: the registry does
 * not take this method, or has redirected to storage, which refuses a URL that is signed for GET.
 */
export class HeadUnsupported extends Data.TaggedError("HeadUnsupported") {}

interface Rule<K extends Operation["_tag"], O = Case<K>> {
  readonly success: ReadonlyArray<number>
  /** The error of its own that an answer means, if it means one. */
  readonly own: (answer: Answer, operation: O) => OwnErrors[K] | undefined
}

interface Answer {
  readonly status: number
  /** Those of the registry: what another host calls its errors decides nothing. */
  readonly codes: ReadonlyArray<string>
  readonly messages: ReadonlyArray<string>
  /** False for the page of a router or proxy that knows nothing of registries. */
  readonly fromRegistry: boolean
  /** True for the answer of another origin, after a redirect. */
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

/**
 * The answer itself if it is a success of this operation, else a typed error. The body of a refusal
 * is read up to 64 KiB, for the registry's codes and a snippet. `origin` is the registry's: what
 * others answer after a redirect says nothing of the caller's rights.
 */
export const classify = <O extends Operation>(
  operation: O,
  response: Received.Received,
  origin: string
): Effect.Effect<Received.Received, OwnErrors[O["_tag"]] | Refusal> => {
  // The compiler does not see that the tag of an `O` picks the rule for an `O`.
  const rule = rules[operation._tag] as unknown as Rule<O["_tag"], O>
  if (rule.success.includes(response.status) && !isTurned(operation, response))
    return response.status === 200 && unread.has(operation._tag) && isPage(response)
      ? refusedPage(response)
      : Effect.succeed(response)
  return Effect.flatMap(Effect.zip(readable(response), Clock.currentTimeMillis), ([body, now]) => {
    const { errors } = ErrorBody.parse(body)
    const shown = ErrorBody.parseRedacted(body, Sent.redactorOf(Sent.of(response.request)))
    const exchange: Exchange = { ...Received.factsOf(response), errors: shown.errors }
    const foreign = !Trust.isAt(origin, response.request.url)
    const answer: Answer = {
      status: response.status,
      codes: foreign ? [] : errors.map((error) => error.code),
      messages: errors.map((error) => error.message ?? ""),
      fromRegistry: foreign || errors.length > 0 || body.length === 0,
      foreign,
      redirects: response.redirects,
      isPage: isPage(response),
      range: shownHeader(
        response,
        SingleField.value(
          response.headers,
          operation._tag === "GetBlob" ? "content-range" : "range"
        )
      ),
      linked: response.headers["link"] !== undefined,
      exchange
    }
    return Effect.fail(rule.own(answer, operation) ?? refusal(answer, response, shown.snippet, now))
  })
}

/** The errors that a body reports, whatever the status it came with, as they may be shown. */
export const reportedErrors = (
  response: Received.Received,
  body: Uint8Array
): ReadonlyArray<ErrorBody.ErrorInfo> =>
  ErrorBody.parseRedacted(body, Sent.redactorOf(Sent.of(response.request))).errors

/**
 * Whether the response is a page for people: portals and some registries apologise with 200 (quirks
 * §2).
 */
export const isPage = ({ headers }: Received.Received): boolean =>
  pages.has(MediaType.essence(SingleField.value(headers, "content-type") ?? "").toLowerCase())

const pages = new Set(["text/html", "application/xhtml+xml"])

/** Operations of whose success nothing is read but the status. */
const unread: ReadonlySet<Operation["_tag"]> = new Set([
  "DeleteManifest",
  "DeleteBlob",
  "PutBlob",
  "UploadStatus",
  "CancelUpload"
])

/** What a 303 made of a write is not that write. */
const isTurned = ({ _tag }: Operation, { request }: Received.Received): boolean =>
  request.method === "GET" && (_tag.startsWith("Delete") || _tag === "PutBlob")

/**
 * Some have a page for every path, to log in or to apologise: it does not say that anything was
 * done. One without content is a response like any other.
 */
const refusedPage = (
  response: Received.Received
): Effect.Effect<Received.Received, ProtocolViolation> =>
  Effect.flatMap(Received.excerpt(response), (body) =>
    body.length === 0
      ? Effect.succeed({ ...response, body })
      : Effect.fail(
          new ProtocolViolation({
            ...Received.factsOf(response),
            problem: "The registry answered with a page, which does not say that it did anything"
          })
        )
  )

/**
 * The first 64 KiB of a body, to be read as text: a proxy that compresses whatever passes it does so
 * with errors as well (rule 20).
 */
export const readable = (response: Received.Received): Effect.Effect<Uint8Array> =>
  Effect.flatMap(Received.excerpt(response), (body) =>
    ContentDecoding.plain(body, response.headers["content-encoding"], undefined, {
      what: "An error",
      limit: 65_536
    }).pipe(Effect.orElseSucceed(() => body))
  )

const refusal = (
  answer: Answer,
  response: Received.Received,
  snippet: string,
  now: number
): Refusal => {
  const { exchange, foreign, status } = answer
  const limited = status === 429 || has(answer, "TOOMANYREQUESTS")
  if (!limited && ((status === 403 && !foreign) || has(answer, "DENIED")))
    return new Denied(exchange)
  const wait = Option.getOrUndefined(
    Option.map(retryAfter(response, answer, now), Duration.toMillis)
  )
  return limited
    ? new TooManyRequests({
        ...exchange,
        retryAfter: wait,
        limit: shownHeader(response, response.headers["ratelimit-limit"]),
        remaining: shownHeader(response, response.headers["ratelimit-remaining"])
      })
    : new RegistryFailure({ ...exchange, snippet, retryAfter: wait })
}

/** A header as an error may show it. */
const shownHeader = (response: Received.Received, value: string | undefined): string | undefined =>
  value === undefined ? undefined : Received.textOf(response, value)

/** GHCR puts the delay into the message (quirks §6). */
const retryAfter = (
  response: Received.Received,
  { messages }: Answer,
  now: number
): Option.Option<Duration.Duration> =>
  Option.fromNullable(SingleField.value(response.headers, "retry-after")).pipe(
    Option.flatMap((header) => RetryAfter.parse(header, now)),
    Option.orElse(() =>
      Option.firstSomeOf(messages.map((message) => RetryAfter.fromMessage(message)))
    )
  )

const has = (answer: Answer, ...codes: ReadonlyArray<string>): boolean =>
  codes.some((code) => answer.codes.includes(code))

// -----------------------------------------------------------------------------
// The meaning of statuses and codes
// -----------------------------------------------------------------------------

/** What the status may mean by itself, the registry's own code says in so many words. */
const says = (answer: Answer, ...codes: ReadonlyArray<string>): boolean =>
  !answer.foreign &&
  answer.status >= 400 &&
  answer.status < 500 &&
  !decided.has(answer.status) &&
  has(answer, ...codes)

/** Statuses that mean the same whatever the code beside them. */
const decided = new Set([401, 403, 429])

const nameUnknown = (answer: Answer, operation: { readonly repository: string }) =>
  says(answer, "NAME_UNKNOWN")
    ? new NameUnknown({ ...answer.exchange, repository: operation.repository })
    : undefined

const manifestUnknown = (
  answer: Answer,
  operation: { readonly repository: string; readonly reference: string }
) =>
  nameUnknown(answer, operation) ??
  (answer.status === 404 || says(answer, "MANIFEST_UNKNOWN")
    ? new ManifestUnknown({
        ...answer.exchange,
        repository: operation.repository,
        reference: operation.reference
      })
    : undefined)

const blobUnknown = (
  answer: Answer,
  operation: { readonly repository: string; readonly digest: string }
) =>
  nameUnknown(answer, operation) ??
  (answer.status === 404 || says(answer, "BLOB_UNKNOWN")
    ? new BlobUnknown({
        ...answer.exchange,
        repository: operation.repository,
        digest: operation.digest
      })
    : undefined)

/** Docker's registry answers 404 with `BLOB_UPLOAD_INVALID` as well (C55), olareg 400. */
const uploadUnknown = (answer: Answer, operation: { readonly repository: string }) =>
  answer.status === 404 || says(answer, "BLOB_UPLOAD_UNKNOWN")
    ? new UploadUnknown({ ...answer.exchange, repository: operation.repository })
    : undefined

const rangeMismatch = (answer: Answer, expected: string) =>
  answer.status === 416 || says(answer, "RANGE_INVALID")
    ? new RangeMismatch({ ...answer.exchange, expected, actual: answer.range ?? "" })
    : undefined

/** What is missing where a ping finds no registry. */
export const distributionApi = "the distribution API (GET /v2/)"

/** 405, the code, or a 404 that no registry wrote: rule 13, C96. */
const unsupported = (answer: Answer, operation: string) =>
  answer.status === 405 ||
  answer.status === 501 ||
  says(answer, "UNSUPPORTED") ||
  (answer.status === 404 && !answer.fromRegistry)
    ? new Unsupported({ ...answer.exchange, operation })
    : undefined

/**
 * Where deletion is switched off the answer may be 400 as well (C95, C96, C99); to Docker's
 * registry a tag is an invalid digest. One that links to the rest has deleted a part (Cloudflare,
 * quirks §4).
 */
const deleteRefused = (
  answer: Answer,
  operation: "deleting manifests" | "deleting tags" | "deleting blobs"
) =>
  unsupported(answer, operation) ??
  (answer.status === 400 &&
  !answer.linked &&
  !says(answer, "NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN") &&
  (operation === "deleting tags" || answer.codes.length === 0)
    ? new Unsupported({ ...answer.exchange, operation })
    : undefined)

/**
 * Where HEAD is not taken, or storage behind a redirect refuses it: a URL that is signed for GET
 * admits nothing else. What may pass is tried again.
 */
const headUnsupported = ({ foreign, status }: Answer) =>
  status === 405 || status === 501 || (foreign && status < 500 && !isTransientStatus(status))
    ? new HeadUnsupported()
    : undefined

const rules: { readonly [K in Operation["_tag"]]: Rule<K> } = {
  Ping: {
    success: [200],
    own: (answer) =>
      answer.status === 404
        ? new Unsupported({ ...answer.exchange, operation: distributionApi })
        : undefined
  },
  GetManifest: { success: [200], own: manifestUnknown },
  // That there is nothing is an answer, too (C30).
  HeadManifest: { success: [200, 404], own: headUnsupported },
  PutManifest: {
    success: [201, 202, 204],
    own: (answer, operation) =>
      says(answer, "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
        ? new BlobUnknown({ ...answer.exchange, repository: operation.repository })
        : answer.status === 404 || says(answer, "NAME_UNKNOWN")
          ? new NameUnknown({ ...answer.exchange, repository: operation.repository })
          : undefined
  },
  DeleteManifest: {
    success: [200, 202, 204],
    own: (answer, operation) =>
      deleteRefused(
        answer,
        operation.reference.includes(":") ? "deleting manifests" : "deleting tags"
      ) ?? manifestUnknown(answer, operation)
  },
  GetBlob: {
    success: [200, 206],
    own: (answer, operation) =>
      blobUnknown(answer, operation) ??
      rangeMismatch(
        answer,
        operation.range === undefined ? "" : ByteRange.formatRequest(operation.range)
      )
  },
  HeadBlob: { success: [200, 404], own: headUnsupported },
  DeleteBlob: {
    success: [200, 202, 204],
    own: (answer, operation) =>
      deleteRefused(answer, "deleting blobs") ?? blobUnknown(answer, operation)
  },
  StartUpload: { success: [202], own: (answer, operation) => startRefused(answer, operation) },
  UploadBlob: { success: [201, 202], own: (answer, operation) => startRefused(answer, operation) },
  PutBlob: {
    success: [200, 201, 202, 204],
    own: (answer, operation) => digestMismatch(answer, operation) ?? startRefused(answer, operation)
  },
  MountBlob: { success: [201, 202], own: (answer, operation) => startRefused(answer, operation) },
  UploadChunk: {
    success: [201, 202, 204], // C49, trap 22
    own: (answer, operation) =>
      unsupported(answer, "uploading by PATCH") ??
      uploadUnknown(answer, operation) ??
      rangeMismatch(
        answer,
        operation.range === undefined ? "" : `${operation.range.start}-${operation.range.end}`
      )
  },
  CompleteUpload: {
    success: [201, 202, 204],
    own: (answer, operation) =>
      uploadUnknown(answer, operation) ?? digestMismatch(answer, operation)
  },
  UploadStatus: { success: [200, 202, 204], own: uploadUnknown },
  CancelUpload: { success: [200, 202, 204], own: uploadUnknown },
  ListTags: {
    success: [200],
    own: (answer, operation) =>
      answer.status === 404 || says(answer, "NAME_UNKNOWN")
        ? new NameUnknown({ ...answer.exchange, repository: operation.repository })
        : undefined
  },
  ListRepositories: {
    success: [200],
    own: (answer) =>
      answer.status === 404
        ? unsupported({ ...answer, fromRegistry: false }, "listing repositories")
        : unsupported(answer, "listing repositories")
  },
  ListReferrers: {
    success: [200],
    own: (answer) =>
      ReferrersApi.refused(answer) === "absent"
        ? new Unsupported({ ...answer.exchange, operation: "the referrers API" })
        : undefined
  }
}

const digestMismatch = (answer: Answer, operation: { readonly digest: string }) =>
  says(answer, "DIGEST_INVALID")
    ? new DigestMismatch({ ...answer.exchange, expected: operation.digest })
    : undefined

const startRefused = (answer: Answer, operation: { readonly repository: string }) =>
  unsupported(answer, "uploading blobs") ??
  (answer.status === 404 || says(answer, "NAME_UNKNOWN")
    ? new NameUnknown({ ...answer.exchange, repository: operation.repository })
    : undefined)
