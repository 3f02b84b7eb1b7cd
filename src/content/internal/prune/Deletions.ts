/** Which manifests are deleted, and in which order. */
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type { Tag } from "../../../spec/Reference.js"
import * as Grouped from "../Grouped.js"
import * as Graph from "./Graph.js"
import type { Deletion, Reason } from "./Plan.js"

/** What goes, in order, and what cannot be put in order. */
export interface Ordered {
  readonly deletions: ReadonlyArray<Deletion>
  /** Those that hold each other, of which neither can go before the other, and what is between. */
  readonly circular: ReadonlyArray<Digest>
}

/**
 * Returns what goes: some manifests, and what they hold, without what is kept. Each comes after all
 * that hold it: a registry may refuse to delete what an index has, and what others have pushed
 * meanwhile must find all that it leads to. Where manifests hold each other there is no such order.
 */
export const inOrder = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  roots: ReadonlyMap<Digest, Reason>,
  isKept: (digest: Digest) => boolean,
  tags: ReadonlyMap<Tag, Descriptor>
): Ordered => {
  const reasons = new Map<Digest, Reason>()
  const holders = new Map<Digest, Array<Digest>>()
  const include = (digest: Digest, reason: Reason) => {
    if (!isKept(digest) && nodes.has(digest) && !reasons.has(digest)) reasons.set(digest, reason)
  }
  for (const [digest, reason] of roots) include(digest, reason)
  // What is included while this goes on, comes later.
  for (const of of reasons.keys())
    for (const [held, reason] of heldBy(nodes, of)) {
      include(held, reason)
      if (reasons.has(held)) Grouped.add(holders, held, of)
    }

  const waiting = new Map(Array.from(holders, ([digest, { length }]) => [digest, length]))
  const left = [...reasons.keys()].filter((digest) => !waiting.has(digest)).reverse()
  const order: Array<Digest> = []
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    order.push(next)
    for (const [held] of heldBy(nodes, next).reverse()) {
      const others = (waiting.get(held) ?? 0) - 1
      waiting.set(held, others)
      if (others === 0) left.push(held)
    }
  }

  const circular = new Set(reasons.keys())
  for (const digest of order) circular.delete(digest)
  // What is held by a circle is in none for that.
  for (let before = 0; before !== circular.size; ) {
    before = circular.size
    for (const digest of [...circular].reverse())
      if (!heldBy(nodes, digest).some(([held]) => circular.has(held))) circular.delete(digest)
  }

  const tagsOf = new Map<Digest, Array<Tag>>()
  for (const [tag, { digest }] of tags) Grouped.add(tagsOf, digest, tag)
  return {
    deletions: order.map((digest) => ({
      digest,
      mediaType: nodes.get(digest)?.descriptor.mediaType ?? "",
      tags: tagsOf.get(digest) ?? [],
      reason: reasons.get(digest) ?? { _tag: "Untagged" },
      heldBy: holders.get(digest) ?? []
    })),
    circular: [...circular]
  }
}

/** What a manifest holds but itself, each once, with why it goes with that. */
const heldBy = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  of: Digest
): Array<readonly [Digest, Reason]> => {
  const node = nodes.get(of)
  if (node === undefined) return []
  const members = new Set(node.members.map(({ digest }) => digest))
  const held = new Set(Graph.heldBy(node).map(({ digest }) => digest))
  held.delete(of)
  return Array.from(held, (digest) => [
    digest,
    { _tag: members.has(digest) ? "Member" : "Attachment", of }
  ])
}
