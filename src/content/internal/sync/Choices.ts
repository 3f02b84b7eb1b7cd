/** Which rule a tag of a target is from, where several choose one. */
import * as Effect from "effect/Effect"
import * as Reference from "../../../spec/Reference.js"
import * as Tags from "../../Tags.js"
import type { Job } from "./Jobs.js"

/** The tags that a rule has chosen for a target; none where that is not known. */
export interface Chosen {
  readonly job: Job
  readonly tags: ReadonlyArray<Reference.Tag> | undefined
}

/** How many tags a warning names. */
const named = 5

/**
 * Leaves out the tags under which an earlier rule puts something else, so that they do not change
 * with each run. Of a rule whose tags are not known it is what that could choose.
 */
export const own = (
  job: Job,
  tags: ReadonlyArray<Reference.Tag>,
  chosen: ReadonlyArray<Chosen>
): Effect.Effect<
  { readonly tags: ReadonlyArray<Reference.Tag>; readonly warnings: Array<string> },
  Tags.InvalidFilter
> =>
  Effect.gen(function* () {
    const warnings: Array<string> = []
    let left = tags
    for (const { job: other, tags: taken } of chosen) {
      if (isSameContent(other, job)) continue
      const { rule } = other.compiled
      const could = taken ?? (yield* Tags.select(left, { ...rule.tags, newest: undefined })).tags
      const theirs = new Set(could)
      const lost = left.filter((tag) => theirs.has(tag))
      if (lost.length === 0) continue
      left = left.filter((tag) => !theirs.has(tag))
      const more = lost.length > named ? ` and ${lost.length - named} more` : ""
      warnings.push(
        `${Reference.format(job.from)}: ${other.compiled.path} comes first, which copies ` +
          `${Reference.format(other.from)} to the same tags: ${lost.slice(0, named).join(", ")}` +
          `${more} left alone`
      )
    }
    return { tags: left, warnings }
  })

/** Whether two rules put the same under one tag. */
const isSameContent = (one: Job, other: Job): boolean => contentOf(one) === contentOf(other)

const contentOf = ({ compiled: { rule }, from }: Job): string =>
  JSON.stringify([Reference.format(from), [...(rule.platforms ?? [])].sort(), rule.index])
