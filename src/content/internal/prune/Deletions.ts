/** Which manifests are deleted, and in which order. */
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type { Tag } from "../../../spec/Reference.js"
import * as Graph from "./Graph.js"
import type { Deletion, Reason } from "./Plan.js"

/**
 * Returns what goes: some manifests, and what they hold, without what is kept. Each comes after all
 * that hold it: a registry may refuse to delete what an index has.
 */
export const inOrder = (
  nodes: ReadonlyMap<Digest, Graph.Node>,
  roots: ReadonlyMap<Digest, Reason>,
  isKept: (digest: Digest) => boolean,
  tags: ReadonlyMap<Tag, Descriptor>
): ReadonlyArray<Deletion> => {
  const reasons = new Map<Digest, Reason>()
  const ended: Array<Digest> = []
  const holders = new Map<Digest, Array<Digest>>()
  const heldOf = (digest: Digest): ReadonlyArray<readonly [Digest, Reason]> => {
    const node = nodes.get(digest)
    if (node === undefined) return []
    const members = new Set(node.members.map((member) => member.digest))
    return Graph.heldBy(node).map(({ digest: held }) => [
      held,
      { _tag: members.has(held) ? "Member" : "Attachment", of: digest }
    ])
  }
  // A stack instead of a recursion: what is attached to attachments may go far.
  const visit = (root: Digest, reason: Reason) => {
    if (reasons.has(root) || isKept(root) || !nodes.has(root)) return
    reasons.set(root, reason)
    const stack = [{ digest: root, left: [...heldOf(root)] }]
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.left.pop()
      if (next === undefined) {
        ended.push(top.digest)
        stack.pop()
        continue
      }
      const [held, because] = next
      if (isKept(held) || !nodes.has(held)) continue
      holders.set(held, [...(holders.get(held) ?? []), top.digest])
      if (reasons.has(held)) continue
      reasons.set(held, roots.get(held) ?? because)
      stack.push({ digest: held, left: [...heldOf(held)] })
    }
  }
  for (const [digest, reason] of roots) visit(digest, reason)
  const order = ended.reverse()
  const tagsOf = new Map<Digest, Array<Tag>>()
  for (const [tag, { digest }] of tags) tagsOf.set(digest, [...(tagsOf.get(digest) ?? []), tag])
  return order.map((digest) => ({
    digest,
    mediaType: nodes.get(digest)?.descriptor.mediaType ?? "",
    tags: tagsOf.get(digest) ?? [],
    reason: reasons.get(digest) ?? { _tag: "Untagged" },
    heldBy: [...new Set(holders.get(digest) ?? [])]
  }))
}
