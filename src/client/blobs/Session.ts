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
import * as Received from "../http/Received.js"
import * as Retry from "../http/Retry.js"
import { withGracePeriod } from "./GracePeriod.js"
import {
  chunkBounds,
  complete,
  opened,
  pour,
  type Remote,
  type Session,
  status,
  stored,
  write
} from "./SessionSteps.js"
import { exposed, readOnce } from "./SourceFailure.js"
import { trusted } from "./UploadLocation.js"
import { chunkSizeOf, isBeyondMemory } from "./UploadPiece.js"

/** A session as its Scope holds it, and the registry that has it. */
export type { Remote, Session } from "./SessionSteps.js"

/** Sessions that were opened in place of something else. */
export type Adopted = Array<Session>

/** One of them, and the exchange that opened it. */
export interface Opened {
  readonly session: Session
  readonly exchange: ReturnType<typeof Received.exchangeOf>
}

// -----------------------------------------------------------------------------
// Opening and cancelling
// -----------------------------------------------------------------------------

/** Opens a session, for a digest of another algorithm than sha256 with its name (C45). */
export const start = (remote: Remote, repository: RepositoryName, algorithm = "sha256") =>
  scoped(
    remote,
    Effect.flatMap(
      remote.send(
        Operation.StartUpload({
          repository,
          algorithm: algorithm === "sha256" ? undefined : algorithm
        })
      ),
      (response) => opened(remote, repository, response)
    )
  )

/** Continues a session where the registry says it is. */
export const resume = (remote: Remote, state: UploadState) =>
  Effect.flatMap(
    Effect.acquireRelease(
      // Whoever could write the state chose its location: it is judged like one of the registry's.
      Effect.map(
        trusted(remote.to, remote.to.base, state.location),
        (location): Session => ({
          repository: state.repository,
          location,
          offset: state.offset,
          bounds: chunkBounds(state.chunkMinLength, state.chunkMaxLength),
          settled: true,
          isBroken: false
        })
      ),
      (session) => cancel(remote, session)
    ),
    (session) =>
      Effect.map(status(remote, session), () => {
        // Only a session that is known to exist is ours to cancel.
        session.settled = false
        return session
      })
  )

/** A session as it can be continued later. */
export const stateOf = ({ bounds, location, offset, repository }: Session): UploadState => ({
  repository,
  location,
  offset,
  ...bounds
})

/**
 * The session of a response that may have opened one: `adopted` from the moment that the response
 * arrives.
 */
export const adopt = <E>(
  remote: Remote,
  request: Effect.Effect<Received.Received, E>,
  { digest, repository }: { readonly repository: RepositoryName; readonly digest: Digest.Digest },
  adopted: Adopted
): Effect.Effect<
  Option.Option<Opened>,
  E | ProtocolViolation | UntrustedLocation | DigestMismatch
> =>
  withGracePeriod(
    Effect.flatMap(
      request,
      (
        response
      ): Effect.Effect<
        Option.Option<Opened>,
        ProtocolViolation | UntrustedLocation | DigestMismatch
      > =>
        response.status === 202
          ? Effect.map(opened(remote, repository, response), (session) => {
              adopted.push(session)
              return Option.some({ session, exchange: Received.exchangeOf(response) })
            })
          : Effect.as(stored(response, digest), Option.none())
    )
  )

/**
 * Cancels what was adopted, unless it was committed: the Scope of sessions that hardly ever are.
 */
export const adopting = <A, E, R>(
  remote: Remote,
  use: (adopted: Adopted) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const adopted: Adopted = []
    return Effect.ensuring(
      use(adopted),
      Effect.suspend(() =>
        Effect.forEach(adopted, (session) => cancel(remote, session), { discard: true })
      )
    )
  })

const scoped = <E>(
  remote: Remote,
  session: Effect.Effect<Session, E>
): Effect.Effect<Session, E, Scope.Scope> =>
  Effect.acquireRelease(withGracePeriod(session), (session) => cancel(remote, session))

/** Whether it succeeds is of no consequence: registries time sessions out (C58, R23). */
const cancel = ({ send, to }: Remote, session: Session): Effect.Effect<void> =>
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
                  `An upload to ${session.repository} at ${to.origin} was broken off and cannot ` +
                    "be cancelled: the registry keeps what it got of it until it clears its uploads"
                )
              : Effect.logDebug("An upload session could not be cancelled", cause)
          )
        )
  )

/** Whether there is no such session, as opposed to one that cannot be told to end. */
const isGone = (error: Option.Option<unknown>): boolean =>
  Option.exists(
    error,
    (error) =>
      error instanceof UploadUnknown &&
      error.errors?.some(({ code }) => code === "BLOB_UPLOAD_INVALID") !== true
  )

// -----------------------------------------------------------------------------
// Closing
// -----------------------------------------------------------------------------

/**
 * Closes a session whose bytes are all there. A lost response, or a 500 that lies, is settled
 * by asking for the blob, as is the 404 that answers a repeated closing. The blob may be that of
 * another upload, so that the Scope cancels a session that was not seen to close.
 */
export const close = (remote: Remote, session: Session, digest: Digest.Digest) =>
  Effect.suspend(() => {
    let lost = false
    const closed = Effect.catchIf(
      complete(remote, session, digest),
      (error) => isTransient(error) || (lost && error._tag === "UploadUnknown"),
      (error) => {
        lost = true
        return Effect.filterOrFail(arrived(remote, session, digest), identity, () => error)
      }
    )
    return Retry.repeated(closed, Retry.attempts(remote.to))
  })

/** Whether the registry has the blob after all. That it cannot be asked means no. */
export const present = (
  { head }: Remote,
  repository: RepositoryName,
  digest: Digest.Digest
): Effect.Effect<boolean> => Effect.orElseSucceed(head.exists(repository, digest), () => false)

/** The same of the blob of a session: where it is there, no warning is due for the session. */
export const arrived = (
  remote: Remote,
  session: Session,
  digest: Digest.Digest
): Effect.Effect<boolean> =>
  Effect.map(present(remote, session.repository, digest), (isThere) => {
    if (isThere) session.isBroken = false
    return isThere
  })

// -----------------------------------------------------------------------------
// For applications
// -----------------------------------------------------------------------------

/** The session as `Registry` shows it: one step at a time. */
export const expose = (remote: Remote, session: Session): UploadSession => {
  const inTurn = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const state = Effect.sync(() => stateOf(session))
  return {
    ...session.bounds,
    state,
    write: (bytes) => inTurn(Effect.zipRight(append(remote, session, bytes), state)),
    status: inTurn(Effect.zipRight(status(remote, session), state)),
    commit: (digest) =>
      inTurn(
        Effect.map(
          close(remote, session, digest),
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

/** Appends bytes, in chunks where the registry takes none of any size. */
const append = <E, R>(
  remote: Remote,
  session: Session,
  bytes: Uint8Array | Stream.Stream<Uint8Array, E, R>
) => {
  const { chunkMaxLength } = session.bounds
  const chunked = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, size: number) =>
    Stream.runForEach(ByteStream.rechunk(bytes, size), (chunk) => write(remote, session, chunk))
  if (!(bytes instanceof Uint8Array))
    return chunkMaxLength === undefined || isBeyondMemory(session.bounds)
      ? Effect.suspend(() => exposed(pour(remote, session, readOnce(bytes))))
      : chunked(bytes, chunkSizeOf(session.bounds))
  return bytes.length > (chunkMaxLength ?? Number.MAX_SAFE_INTEGER)
    ? chunked(Stream.make(bytes), chunkSizeOf(session.bounds, chunkMaxLength))
    : write(remote, session, bytes)
}
