/** What a prune reads of a repository: each document once, counted, and no faster than allowed. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Registry } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type { Manifest } from "../../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"

/**
 * How many of each kind of request there were; a list may have taken several, one for each page.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cost {
  /** Lists of tags and manifests. */
  readonly lists: number
  /** HEAD of tags, and of digests. */
  readonly heads: number
  readonly manifests: number
  readonly configs: number
  /** Lists of referrers. */
  readonly referrers: number
}

/**
 * Says how a repository is read and changed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pace {
  /** How many requests there are at a time, 6 by default. */
  readonly concurrency?: number | undefined
  /** How many requests there are in a second at the most. As many as it takes by default. */
  readonly rate?: number | undefined
}

/** Returns the parts of a pace that make no sense, with why. */
export const problemsOf = ({
  concurrency = 1,
  rate = 1
}: Pace): ReadonlyArray<readonly [part: string, problem: string]> => [
  ...(Number.isSafeInteger(concurrency) && concurrency > 0
    ? []
    : [["concurrency", `${concurrency} is not a number of requests`] as const]),
  ...(rate > 0 ? [] : [["rate", `${rate} is not a number of requests in a second`] as const])
]

/** The reads of one repository. What is not there is `None`; no other failure is (CP02). */
export interface Reads {
  readonly concurrency: number
  readonly cost: Cost
  /** Waits until another request may be made. */
  readonly turn: Effect.Effect<void>
  readonly tags: Effect.Effect<ReadonlyArray<Tag>, Registry.ListTagsError>
  readonly head: (
    reference: Tag | Digest
  ) => Effect.Effect<Option.Option<Descriptor>, Registry.HeadManifestError>
  readonly manifest: (
    digest: Digest
  ) => Effect.Effect<Option.Option<Manifest>, Registry.GetManifestError>
  readonly config: (
    config: Descriptor
  ) => Effect.Effect<Option.Option<Uint8Array>, Registry.GetBlobError>
  readonly referrers: (
    digest: Digest
  ) => Effect.Effect<ReadonlyArray<Descriptor>, Registry.ListReferrersError>
}

/** Makes the reads of a repository. */
export const make = (
  registry: Registry.Service,
  repository: RepositoryName,
  { concurrency = 6, rate }: Pace
): Reads => {
  const cost = { lists: 0, heads: 0, manifests: 0, configs: 0, referrers: 0 }
  let next = 0
  const turn = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (rate === undefined) return Effect.void
    const at = Math.max(now, next)
    next = at + 1000 / rate
    return at > now ? Effect.sleep(at - now) : Effect.void
  })
  const counted = <A, E>(kind: keyof Cost, effect: Effect.Effect<A, E>) =>
    Effect.zipRight(
      turn,
      Effect.suspend(() => {
        cost[kind]++
        return effect
      })
    )
  const known = new Map<Digest, Option.Option<Manifest>>()
  const absent = () => Effect.succeedNone
  return {
    concurrency,
    cost,
    turn,
    tags: Effect.map(
      counted(
        "lists",
        Effect.suspend(() => Stream.runCollect(registry.tags(repository)))
      ),
      (tags) => [...tags]
    ),
    head: (reference) => counted("heads", registry.headManifest(repository, reference)),
    manifest: (digest) =>
      Effect.suspend(() => {
        const found = known.get(digest)
        return found !== undefined
          ? Effect.succeed(found)
          : counted("manifests", registry.getManifest(repository, digest)).pipe(
              Effect.asSome,
              Effect.catchTags({ ManifestUnknown: absent, NameUnknown: absent }),
              Effect.tap((manifest) => Effect.sync(() => known.set(digest, manifest)))
            )
      }),
    config: (config) =>
      counted("configs", registry.getBlobBytes(repository, config)).pipe(
        Effect.asSome,
        Effect.catchTags({ BlobUnknown: absent, NameUnknown: absent })
      ),
    referrers: (digest) =>
      Effect.map(
        counted("referrers", Stream.runCollect(registry.referrers(repository, digest))),
        (found) => [...found]
      )
  }
}
