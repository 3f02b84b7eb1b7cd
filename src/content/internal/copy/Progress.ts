/** How far a copy is: counts of what is known and what has become of it, and how fast it goes. */
import * as Schema from "effect/Schema"
import { smoothed } from "../../../internal/Rate.js"
import * as Step from "./Step.js"

/**
 * A number of pieces of content, and of their bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Amount {
  readonly nodes: number
  readonly bytes: number
}

/**
 * How far a copy is. `known` is all that was found up to now, and the others what has become of it:
 * `present` was there already, `moved` was transferred or put, `mounted` came from another
 * repository of the target, and `skipped` is left out. `moved` has the bytes of blobs that are
 * under way, too. `tags` are those that were put.
 *
 * `fraction` is how much of the known bytes is done, from 0 to 1, which it reaches only where
 * nothing has failed. `rate` is in bytes per second, in the mean of the last seconds, and
 * `remaining` the milliseconds that what is known takes at this rate, if there is one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly known: Amount
  readonly present: Amount
  readonly moved: Amount
  readonly mounted: Amount
  readonly skipped: Amount
  readonly tags: number
  readonly fraction: number
  readonly rate: number
  readonly remaining?: number | undefined
}

const AmountSchema: Schema.Schema<Amount> = Schema.Struct({
  nodes: Schema.Number,
  bytes: Schema.Number
})

/** The schema of a summary, for errors. */
export const SummarySchema: Schema.Schema<Summary> = Schema.Struct({
  known: AmountSchema,
  present: AmountSchema,
  moved: AmountSchema,
  mounted: AmountSchema,
  skipped: AmountSchema,
  tags: Schema.Number,
  fraction: Schema.Number,
  rate: Schema.Number,
  remaining: Schema.optional(Schema.Number)
})

/** Returns a summary in words, as in `3 of 12 manifests and blobs (1.2 MB of 9.5 MB) and 1 tag`. */
export const inWords = (summary: Summary): string => {
  const { bytes, nodes } = doneOf(summary)
  const { known, tags } = summary
  return (
    `${nodes} of ${known.nodes} manifests and blobs ` +
    `(${Step.bytes(bytes)} of ${Step.bytes(known.bytes)}) and ` +
    `${tags} ${tags === 1 ? "tag" : "tags"}`
  )
}

type Parts = Readonly<Record<Part, Amount>>

type Part = "known" | "present" | "moved" | "mounted" | "skipped"

const doneOf = ({ mounted, moved, present, skipped }: Omit<Parts, "known">): Amount => {
  const done = [present, moved, mounted, skipped]
  return {
    nodes: done.reduce((sum, { nodes }) => sum + nodes, 0),
    bytes: done.reduce((sum, { bytes }) => sum + bytes, 0)
  }
}

/** How fast something grows. */
class Rate {
  private rate = 0

  constructor(
    private at: number,
    private amount: number
  ) {}

  /** Takes an amount for one that was there before. */
  skip(amount: number): void {
    this.amount += amount
  }

  sample(now: number, amount: number): number {
    const seconds = (now - this.at) / 1000
    if (seconds <= 0) return this.rate
    this.rate = smoothed(this.rate, Math.max(0, amount - this.amount) / seconds, seconds)
    this.at = now
    this.amount = amount
    return this.rate
  }
}

/** A blob that is under way. */
interface UnderWay {
  readonly step: Step.Work
  readonly rate: Rate
  offset: number
  told: number
}

/** How many bytes of a blob have come, and how fast. */
export interface Reached {
  readonly step: Step.Work
  readonly offset: number
  readonly rate: number
}

/** Counts what a copy does. */
export class Progress {
  private readonly counts = {
    known: { nodes: 0, bytes: 0 },
    present: { nodes: 0, bytes: 0 },
    moved: { nodes: 0, bytes: 0 },
    mounted: { nodes: 0, bytes: 0 },
    skipped: { nodes: 0, bytes: 0 }
  }
  private tags = 0
  private failures = 0
  private isOver = false
  private bytesPerSecond = 0
  private readonly rate: Rate
  private readonly underWay = new Map<string, UnderWay>()

  /** `now` is the time in milliseconds. */
  constructor(private now: number) {
    this.rate = new Rate(now, 0)
  }

  /** Notes that no more steps come: of nothing, all is done then. */
  ended(): void {
    this.isOver = true
  }

  /** Counts a step that was found. */
  found(step: Step.Step): void {
    if (step._tag === "Tag" && !step.puts) return
    this.add("known", step)
    if (step._tag === "Have") this.add("present", step)
    if (step._tag === "Skip") this.add("skipped", step)
  }

  /** Notes how many bytes of a blob have come. Those before `from` are of an earlier copy. */
  reached(step: Step.Work, offset: number, from = 0): void {
    const known = this.underWay.get(step.id)
    if (known !== undefined) known.offset = offset
    else {
      this.rate.skip(from)
      this.underWay.set(step.id, { step, rate: new Rate(this.now, from), offset, told: -1 })
    }
  }

  /** Counts a step that is done. */
  done(step: Step.Work, how: Ending): void {
    this.underWay.delete(step.id)
    if (step._tag === "Tag") this.tags++
    if (step._tag !== "Tag" || step.puts) this.add(how, step)
  }

  /** Counts a step that has failed, or something that was not found. */
  failed(step?: Step.Work): void {
    if (step !== undefined) this.underWay.delete(step.id)
    this.failures++
  }

  /** Looks at the time, and returns the blobs of which more has come since the last time. */
  sample(now: number): ReadonlyArray<Reached> {
    this.now = now
    this.bytesPerSecond = this.rate.sample(now, this.parts().moved.bytes)
    return [...this.underWay.values()].flatMap((one) => {
      const rate = one.rate.sample(now, one.offset)
      if (one.told === one.offset) return []
      one.told = one.offset
      return [{ step: one.step, offset: one.offset, rate }]
    })
  }

  /** The counts by now. */
  summary(): Summary {
    const parts = this.parts()
    const { known } = parts
    const done = doneOf(parts)
    const rate = this.bytesPerSecond
    const left = known.bytes - done.bytes
    const all = known.nodes + this.failures
    return {
      ...parts,
      tags: this.tags,
      fraction:
        this.isOver && all === 0
          ? 1
          : left <= 0 && known.nodes > 0
            ? done.nodes / all
            : done.bytes / Math.max(1, known.bytes),
      rate,
      ...(rate > 0 && { remaining: Math.round((left / rate) * 1000) })
    }
  }

  private parts(): Parts {
    const { known, mounted, moved, present, skipped } = this.counts
    const bytes = [...this.underWay.values()].reduce((sum, { offset }) => sum + offset, moved.bytes)
    return {
      known: { ...known },
      present: { ...present },
      moved: { nodes: moved.nodes, bytes },
      mounted: { ...mounted },
      skipped: { ...skipped }
    }
  }

  private add(part: Part, { descriptor }: Step.Step): void {
    this.counts[part].nodes++
    this.counts[part].bytes += descriptor.size
  }
}

/** What has become of a step that does something. */
export type Ending = "moved" | "mounted" | "present"
