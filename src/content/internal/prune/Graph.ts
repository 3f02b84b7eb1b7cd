/**
 * Which manifests of a repository hold which: an index its manifests, and a manifest what is
 * attached to it, by its referrers or by tags named after it (CP06). What is held goes with the
 * last that holds it. What is kept keeps all that it leads to, its subject as well.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Registry } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import { type Digest, isDigest } from "../../../spec/Digest.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import { referrersTag, type Tag } from "../../../spec/Reference.js"
import type { Reads } from "./Reads.js"

/** What stands under tags that are named after a manifest, by the referrers tag of that. */
export type AttachmentTags = ReadonlyMap<
  string,
  ReadonlyArray<{ readonly tag: Tag; readonly descriptor: Descriptor }>
>

/** A manifest that was read. */
export interface Node {
  readonly descriptor: Descriptor
  /** The manifests of an index. */
  readonly members: ReadonlyArray<Descriptor>
  /** All that it may lead to. Caches of BuildKit list layers in an index (CP15). */
  readonly mentions: ReadonlyArray<Digest>
  readonly subject: Digest | undefined
  readonly referrers: ReadonlyArray<Descriptor>
  readonly attachments: ReadonlyArray<Descriptor>
}

/** A manifest that is not there, and the index that has it. */
export interface Missing {
  readonly digest: Digest
  readonly of: Digest
}

/** Returns what a manifest says of others. */
export const factsOf = (
  manifest: Manifest.Manifest
): Pick<Node, "descriptor" | "members" | "mentions" | "subject"> => {
  const { bytes, content, descriptor } = manifest
  const isLegible = content._tag !== "UnknownManifest" && !("skipped" in content && content.skipped)
  const members = content._tag === "ImageIndex" ? content.manifests : []
  return {
    descriptor,
    members: members.filter(({ mediaType }) => ManifestMediaType.isManifest(mediaType)),
    mentions: isLegible ? members.map(({ digest }) => digest) : digestsIn(bytes),
    subject: Option.getOrUndefined(Manifest.subject(manifest))?.digest
  }
}

/** Of a document that is not understood, whatever looks like a digest counts. */
const digestsIn = (bytes: Uint8Array): ReadonlyArray<Digest> =>
  new TextDecoder()
    .decode(bytes)
    .match(/[a-z0-9]+:[a-f0-9]{64,128}/g)
    ?.filter(isDigest) ?? []

/** What a walk asks about. */
export interface World {
  readonly reads: Reads
  readonly attachmentTags: AttachmentTags
  /** Returns the referrers of a manifest. */
  readonly referrersOf: Reads["referrers"]
}

/** What a manifest holds: with it, that goes. */
export const heldBy = ({ attachments, members, referrers }: Node): ReadonlyArray<Descriptor> => [
  ...members,
  ...attachments,
  ...referrers
]

/** Reads some manifests, and all that they hold, in the order in which they are met. */
export const walk = (
  world: World,
  roots: Iterable<Digest>
): Effect.Effect<
  { readonly nodes: ReadonlyMap<Digest, Node>; readonly missing: ReadonlyArray<Missing> },
  Registry.GetManifestError
> =>
  Effect.gen(function* () {
    const { reads, referrersOf } = world
    const nodes = new Map<Digest, Node>()
    const missing: Array<Missing> = []
    const met = new Set<Digest>()
    let level: ReadonlyArray<{ readonly digest: Digest; readonly of?: Digest }> = Array.from(
      roots,
      (digest) => ({ digest })
    )
    while (level.length > 0) {
      const fresh = level.filter(({ digest }) => !met.has(digest) && met.add(digest))
      const found = yield* Effect.forEach(
        fresh,
        ({ digest, of }) =>
          Effect.gen(function* () {
            const manifest = yield* reads.manifest(digest)
            if (Option.isNone(manifest)) {
              if (of !== undefined) missing.push({ digest, of })
              return undefined
            }
            const attachments = attachmentsOf(world, digest)
            const referrers = yield* referrersOf(digest)
            return { ...factsOf(manifest.value), referrers, attachments }
          }),
        { concurrency: reads.concurrency }
      )
      level = found.flatMap((node) => {
        if (node === undefined) return []
        const { digest: of } = node.descriptor
        nodes.set(of, node)
        return heldBy(node).map(({ digest }) => ({ digest, of }))
      })
    }
    return { nodes, missing }
  })

const attachmentsOf = ({ attachmentTags }: World, digest: Digest): ReadonlyArray<Descriptor> =>
  (attachmentTags.get(referrersTag(digest)) ?? []).map(({ descriptor }) => descriptor)

/**
 * A manifest that is kept, and why. `isRead`: whether it may be an index. `of`: the index that has
 * it.
 */
export interface Kept {
  readonly digest: Digest
  readonly why: string
  readonly isRead: boolean
  readonly of?: Digest
}

/**
 * Returns what is kept, each with why: what some roots lead to, through manifests that were walked
 * and others. Of these only indexes are read, and what may be one.
 */
export const kept = (
  world: World,
  nodes: ReadonlyMap<Digest, Node>,
  roots: ReadonlyArray<Kept>
): Effect.Effect<
  { readonly kept: ReadonlyMap<Digest, string>; readonly missing: ReadonlyArray<Missing> },
  Registry.GetManifestError
> =>
  Effect.gen(function* () {
    const { reads } = world
    const reasons = new Map<Digest, string>()
    const read = new Set<Digest>()
    const missing: Array<Missing> = []
    const linked = linksOf(nodes)
    const leadsTo = Effect.fnUntraced(function* ({ digest, isRead, of }: Kept) {
      const why = `it belongs to ${digest}`
      const by = (digest: Digest, isRead: boolean): Kept => ({ digest, why, isRead })
      const others = [
        ...Array.from(linked.get(digest) ?? [], (other) => by(other, true)),
        ...attachmentsOf(world, digest).map((other) => by(other.digest, !isImage(other)))
      ]
      const node = nodes.get(digest)
      const manifest = node === undefined && isRead ? yield* reads.manifest(digest) : Option.none()
      if (node === undefined && isRead && Option.isNone(manifest) && of !== undefined)
        missing.push({ digest, of })
      const facts = node ?? Option.getOrUndefined(Option.map(manifest, factsOf))
      if (facts === undefined) return others
      const members = facts.members.map((member) => ({
        ...by(member.digest, !isImage(member)),
        of: digest
      }))
      return [...others, ...members, ...facts.mentions.map((digest) => by(digest, false))]
    })
    let level: ReadonlyArray<Kept> = roots
    while (level.length > 0) {
      const fresh = level.filter(({ digest, isRead, why }) => {
        const isNew = isRead ? !read.has(digest) : !reasons.has(digest)
        if (isRead) read.add(digest)
        if (!reasons.has(digest)) reasons.set(digest, why)
        return isNew
      })
      const found = yield* Effect.forEach(fresh, leadsTo, { concurrency: reads.concurrency })
      level = found.flat()
    }
    return { kept: reasons, missing }
  })

/** Whether this is an image, of which nothing has to be read to know what it leads to. */
export const isImage = ({ mediaType }: Descriptor): boolean => MediaType.isImageManifest(mediaType)

/** A referrer and its subject: neither is left alone, whichever of the two is kept. */
const linksOf = (nodes: ReadonlyMap<Digest, Node>): ReadonlyMap<Digest, ReadonlySet<Digest>> => {
  const links = new Map<Digest, Set<Digest>>()
  const link = (from: Digest, to: Digest) => {
    links.set(from, (links.get(from) ?? new Set()).add(to))
    links.set(to, (links.get(to) ?? new Set()).add(from))
  }
  for (const [digest, { referrers, subject }] of nodes) {
    for (const referrer of referrers) link(referrer.digest, digest)
    if (subject !== undefined) link(subject, digest)
  }
  return links
}
