/**
 * The upload sessions of layouts: files that grow until they become blobs, and that any process can
 * go on with.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import * as PullStream from "../../../internal/PullStream.js"
import * as ReadableUpload from "../../../internal/ReadableUpload.js"
import type { UploadState } from "../../../internal/UploadState.js"
import * as ByteRange from "../../../protocol/ByteRange.js"
import * as Route from "../../../protocol/internal/Route.js"
import type { Registry, StartUploadOptions, UploadSession } from "../../../Registry.js"
import {
  DigestMismatch,
  RangeMismatch,
  type StorageFailure,
  Unsupported,
  UploadUnknown
} from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import { descriptorOf } from "../StoredBlob.js"
import type { Step } from "./Files.js"
import type { Layout } from "./Layout.js"
import type { Layouts } from "./Layouts.js"

/** The upload sessions of a registry. Closing a Scope drops those begun or resumed in it. */
export class LayoutUploads {
  /** The sessions of this process that are open, so that their writers go one after the other. */
  private readonly turns = new Map<string, { readonly turn: Effect.Semaphore; users: number }>()

  constructor(private readonly layouts: Layouts) {}

  /** Opens a session. Fails with `Unsupported` for digests that cannot be verified here. */
  start(
    repository: RepositoryName,
    { algorithm = "sha256" }: StartUploadOptions = {}
  ): Effect.Effect<LayoutSession, Registry.StartUploadError, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.gen(this, function* () {
        if (algorithm !== "sha256" && algorithm !== "sha512")
          return yield* new Unsupported({ operation: `digests of algorithm ${algorithm}` })
        const { layout } = yield* this.layouts.open(repository)
        const id = crypto.randomUUID()
        yield* layout.prepare
        const path = layout.own("uploads", id)
        yield* Effect.scoped(layout.files.open(path, "wx"))
        const session = new LayoutSession(layout, id, this.enter(path), 0, algorithm)
        return ReadableUpload.make(session, (offset) => session.readAt(offset))
      }),
      (session) => this.leave(session)
    )
  }

  /** Finds a session again, whichever process began it. Fails with `UploadUnknown`. */
  resume({
    location,
    repository
  }: UploadState): Effect.Effect<LayoutSession, Registry.ResumeUploadError, Scope.Scope> {
    const unknown = new UploadUnknown({ repository })
    return Effect.acquireRelease(
      Effect.gen(this, function* () {
        const id = idIn(location, repository)
        if (id === undefined) return yield* unknown
        const { layout } = yield* Effect.catchTag(
          this.layouts.open(repository),
          "NameUnknown",
          () => Effect.fail(unknown)
        )
        const path = layout.own("uploads", id)
        yield* layout.checkUploads
        const isLink = yield* Effect.isSuccess(layout.files.fs.readLink(path))
        const found = yield* layout.files.info(path)
        if (isLink || Option.isNone(found)) return yield* unknown
        // Nobody collects what somebody goes on with (S6).
        yield* layout.files.touch(path, yield* Clock.currentTimeMillis)
        return new LayoutSession(layout, id, this.enter(path), found.value.size, undefined)
      }),
      (session) => this.leave(session)
    )
  }

  private enter(path: string): Effect.Semaphore {
    const entry = this.turns.get(path) ?? { turn: Effect.unsafeMakeSemaphore(1), users: 0 }
    entry.users++
    this.turns.set(path, entry)
    return entry.turn
  }

  private leave(session: LayoutSession): Effect.Effect<void> {
    return Effect.zipRight(
      session.release,
      Effect.sync(() => {
        const entry = this.turns.get(session.path)
        if (entry !== undefined && --entry.users === 0) this.turns.delete(session.path)
      })
    )
  }
}

/** One writer's view of an upload. */
export class LayoutSession implements UploadSession {
  readonly path: string
  private isDetached = false
  /** The hash of the bytes so far, as long as this session has written all of them. */
  private hash: { readonly hasher: Digest.Hasher; size: number } | undefined

  constructor(
    readonly layout: Layout,
    private readonly id: string,
    private readonly turn: Effect.Semaphore,
    private offset: number,
    private readonly algorithm: Digest.Algorithm | undefined
  ) {
    this.path = layout.own("uploads", id)
    this.hash = algorithm && { hasher: Digest.hasher(algorithm), size: 0 }
  }

  readonly state: UploadSession["state"] = Effect.sync(() => ({
    repository: this.layout.repository,
    location: Route.uploadPath(this.layout.repository, this.id),
    offset: this.offset
  }))

  readonly status: UploadSession["status"] = Effect.suspend(() =>
    Effect.flatMap(this.size, (size) => {
      this.offset = size
      return this.state
    })
  )

  readonly detach: UploadSession["detach"] = Effect.suspend(() => {
    this.isDetached = true
    return this.state
  })

  readonly release: Effect.Effect<void> = Effect.suspend(() =>
    this.isDetached ? Effect.void : this.layout.files.remove(this.path)
  )

  readonly write: UploadSession["write"] = (bytes) =>
    Effect.zipRight(
      this.append(bytes instanceof Uint8Array ? Stream.make(bytes) : bytes),
      this.state
    )

  readonly commit: UploadSession["commit"] = (digest) =>
    Effect.zipRight(Digest.hasherFor(digest), this.finish(digest))

  /** Reads the next block of what is on the disk; nothing once the file is a blob, or gone. */
  readAt(offset: number): Effect.Effect<Uint8Array> {
    return Stream.runHead(this.layout.files.stream(this.path, offset)).pipe(
      Effect.map(Option.getOrElse(() => new Uint8Array())),
      Effect.orElseSucceed(() => new Uint8Array())
    )
  }

  /** Takes the content of a file by a copy on write, where the disk can make one. */
  adopt(path: string): Effect.Effect<boolean> {
    const { files } = this.layout
    // A clone that fails may remove what was at its place.
    const draft = this.layout.draft()
    return Effect.gen(this, function* () {
      yield* files.system.clone(path, draft)
      yield* files.rename(draft, this.path)
      this.offset = yield* this.size
      this.hash = undefined
      return true
    }).pipe(
      Effect.uninterruptible,
      Effect.catchAll(() => Effect.as(files.remove(draft), false))
    )
  }

  /** Streams what was adopted, and hashes it on the way. */
  get adopted(): Stream.Stream<Uint8Array, StorageFailure> {
    return PullStream.suspend(() => {
      const hash = { hasher: Digest.hasher(this.algorithm ?? "sha256"), size: 0 }
      this.hash = hash
      return ByteStream.tap(this.layout.files.stream(this.path), (bytes) => addTo(hash, bytes))
    })
  }

  /**
   * Makes what arrived a blob, under `digest` if it is given and right, or under its own. Fails
   * with `DigestMismatch`, and the session is gone then.
   */
  finish(digest?: Digest.Digest): Effect.Effect<Descriptor, Registry.UploadCommitError> {
    const { layout, path, turn } = this
    const { files } = layout
    return Effect.gen(this, function* () {
      const size = yield* this.size
      const algorithm = digest === undefined ? this.algorithm : Digest.algorithm(digest)
      const hashed =
        this.hash?.size === size && this.algorithm === algorithm ? this.hash.hasher : undefined
      const actual = hashed?.digest() ?? (yield* this.rehash(algorithm))
      if (digest !== undefined && actual !== digest) {
        yield* files.remove(path)
        return yield* new DigestMismatch({ expected: digest, actual })
      }
      yield* Effect.uninterruptible(
        Effect.gen(function* () {
          yield* Effect.scoped(
            Effect.flatMap(files.open(path, "r+"), (file) => files.step(path, file.sync))
          )
          yield* layout.create
          // Its bytes may have come long ago.
          yield* files.touch(path, yield* Clock.currentTimeMillis)
          yield* layout.place(path, actual)
          yield* layout.sync
        })
      )
      layout.noteVerified(actual, size)
      return descriptorOf(actual, size)
    }).pipe(turn.withPermits(1))
  }

  private rehash(algorithm: string | undefined): Step<Digest.Digest> {
    return Effect.suspend(() => {
      const hasher = Digest.hasher(algorithm === "sha512" ? "sha512" : "sha256")
      return this.layout.files.stream(this.path).pipe(
        ByteStream.tap(hasher.update),
        Stream.runDrain,
        Effect.map(() => hasher.digest())
      )
    })
  }

  private get size(): Effect.Effect<number, UploadUnknown | StorageFailure> {
    const { files, repository } = this.layout
    return Effect.flatMap(
      files.info(this.path),
      Option.match({
        onNone: () => Effect.fail(new UploadUnknown({ repository })),
        onSome: ({ size }) => Effect.succeed(size)
      })
    )
  }

  private append<E, R>(
    bytes: Stream.Stream<Uint8Array, E, R>
  ): Effect.Effect<void, E | UploadUnknown | RangeMismatch | StorageFailure, R> {
    const { layout, path, turn } = this
    const { files } = layout
    return Effect.gen(this, function* () {
      const start = this.offset
      const size = yield* this.size
      // Another writer may have appended meanwhile (R20).
      if (start !== size) return yield* outOfOrder(bytes, start, size)
      if (this.hash?.size !== start) this.hash = undefined
      const { hash } = this
      const file = yield* files.open(path, "r+")
      yield* file.seek(start, "start")
      const content = ByteStream.tap(bytes, (chunk) => {
        if (hash !== undefined) addTo(hash, chunk)
      })
      yield* Effect.ensuring(
        files.drain(path, file, content),
        Effect.ignore(
          Effect.map(file.stat, ({ size }) => {
            this.offset = Number(size)
          })
        )
      )
    }).pipe(Effect.scoped, turn.withPermits(1))
  }
}

/** Fails for the first bytes of what does not continue an upload, if there are any. */
const outOfOrder = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  start: number,
  size: number
): Effect.Effect<void, E | RangeMismatch, R> =>
  Effect.flatMap(
    Stream.runHead(Stream.filter(bytes, ({ length }) => length > 0)),
    Option.match({
      onNone: () => Effect.void,
      onSome: ({ length }) =>
        new RangeMismatch({
          expected: ByteRange.formatChunk({ start, end: start + length - 1 }),
          actual: ByteRange.formatUpload(size)
        })
    })
  )

const addTo = (hash: { readonly hasher: Digest.Hasher; size: number }, bytes: Uint8Array) => {
  hash.hasher.update(bytes)
  hash.size += bytes.length
}

/** The identifier in a location of this library's: nothing else becomes a path (T8). */
const idIn = (location: string, repository: RepositoryName): string | undefined => {
  const id = location.slice(Route.uploadsPath(repository).length)
  return location === Route.uploadPath(repository, id) &&
    /^[0-9a-f]{8}(-[0-9a-f]{4,12}){4}$/.test(id)
    ? id
    : undefined
}
