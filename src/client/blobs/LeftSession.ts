/** The session that one upload of a blob leaves open, for another to go on with. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type * as ByteStream from "../../ByteStream.js"
import type { UploadState } from "../../internal/UploadState.js"
import type { Registry, ResumableUpload } from "../../Registry.js"
import { isTransient } from "../../RegistryError.js"
import { withGracePeriod } from "./GracePeriod.js"
import * as Session from "./Session.js"
import { status } from "./SessionSteps.js"

/** What was read of the content, by the state that was kept, as long as anybody has it. */
const hashes = new WeakMap<UploadState, ByteStream.Verifier>()

/** A session that was left before, and what of its content was read, if that is known. */
export interface Resumed {
  readonly session: Session.Session
  readonly hashed: ByteStream.Verifier | undefined
}

/** What an upload does about the session that it leaves, and about the one that was left. */
export interface LeftSession {
  /** Opens the session that was left before, if any was. It is cancelled when the Scope closes. */
  readonly resumed: Effect.Effect<Resumed, Registry.ResumeUploadError, Scope.Scope> | undefined
  /** Remembers the session that is used from now on: the process may end at any time. */
  readonly opened: (session: Session.Session) => Effect.Effect<void>
  /** Leaves a session open, if there is something in it, or forgets it. */
  readonly leave: (session: Session.Session, read: ByteStream.Verifier) => Effect.Effect<void>
  /** Forgets all, since the blob is there. A session that nobody used is cancelled. */
  readonly done: Effect.Effect<void>
  /** Forgets the session that was used, since the upload failed for good. */
  readonly failed: Effect.Effect<void>
}

/** Makes it for one upload, with what the application remembers. */
export const make = (remote: Session.Remote, { keep, state }: ResumableUpload): LeftSession => {
  let isOpened = false
  return {
    resumed:
      state &&
      Effect.map(Session.resume(remote, state), (session) => ({
        session,
        hashed: hashes.get(state)
      })),
    opened: (session) =>
      Effect.suspend(() => {
        isOpened = true
        return keep(Session.stateOf(session))
      }),
    leave: (session, read) =>
      Effect.gen(function* () {
        if (session.settled) return
        // What arrived of a request that came to no end, the registry alone knows.
        const asked = yield* Effect.either(
          withGracePeriod(Effect.timeout(status(remote, session), Duration.seconds(10)))
        )
        const isKnown = Either.isRight(asked)
        const isThere = isKnown ? session.offset > 0 : mayBeThere(asked.left)
        if (!isThere || read.size() === 0) return yield* keep(undefined)
        session.settled = true
        const left = Session.stateOf(session)
        hashes.set(left, read)
        yield* keep(left)
      }),
    done: Effect.gen(function* () {
      if (!isOpened && state !== undefined)
        yield* Effect.ignore(Effect.scoped(Session.resume(remote, state)))
      yield* keep(undefined)
    }),
    failed: Effect.suspend(() => (isOpened ? keep(undefined) : Effect.void))
  }
}

const mayBeThere = (error: { readonly _tag: string }): boolean =>
  error._tag === "TimeoutException" || isTransient(error)
