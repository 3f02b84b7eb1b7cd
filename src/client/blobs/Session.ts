/**
 * Upload sessions of one registry: opened in a Scope that cancels them, closed, and shown to
 * applications. What they send is in `SessionSteps`.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { UploadState } from "../../internal/UploadState.js"
import * as Operation from "../../protocol/Operation.js"
import type { UploadSession } from "../../Registry.js"
import {
  type DigestMismatch,
  isTransient,
  type ProtocolViolation,
  type UntrustedLocation,
  UploadUnknown
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as Retry from "../http/Retry.js"
import type { BlobHead } from "./BlobHead.js"
import { withGracePeriod } from "./GracePeriod.js"
import * as SessionSteps from "./SessionSteps.js"
import { chunkBounds, type Session } from "./SessionSteps.js"
import { exposed, readOnce } from "./SourceFailure.js"
import { chunkSizeOf } from "./UploadPiece.js"

/** A session as its Scope holds it. */
export type { Session } from "./SessionSteps.js"

/** Sessions that were opened in place of something else. */
export type Adopted = Array<Session>

/** Whether there is no such session, as opposed to one that cannot be told to end. */
const isGone = (error: Option.Option<unknown>): boolean =>
  Option.exists(
    error,
    (error) =>
      error instanceof UploadUnknown &&
      error.errors?.some(({ code }) => code === "BLOB_UPLOAD_INVALID") !== true
  )

/** The sessions of one registry. */
export const make = (to: Endpoint, send: Send, head: BlobHead) => {
  const steps = SessionSteps.make(to, send)
  const { complete, opened, pour, status, stored, trusted, write } = steps

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
