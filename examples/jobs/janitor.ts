import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "effect-oci/Registries"

/**
 * Removes the tags that fit a pattern, but for the last ones in numeric order, and returns them.
 * Manifests, and so indexes, referrers and what shares their digests, stay. Without
 * `dryRun: false` it removes nothing.
 */
export const untagOld = (
  repository: string,
  pattern: RegExp,
  { dryRun = true, keep = 10 }: { readonly dryRun?: boolean; readonly keep?: number } = {}
) =>
  Effect.gen(function* () {
    const fitting = Stream.filter(Registries.tags(repository), (tag) => pattern.test(tag))
    const { compare } = new Intl.Collator("en", { numeric: true })
    const tags = [...(yield* Stream.runCollect(fitting))].sort(compare)
    const old = tags.slice(0, Math.max(0, tags.length - keep))
    if (!dryRun) yield* Effect.forEach(old, (tag) => Registries.untag(`${repository}:${tag}`))
    return old
  })
