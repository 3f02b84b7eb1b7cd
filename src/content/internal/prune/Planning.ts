/** Makes the plan of a prune. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ListedManifest, Registry } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import { type Digest, isDigest } from "../../../spec/Digest.js"
import * as Parsed from "../../../spec/internal/Parsed.js"
import * as Manifest from "../../../spec/Manifest.js"
import { type RepositoryName, referrersTag, type Tag } from "../../../spec/Reference.js"
import * as Grouped from "../Grouped.js"
import * as AttachmentTag from "../tags/AttachmentTag.js"
import * as Age from "./Age.js"
import * as Deletions from "./Deletions.js"
import * as Graph from "./Graph.js"
import type { Deletion, Orphan, Plan, Reason, Untagging } from "./Plan.js"
import * as Policy from "./Policy.js"
import * as Reads from "./Reads.js"
import * as Rules from "./Rules.js"
import * as Untagged from "./Untagged.js"

/** Plans a prune: see `Prune.planFrom`. */
export const plan = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  policy: Policy.Policy,
  pace: Reads.Pace
) {
  const compiled = yield* Parsed.toEffect(Policy.compile(policy))
  for (const [part, problem] of Reads.problemsOf(pace))
    return yield* new Policy.InvalidPolicy({ part, problem })
  const now = yield* Clock.currentTimeMillis
  const reads = Reads.make(registry, repository, pace)
  const listed = yield* listing(registry, repository, compiled.removesUntagged)
  const tags = yield* readTags(reads)
  const [named, attached] = divided(tags)
  const choice = yield* Rules.choose(
    compiled,
    new Map(Array.from(named, ([tag, { digest }]) => [tag, digest])),
    Age.make(reads, now),
    now,
    reads.concurrency
  )
  const world = yield* worldOf(reads, attached, listed)
  const { kept, reasons } = rootsOf(named, choice)
  const { missing, nodes } = yield* Graph.walk(world, [
    ...reasons.keys(),
    ...(listed ?? []).map(({ descriptor }) => descriptor.digest)
  ])
  const tagged = digestsOf(named)
  const untagged = Untagged.sort(nodes, listed ?? [], tagged, now - compiled.grace)
  kept.push(...untagged.kept)
  for (const digest of untagged.old)
    if (compiled.removesUntagged) reasons.set(digest, { _tag: "Untagged" })
    else kept.push({ digest, why: "it has no tag, which no rule is about", isRead: false })
  kept.push(...attachedToUnread(attached, nodes), ...(yield* subjectsThatStay(reads, nodes)))
  const { circular, deletions, staying } = yield* settled(world, nodes, reasons, kept, tags)
  const lacking = [...missing, ...staying.missing]
  const known = new Set([...nodes.keys(), ...staying.kept.keys(), ...tagged])
  for (const { digest } of lacking) known.delete(digest)
  for (const digest of untagged.lost) known.delete(digest)
  return {
    _tag: "Plan",
    repository,
    madeAt: new Date(now).toISOString(),
    rules: choice.results,
    protected: choice.protected,
    deletions,
    untaggings: untaggingsOf(tags, choice, deletions, staying.kept),
    missing: unique(lacking),
    orphans: [...untagged.orphans, ...(yield* orphanTags(reads, attached, known))],
    warnings: [...choice.warnings, ...lost(nodes, reasons, tags), ...circular.map(unordered)],
    tags: Object.fromEntries(Array.from(tags, ([tag, { digest }]) => [tag, digest])),
    manifests: listed === undefined ? undefined : putTimes(listed),
    cost: { ...reads.cost, lists: reads.cost.lists + (listed === undefined ? 0 : 1) },
    concurrency: reads.concurrency,
    rate: pace.rate
  } satisfies Plan
})

/** The manifests that tags keep, and those whose tags go, as long as nothing else keeps them. */
const rootsOf = (named: Tags, choice: Rules.Choice) => {
  const kept: Array<Graph.Kept> = []
  const reasons = new Map<Digest, Reason>()
  for (const [tag, descriptor] of named) {
    const { digest } = descriptor
    const rules = choice.removed.get(tag)
    if (rules === undefined)
      kept.push({ digest, why: `it has the tag ${tag}`, isRead: !Graph.isImage(descriptor) })
    else {
      const before = reasons.get(digest)
      const others = before?._tag === "Rules" ? before.rules : []
      const all = [...new Set([...others, ...rules])].sort((self, that) => self - that)
      reasons.set(digest, { _tag: "Rules", rules: all })
    }
  }
  return { kept, reasons }
}

/**
 * What manifests that go are attached to, and what is not read: it is there or not, and nothing of
 * this plan removes it.
 */
const subjectsThatStay = Effect.fnUntraced(function* (
  reads: Reads.Reads,
  nodes: ReadonlyMap<Digest, Graph.Node>
) {
  const subjects = new Set<Digest>()
  for (const { subject } of nodes.values())
    if (subject !== undefined && !nodes.has(subject)) subjects.add(subject)
  const found = yield* Effect.forEach(subjects, reads.head, { concurrency: reads.concurrency })
  return found.flatMap(Option.toArray).map((descriptor): Graph.Kept => {
    const { digest } = descriptor
    return { digest, why: "no rule is about it", isRead: !Graph.isImage(descriptor) }
  })
})

/** Those of these that are attached to what is not read: nothing of this plan removes that. */
const attachedToUnread = (attached: Tags, nodes: ReadonlyMap<Digest, Graph.Node>) => {
  const read = new Set<string>(Array.from(nodes.keys(), referrersTag))
  return Array.from(attached).flatMap(([tag, descriptor]): ReadonlyArray<Graph.Kept> => {
    const { digest } = descriptor
    const isRead = !Graph.isImage(descriptor)
    return read.has(AttachmentTag.subjectOf(tag) ?? "")
      ? []
      : [{ digest, why: `it has the tag ${tag}`, isRead }]
  })
}

/** What stays and what goes, in order. What cannot be put in order stays, with what it leads to. */
const settled = Effect.fnUntraced(function* (
  world: Graph.World,
  nodes: ReadonlyMap<Digest, Graph.Node>,
  reasons: ReadonlyMap<Digest, Reason>,
  kept: ReadonlyArray<Graph.Kept>,
  tags: Tags
) {
  const order = Effect.fnUntraced(function* (roots: ReadonlyArray<Graph.Kept>) {
    const staying = yield* Graph.kept(world, nodes, roots)
    const isKept = (digest: Digest) => staying.kept.has(digest)
    return { staying, ...Deletions.inOrder(nodes, reasons, isKept, tags) }
  })
  const first = yield* order(kept)
  const { circular } = first
  if (circular.length === 0) return first
  const why = "it is one of several that hold each other"
  const left = circular.map((digest): Graph.Kept => ({ digest, why, isRead: false }))
  return { ...(yield* order([...kept, ...left])), circular }
})

const unordered = (digest: Digest): string =>
  `${digest} is left: it is one of several manifests that hold each other, which can be deleted ` +
  "in no order that is safe while others push"

/** Lists all manifests, where the registry can. */
const listing = (registry: Registry.Service, repository: RepositoryName, isNeeded: boolean) =>
  Stream.runCollect(registry.manifests(repository)).pipe(
    Effect.map((all): ReadonlyArray<ListedManifest> | undefined => [...all]),
    Effect.catchTag("Unsupported", (unsupported) =>
      isNeeded ? Effect.fail(unsupported) : Effect.succeed(undefined)
    )
  )

/** When manifests were put, as a plan has it. */
export const putTimes = (listed: ReadonlyArray<ListedManifest>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    listed.map(({ descriptor, putAt }) => [descriptor.digest, putAt.toISOString()])
  )

/** Reads what tags stand on. One that was removed since it was listed is not there. */
export const readTags = Effect.fnUntraced(function* (reads: Reads.Reads) {
  const tags = yield* reads.tags
  const heads = yield* Effect.forEach(tags, reads.head, { concurrency: reads.concurrency })
  const found = new Map<Tag, Descriptor>()
  for (const [n, tag] of tags.entries()) {
    const head = heads[n]
    if (head !== undefined && Option.isSome(head)) found.set(tag, head.value)
  }
  return found
})

type Tags = ReadonlyMap<Tag, Descriptor>

/** Those that people gave, and those that are named after a manifest (CP06). */
const divided = (tags: Tags): readonly [named: Tags, attached: Tags] => {
  const isNamed = ([tag]: readonly [Tag, Descriptor]) => AttachmentTag.subjectOf(tag) === undefined
  const all = [...tags]
  return [new Map(all.filter(isNamed)), new Map(all.filter((tag) => !isNamed(tag)))]
}

const digestsOf = (tags: Tags): ReadonlySet<Digest> =>
  new Set(Array.from(tags.values(), ({ digest }) => digest))

const worldOf = Effect.fnUntraced(function* (
  reads: Reads.Reads,
  attached: Tags,
  listed: ReadonlyArray<ListedManifest> | undefined
) {
  const attachmentTags = new Map<string, Array<{ tag: Tag; descriptor: Descriptor }>>()
  for (const [tag, descriptor] of attached) {
    const subject = AttachmentTag.subjectOf(tag)
    if (subject !== undefined) Grouped.add(attachmentTags, subject, { tag, descriptor })
  }
  if (listed === undefined) return { reads, attachmentTags, referrersOf: reads.referrers }
  // All of them are read anyway, and say it themselves: no list needs to name them (CP07).
  const bySubject = new Map<Digest, Array<Descriptor>>()
  yield* Effect.forEach(
    listed,
    ({ descriptor }) =>
      Effect.map(reads.manifest(descriptor.digest), (manifest) => {
        const subject = Option.flatMap(manifest, Manifest.subject)
        if (Option.isSome(subject)) Grouped.add(bySubject, subject.value.digest, descriptor)
      }),
    { concurrency: reads.concurrency, discard: true }
  )
  return {
    reads,
    attachmentTags,
    referrersOf: (digest: Digest) => Effect.succeed(bySubject.get(digest) ?? [])
  }
})

/** The tags that go from manifests that stay: those of attachments with their subject (CP06). */
const untaggingsOf = (
  tags: Tags,
  { removed }: Rules.Choice,
  deletions: ReadonlyArray<Deletion>,
  kept: ReadonlyMap<Digest, string>
): ReadonlyArray<Untagging> => {
  const subjects = new Set<string>(deletions.map(({ digest }) => referrersTag(digest)))
  return Array.from(tags).flatMap(([tag, { digest }]) => {
    const why = kept.get(digest)
    const isRemoved = removed.has(tag) || subjects.has(AttachmentTag.subjectOf(tag) ?? "")
    return isRemoved && why !== undefined ? [{ tag, digest, why }] : []
  })
}

/** Tags that are named after a manifest which is not there. */
const orphanTags = Effect.fnUntraced(function* (
  reads: Reads.Reads,
  attached: Tags,
  known: ReadonlySet<Digest>
) {
  const subjects = new Set<string>(Array.from(known, referrersTag))
  const unknown = [...attached].filter(([tag]) => !subjects.has(AttachmentTag.subjectOf(tag) ?? ""))
  const found = yield* Effect.forEach(
    unknown,
    ([tag, { digest }]) =>
      Effect.gen(function* () {
        const subject = AttachmentTag.subjectOf(tag)?.replace("-", ":") ?? ""
        // The digits of longer digests are cut off, so that nobody can be asked.
        const isThere = isDigest(subject) && Option.isSome(yield* reads.head(subject))
        return isThere ? [] : [{ digest, tag, subject }]
      }),
    { concurrency: reads.concurrency }
  )
  return found.flat() satisfies ReadonlyArray<Orphan>
})

/** What a rule chose and can be found, and not be read. */
const lost = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  reasons: ReadonlyMap<Digest, Reason>,
  tags: Tags
): ReadonlyArray<string> =>
  Array.from(tags)
    .filter(([_, { digest }]) => reasons.has(digest) && !nodes.has(digest))
    .map(([tag, { digest }]) => `the tag ${tag} is left: ${digest} cannot be read, as if absent`)

const unique = (all: ReadonlyArray<Graph.Missing>): ReadonlyArray<Graph.Missing> => [
  ...new Map(all.map((missing) => [`${missing.digest} ${missing.of}`, missing])).values()
]
