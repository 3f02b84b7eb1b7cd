/**
 * What a client remembers of a list of referrers that it has changed, since reads may lag behind
 * writes for some seconds (CP09), and another writer may replace what it has not read.
 */
import type { PutCondition } from "../../Registry.js"
import type * as Digest from "../../spec/Digest.js"
import type * as Manifest from "../../spec/Manifest.js"
import { type Change, digestOf } from "./ReferrersTag.js"

/** What a tag is. */
export type State = PutCondition["is"]

/** What a tag is that was made this. */
export const stateOf = (made: Manifest.Manifest | "absent"): State =>
  made === "absent" ? made : made.descriptor.digest

/** How long it is remembered, in milliseconds: reads that lag longer are not known of. */
const span = 60_000

/** What is remembered of one list. */
export class ListMemory {
  private last: Manifest.Manifest | "absent" = "absent"
  private lastAt = Number.NEGATIVE_INFINITY
  private readonly replaced = new Set<State>()
  private readonly changes = new Map<Digest.Digest, { readonly change: Change; at: number }>()

  /** Whether nothing of it counts any longer. */
  isForgotten(now: number): boolean {
    return now - this.lastAt > span
  }

  /** Notes that `list` was put in place of what the tag was, for some changes. */
  note(
    list: Manifest.Manifest,
    before: State | undefined,
    changes: Iterable<Change>,
    now: number
  ): void {
    this.become(list, before, now)
    for (const change of changes) this.changes.set(digestOf(change), { change, at: now })
  }

  /** Notes that the subject was deleted: if the list is, too, it is not to be put again. */
  noteSubjectDeletion(): void {
    this.replaced.delete("absent")
    this.changes.clear()
  }

  /** Notes that the list was deleted, and is not to be put again for what has been in it. */
  noteDeletion(now: number): void {
    this.become("absent", stateOf(this.last), now)
    this.changes.clear()
  }

  private become(made: Manifest.Manifest | "absent", before: State | undefined, now: number): void {
    if (this.isForgotten(now)) this.replaced.clear()
    if (before !== undefined) this.replaced.add(before)
    this.replaced.delete(stateOf(made))
    this.last = made
    this.lastAt = now
  }

  /** Whether this is the list that was put last. */
  isLast(list: string): boolean {
    return this.last !== "absent" && this.last.descriptor.digest === list
  }

  /** Whether the tag was this before a list that was put here: what is read then may lag. */
  isReplaced(state: State): boolean {
    return this.replaced.has(state)
  }

  /** Another writer may have brought back what was replaced here. */
  doubt(): void {
    this.replaced.clear()
  }

  /** What the tag was made last, if what is read was replaced here. */
  newer(read: State, now: number): Manifest.Manifest | "absent" | undefined {
    return this.isForgotten(now) || !this.isReplaced(read) ? undefined : this.last
  }

  /** The changes made here, and `more`, the later one of each referrer. */
  with(more: Iterable<Change>, now: number): ReadonlyArray<Change> {
    const all = new Map<Digest.Digest, Change>()
    for (const [digest, { at, change }] of this.changes)
      if (now - at > span) this.changes.delete(digest)
      else all.set(digest, change)
    for (const change of more) all.set(digestOf(change), change)
    return [...all.values()]
  }
}
