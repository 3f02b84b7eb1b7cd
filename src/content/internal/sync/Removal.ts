/** Which tags of a target a sync removes. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Registry } from "../../../Registry.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import * as Tags from "../../Tags.js"
import type { Compiled, Rule } from "./Rules.js"

/** The tags that a rule keeps at a target. */
export interface Kept {
  readonly rule: Rule
  readonly tags: ReadonlyArray<Tag>
}

/** The tags to remove, and why none is where they were too many. */
export interface Removals {
  readonly tags: ReadonlyArray<Tag>
  readonly throwaway: boolean
  readonly refusal?: string | undefined
}

/**
 * Compares a target with what all rules keep of it. What no rule could choose is not theirs, and
 * `unknown` are rules that may keep something, of which nobody knows.
 */
export const find = (
  registry: Registry.Service,
  repository: RepositoryName,
  kept: ReadonlyArray<Kept>,
  unknown: ReadonlyArray<Compiled>
): Effect.Effect<Removals, Registry.ListTagsError | Tags.InvalidFilter> =>
  Effect.gen(function* () {
    const asking = kept.flatMap(({ rule }) => (rule.delete === undefined ? [] : [rule.delete]))
    const throwaway = asking.some(({ throwaway }) => throwaway === true)
    if (asking.length === 0) return { tags: [], throwaway }
    if (unknown.length > 0) {
      const paths = unknown.map(({ path }) => path).join(", ")
      const refusal = `no tag is removed while it is not known what is kept by ${paths}`
      return { tags: [], throwaway, refusal }
    }
    const there = yield* registry.tags(repository).pipe(
      Stream.runCollect,
      Effect.map((all) => [...all]),
      Effect.catchTag("NameUnknown", () => Effect.succeed([]))
    )
    const keep = new Set(kept.flatMap(({ tags }) => tags))
    // What is kept is there after a run, and counts for a plan as well.
    const all = new Set([...there, ...keep])
    const covered = new Set<Tag>()
    for (const { rule } of kept) {
      if (rule.delete === undefined) continue
      const { tags } = yield* Tags.select(all, { ...rule.tags, newest: undefined })
      for (const tag of tags) covered.add(tag)
    }
    const tags = there.filter((tag) => covered.has(tag) && !keep.has(tag))
    const share = Math.min(...asking.map(({ share }) => share))
    if (tags.length <= share * covered.size) return { tags, throwaway }
    const refusal =
      `${tags.length} of ${covered.size} tags would be removed, which is more than the share ` +
      `${share}: check the source, or raise delete.share`
    return { tags: [], throwaway, refusal }
  })
