/** Upload sessions whose bytes are reserved against a quota as they arrive (V12). */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { UploadState } from "../../internal/UploadState.js"
import type { Registry, UploadSession } from "../../Registry.js"
import type { LimitExceeded } from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import { growing, type Quota, type Reservation } from "./Quota.js"

/** Whether a repository has a blob. */
type Has = (repository: RepositoryName, digest: Digest) => Effect.Effect<boolean>

/** What an open session has reserved, whoever writes to it. */
interface Upload {
  readonly reservation: Reservation
  key: string
}

const keyOf = ({ location, repository }: UploadState): string => `${repository} ${location}`

/** The sessions of a registry that are open or were left so, by their locations. */
class Uploads {
  private readonly open = new Map<string, Upload>()

  constructor(readonly quota: Quota) {}

  get begin(): Effect.Effect<Upload> {
    return Effect.map(this.quota.reserve, (reservation) => ({ reservation, key: "" }))
  }

  find(state: UploadState): Upload | undefined {
    return this.open.get(keyOf(state))
  }

  /** Sets what a session has reserved to what has arrived. */
  settle(upload: Upload, state: UploadState): UploadState {
    this.open.delete(upload.key)
    upload.key = keyOf(state)
    this.open.set(upload.key, upload)
    upload.reservation.set(state.offset)
    return state
  }

  end(upload: Upload): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.open.get(upload.key) === upload) this.open.delete(upload.key)
      return upload.reservation.release
    })
  }
}

/** Makes the operations that open sessions. */
export const uploads = (quota: Quota, registry: Registry.Service, has: Has) => {
  const all = new Uploads(quota)
  return {
    startUpload: (repository, options) =>
      Effect.flatMap(all.begin, (upload) =>
        opened(all, has, upload, registry.startUpload(repository, options))
      ),
    resumeUpload: (state) =>
      Effect.flatMap(all.begin, (unknown) => {
        const upload = all.find(state) ?? unknown
        const session = Effect.tapErrorTag(registry.resumeUpload(state), "UploadUnknown", () =>
          all.end(upload)
        )
        return opened(all, has, upload, session)
      })
  } satisfies Partial<Registry.Service>
}

/**
 * Opens a session in a Scope of its own, so that it can be cancelled before the caller's closes.
 * Its bytes are given back when it is, unless it was left open.
 */
const opened = <E>(
  all: Uploads,
  has: Has,
  upload: Upload,
  session: Effect.Effect<UploadSession, E, Scope.Scope>
): Effect.Effect<UploadSession, E, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    // Until it is open here, it is where it was.
    const status: Status = { isLeft: true, isOver: false }
    yield* Scope.addFinalizer(
      scope,
      Effect.suspend(() => (status.isLeft ? Effect.void : all.end(upload)))
    )
    const inner = yield* Scope.extend(session, scope)
    status.isLeft = false
    all.settle(upload, yield* inner.state)
    return limited(all, has, upload, status, inner, Scope.close(scope, Exit.void))
  })

/** Whether a session was left open, and whether it was committed, or cancelled for its size. */
interface Status {
  isLeft: boolean
  isOver: boolean
}

const limited = (
  all: Uploads,
  has: Has,
  upload: Upload,
  status: Status,
  inner: UploadSession,
  cancel: Effect.Effect<void>
): UploadSession => {
  const settled = <E, R>(state: Effect.Effect<UploadState, E, R>) =>
    Effect.map(state, (state) => all.settle(upload, state))
  const exceeding = (error: LimitExceeded) =>
    Effect.suspend(() => {
      status.isOver = true
      return Effect.zipRight(cancel, Effect.fail(error))
    })
  return {
    ...inner,
    write: (bytes) =>
      Effect.flatMap(inner.state, ({ offset }) => {
        if (status.isOver) return inner.write(bytes)
        // Of an error of the stream nothing is known.
        let exceeded: LimitExceeded | undefined
        const reserve = (size: number) =>
          Effect.tapError(upload.reservation.grow(size), (error) =>
            Effect.sync(() => {
              exceeded = error
            })
          )
        const written =
          bytes instanceof Uint8Array
            ? Effect.zipRight(reserve(offset + bytes.length), inner.write(bytes))
            : inner.write(growing(bytes, reserve, offset))
        return Effect.catchAll(settled(written), (error) =>
          exceeded === undefined ? Effect.fail(error) : exceeding(exceeded)
        )
      }),
    status: settled(inner.status),
    detach: Effect.suspend(() => {
      if (status.isOver) return inner.state
      status.isLeft = true
      return settled(inner.detach)
    }),
    commit: (digest) =>
      Effect.gen(function* () {
        const { repository } = yield* inner.state
        const wasThere = yield* has(repository, digest)
        return yield* Effect.uninterruptibleMask((restore) =>
          Effect.tap(restore(inner.commit(digest)), ({ size }) => {
            status.isOver = true
            if (!wasThere) all.quota.keep(repository, digest, size, upload.reservation)
            return all.end(upload)
          })
        )
      })
  }
}
