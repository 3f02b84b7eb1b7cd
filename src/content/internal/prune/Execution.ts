/** Does what a plan says, and nothing that has come between. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Untag from "../../../internal/Untag.js"
import type { Registry } from "../../../Registry.js"
import { RegistryFailure, Unsupported } from "../../../RegistryError.js"
import type { Digest } from "../../../spec/Digest.js"
import { isTag, referrersTag, type Tag } from "../../../spec/Reference.js"
import * as Grouped from "../Grouped.js"
import * as AttachmentTag from "../tags/AttachmentTag.js"
import * as Graph from "./Graph.js"
import type { Deletion, Plan, Untagging } from "./Plan.js"
import { putTimes } from "./Planning.js"
import * as Reads from "./Reads.js"

/**
 * What a manifest or tag of a plan can have failed to be removed with.
 *
 * @since 0.1.0
 * @category errors
 */
export type ExecuteError =
  | Registry.GetManifestError
  | Registry.PutBlobError
  | Registry.PutManifestError

/**
 * What became of a manifest or tag of a plan: it was removed, was gone already, is left for a
 * reason, or could not be removed.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome =
  | { readonly _tag: "Removed" }
  | { readonly _tag: "Gone" }
  | { readonly _tag: "Left"; readonly why: string }
  | { readonly _tag: "Failed"; readonly error: ExecuteError }

/**
 * A tag that is not what it was when the plan was made: `to` is what it stands on now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Moved {
  readonly tag: Tag
  readonly from?: Digest | undefined
  readonly to: Digest
}

/**
 * What became of a plan. `ok` is false where something could not be removed; what is left since it
 * changed is no failure.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly _tag: "Report"
  readonly plan: Plan
  readonly deletions: ReadonlyArray<Deletion & { readonly outcome: Outcome }>
  readonly untaggings: ReadonlyArray<Untagging & { readonly outcome: Outcome }>
  /** Tags that appeared or moved since the plan was made. They are left alone. */
  readonly moved: ReadonlyArray<Moved>
  /** What it has cost to read again. */
  readonly cost: Reads.Cost
  readonly ok: boolean
}

/** So many tags are read again, one by one, in all: a large repository has them read less often. */
const maxReads = 10_000

/** Executes a plan: see `Prune.executeFrom`. */
export const execute = (
  registry: Registry.Service,
  plan: Plan,
  { throwaway = false, ...pace }: Reads.Pace & { readonly throwaway?: boolean | undefined }
): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const { repository } = plan
    const wrong = Reads.problemsOf(pace).map(([part]) => part)
    const { concurrency = plan.concurrency, rate = plan.rate } = pace
    const reads = Reads.make(registry, repository, {
      concurrency: wrong.includes("concurrency") ? plan.concurrency : concurrency,
      rate: wrong.includes("rate") ? plan.rate : rate
    })
    const state = new State(registry, plan, reads)
    const all = plan.deletions.length * Object.keys(plan.tags).length
    const interval = Math.max(1, Math.ceil(all / maxReads))
    let refused: Outcome | undefined

    const untaggings: Array<Untagging & { readonly outcome: Outcome }> = []
    for (const untagging of plan.untaggings) {
      const { digest, tag } = untagging
      const outcome =
        refused ??
        (yield* outcomeOf(
          Effect.gen(function* () {
            const found = yield* reads.head(tag)
            if (Option.isNone(found)) return gone
            yield* state.see(tag, found.value.digest)
            if (found.value.digest !== digest) return left("the tag has moved")
            yield* reads.turn
            yield* Untag.untag(registry, repository, tag, throwaway)
            state.forget(tag)
            return removed
          })
        ))
      if (isRefusal(outcome)) refused = outcome
      untaggings.push({ ...untagging, outcome })
    }

    refused = undefined
    const outcomes = new Map<Digest, Outcome>()
    for (const [n, deletion] of plan.deletions.entries()) {
      const isWhole = n % interval === 0
      const outcome: Outcome = refused ?? (yield* deleted(state, deletion, outcomes, isWhole))
      // What could not be read may need what comes next (CP02).
      if (outcome._tag === "Failed" && (isRefusal(outcome) || state.isBlind))
        refused = state.isBlind ? left("tags could not be read") : outcome
      outcomes.set(deletion.digest, outcome)
    }
    const deletions = plan.deletions.map((deletion) => ({
      ...deletion,
      outcome: outcomes.get(deletion.digest) ?? left("it was not reached")
    }))
    return {
      _tag: "Report",
      plan,
      deletions,
      untaggings,
      moved: [...state.moved.values()],
      cost: reads.cost,
      ok: ![...deletions, ...untaggings].some(({ outcome }) => outcome._tag === "Failed")
    }
  })

const removed: Outcome = { _tag: "Removed" }
const gone: Outcome = { _tag: "Gone" }
const left = (why: string): Outcome => ({ _tag: "Left", why })

/** A registry that deletes none of a kind need not be asked again and again. */
const isRefusal = (outcome: Outcome): boolean =>
  outcome._tag === "Failed" && outcome.error instanceof Unsupported

const outcomeOf = (effect: Effect.Effect<Outcome, ExecuteError>): Effect.Effect<Outcome> =>
  Effect.catchAll(effect, (error) =>
    Effect.succeed<Outcome>(
      error._tag === "ManifestUnknown" || error._tag === "NameUnknown"
        ? gone
        : { _tag: "Failed", error }
    )
  )

/** Deletes a manifest, unless something needs it by now. */
const deleted = (
  state: State,
  deletion: Deletion,
  outcomes: ReadonlyMap<Digest, Outcome>,
  isWhole: boolean
): Effect.Effect<Outcome> => {
  const { digest, heldBy, tags } = deletion
  const { plan, reads, registry } = state
  const holder = heldBy.find((of) => {
    const tag = outcomes.get(of)?._tag
    return tag !== "Removed" && tag !== "Gone"
  })
  if (holder !== undefined) return Effect.succeed(left(`it belongs to ${holder}, which is left`))
  const remove = Effect.zipRight(reads.turn, registry.deleteManifest(plan.repository, digest))
  return outcomeOf(
    Effect.gen(function* () {
      yield* state.check(isWhole, tags)
      const why = state.needed.get(digest)
      if (why !== undefined) return left(why)
      yield* Effect.catchIf(
        remove,
        // Google's wants the tags to be gone before (quirks §4).
        (error) => error instanceof RegistryFailure && error.status === 400 && tags.length > 0,
        () =>
          Effect.zipRight(
            Effect.forEach(tags, (tag) => registry.deleteTag(plan.repository, tag)),
            remove
          )
      )
      for (const tag of tags) state.forget(tag)
      state.gone.add(digest)
      return removed
    })
  )
}

/** What is seen of a repository while a plan is executed. */
class State {
  /** Manifests that somebody needs by now, and who. */
  readonly needed = new Map<Digest, string>()
  readonly moved = new Map<Tag, Moved>()
  /** Manifests that were removed, and have not been seen since. */
  readonly gone = new Set<Digest>()
  /** Whether a read has failed. */
  isBlind = false
  private readonly followed = new Set<Digest>()
  /** What was to go with a manifest. */
  private readonly heldBy = new Map<Digest, Array<Digest>>()
  private readonly now: Map<Tag, Digest>
  private manifests: Readonly<Record<string, string>> | undefined

  constructor(
    readonly registry: Registry.Service,
    readonly plan: Plan,
    readonly reads: Reads.Reads
  ) {
    this.now = new Map(
      Object.entries(plan.tags).flatMap(([tag, digest]) => (isTag(tag) ? [[tag, digest]] : []))
    )
    this.manifests = plan.manifests
    for (const { digest, heldBy } of plan.deletions)
      for (const of of heldBy) Grouped.add(this.heldBy, of, digest)
  }

  /** Notes that a tag is gone: should it be there again, it is a new one. */
  forget(tag: Tag): void {
    this.now.delete(tag)
  }

  /** Notes what a tag stands on. If that is news, it is needed, with all that it leads to. */
  see(tag: Tag, digest: Digest): Effect.Effect<void, Registry.GetManifestError> {
    return Effect.gen(this, function* () {
      if (this.now.get(tag) === digest) return
      this.now.set(tag, digest)
      const { tags } = this.plan
      // Tags such as "constructor" are none of what every object has.
      const from = Object.hasOwn(tags, tag) ? tags[tag] : undefined
      this.moved.set(tag, { tag, from, to: digest })
      const why = `it is needed by the tag ${tag}`
      yield* this.need(digest, why)
      const subject = AttachmentTag.subjectOf(tag)
      for (const { digest } of this.plan.deletions)
        if (referrersTag(digest) === subject && !this.gone.has(digest))
          yield* this.need(digest, why)
    }).pipe(this.orBlind)
  }

  /**
   * Lists the tags again, and reads those that are new, these, and all of them where that is asked
   * for. What has appeared or moved is needed.
   */
  check(
    isWhole: boolean,
    tags: ReadonlyArray<Tag>
  ): Effect.Effect<void, Registry.GetManifestError> {
    return Effect.gen(this, function* () {
      const { concurrency, head } = this.reads
      const listed = yield* this.reads.tags
      const asked = isWhole
        ? listed
        : listed.filter((tag) => tags.includes(tag) || !this.now.has(tag))
      const heads = yield* Effect.forEach(asked, head, { concurrency })
      for (const [n, tag] of asked.entries()) {
        const found = heads[n]
        if (found === undefined || Option.isNone(found)) continue
        yield* this.see(tag, found.value.digest)
      }
      yield* this.checkManifests
    }).pipe(this.orBlind)
  }

  private readonly orBlind = <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.tapError(read, () =>
      Effect.sync(() => {
        this.isBlind = true
      })
    )

  /** The same for manifests that were put since, where the registry lists them. */
  private get checkManifests(): Effect.Effect<void, Registry.GetManifestError> {
    return Effect.gen(this, function* () {
      const before = this.manifests
      if (before === undefined) return
      const listed = yield* Stream.runCollect(this.registry.manifests(this.plan.repository))
      const now = putTimes([...listed])
      for (const { descriptor } of listed) {
        const { digest } = descriptor
        if (before[digest] !== now[digest])
          yield* this.need(digest, `it is needed by ${digest}, which was put since`)
      }
      this.manifests = now
    })
  }

  /** Notes that a manifest is needed, and all that it leads to. */
  private need(root: Digest, why: string): Effect.Effect<void, Registry.GetManifestError> {
    return Effect.gen(this, function* () {
      const left = [root]
      for (let digest = left.pop(); digest !== undefined; digest = left.pop()) {
        if (!this.needed.has(digest)) this.needed.set(digest, why)
        this.gone.delete(digest)
        if (this.followed.has(digest)) continue
        this.followed.add(digest)
        left.push(...(this.heldBy.get(digest) ?? []).filter((held) => !this.gone.has(held)))
        const manifest = yield* this.reads.manifest(digest)
        if (Option.isNone(manifest)) continue
        const { members, mentions, subject } = Graph.factsOf(manifest.value)
        for (const mentioned of mentions) this.needed.set(mentioned, why)
        left.push(...members.map((member) => member.digest))
        // What it is attached to need not be there.
        if (subject !== undefined && !this.gone.has(subject)) left.push(subject)
      }
    })
  }
}
