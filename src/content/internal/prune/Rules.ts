/** Which tags the rules of a prune choose (CP05). */
import * as Effect from "effect/Effect"
import type { Digest } from "../../../spec/Digest.js"
import type { Tag } from "../../../spec/Reference.js"
import * as Grouped from "../Grouped.js"
import * as TagFilter from "../tags/TagFilter.js"
import type { RuleResult } from "./Plan.js"
import type { Compiled, CompiledRule } from "./Policy.js"

/** What the rules choose of some tags. `removed` has the numbers of the rules that chose a tag. */
export interface Choice {
  readonly removed: ReadonlyMap<Tag, ReadonlyArray<number>>
  readonly protected: ReadonlyArray<Tag>
  readonly results: ReadonlyArray<RuleResult>
  readonly warnings: ReadonlyArray<string>
}

/** Applies the rules to tags. `dateOf` tells how old what a tag stands on is, in milliseconds. */
export const choose = <E>(
  { protect, rules }: Compiled,
  tags: ReadonlyMap<Tag, Digest>,
  dateOf: (digest: Digest) => Effect.Effect<number | undefined, E>,
  now: number,
  concurrency: number
): Effect.Effect<Choice, E> =>
  Effect.gen(function* () {
    const warnings: Array<string> = []
    const shielded = new Set<Tag>()
    for (const [n, filter] of protect.entries()) {
      const chosen = TagFilter.choose(filter, tags.keys())
      for (const tag of chosen.tags) shielded.add(tag)
      warnings.push(...unmatched(`protect[${n}]`, filter, chosen))
    }
    const removed = new Map<Tag, Array<number>>()
    const spared = new Set<Tag>()
    const results: Array<RuleResult> = []
    for (const [n, rule] of rules.entries()) {
      const chosen = TagFilter.choose(rule, tags.keys())
      warnings.push(...unmatched(`rules[${n}]`, rule, chosen))
      const { old, unknown } = yield* selected(rule, chosen.tags, tags, dateOf, now, concurrency)
      for (const tag of old)
        if (shielded.has(tag)) spared.add(tag)
        else Grouped.add(removed, tag, n)
      results.push({
        rule: rule.shown,
        matched: chosen.tags,
        removed: old.filter((tag) => !shielded.has(tag)),
        ofUnknownAge: unknown
      })
    }
    return { removed, protected: [...spared], results, warnings }
  })

const unmatched = (
  part: string,
  { shown }: { readonly shown: string },
  chosen: ReturnType<typeof TagFilter.choose>
): ReadonlyArray<string> =>
  chosen.tags.length === 0
    ? [`${part} (${shown}) fits no tag`]
    : chosen.unmatched.map((rule) => `${part} (${shown}): ${rule} fits no tag`)

/** What a rule chooses of the tags that fit it: by digest, and not by tag. */
const selected = Effect.fnUntraced(function* <E>(
  { hasVersions, keep, olderThan }: CompiledRule,
  fitting: ReadonlyArray<Tag>,
  tags: ReadonlyMap<Tag, Digest>,
  dateOf: (digest: Digest) => Effect.Effect<number | undefined, E>,
  now: number,
  concurrency: number
) {
  const byDigest = new Map<Digest, Array<Tag>>()
  // They are in order: the best of the versions of an image says where it stands.
  for (const tag of fitting) {
    const digest = tags.get(tag)
    if (digest !== undefined) Grouped.add(byDigest, digest, tag)
  }
  const isByDate = keep !== undefined && !hasVersions
  const dates = new Map<Digest, number | undefined>()
  const read = (digests: ReadonlyArray<Digest>) =>
    Effect.forEach(
      digests,
      (digest) => Effect.map(dateOf(digest), (date) => dates.set(digest, date)),
      { concurrency, discard: true }
    )
  let left: ReadonlyArray<Digest> = [...byDigest.keys()]
  if (isByDate) {
    yield* read(left)
    left = left
      .filter((digest) => dates.get(digest) !== undefined)
      .sort((self, that) => (dates.get(that) ?? 0) - (dates.get(self) ?? 0))
  }
  left = left.slice(keep ?? 0)
  if (olderThan !== undefined && !isByDate) yield* read(left)
  const old = left.filter((digest) => {
    const date = dates.get(digest)
    return olderThan === undefined || (date !== undefined && now - date > olderThan)
  })
  const tagsOf = (digests: Iterable<Digest>) =>
    Array.from(digests, (digest) => byDigest.get(digest) ?? []).flat()
  return {
    old: tagsOf(old),
    unknown: tagsOf([...dates].filter(([, date]) => date === undefined).map(([digest]) => digest))
  }
})
