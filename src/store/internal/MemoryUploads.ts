/**
 * The upload sessions of a registry in memory: bytes appended in order, until they become a blob or
 * are dropped.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { UploadState } from "../../internal/UploadState.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as Route from "../../protocol/internal/Route.js"
import type { UploadSession } from "../../Registry.js"
import { DigestMismatch, RangeMismatch, UploadUnknown } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"

/**
 * All sessions of one registry.
 *
 * - `start` opens one, `resume` finds one again; closing the Scope drops it, unless it was
 *   committed or detached.
 * - `open`: the state of every session that is neither committed nor dropped.
 */
export interface MemoryUploads {
  readonly start: (repository: RepositoryName) => Effect.Effect<UploadSession, never, Scope.Scope>
  readonly resume: (state: UploadState) => Effect.Effect<UploadSession, UploadUnknown, Scope.Scope>
  readonly open: Effect.Effect<ReadonlyArray<UploadState>>
}

interface Upload {
  readonly repository: RepositoryName
  readonly location: string
  readonly parts: Array<Uint8Array>
  size: number
}

/**
 * No sessions yet. `store` is called with the verified bytes of each committed one, and must not
 * throw.
 */
export const unsafeMake = (
  store: (repository: RepositoryName, digest: Digest.Digest, bytes: Uint8Array) => Descriptor
): MemoryUploads => {
  const uploads = new Map<string, Upload>()
  let started = 0

  /** One writer's view of an upload. */
  const session = (
    upload: Upload
  ): { readonly session: UploadSession; readonly release: Effect.Effect<void> } => {
    const { location, repository } = upload
    let offset = upload.size
    let detached = false

    const stateNow = (): UploadState => ({ repository, location, offset })
    const state = Effect.sync(stateNow)
    /** Runs `f` in the same step in which it was seen that the upload still exists. */
    const whileOpen = <A, E>(f: () => Effect.Effect<A, E>): Effect.Effect<A, E | UploadUnknown> =>
      Effect.suspend(
        (): Effect.Effect<A, E | UploadUnknown> =>
          uploads.get(location) === upload ? f() : new UploadUnknown({ repository })
      )

    const append = (bytes: Uint8Array): Effect.Effect<void, UploadUnknown | RangeMismatch> =>
      whileOpen(() => {
        if (bytes.length === 0) return Effect.void
        // Another writer may have appended meanwhile (R20).
        if (offset !== upload.size) {
          const expected = ByteRange.formatChunk({ start: offset, end: offset + bytes.length - 1 })
          return new RangeMismatch({ expected, actual: ByteRange.formatUpload(upload.size) })
        }
        // A copy, since the writer may use its array again.
        upload.parts.push(new Uint8Array(bytes))
        upload.size += bytes.length
        offset = upload.size
        return Effect.void
      })

    const close = (digest: Digest.Digest, hasher: Digest.Hasher) =>
      whileOpen(() => {
        uploads.delete(location)
        for (const part of upload.parts) hasher.update(part)
        const actual = hasher.digest()
        return actual === digest
          ? Effect.succeed(store(repository, digest, ByteStream.concat(upload.parts)))
          : new DigestMismatch({ expected: digest, actual })
      })

    return {
      session: {
        state,
        write: (bytes) =>
          bytes instanceof Uint8Array
            ? Effect.zipRight(append(bytes), state)
            : Effect.zipRight(
                whileOpen(() => Effect.void),
                Effect.zipRight(Stream.runForEach(bytes, append), state)
              ),
        status: whileOpen(() => {
          offset = upload.size
          return state
        }),
        commit: (digest) =>
          Effect.flatMap(Digest.hasherFor(digest), (hasher) => close(digest, hasher)),
        detach: Effect.sync(() => {
          detached = true
          return stateNow()
        })
      },
      release: Effect.sync(() => {
        if (!detached) uploads.delete(location)
      })
    }
  }

  const held = <E>(
    upload: Effect.Effect<Upload, E>
  ): Effect.Effect<UploadSession, E, Scope.Scope> =>
    Effect.map(
      Effect.acquireRelease(Effect.map(upload, session), ({ release }) => release),
      (acquired) => acquired.session
    )

  return {
    start: (repository) =>
      held(
        Effect.sync(() => {
          const location = Route.uploadPath(repository, String(++started))
          const upload: Upload = { repository, location, parts: [], size: 0 }
          uploads.set(location, upload)
          return upload
        })
      ),
    resume: ({ location, repository }) =>
      held(
        Effect.suspend(() => {
          const upload = uploads.get(location)
          return upload?.repository === repository
            ? Effect.succeed(upload)
            : new UploadUnknown({ repository })
        })
      ),
    open: Effect.sync(() =>
      [...uploads.values()].map(({ location, repository, size }) => ({
        repository,
        location,
        offset: size
      }))
    )
  }
}
