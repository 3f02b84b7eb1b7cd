/** What a cache has stored: how much, in which order it was used, and what is being read. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../../Registry.js"
import { isAbsent } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { RepositoryName } from "../../../spec/Reference.js"

/** How many read a blob at the moment. */
export interface Readers {
  count: number
}

/** A manifest or blob in the store. */
export interface Entry {
  readonly descriptor: Descriptor
  /** The repository of the store that it is in. */
  readonly home: RepositoryName
  /** The repositories for which the upstream registry has it. */
  readonly repositories: Set<RepositoryName>
  /** What a manifest refers to; absent for a blob. */
  readonly children?: ReadonlyArray<Digest> | undefined
  readonly readers: Readers
  /** When it was used last, by a count of all uses. */
  used: number
}

/** A blob as a descriptor: registries know no media types of blobs. */
export const descriptorOf = (digest: Digest, size: number): Descriptor => ({
  mediaType: MediaType.octetStream,
  digest,
  size
})

/** A stored manifest can be read as a blob, too. */
export const blobOf = ({ descriptor: { digest, size } }: Pick<Entry, "descriptor">): Descriptor =>
  descriptorOf(digest, size)

/**
 * The entries, within a capacity in bytes. Use of a manifest is use of all that it refers to, and
 * counts for that as later: what is evicted in the order of use is never needed by a manifest that
 * stays (V26).
 */
export class Content {
  /** The least recently used first. */
  private readonly entries = new Map<Digest, Entry>()
  private readonly evictions = Effect.unsafeMakeSemaphore(1)
  private stored = 0
  private reserved = 0
  private uses = 0

  constructor(
    private readonly store: Registry.Service,
    private readonly capacity: number,
    private readonly changed: (home: RepositoryName) => void
  ) {}

  all(): Iterable<Entry> {
    return this.entries.values()
  }

  get(digest: Digest): Entry | undefined {
    return this.entries.get(digest)
  }

  /** Returns what is stored for a repository, and counts that as its use. */
  use(repository: RepositoryName, digest: Digest): Entry | undefined {
    const entry = this.entries.get(digest)
    if (entry?.repositories.has(repository) !== true) return undefined
    this.touch(digest)
    return entry
  }

  /** Says that the upstream registry has it for this repository, too. */
  share(entry: Entry, repository: RepositoryName): void {
    if (entry.repositories.has(repository)) return
    entry.repositories.add(repository)
    this.changed(entry.home)
  }

  /** Says that what is known of an entry has changed. */
  changes(digest: Digest): void {
    const entry = this.entries.get(digest)
    if (entry !== undefined) this.changed(entry.home)
  }

  /** Adds what is stored now, for which bytes were reserved, as the last used. */
  add(entry: Omit<Entry, "used">): void {
    this.release(entry.descriptor.size)
    this.forget(entry.descriptor.digest)
    this.load({ ...entry, used: 0 })
    this.touch(entry.descriptor.digest)
    this.changed(entry.home)
  }

  /** Adds what was stored before, in the order of its use. */
  load(entry: Entry): void {
    this.entries.set(entry.descriptor.digest, entry)
    this.stored += entry.descriptor.size
    this.uses = Math.max(this.uses, entry.used)
  }

  /** Gives reserved bytes back. */
  release(size: number): void {
    this.reserved -= size
  }

  /** Removes what the store lacks, or gives back as something else (V25). */
  discard(entry: Entry, problem: Error): Effect.Effect<void> {
    const { digest } = entry.descriptor
    return Effect.suspend(() =>
      // What was evicted since is no problem.
      this.entries.get(digest) === entry
        ? Effect.zipRight(
            Effect.logWarning(`The cache reads ${digest} from upstream again: ${problem.message}`),
            this.evict(entry)
          )
        : Effect.void
    ).pipe(Effect.uninterruptible, this.evictions.withPermits(1))
  }

  /**
   * Reserves bytes, for which the least recently used that nobody reads is evicted. Returns whether
   * there is room: where there cannot be, nothing is evicted. What is deleted is gone before any
   * bytes that are reserved later are written, so that no eviction meets newer content (V25).
   */
  reserve(size: number): Effect.Effect<boolean> {
    return Effect.gen(this, function* () {
      if (this.missing(size) > this.evictable()) return false
      for (const entry of [...this.entries.values()]) {
        if (this.missing(size) <= 0) break
        const isThere = this.entries.get(entry.descriptor.digest) === entry
        if (isThere && entry.readers.count === 0) yield* this.evict(entry)
      }
      if (this.missing(size) > 0) return false
      this.reserved += size
      return true
    }).pipe(Effect.uninterruptible, this.evictions.withPermits(1))
  }

  private missing(size: number): number {
    return this.stored + this.reserved + size - this.capacity
  }

  private evictable(): number {
    let size = 0
    for (const { descriptor, readers } of this.entries.values())
      if (readers.count === 0) size += descriptor.size
    return size
  }

  /** Whoever asks for it from now on asks the upstream registry. */
  private evict(entry: Entry): Effect.Effect<void> {
    const { descriptor, home } = entry
    this.forget(descriptor.digest)
    this.changed(home)
    return Effect.catchAll(this.store.deleteBlob(home, descriptor.digest), (error) => {
      if (isAbsent(error)) return Effect.void
      // Its bytes still count.
      this.load(entry)
      return Effect.logWarning(`The cache cannot delete ${descriptor.digest}: ${error.message}`)
    })
  }

  private forget(digest: Digest): void {
    const entry = this.entries.get(digest)
    if (entry === undefined) return
    this.entries.delete(digest)
    this.stored -= entry.descriptor.size
  }

  /** Every manifest before all that it refers to, however many manifests refer to that. */
  private touch(digest: Digest): void {
    const used: Array<Entry> = []
    const seen = new Set<Digest>()
    const visit = (digest: Digest) => {
      const entry = this.entries.get(digest)
      if (entry === undefined || seen.has(digest)) return
      seen.add(digest)
      entry.children?.forEach(visit)
      used.push(entry)
    }
    visit(digest)
    for (const entry of used.reverse()) {
      entry.used = ++this.uses
      this.entries.delete(entry.descriptor.digest)
      this.entries.set(entry.descriptor.digest, entry)
    }
  }
}
