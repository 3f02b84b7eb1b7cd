/**
 * What is attached to the manifests of a copy, by referrers and by cosign's tags: each with its own
 * subject, after it, and before the tags of what it is attached to (CP13, CP14).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { Tag } from "../../../spec/Reference.js"
import * as AttachmentWalk from "../AttachmentWalk.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import type * as Graph from "./Graph.js"
import { type Hint, nameOf, type Selection, type Side, type Standing } from "./Questions.js"
import { Shared } from "./Shared.js"
import type { Emit } from "./Step.js"
import * as Step from "./Step.js"
import type { Visited, Walked } from "./Visited.js"

/** What attachments need of the walk that finds their subjects. */
export interface Visiting {
  readonly visit: (node: Graph.Node, hint: Hint) => Effect.Effect<Visited, CopyFailure>
  readonly claim: (visited: Visited) => Effect.Effect<void>
  readonly standing: (tag: Tag) => Effect.Effect<Standing, CopyFailure>
  readonly tag: (
    visited: Visited,
    standing: ReadonlyArray<Standing>
  ) => Effect.Effect<Walked, CopyFailure>
}

/** What is attached to some manifests: how much it is, and the steps that it waits for. */
export interface Attached {
  readonly count: number
  readonly after: ReadonlyArray<string>
}

/** What is attached to one manifest, and what manifests that consists of. */
interface Found extends Attached {
  readonly parts: ReadonlyArray<Descriptor>
}

/** What has become of one of cosign's tags. */
export interface Cosigned extends Walked {
  /** Whether the target has another manifest under it, which stays. */
  readonly isKept: boolean
}

/** How many attachments are visited at a time; the clients bound the requests. */
const concurrency = 16

/** The attachments of one copy. */
export class Attachments {
  private readonly found: Shared<Found, CopyFailure>
  private readonly tags: Shared<Cosigned, CopyFailure>
  private readonly lists: Shared<ReadonlySet<Digest>, never>

  constructor(
    private readonly from: Side,
    private readonly to: Side,
    private readonly selection: Selection,
    private readonly failing: Failing,
    private readonly emit: Emit,
    private readonly visiting: Visiting,
    scope: Scope.Scope
  ) {
    this.found = new Shared(scope)
    this.tags = new Shared(scope)
    this.lists = new Shared(scope)
  }

  /** Emits the steps for what is attached to some manifests, and to that. */
  of(manifests: ReadonlyArray<Descriptor>): Effect.Effect<Attached | undefined, CopyFailure> {
    const { referrers } = this.selection
    if (referrers === undefined) return Effect.succeed(undefined)
    return Effect.gen(this, function* () {
      const all = new Map<Digest, Found>()
      let left = manifests
      // What an attachment consists of can have attachments, and what they lead to be met again.
      while (left.length > 0) {
        const next = left.filter(({ digest }) => !all.has(digest))
        const found = yield* Effect.forEach(next, (manifest) => this.ofOne(manifest), {
          concurrency
        })
        for (const [n, { digest }] of next.entries())
          if (found[n] !== undefined) all.set(digest, found[n])
        left = referrers.depth === undefined ? found.flatMap(({ parts }) => parts) : []
      }
      const found = [...all.values()]
      return {
        count: found.reduce((sum, { count }) => sum + count, 0),
        after: [...new Set(found.flatMap(({ after }) => after))]
      }
    })
  }

  /** Puts what is under one of cosign's tags, unless the target has something else there (CP11). */
  cosigned(tag: Tag, node: Graph.Node, hint: Hint): Effect.Effect<Cosigned, CopyFailure> {
    return this.tags.get(tag, () =>
      Effect.gen(this, function* () {
        const standing = yield* this.visiting.standing(tag)
        const { digest } = node.descriptor
        const differs = standing.is !== "absent" && standing.is !== digest
        if (differs && this.selection.cosignTags !== "replace") {
          yield* this.emit({ ...node, _tag: "Skip", id: Step.tagId(tag), tag, reason: "Differs" })
          return { digest: standing.is, after: [], isKept: true }
        }
        const isThere = standing.is === digest ? true : hint.isThere
        const visited = yield* this.visiting.visit(node, { ...hint, isThere })
        return { ...(yield* this.visiting.tag(visited, [standing])), isKept: false }
      })
    )
  }

  private ofOne(manifest: Descriptor): Effect.Effect<Found, CopyFailure> {
    return this.found.get(manifest.digest, () =>
      Effect.gen(this, function* () {
        const found = yield* this.ask(manifest)
        const after: Array<string> = []
        const parts: Array<Descriptor> = []
        let count = 0
        // What is attached to an attachment comes after it.
        for (let depth = 1; found.some((one) => one.depth >= depth); depth++) {
          const level = found.filter((one) => one.depth === depth)
          const all = yield* Effect.forEach(level, (one) => this.attach(one), { concurrency })
          count += all.reduce((sum, walked) => sum + walked.count, 0)
          after.push(...all.flatMap((walked) => walked.after))
          parts.push(...all.flatMap((walked) => walked.parts))
        }
        return { count, after: [...new Set(after)], parts }
      })
    )
  }

  /** Asks the source for what is attached to a manifest, each once. */
  private ask(manifest: Descriptor) {
    const { artifactTypes, depth } = this.selection.referrers ?? {}
    const [only, ...others] = artifactTypes ?? []
    const artifactType = others.length === 0 ? only : undefined
    const cosignTags = this.selection.cosignTags !== "skip" && artifactTypes === undefined
    const walked = AttachmentWalk.walk(this.from.registry, this.from.repository, [manifest], {
      artifactType,
      depth,
      cosignTags
    })
    const left = new Set([manifest.digest])
    const isWanted = ({ depth, descriptor }: AttachmentWalk.Attachment) =>
      depth > 1 ||
      artifactTypes === undefined ||
      artifactTypes.some((type) => MediaType.equals(type, descriptor.artifactType ?? ""))
    const met = new Set<string>()
    const wanted = Stream.filterMap(walked, (one) => {
      if (one._tag === "Member" || !left.has(one.subject.digest) || !isWanted(one))
        return Option.none()
      left.add(one.descriptor.digest)
      const key = one.link._tag === "CosignTag" ? one.link.tag : one.descriptor.digest
      if (met.has(key)) return Option.none()
      met.add(key)
      return Option.some(one)
    })
    return Effect.map(
      this.failing("source", nameOf(manifest.digest))(Stream.runCollect(wanted)),
      (all) => [...all]
    )
  }

  private attach({
    descriptor,
    link,
    subject
  }: AttachmentWalk.Attachment): Effect.Effect<Found, CopyFailure> {
    return Effect.gen(this, function* () {
      const subjectNode = { kind: "manifest", descriptor: subject } as const
      const visitedSubject = yield* this.visiting.visit(subjectNode, { mayBeMissing: true })
      yield* this.visiting.claim(visitedSubject)
      const node = { kind: "manifest", descriptor } as const
      const hint: Hint = { mayBeMissing: true, after: visitedSubject.after }
      if (link._tag === "CosignTag") {
        const { after, isKept } = yield* this.cosigned(link.tag, node, hint)
        return { count: isKept ? 0 : 1, after, parts: [] }
      }
      const isListed = (yield* this.listed(subject.digest)).has(descriptor.digest)
      const visited = yield* this.visiting.visit(node, {
        ...hint,
        ...(!isListed && { isThere: false })
      })
      yield* this.visiting.claim(visited)
      const parts = visited.manifests.filter(({ digest }) => digest !== descriptor.digest)
      // A list may name what is not there any more.
      return { count: visited.isMissing ? 0 : 1, after: visited.after, parts }
    })
  }

  /**
   * What the target lists as attached to a manifest. What is there, and is not listed, is put
   * again: it may have come in a copy that was interrupted before the list was written.
   */
  private listed(subject: Digest): Effect.Effect<ReadonlySet<Digest>> {
    const { registry, repository } = this.to
    return this.lists.get(subject, () =>
      Stream.runCollect(registry.referrers(repository, subject)).pipe(
        Effect.map((all) => new Set([...all].map(({ digest }) => digest))),
        Effect.orElseSucceed(() => new Set<Digest>())
      )
    )
  }
}
