/**
 * One layout: a folder with `oci-layout`, `index.json` and `blobs`, and a folder of this library
 * beside them. The index is changed under a lock, and all changes that wait for it are written at
 * once.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type LimitExceeded, NameUnknown, StorageFailure } from "../../../RegistryError.js"
import * as Digest from "../../../spec/Digest.js"
import * as ImageLayout from "../../../spec/ImageLayout.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Files, Info, Step } from "./Files.js"
import * as FolderLock from "./FolderLock.js"
import * as LayoutIndex from "./LayoutIndex.js"

/** The name of the folder that this library keeps in a layout. No repository has such a name. */
export const ownFolder = ".effect-oci"

/** The most that is read of an index or a manifest, in bytes. */
export const documentLimit = 64 * 1024 * 1024

/** What reading or writing an index can fail with. */
export type IndexError = StorageFailure | LimitExceeded

/** A change to the index, which sees those that were made before it. */
export interface Edit<A, E> {
  /** Makes the change. It must not fail once it has changed anything, and reads no blobs. */
  readonly change: (index: LayoutIndex.LayoutIndex) => Effect.Effect<A, E>
  /** What is left to do under the lock when the index is written. */
  readonly after?: (index: LayoutIndex.LayoutIndex) => Effect.Effect<void>
}

/** A change that waits for the lock. */
interface Pending {
  readonly apply: (index: LayoutIndex.LayoutIndex) => Effect.Effect<Applied>
  readonly fail: (cause: Cause.Cause<IndexError>) => Effect.Effect<unknown>
}

interface Applied {
  readonly after: Effect.Effect<void>
  readonly done: Effect.Effect<unknown>
}

/** A blob in its file. */
export interface Found extends Info {
  readonly path: string
}

/** A layout, which may not be there yet. */
export class Layout {
  private read: { readonly index: LayoutIndex.LayoutIndex; readonly info: Info } | undefined
  private readonly reading = Effect.unsafeMakeSemaphore(1)
  private readonly writing = Effect.unsafeMakeSemaphore(1)
  private readonly pending = new Set<Pending>()
  private readonly unsynced = new Set<string>()
  private readonly safe = new Set<string>()
  /** The sizes, in bytes, of blobs that were stored or read by this process and are right. */
  private readonly verified = new Map<Digest.Digest, number>()

  constructor(
    readonly files: Files,
    readonly folder: string,
    readonly repository: RepositoryName
  ) {}

  // ---------------------------------------------------------------------------
  // Paths
  // ---------------------------------------------------------------------------

  /** Returns the path of a file in the folder of this library. */
  own(...names: ReadonlyArray<string>): string {
    return this.files.join(this.folder, ownFolder, ...names)
  }

  /** Returns a path for what is to become a blob. */
  draft(): string {
    return this.own("uploads", crypto.randomUUID())
  }

  /** Returns the path of a blob: nothing in a digest leads elsewhere (T8). */
  blob(digest: Digest.Digest): string {
    return this.files.join(this.blobs(Digest.algorithm(digest)), Digest.encoded(digest))
  }

  /** Returns the folder of the blobs of an algorithm, or of all algorithms. */
  blobs(...algorithm: ReadonlyArray<string>): string {
    return this.files.join(this.folder, "blobs", ...algorithm)
  }

  get indexFile(): string {
    return this.files.join(this.folder, "index.json")
  }

  get header(): string {
    return this.files.join(this.folder, "oci-layout")
  }

  /** Fails if a folder of the layout is, by a link, one outside it. */
  check(folder: string): Step<void> {
    return Effect.suspend(() =>
      this.safe.has(folder)
        ? Effect.void
        : Effect.zipRight(
            this.files.checkFolder(folder),
            Effect.map(this.files.isFolder(folder), (isThere) => {
              if (isThere) this.safe.add(folder)
            })
          )
    )
  }

  // ---------------------------------------------------------------------------
  // Reading
  // ---------------------------------------------------------------------------

  /** Returns whether the layout is there. */
  get exists(): Step<boolean> {
    return Effect.map(this.files.info(this.header), Option.isSome)
  }

  /**
   * Returns the index, which nobody may change; the same one as long as the file is the same. Fails
   * with `NameUnknown` if there is no layout.
   */
  get index(): Effect.Effect<LayoutIndex.LayoutIndex, NameUnknown | IndexError> {
    return Effect.gen(this, function* () {
      if (!(yield* this.exists)) return yield* new NameUnknown({ repository: this.repository })
      return yield* this.indexOrEmpty
    })
  }

  /** The same, and an empty one if there is none. */
  get indexOrEmpty(): Effect.Effect<LayoutIndex.LayoutIndex, IndexError> {
    return Effect.flatMap(this.files.info(this.indexFile), (found) =>
      this.read !== undefined && Option.exists(found, isSame(this.read.info))
        ? Effect.succeed(this.read.index)
        : this.load
    ).pipe(this.reading.withPermits(1))
  }

  private get load(): Effect.Effect<LayoutIndex.LayoutIndex, IndexError> {
    return Effect.gen(this, function* () {
      yield* this.check(this.folder)
      // Programs that write the file in place may be in the middle of it.
      for (let attempt = 0; attempt < 5; attempt++) {
        if (attempt > 0) yield* Effect.sleep(granularity)
        const found = yield* this.files.read(
          yield* this.files.followed(this.indexFile),
          documentLimit
        )
        if (Option.isNone(found)) return LayoutIndex.empty()
        const { bytes, info } = found.value
        const index = LayoutIndex.parse(bytes)
        if (Option.isNone(index)) continue
        // What was written a moment ago can be written again without another time.
        const now = yield* Clock.currentTimeMillis
        const isSettled = Math.abs(now - info.modified) > granularity
        this.read = isSettled ? { index: index.value, info } : undefined
        return index.value
      }
      return yield* this.failure("it is not an image index in JSON")
    })
  }

  /** The failure of an index that cannot be used as it is. */
  failure(problem: string): StorageFailure {
    return new StorageFailure({ path: this.indexFile, cause: new Error(problem) })
  }

  /** Returns a blob that is there and has `size` bytes, if that is given (S5). */
  find(digest: Digest.Digest, size?: number): Step<Option.Option<Found>> {
    return Effect.gen(this, function* () {
      yield* this.check(this.blobs(Digest.algorithm(digest)))
      const path = yield* this.files.followed(this.blob(digest))
      const info = yield* this.files.info(path)
      return Option.filter(
        Option.map(info, (info) => ({ ...info, path })),
        (found) => (size === undefined ? found.size > 0 || isEmpty(digest) : found.size === size)
      )
    })
  }

  /** Reads a blob that is a document, if it is there. */
  document(digest: Digest.Digest): Effect.Effect<Option.Option<Uint8Array>, IndexError> {
    return Effect.flatMap(
      this.find(digest),
      Option.match({
        onNone: () => Effect.succeedNone,
        onSome: (found) => Effect.asSome(readBytes(this, found))
      })
    )
  }

  // ---------------------------------------------------------------------------
  // Writing
  // ---------------------------------------------------------------------------

  /** Makes the folder of drafts. */
  get prepare(): Step<void> {
    return Effect.zipRight(this.checkUploads, this.files.makeFolder(this.own("uploads")))
  }

  /** Fails if the folder of drafts is, by a link, one outside the layout. */
  get checkUploads(): Step<void> {
    return this.check(this.own("uploads"))
  }

  /** Tells whether a file of so many bytes is one that this process has written, or has read. */
  isVerified(digest: Digest.Digest, size: number): boolean {
    return this.verified.get(digest) === size
  }

  /** Notes that a blob of so many bytes is what its digest says. */
  noteVerified(digest: Digest.Digest, size: number): void {
    if (this.verified.size >= notes) this.verified.clear()
    this.verified.set(digest, size)
  }

  /** Makes the layout if it is not there. */
  get create(): Effect.Effect<void, IndexError> {
    return Effect.flatMap(this.exists, (exists) =>
      exists
        ? Effect.void
        : this.commit({
            change: (index) =>
              Effect.sync(() => {
                index.changed = true
              })
          })
    )
  }

  /**
   * Makes a file, which is on the disk, a blob, in the place of what was there. Its name is on the
   * disk when `sync` or the next index is.
   */
  place(draft: string, digest: Digest.Digest): Step<void> {
    return Effect.gen(this, function* () {
      const folder = this.blobs(Digest.algorithm(digest))
      yield* this.check(folder)
      if (!(yield* this.files.isFolder(folder))) {
        yield* this.files.makeFolder(folder)
        this.unsynced.add(this.blobs())
        this.unsynced.add(this.folder)
      }
      yield* this.files.rename(draft, this.blob(digest))
      // Of two names of one file, renaming removes neither.
      yield* this.files.remove(draft)
      this.unsynced.add(folder)
    })
  }

  /** Returns when the names of all blobs are on the disk. */
  get sync(): Step<void> {
    return Effect.suspend(() => {
      const folders = [...this.unsynced]
      this.unsynced.clear()
      return Effect.forEach(folders, this.files.system.syncFolder, { discard: true })
    })
  }

  /**
   * Changes the index, on the disk when this returns. Whoever gets the lock writes all changes that
   * wait for it, so that many of them do not write the file as many times.
   */
  commit<A, E>({ after, change }: Edit<A, E>): Effect.Effect<A, E | IndexError> {
    return Effect.gen(this, function* () {
      const result = yield* Deferred.make<A, E | IndexError>()
      const pending: Pending = {
        apply: (index) =>
          Effect.map(Effect.exit(change(index)), (exit) => ({
            after: exit._tag === "Success" ? (after?.(index) ?? Effect.void) : Effect.void,
            done: Deferred.done(result, exit)
          })),
        fail: (cause) => Deferred.failCause(result, cause)
      }
      this.pending.add(pending)
      const written = Effect.suspend(() => (this.pending.has(pending) ? this.flush : Effect.void))
      yield* Effect.onExit(this.writing.withPermits(1)(written), () =>
        Effect.sync(() => this.pending.delete(pending))
      )
      return yield* Deferred.await(result)
    })
  }

  /** Makes all changes that wait. Those that were made when the lock was lost are made again. */
  private get flush(): Effect.Effect<void, IndexError> {
    const once = Effect.scoped(
      Effect.gen(this, function* () {
        yield* this.check(this.own("lock"))
        const lock = yield* FolderLock.acquire(this.files, this.own("lock"))
        return yield* Effect.uninterruptible(this.apply(lock))
      })
    )
    return Effect.asVoid(Effect.repeat(once, { until: (isWritten) => isWritten }))
  }

  private apply(lock: FolderLock.Held): Effect.Effect<boolean> {
    const batch = [...this.pending]
    this.pending.clear()
    const applied = Effect.gen(this, function* () {
      const index = (yield* this.indexOrEmpty).copy()
      const all = yield* Effect.forEach(batch, ({ apply }) => apply(index))
      const isOwn = index.changed ? yield* this.replace(lock, index) : yield* lock.isOwn
      if (!isOwn) return undefined
      yield* Effect.forEach(all, ({ after }) => after, { discard: true })
      return all
    })
    return Effect.matchCauseEffect(applied, {
      onFailure: (cause) =>
        Effect.as(
          Effect.forEach(batch, ({ fail }) => fail(cause)),
          true
        ),
      onSuccess: (all) => {
        if (all !== undefined)
          return Effect.as(
            Effect.forEach(all, ({ done }) => done),
            true
          )
        for (const pending of batch) this.pending.add(pending)
        return Effect.succeed(false)
      }
    })
  }

  /** Writes the index and whatever it refers to, unless the lock was lost. */
  private replace(
    lock: FolderLock.Held,
    index: LayoutIndex.LayoutIndex
  ): Effect.Effect<boolean, IndexError> {
    return Effect.gen(this, function* () {
      yield* this.sync
      const draft = this.own(`index-${crypto.randomUUID()}`)
      const info = yield* this.files.make(draft, index.encode())
      if (!(yield* lock.isOwn)) {
        yield* this.files.remove(draft)
        return false
      }
      yield* this.moved(draft, this.indexFile)
      if (!(yield* this.exists)) {
        const header = this.own(`header-${crypto.randomUUID()}`)
        yield* this.files.make(header, new TextEncoder().encode(headerText))
        yield* this.files.makeFolder(this.blobs("sha256"))
        yield* this.moved(header, this.header)
        yield* this.syncParents
      }
      yield* this.files.system.syncFolder(this.folder)
      index.changed = false
      this.read = { index, info }
      return true
    })
  }

  private moved(draft: string, path: string): Step<void> {
    return Effect.onError(this.files.rename(draft, path), () => this.files.remove(draft))
  }

  /** The names of new folders are on the disk, from that of the blobs to that of the root. */
  private get syncParents(): Step<void> {
    const { files, folder } = this
    const folders = [this.blobs()]
    for (let path = folder; path !== files.root; path = files.paths.dirname(path))
      folders.push(files.paths.dirname(path))
    return Effect.forEach(folders, files.system.syncFolder, { discard: true })
  }
}

/** Of so many blobs it is noted that they are right. */
const notes = 10_000

/** The content of the file that makes a folder a layout. */
const headerText = JSON.stringify(ImageLayout.current)

/** Times of files are no finer than this, in milliseconds. */
const granularity = 50

const isSame =
  (self: Info) =>
  (that: Info): boolean =>
    self.inode === that.inode && self.size === that.size && self.modified === that.modified

/** Of what has a size, the empty one is known by its digest (V34). */
const isEmpty = (digest: Digest.Digest): boolean =>
  digest === Digest.fromBytes(new Uint8Array()) ||
  digest === Digest.fromBytes(new Uint8Array(), "sha512")

/** Reads a blob that is a document. */
export const readBytes = (
  { files }: Layout,
  { path }: Found
): Effect.Effect<Uint8Array, IndexError> =>
  Effect.map(
    files.read(path, documentLimit),
    Option.match({ onNone: () => new Uint8Array(), onSome: ({ bytes }) => bytes })
  )
