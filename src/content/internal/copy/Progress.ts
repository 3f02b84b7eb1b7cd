/** How far a copy is: counts of what is known and what has become of it. */
import * as Schema from "effect/Schema"
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
  tags: Schema.Number
})

/** Returns a summary in words: `3 of 12 pieces of content (1.2 of 9.5 MB) and 1 tag`. */
export const inWords = ({ known, mounted, moved, present, skipped, tags }: Summary): string => {
  const done = [present, moved, mounted, skipped]
  const sum = (of: (amount: Amount) => number) => done.reduce((all, one) => all + of(one), 0)
  return (
    `${sum(({ nodes }) => nodes)} of ${known.nodes} manifests and blobs ` +
    `(${Step.bytes(sum(({ bytes }) => bytes))} of ${Step.bytes(known.bytes)}) and ` +
    `${tags} ${tags === 1 ? "tag" : "tags"}`
  )
}

interface Count {
  nodes: number
  bytes: number
}

type Part = "known" | "present" | "moved" | "mounted" | "skipped"

/** Counts what a copy does. */
export class Progress {
  private readonly counts: Record<Part, Count> = {
    known: { nodes: 0, bytes: 0 },
    present: { nodes: 0, bytes: 0 },
    moved: { nodes: 0, bytes: 0 },
    mounted: { nodes: 0, bytes: 0 },
    skipped: { nodes: 0, bytes: 0 }
  }
  private tags = 0
  /** The bytes of blobs under way, by step. */
  private readonly offsets = new Map<string, number>()

  /** Counts a step that was found. */
  found(step: Step.Step): void {
    if (step._tag === "Tag" && !step.puts) return
    this.add("known", step)
    if (step._tag === "Have") this.add("present", step)
    if (step._tag === "Skip") this.add("skipped", step)
  }

  /** Notes how many bytes of a blob have come. */
  reached(step: Step.Step, offset: number): void {
    this.offsets.set(step.id, offset)
  }

  /** Counts a step that is done. */
  done(step: Step.Work, how: "moved" | "mounted" | "present"): void {
    this.offsets.delete(step.id)
    if (step._tag === "Tag") this.tags++
    if (step._tag !== "Tag" || step.puts) this.add(how, step)
  }

  /** The counts by now. */
  summary(): Summary {
    const copy = (part: Part): Amount => ({ ...this.counts[part] })
    const moved = copy("moved")
    const underWay = [...this.offsets.values()].reduce((all, one) => all + one, 0)
    return {
      known: copy("known"),
      present: copy("present"),
      moved: { nodes: moved.nodes, bytes: moved.bytes + underWay },
      mounted: copy("mounted"),
      skipped: copy("skipped"),
      tags: this.tags
    }
  }

  private add(part: Part, { descriptor }: Step.Step): void {
    this.counts[part].nodes++
    this.counts[part].bytes += descriptor.size
  }
}
