/** The tags that a cache knows, and what each was when the upstream registry was asked last. */
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"

/** A tag as the upstream registry had it. */
export interface TagRecord {
  readonly repository: RepositoryName
  readonly tag: Tag
  readonly descriptor: Descriptor
  /** When it was asked last, in milliseconds of the Clock. */
  readonly checked: number
  /** What was read under the tag last. */
  readonly read?: Descriptor | undefined
}

/** Tags beyond this many are forgotten, the one first that was asked for longest ago. */
const capacity = 10_000

/** The records, by repository and tag. */
export class Tags {
  private readonly records = new Map<string, TagRecord>()

  all(): Iterable<TagRecord> {
    return this.records.values()
  }

  get(repository: RepositoryName, tag: Tag): TagRecord | undefined {
    return this.records.get(`${repository}:${tag}`)
  }

  set(record: TagRecord): void {
    const key = `${record.repository}:${record.tag}`
    this.records.delete(key)
    for (const oldest of this.records.keys()) {
      if (this.records.size < capacity) break
      this.records.delete(oldest)
    }
    this.records.set(key, record)
  }

  delete(repository: RepositoryName, tag: Tag): void {
    this.records.delete(`${repository}:${tag}`)
  }
}
