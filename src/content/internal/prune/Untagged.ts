/** Which manifests without a tag nothing needs, on registries that list them (CP03, CP07). */
import type { ListedManifest } from "../../../Registry.js"
import type { Digest } from "../../../spec/Digest.js"
import * as Graph from "./Graph.js"
import type { Orphan } from "./Plan.js"

/** What is to be known of manifests without a tag. */
export interface Sorted {
  /** Those that nothing leads to, with all they hold put before a time. */
  readonly old: ReadonlyArray<Digest>
  /** Those that stay. */
  readonly kept: ReadonlyArray<Graph.Kept>
  /** Those of them that are attached to what is not there. */
  readonly orphans: ReadonlyArray<Orphan>
  /** What these are attached to. */
  readonly lost: ReadonlySet<Digest>
}

/**
 * Sorts the manifests of a repository that have no tag, but for those that go with what holds them.
 */
export const sort = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  listed: ReadonlyArray<ListedManifest>,
  tagged: ReadonlySet<Digest>,
  oldest: number
): Sorted => {
  const putAt = new Map(
    listed.map(({ descriptor, putAt }) => [descriptor.digest, putAt.getTime()] as const)
  )
  const isYoung = (digest: Digest): boolean => (putAt.get(digest) ?? oldest) > oldest
  const held = new Set<Digest>()
  const indexedAt = new Map<Digest, number>()
  for (const [digest, node] of nodes) {
    for (const { digest: other } of Graph.heldBy(node)) held.add(other)
    for (const { digest: member } of node.members)
      indexedAt.set(member, Math.max(indexedAt.get(member) ?? 0, putAt.get(digest) ?? 0))
  }
  const all = [...putAt.keys()].filter((digest) => !tagged.has(digest) && nodes.has(digest))
  const kept: Array<Graph.Kept> = []
  const keep = (digest: Digest, why: string) => kept.push({ digest, why, isRead: false })
  const old: Array<Digest> = []
  const orphans: Array<Orphan> = []
  const lost = new Set<Digest>()
  for (const digest of all) {
    const subject = nodes.get(digest)?.subject
    if (held.has(digest)) {
      // Its index may have been put again, and another one that has it not yet.
      const since = indexedAt.get(digest)
      if (since !== undefined && isYoung(digest) && (putAt.get(digest) ?? 0) > since + slack)
        keep(digest, "it was put again a short time ago")
    } else if (subject !== undefined) {
      orphans.push({ digest, subject })
      lost.add(subject)
      keep(digest, `its subject ${subject} is not there`)
    } else if ([...closure(nodes, [digest])].some(isYoung))
      keep(digest, "it was put a short time ago")
    else old.push(digest)
  }
  // What an index has that is attached to it in turn: neither goes with anything.
  const covered = closure(nodes, [...tagged, ...old, ...kept.map(({ digest }) => digest)])
  for (const digest of all)
    if (!covered.has(digest)) keep(digest, "what holds it leads in a circle")
  return { old, kept, orphans, lost }
}

/** In milliseconds: the times of files are not those of the clock to the last one. */
const slack = 1000

/** Some manifests, and all that they hold. */
const closure = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  roots: Iterable<Digest>
): ReadonlySet<Digest> => {
  const found = new Set(roots)
  for (const digest of found) {
    const node = nodes.get(digest)
    if (node !== undefined) for (const { digest } of Graph.heldBy(node)) found.add(digest)
  }
  return found
}
