/**
 * The requests of an upload session, one by one: each goes to the newest location that the registry
 * gave (C50, rule 9), and moves the session on.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ChunkBounds } from "../../internal/UploadState.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import { DigestMismatch, TransportFailure } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as SentArrays from "../http/SentArrays.js"
import type { BlobHead } from "./BlobHead.js"
import { withGracePeriod } from "./GracePeriod.js"
import * as SourceBody from "./SourceBody.js"
import { SourceFailure } from "./SourceFailure.js"
import { locationOf } from "./UploadLocation.js"

/** The registry that has the sessions: where it is, and how it is asked. */
export interface Remote {
  readonly to: Endpoint
  readonly send: Send
  readonly head: BlobHead
  /** How many uploads are being sent in chunks. */
  readonly chunked: { uploads: number }
}

/**
 * A session as its Scope holds it. `settled`: committed or detached, so not to be cancelled;
 * `isBroken`: whether a request with content broke off, so that it may be impossible to cancel.
 */
export interface Session {
  readonly repository: RepositoryName
  readonly bounds: ChunkBounds
  location: string
  offset: number
  settled: boolean
  isBroken: boolean
}

/** Bytes that an interrupted step can still send in the time that it is given. */
const short = 64 * 1024 * 1024

// -----------------------------------------------------------------------------
// Opening
// -----------------------------------------------------------------------------

/** The session that a response opened. */
export const opened = ({ to }: Remote, repository: RepositoryName, response: Received.Received) =>
  Effect.zipRight(
    Received.excerpt(response),
    Effect.map(locationOf(to, response, to.base), (location): Session => {
      const bounds = boundsOf(response)
      return { repository, location, offset: 0, settled: false, isBroken: false, bounds }
    })
  )

const boundsOf = ({ headers }: Received.Received): ChunkBounds => {
  const length = (bound: "min" | "max") =>
    Option.getOrUndefined(
      ByteRange.parseLength(SingleField.value(headers, `oci-chunk-${bound}-length`) ?? "")
    )
  return chunkBounds(length("min"), length("max"))
}

/** No chunk is empty, so that 0 bounds nothing. */
export const chunkBounds = (min: number | undefined, max: number | undefined): ChunkBounds => ({
  ...(min !== undefined && min > 0 && { chunkMinLength: min }),
  ...(max !== undefined && max > 0 && { chunkMaxLength: max })
})

// -----------------------------------------------------------------------------
// Appending
// -----------------------------------------------------------------------------

/**
 * Appends one chunk with its range (C47, C48). No chunk can be empty (trap 15). A registry that
 * answers before it has got everything has not stored everything.
 */
export const write = (remote: Remote, session: Session, bytes: Uint8Array) =>
  Effect.suspend(() => {
    const range = { start: session.offset, end: session.offset + bytes.length - 1 }
    const { location, repository } = session
    return bytes.length === 0
      ? Effect.void
      : withGracePeriod(
          Effect.flatMap(
            remote
              .send(
                Operation.UploadChunk({ repository, location, range }),
                HttpBody.uint8Array(bytes, MediaType.octetStream)
              )
              .pipe(moving(session)),
            (response) =>
              SentArrays.isPassedOn(bytes) || holds(response, range.end + 1)
                ? advance(remote, session, response, bytes.length)
                : Effect.zipRight(advance(remote, session, response, 0), cutOff(response))
          )
        )
  })

/**
 * Appends a stream in one PATCH: with its range where the byte of the blob that comes after it,
 * `end`, is known, else without (C56), as with `mayEnd`, which lets it end at any byte. No bytes
 * are no request. A registry that answers before it
 * has got everything has not stored everything. Where the stream fails or the step is interrupted,
 * the request is brought to its end, so that the session can still be cancelled.
 */
export const pour = <E, R>(
  remote: Remote,
  session: Session,
  stream: Stream.Stream<Uint8Array, E, R>,
  end?: number,
  mayEnd = false
) =>
  Effect.suspend(() => {
    const { location, offset, repository } = session
    if (end === offset) return Effect.void
    const isFixed = end !== undefined && !mayEnd
    const range = isFixed ? { start: offset, end: end - 1 } : undefined
    const length = isFixed ? end - offset : undefined
    return Effect.flatMap(SourceBody.make(stream, length), (body) => {
      const step = Effect.gen(function* () {
        if (end === undefined && (yield* body.isEmpty)) return
        const response = yield* remote
          .send(
            Operation.UploadChunk({ repository, location, range }),
            HttpBody.stream(body.stream, MediaType.octetStream, length)
          )
          .pipe(moving(session), (request) => SourceBody.explained(request, body))
        const { count, failure, isAll, isPassedOn } = body.sent()
        const isStored = isAll && (isPassedOn || holds(response, offset + count))
        const isOpenEnded = failure !== undefined && length === undefined
        yield* advance(remote, session, response, isStored || isOpenEnded ? count : 0)
        if (failure !== undefined) return yield* Effect.fail(new SourceFailure(failure))
        if (!isStored) return yield* cutOff(response)
      })
      return withGracePeriod(Effect.scoped(step), () => body.stop())
    })
  })

/**
 * The success of a chunk is what counts: some registries report a `Range` that stands still (trap
 * 4).
 */
const advance = (remote: Remote, session: Session, response: Received.Received, count: number) =>
  Effect.map(relocate(remote, session, response), () => {
    session.offset += count
  })

const cutOff = (response: Received.Received) =>
  new TransportFailure({ ...Received.exchangeOf(response), reason: "Reset" })

const holds = (response: Received.Received, count: number): boolean =>
  Option.exists(rangeOf(response), ({ end }) => end === count - 1)

// -----------------------------------------------------------------------------
// Asking and closing
// -----------------------------------------------------------------------------

/** Asks where the session is. */
export const status = (remote: Remote, session: Session) =>
  Effect.suspend(() => {
    const { location, repository } = session
    return withGracePeriod(
      Effect.flatMap(remote.send(Operation.UploadStatus({ repository, location })), (response) =>
        Effect.map(relocate(remote, session, response), () => {
          const range = rangeOf(response)
          if (Option.isSome(range))
            session.offset = ByteRange.nextOffset(range.value, session.offset)
        })
      )
    )
  })

/**
 * Closes the session as a blob: with no body, or with the whole blob where nothing was sent before
 * (C37, C54). When interrupted it comes to its end, unless that is far: what Docker's registry was
 * closing can neither be closed nor cancelled any more.
 */
export const complete = (
  { send }: Remote,
  session: Session,
  digest: Digest.Digest,
  body?: HttpBody.HttpBody,
  range?: ByteRange.ByteRange | undefined
) =>
  Effect.suspend(() => {
    const { location, repository } = session
    const step = Effect.flatMap(
      moving(session)(
        send(Operation.CompleteUpload({ repository, location, digest, range }), body)
      ),
      (response) => {
        session.settled = true
        return stored(response, digest)
      }
    )
    return (body?.contentLength ?? 0) > short ? step : withGracePeriod(step)
  })

/** What a registry says that it stored, if it says so, is what was meant (C61). */
export const stored = (
  response: Received.Received,
  digest: Digest.Digest
): Effect.Effect<void, DigestMismatch> => {
  const announced = SingleField.value(response.headers, "docker-content-digest")
  return Effect.zipRight(
    Received.excerpt(response),
    Digest.isDigest(announced) && Digest.disagree(announced, digest)
      ? Effect.fail(
          new DigestMismatch({
            ...Received.exchangeOf(response),
            expected: digest,
            actual: announced
          })
        )
      : Effect.void
  )
}

// -----------------------------------------------------------------------------
// What a request tells of its session
// -----------------------------------------------------------------------------

/** Remembers of a request with content whether it broke off. */
const moving =
  (session: Session) =>
  <A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.onExit(request, (exit) =>
      Effect.sync(() => {
        session.isBroken = Exit.isFailure(exit) && !hasStatus(Cause.failureOption(exit.cause))
      })
    )

const hasStatus = (error: Option.Option<unknown>): boolean =>
  Option.exists(
    error,
    (error) =>
      typeof error === "object" && error !== null && "status" in error && error.status !== undefined
  )

/** The bytes that a response says the registry holds. */
const rangeOf = ({ headers }: Received.Received) =>
  Option.flatMap(Option.fromNullable(SingleField.value(headers, "range")), ByteRange.parseUpload)

/** Reads a response to its end, and remembers the location that it names. */
const relocate = ({ to }: Remote, session: Session, response: Received.Received) =>
  Effect.zipRight(
    Received.excerpt(response),
    // Quay's answers to a status request name none (quirks §3).
    response.headers["location"] === undefined
      ? Effect.void
      : Effect.map(locationOf(to, response, session.location), (location) => {
          session.location = location
        })
  )
