/**
 * Upload sessions of one registry: opened in a Scope that cancels them, advanced by chunks or
 * streams, and closed. Every step goes to the newest location the registry gave (C50, rule 9).
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { ChunkBounds, UploadState } from "../../internal/UploadState.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as UrlQuery from "../../protocol/internal/UrlQuery.js"
import * as Operation from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import type { UploadSession } from "../../Registry.js"
import {
  DigestMismatch,
  isTransient,
  ProtocolViolation,
  TransportFailure,
  UntrustedLocation,
  UploadUnknown
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as Retry from "../http/Retry.js"
import type { BlobHead } from "./BlobHead.js"
import { withGracePeriod } from "./GracePeriod.js"
import * as SourceBody from "./SourceBody.js"
import { exposed, readOnce, SourceFailure } from "./SourceFailure.js"
import { chunkSizeOf } from "./UploadPiece.js"

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

/** Sessions that were opened in place of something else. */
export type Adopted = Array<Session>

/** Bytes that an interrupted step can still send in the time that it is given. */
const short = 64 * 1024 * 1024

const noLocation: Record<SingleField.Problem, string> = {
  absent: "The registry opened an upload without a Location",
  blank: "The registry names a blank Location for an upload",
  repeated: "The registry names more than one Location for an upload"
}

/** The bytes that a response says the registry holds. */
const rangeOf = ({ headers }: Received.Received) =>
  Option.flatMap(Option.fromNullable(SingleField.value(headers, "range")), ByteRange.parseUpload)

const boundsOf = ({ headers }: Received.Received): ChunkBounds => {
  const length = (bound: "min" | "max") =>
    Option.getOrUndefined(
      ByteRange.parseLength(SingleField.value(headers, `oci-chunk-${bound}-length`) ?? "")
    )
  return chunkBounds(length("min"), length("max"))
}

/** No chunk is empty, so that 0 bounds nothing. */
const chunkBounds = (min: number | undefined, max: number | undefined): ChunkBounds => ({
  ...(min !== undefined && min > 0 && { chunkMinLength: min }),
  ...(max !== undefined && max > 0 && { chunkMaxLength: max })
})

const holds = (response: Received.Received, count: number): boolean =>
  Option.exists(rangeOf(response), ({ end }) => end === count - 1)

/** Whether there is no such session, as opposed to one that cannot be told to end. */
const isGone = (error: Option.Option<unknown>): boolean =>
  Option.exists(
    error,
    (error) =>
      error instanceof UploadUnknown &&
      error.errors?.some(({ code }) => code === "BLOB_UPLOAD_INVALID") !== true
  )

const hasStatus = (error: Option.Option<unknown>): boolean =>
  Option.exists(
    error,
    (error) =>
      typeof error === "object" && error !== null && "status" in error && error.status !== undefined
  )

/** The steps of a session. */
export const make = (to: Endpoint, send: Send, head: BlobHead) => {
  /** Opens a session, for a digest of another algorithm than sha256 with its name (C45). */
  const start = (repository: RepositoryName, algorithm = "sha256") =>
    held(
      Effect.flatMap(
        send(
          Operation.StartUpload({
            repository,
            algorithm: algorithm === "sha256" ? undefined : algorithm
          })
        ),
        (response) => opened(repository, response)
      )
    )

  /**
   * The session of an answer that may have opened one: `adopted` from the moment that the answer
   * arrives.
   */
  const adopt = <E>(
    request: Effect.Effect<Received.Received, E>,
    { digest, repository }: { readonly repository: RepositoryName; readonly digest: Digest.Digest },
    adopted: Adopted
  ): Effect.Effect<
    Option.Option<Session>,
    E | ProtocolViolation | UntrustedLocation | DigestMismatch
  > =>
    withGracePeriod(
      Effect.flatMap(
        request,
        (
          response
        ): Effect.Effect<
          Option.Option<Session>,
          ProtocolViolation | UntrustedLocation | DigestMismatch
        > =>
          response.status === 202
            ? Effect.map(opened(repository, response), (session) => {
                adopted.push(session)
                return Option.some(session)
              })
            : Effect.as(stored(response, digest), Option.none())
      )
    )

  /**
   * Cancels what was adopted, unless it was committed: the Scope of sessions that hardly ever are.
   */
  const adopting = <A, E, R>(
    use: (adopted: Adopted) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const adopted: Adopted = []
      return Effect.ensuring(
        use(adopted),
        Effect.suspend(() => Effect.forEach(adopted, cancel, { discard: true }))
      )
    })

  const held = <E>(session: Effect.Effect<Session, E>): Effect.Effect<Session, E, Scope.Scope> =>
    Effect.acquireRelease(withGracePeriod(session), cancel)

  const opened = (repository: RepositoryName, response: Received.Received) =>
    Effect.zipRight(
      Received.excerpt(response),
      Effect.map(locationOf(response), (location): Session => {
        const bounds = boundsOf(response)
        return { repository, location, offset: 0, settled: false, isBroken: false, bounds }
      })
    )

  /** Continues a session where the registry says it is. */
  const resume = (state: UploadState) =>
    Effect.flatMap(
      Effect.acquireRelease(
        // Whoever could write the state chose its location: it is judged like one of the registry's.
        Effect.map(
          trusted(to.base, state.location),
          (location): Session => ({
            repository: state.repository,
            location,
            offset: state.offset,
            bounds: chunkBounds(state.chunkMinLength, state.chunkMaxLength),
            settled: true,
            isBroken: false
          })
        ),
        cancel
      ),
      (session) =>
        Effect.map(status(session), () => {
          // Only a session that is known to exist is ours to cancel.
          session.settled = false
          return session
        })
    )

  /** Whether it succeeds is of no consequence: registries time sessions out (C58, R23). */
  const cancel = (session: Session): Effect.Effect<void> =>
    Effect.suspend(() =>
      session.settled
        ? Effect.void
        : send(
            Operation.CancelUpload({ repository: session.repository, location: session.location })
          ).pipe(
            Effect.flatMap(Received.excerpt),
            Effect.timeout(Duration.seconds(10)),
            (step) => withGracePeriod(step),
            Effect.catchAllCause((cause) =>
              session.isBroken && !isGone(Cause.failureOption(cause))
                ? Effect.logWarning(
                    `An upload to ${session.repository} at ${to.origin} was broken off and cannot be cancelled: the registry keeps what it got of it until it clears its uploads`
                  )
                : Effect.logDebug("An upload session could not be cancelled", cause)
            )
          )
    )

  /** Appends one chunk with its range (C47, C48). No chunk can be empty (trap 15). */
  const write = (session: Session, bytes: Uint8Array) =>
    Effect.suspend(() => {
      const range = { start: session.offset, end: session.offset + bytes.length - 1 }
      const { location, repository } = session
      return bytes.length === 0
        ? Effect.void
        : withGracePeriod(
            Effect.flatMap(
              send(
                Operation.UploadChunk({ repository, location, range }),
                HttpBody.uint8Array(bytes, MediaType.octetStream)
              ),
              (response) => advance(session, response, bytes.length)
            )
          )
    })

  /**
   * Appends a stream in one PATCH: with its range where the byte of the blob that comes after it,
   * `end`, is known, else without (C56). No bytes are no request. A registry that answers before it
   * has got everything has not stored everything. Where the stream fails or the step is
   * interrupted, the request is brought to its end, so that the session can still be cancelled.
   */
  const pour = <E, R>(session: Session, stream: Stream.Stream<Uint8Array, E, R>, end?: number) =>
    Effect.suspend(() => {
      const { location, offset, repository } = session
      const range = end === undefined ? undefined : { start: offset, end: end - 1 }
      const length = end === undefined ? undefined : end - offset
      return Effect.flatMap(SourceBody.make(stream, length), (body) => {
        const step = Effect.gen(function* () {
          if (length === 0 || (length === undefined && (yield* body.isEmpty))) return
          const response = yield* send(
            Operation.UploadChunk({ repository, location, range }),
            HttpBody.stream(body.stream, MediaType.octetStream, length)
          ).pipe(moving(session), (request) => SourceBody.explained(request, body))
          const { count, failure, isAll, isPassedOn } = body.sent()
          const isStored = isAll && (isPassedOn || holds(response, offset + count))
          const isOpenEnded = failure !== undefined && length === undefined
          yield* advance(session, response, isStored || isOpenEnded ? count : 0)
          if (failure !== undefined) return yield* Effect.fail(new SourceFailure(failure))
          if (!isStored)
            return yield* new TransportFailure({ ...Received.factsOf(response), reason: "Reset" })
        })
        return withGracePeriod(Effect.scoped(step), body.stop)
      })
    })

  /**
   * The success of a chunk is what counts: some registries report a `Range` that stands still (trap
   * 4).
   */
  const advance = (session: Session, response: Received.Received, count: number) =>
    Effect.map(Effect.zipRight(Received.excerpt(response), relocate(session, response)), () => {
      session.offset += count
    })

  /** Remembers of a request with content whether it broke off. */
  const moving =
    (session: Session) =>
    <A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.onExit(request, (exit) =>
        Effect.sync(() => {
          session.isBroken = Exit.isFailure(exit) && !hasStatus(Cause.failureOption(exit.cause))
        })
      )

  const status = (session: Session) =>
    Effect.suspend(() => {
      const { location, repository } = session
      return withGracePeriod(
        Effect.flatMap(send(Operation.UploadStatus({ repository, location })), (response) =>
          Effect.map(
            Effect.zipRight(Received.excerpt(response), relocate(session, response)),
            () => {
              const range = rangeOf(response)
              if (Option.isSome(range))
                session.offset = ByteRange.nextOffset(range.value, session.offset)
            }
          )
        )
      )
    })

  /**
   * Closes the session as a blob: with no body, or with the whole blob where nothing was sent
   * before (C37, C54). When interrupted it comes to its end, unless that is far: what Docker's
   * registry was closing can neither be closed nor cancelled any more.
   */
  const complete = (
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
  const stored = (
    response: Received.Received,
    digest: Digest.Digest
  ): Effect.Effect<void, DigestMismatch> => {
    const announced = SingleField.value(response.headers, "docker-content-digest")
    return Effect.zipRight(
      Received.excerpt(response),
      Digest.isDigest(announced) && Digest.disagree(announced, digest)
        ? Effect.fail(
            new DigestMismatch({
              ...Received.factsOf(response),
              expected: digest,
              actual: announced
            })
          )
        : Effect.void
    )
  }

  /**
   * Closes a session whose bytes are all there. A lost answer, or a 500 that lies, is settled by
   * asking for the blob, as is the 404 that a repeated closing is answered with.
   */
  const close = (session: Session, digest: Digest.Digest) =>
    Effect.suspend(() => {
      let lost = false
      const closed = Effect.catchIf(
        complete(session, digest),
        (error) => isTransient(error) || (lost && error._tag === "UploadUnknown"),
        (error) => {
          lost = true
          return Effect.filterOrFail(present(session.repository, digest), identity, () => error)
        }
      )
      return Effect.zipRight(
        Retry.repeated(closed, Retry.attempts(to)),
        Effect.sync(() => {
          session.settled = true
        })
      )
    })

  /** Leaves a session alone that became a blob, though the registry did not say so. */
  const keep = (session: Session): void => {
    session.settled = true
  }

  /** Whether the registry has the blob after all. That it cannot be asked means no. */
  const present = (repository: RepositoryName, digest: Digest.Digest): Effect.Effect<boolean> =>
    Effect.orElseSucceed(head.exists(repository, digest), () => false)

  const relocate = (session: Session, response: Received.Received) =>
    response.headers["location"] === undefined
      ? Effect.void // Quay's answers to a status request (quirks §3).
      : Effect.map(locationOf(response, session.location), (location) => {
          session.location = location
        })

  /** The location that a response names; `sentTo`: where the request went before any redirect. */
  const locationOf = (
    response: Received.Received,
    sentTo: string = to.base
  ): Effect.Effect<string, ProtocolViolation | UntrustedLocation> => {
    const named = SingleField.requiredReference(response.headers, "location")
    if (Either.isLeft(named))
      return Effect.fail(
        new ProtocolViolation({ ...Received.factsOf(response), problem: noLocation[named.left] })
      )
    const target = named.right
    const { url } = response.request
    // Another origin that redirects to the registry has chosen what the registry answers.
    return Trust.isAt(to.origin, sentTo) || !URL.canParse(target, url)
      ? trusted(url, target, response)
      : trusted(sentTo, UrlQuery.restored(new URL(target, url), target, url), response)
  }

  const trusted = (
    from: string,
    target: string,
    response?: Received.Received
  ): Effect.Effect<string, UntrustedLocation> => {
    const verdict = Trust.decide(to.trust, { kind: "Upload", registry: to.base, from, target })
    return verdict._tag === "Allowed"
      ? Effect.succeed(verdict.url)
      : Effect.fail(
          response === undefined
            ? UntrustedLocation.from("Upload", verdict, {})
            : Received.untrusted(response, "Upload", verdict)
        )
  }

  /** The session as `Registry` shows it: one step at a time. */
  const expose = (session: Session): UploadSession => {
    const inTurn = Effect.unsafeMakeSemaphore(1).withPermits(1)
    const state = Effect.sync(
      (): UploadState => ({
        repository: session.repository,
        location: session.location,
        offset: session.offset,
        ...session.bounds
      })
    )
    const { chunkMaxLength } = session.bounds
    const chunked = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, size: number) =>
      Stream.runForEach(ByteStream.rechunk(bytes, size), (chunk) => write(session, chunk))
    const append = <E, R>(bytes: Uint8Array | Stream.Stream<Uint8Array, E, R>) => {
      if (!(bytes instanceof Uint8Array))
        return chunkMaxLength === undefined
          ? Effect.suspend(() => exposed(pour(session, readOnce(bytes))))
          : chunked(bytes, chunkSizeOf(session.bounds))
      return bytes.length > (chunkMaxLength ?? Number.MAX_SAFE_INTEGER)
        ? chunked(Stream.make(bytes), chunkSizeOf(session.bounds, chunkMaxLength))
        : write(session, bytes)
    }
    return {
      ...session.bounds,
      state,
      write: (bytes) => inTurn(Effect.zipRight(append(bytes), state)),
      status: inTurn(Effect.zipRight(status(session), state)),
      commit: (digest) =>
        inTurn(
          Effect.map(
            close(session, digest),
            (): Descriptor => ({ mediaType: MediaType.octetStream, digest, size: session.offset })
          )
        ),
      detach: inTurn(
        Effect.suspend(() => {
          session.settled = true
          return state
        })
      )
    }
  }

  return {
    start,
    adopt,
    adopting,
    resume,
    status,
    write,
    pour,
    complete,
    close,
    stored,
    keep,
    present,
    expose
  }
}
