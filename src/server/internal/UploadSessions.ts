/**
 * The upload sessions of a registry server: its own identifiers, each for a session at the registry
 * behind, which is resumed for one request and detached again. Whatever happens to a request, the
 * next one finds the session where the registry says that it is.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { UploadState } from "../../internal/UploadState.js"
import * as Route from "../../protocol/internal/Route.js"
import type { Registry, UploadSession } from "../../Registry.js"
import {
  type CommonError,
  type NameUnknown,
  type Unsupported,
  UploadUnknown
} from "../../RegistryError.js"
import type { RepositoryName } from "../../spec/Reference.js"
import { ErrorResponse } from "./ErrorResponse.js"
import type { Bounds } from "./Limits.js"

/**
 * Sessions under the server's own locations.
 *
 * - `open` returns those that are open.
 * - `start` opens one and returns its state, with the server's location. Fails with a 429 when too
 *   many are open.
 * - `use` resumes the session at a location for one request and runs `f` on it. Requests to one
 *   session wait for each other, as bytes go in order (C51). Afterwards the session stays open if
 *   `stays` says so, and is otherwise cancelled, unless it was committed. Fails with
 *   `UploadUnknown` when there is none.
 *
 * A session has an `owner` if somebody had logged in: for others it does not exist (V17).
 */
export interface UploadSessions {
  readonly open: Effect.Effect<ReadonlyArray<UploadState>>
  readonly start: (
    repository: RepositoryName,
    algorithm: string,
    owner?: string
  ) => Effect.Effect<UploadState, ErrorResponse | NameUnknown | Unsupported | CommonError>
  readonly use: <A, E, R>(
    target: Target,
    f: (session: UploadSession) => Effect.Effect<A, E, R>,
    stays: (exit: Exit.Exit<A, E>) => boolean
  ) => Effect.Effect<A, E | UploadUnknown | CommonError, Exclude<R, Scope.Scope>>
}

interface Target {
  readonly repository: RepositoryName
  readonly location: string
  readonly owner?: string | undefined
}

/** Returns the sessions of one user, or those of nobody. */
export const ownedBy = (sessions: UploadSessions, owner: string | undefined): UploadSessions =>
  owner === undefined
    ? sessions
    : {
        ...sessions,
        start: (repository, algorithm) => sessions.start(repository, algorithm, owner),
        use: (target, f, stays) => sessions.use({ ...target, owner }, f, stays)
      }

interface Entry {
  readonly owner: string | undefined
  readonly lock: Effect.Semaphore
  state: UploadState
  /** When it was opened, or its last bytes came, in milliseconds of the Clock. */
  used: number
}

/**
 * Makes the sessions of a registry. One is cancelled when no bytes have come for its lifetime, and
 * no request to it is under way (R23, V13). Those left when the Scope closes are cancelled, since
 * their locations lead nowhere from then on.
 */
export const make = (
  registry: Registry.Service,
  { uploadLifetime, uploads }: Bounds
): Effect.Effect<UploadSessions, never, Scope.Scope> =>
  Effect.gen(function* () {
    const entries = new Map<string, Entry>()

    const start = Effect.fnUntraced(function* (
      repository: RepositoryName,
      algorithm: string,
      owner?: string
    ) {
      if (entries.size >= uploads) {
        return yield* new ErrorResponse({
          status: 429,
          code: "TOOMANYREQUESTS",
          message: "Too many uploads are open",
          headers: { "retry-after": "60" }
        })
      }
      const session = yield* registry.startUpload(repository, { algorithm })
      const opened = Effect.gen(function* () {
        const id = crypto.randomUUID()
        const state = yield* session.detach
        entries.set(id, {
          owner,
          lock: Effect.unsafeMakeSemaphore(1),
          state,
          used: yield* Clock.currentTimeMillis
        })
        return located(id, state)
      })
      return yield* Effect.uninterruptible(opened)
    }, Effect.scoped)

    const use: UploadSessions["use"] = (target, f, stays) =>
      Effect.suspend(() => {
        const unknown = new UploadUnknown({ repository: target.repository })
        const id = sessionId(target.location)
        const entry = entries.get(id)
        if (
          entry === undefined ||
          entry.owner !== target.owner ||
          entry.state.repository !== target.repository
        )
          return Effect.fail(unknown)
        // It may have been finished while this request waited.
        const resumed = Effect.suspend(() =>
          entries.get(id) === entry ? registry.resumeUpload(entry.state) : Effect.fail(unknown)
        )
        const settle = (session: UploadSession, stay: boolean) =>
          Effect.gen(function* () {
            if (!stay) return void entries.delete(id)
            const { offset } = entry.state
            entry.state = yield* session.detach
            if (entry.state.offset !== offset) entry.used = yield* Clock.currentTimeMillis
          })
        return Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(resumed), (session) =>
            Effect.onExit(restore(f(session)), (exit) => settle(session, stays(exit)))
          )
        ).pipe(Effect.scoped, entry.lock.withPermits(1))
      })

    /**
     * Cancels a session, unless it is in use or was since `time`. The registry may have forgotten
     * it already: whether it answers does not matter (C58).
     */
    const cancel = (entry: Entry, id: string, time: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (entry.used > time || !entries.delete(id)) return Effect.void
        return Effect.ignore(Effect.scoped(registry.resumeUpload(entry.state)))
      }).pipe(entry.lock.withPermitsIfAvailable(1), Effect.asVoid)

    const cancelUnusedSince = (time: number) =>
      Effect.forEach(entries, ([id, entry]) => cancel(entry, id, time), {
        concurrency: 16,
        discard: true
      })

    yield* Effect.addFinalizer(() => cancelUnusedSince(Number.POSITIVE_INFINITY))
    yield* Effect.flatMap(Clock.currentTimeMillis, (now) =>
      cancelUnusedSince(now - uploadLifetime)
    ).pipe(Effect.schedule(Schedule.spaced(Math.min(uploadLifetime, 60_000))), Effect.forkScoped)
    const open = Effect.sync(() => Array.from(entries, ([id, { state }]) => located(id, state)))
    return { open, start, use }
  })

const located = (id: string, state: UploadState): UploadState => ({
  ...state,
  location: Route.uploadPath(state.repository, id)
})

/** Only the path counts: clients may have added parameters of their own. */
const sessionId = (location: string): string =>
  Option.match(Route.match(location.split("?", 1)[0] ?? ""), {
    onNone: () => "",
    onSome: (route) => (route._tag === "Upload" ? route.session : "")
  })
