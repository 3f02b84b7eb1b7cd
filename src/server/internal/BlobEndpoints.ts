/** The blobs of a registry server: download, whole or in ranges, and the ways to upload. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../BlobSource.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as LimitedStream from "../../internal/LimitedStream.js"
import type { UploadState } from "../../internal/UploadState.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as Route from "../../protocol/internal/Route.js"
import type { Registry, UploadSession } from "../../Registry.js"
import { BlobUnknown } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Conditions from "./Conditions.js"
import * as Connection from "./Connection.js"
import * as ErrorResponse from "./ErrorResponse.js"
import type { Bounds } from "./Limits.js"
import * as MultipartRanges from "./MultipartRanges.js"
import * as RangeHeader from "./RangeHeader.js"
import { begin, receive } from "./RequestBody.js"
import * as ServerResponse from "./ServerResponse.js"
import type { UploadSessions } from "./UploadSessions.js"

/** Returns size and digest of a blob (end-2). */
export const headBlob = Effect.fnUntraced(function* (
  registry: Registry.Service,
  operation: Case<"HeadBlob">,
  request: HttpServerRequest
) {
  const { digest, size } = yield* describe(registry, operation)
  const headers = blobHeaders(digest)
  return (yield* Conditions.isUnmodified(request, digest))
    ? ServerResponse.notModified(headers)
    : ServerResponse.head(size, MediaType.octetStream, headers)
})

/**
 * Returns the bytes of a blob, or the ranges of them that were asked for (R9). A registry behind
 * that ignores ranges makes this one ignore them too, as RFC 9110 section 14.2 allows.
 */
export const getBlob = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { digest, repository }: Case<"GetBlob">,
  request: HttpServerRequest
) {
  const descriptor = yield* describe(registry, { repository, digest })
  const headers = blobHeaders(digest)
  if (yield* Conditions.isUnmodified(request, digest)) return ServerResponse.notModified(headers)
  const range = Conditions.rangeOf(request, digest)
  const selected = range === undefined ? "Whole" : RangeHeader.select(range, descriptor.size)
  if (selected === "Unsatisfiable") {
    return yield* new ErrorResponse.ErrorResponse({
      status: 416,
      code: "RANGE_INVALID",
      message: `The blob has ${descriptor.size} bytes`,
      headers: { "content-range": `bytes */${descriptor.size}` }
    })
  }
  if (selected !== "Whole") {
    const part = partOf(selected, descriptor.size, (range) =>
      sent(request, registry.getBlobRange(repository, digest, range))
    )
    const body = yield* Effect.catchTag(begin(part.body), "Unsupported", () => Effect.succeedNone)
    if (Option.isSome(body))
      return ServerResponse.stream(
        request,
        206,
        body.value,
        part.size,
        { ...headers, ...part.headers },
        part.mediaType
      )
  }
  const whole = yield* begin(sent(request, registry.getBlob(repository, descriptor)))
  return ServerResponse.stream(
    request,
    200,
    Option.getOrElse(whole, () => Stream.empty),
    descriptor.size,
    headers
  )
})

/** The bytes as they are sent: a socket keeps none of the arrays, which are then not copied. */
const sent = <E>(
  request: HttpServerRequest,
  bytes: Stream.Stream<Uint8Array, E>
): Stream.Stream<Uint8Array, E> => (Connection.isSocket(request) ? BorrowedStream.of(bytes) : bytes)

/** The body of a 206: the one range that was asked for, or all of several. */
const partOf = <E>(
  ranges: ReadonlyArray<ByteRange.ByteRange>,
  total: number,
  read: (range: ByteRange.ByteRange) => Stream.Stream<Uint8Array, E>
) => {
  const [first, second] = ranges
  return first === undefined || second !== undefined
    ? { ...MultipartRanges.make(ranges, total, read), headers: {} }
    : {
        body: read(first),
        size: first.end - first.start + 1,
        mediaType: MediaType.octetStream,
        headers: { "content-range": ByteRange.formatContent(first, total) }
      }
}

// -----------------------------------------------------------------------------
// Uploads
// -----------------------------------------------------------------------------

/** Opens a session (R14). */
export const startUpload = Effect.fnUntraced(function* (
  sessions: UploadSessions,
  {
    algorithm = "sha256",
    repository
  }: { readonly repository: RepositoryName; readonly algorithm?: string | undefined }
) {
  if (algorithm !== "sha256" && algorithm !== "sha512") {
    return yield* new ErrorResponse.ErrorResponse({
      status: 400,
      code: "DIGEST_INVALID",
      message: "Digests of this algorithm cannot be verified: use sha256 or sha512"
    })
  }
  const state = yield* sessions.start(repository, algorithm)
  return ServerResponse.empty(202, {
    ...progress(state.location, state),
    ...chunkLength("min", state.chunkMinLength),
    ...chunkLength("max", state.chunkMaxLength)
  })
})

/** Stores a blob that comes in a single request (R16), or is put at its own path. */
export const uploadBlob = Effect.fnUntraced(function* (
  registry: Registry.Service,
  bounds: Bounds,
  { digest, repository, size }: Case<"UploadBlob" | "PutBlob">,
  request: HttpServerRequest
) {
  const received = Option.getOrElse(yield* receive(request), () => Stream.empty)
  const body = yield* bounds.bound(received, 0, size)
  yield* registry.putBlob(repository, BlobSource.fromStreamOnce(body, { digest, size }))
  return created(repository, digest)
})

/** Mounts a blob, or opens a session where that cannot be done (R24 to R26). */
export const mountBlob = Effect.fnUntraced(function* (
  registry: Registry.Service,
  sessions: UploadSessions,
  { digest, from, repository }: Case<"MountBlob">
) {
  const mounted = yield* registry.mountBlob(repository, digest, from)
  if (mounted) return created(repository, digest)
  const algorithm = Digest.isVerifiable(digest) ? Digest.algorithm(digest) : undefined
  return yield* startUpload(sessions, { repository, algorithm })
})

/** Appends to a session, in order (R19, R20). One that becomes too large is over (V12). */
export const uploadChunk = (
  sessions: UploadSessions,
  bounds: Bounds,
  operation: Case<"UploadChunk">,
  request: HttpServerRequest
) =>
  Effect.map(
    sessions.use(operation, (session) => append(session, bounds, operation, request), canGoOn),
    (state) => ServerResponse.empty(202, progress(operation.location, state))
  )

/**
 * Closes a session (R22). One whose content turns out to be other than announced (C54), or too
 * large, is over; any other failure leaves it for another try (R20).
 */
export const completeUpload = (
  sessions: UploadSessions,
  bounds: Bounds,
  operation: Case<"CompleteUpload">,
  request: HttpServerRequest
) =>
  Effect.map(
    sessions.use(
      operation,
      (session) =>
        Effect.zipRight(
          append(session, bounds, operation, request),
          session.commit(operation.digest)
        ),
      (exit) => Exit.isFailure(exit) && canGoOn(exit)
    ),
    ({ digest }) => created(operation.repository, digest)
  )

/** Whether a session can go on after a request to it. */
const canGoOn = (exit: Exit.Exit<unknown, ErrorResponse.Failure>): boolean =>
  Exit.match(exit, {
    onSuccess: () => true,
    onFailure: (cause) =>
      !Option.exists(
        Cause.failureOption(cause),
        (error) =>
          error._tag === "DigestMismatch" ||
          (error._tag === "ErrorResponse" && error.status === 413)
      )
  })

/** Returns how far a session is (R21). */
export const uploadStatus = (sessions: UploadSessions, operation: Case<"UploadStatus">) =>
  Effect.map(
    sessions.use(
      operation,
      (session) => session.state,
      () => true
    ),
    (state) => ServerResponse.empty(204, progress(operation.location, state))
  )

/** Cancels a session (R23). */
export const cancelUpload = (sessions: UploadSessions, operation: Case<"CancelUpload">) =>
  Effect.as(
    sessions.use(
      operation,
      () => Effect.void,
      () => false
    ),
    ServerResponse.empty(204)
  )

const append = Effect.fnUntraced(function* (
  session: UploadSession,
  bounds: Bounds,
  {
    location,
    range
  }: { readonly location: string; readonly range?: ByteRange.ByteRange | undefined },
  request: HttpServerRequest
) {
  const state = yield* session.state
  if (range !== undefined && range.start !== state.offset) {
    return yield* new ErrorResponse.ErrorResponse({
      status: 416,
      code: "BLOB_UPLOAD_INVALID",
      message: `The upload continues at byte ${state.offset}`,
      headers: progress(location, state)
    })
  }
  const length = Option.getOrUndefined(
    ByteRange.parseLength(request.headers["content-length"] ?? "")
  )
  // The length of a body has been compared with its range: one that does not say it is counted.
  const size = length === undefined && range ? range.end - range.start + 1 : undefined
  const body = yield* receive(request)
  if (Option.isNone(body) && size === undefined) return state
  const received = Option.getOrElse(body, () => Stream.empty)
  const whole = size === undefined ? received : LimitedStream.exactly(received, size)
  const bytes = yield* bounds.bound(whole, state.offset, length ?? size)
  // What came from a socket is in arrays that nobody else in this process knows.
  return yield* session.write(Connection.isSocket(request) ? BorrowedStream.give(bytes) : bytes)
})

const progress = (location: string, { offset }: Pick<UploadState, "offset">) => ({
  location,
  range: ByteRange.formatUpload(offset)
})

/** What the registry behind demands of chunks, its clients have to know (C46). */
const chunkLength = (bound: "min" | "max", length: number | undefined) =>
  length === undefined ? {} : { [`oci-chunk-${bound}-length`]: String(length) }

const created = (repository: RepositoryName, digest: Digest.Digest): HttpServerResponse =>
  ServerResponse.empty(201, {
    location: Route.blobPath(repository, digest),
    ...ServerResponse.contentDigest(digest)
  })

const describe = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { digest, repository }: { readonly repository: RepositoryName; readonly digest: Digest.Digest }
) {
  const descriptor = yield* registry.headBlob(repository, digest)
  return Option.isSome(descriptor)
    ? descriptor.value
    : yield* new BlobUnknown({ repository, digest })
})

const blobHeaders = (digest: Digest.Digest) => ({
  ...ServerResponse.contentDigest(digest),
  ...Conditions.entityTag(digest),
  "accept-ranges": "bytes"
})
