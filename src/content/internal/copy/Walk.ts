/**
 * The walk over what is copied: asks the target what it has, reads of the source what it lacks, and
 * emits a step for each piece of content, in an order in which they can be done. What is asked for
 * twice is walked once.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Turn from "../../../internal/Turn.js"
import { DigestMismatch, PreconditionFailed } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type * as Digest from "../../../spec/Digest.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { Tag } from "../../../spec/Reference.js"
import * as CosignTag from "../CosignTag.js"
import { type Attached, Attachments, type Visiting } from "./Attachments.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import * as Graph from "./Graph.js"
import * as Indexes from "./Indexes.js"
import {
  deepest,
  type Hint,
  nameOf,
  type Questions,
  type Selection,
  type Side,
  type Standing
} from "./Questions.js"
import { Shared } from "./Shared.js"
import type { Emit } from "./Step.js"
import * as Step from "./Step.js"
import type { Visited, Walked } from "./Visited.js"

/** A manifest under a tag or digest of the source, and the tags that it is to have. */
export interface Root {
  readonly reference: Tag | Digest.Digest
  readonly tags: ReadonlyArray<Tag>
  /** The digest that it must have, if it has one. */
  readonly expected?: Digest.Digest | undefined
}

/** What a root has come to, and how much is attached to it, where that was asked for. */
export interface Rooted extends Walked {
  readonly attachments: number | undefined
  /** Whether the target has another manifest under a tag of cosign's, which stays (CP11). */
  readonly isKept: boolean
}

/** How many parts of a manifest are visited at a time; the clients bound the requests. */
const concurrency = 16

/** A walk from one repository to another. What it forks lasts as long as its scope. */
export class Walk {
  private readonly visits: Shared<Visited, CopyFailure>
  /** The visits of the manifests that indexes list: another of them may be attached to one. */
  private readonly listed = new Map<Digest.Digest, Effect.Effect<Visited, CopyFailure>>()
  private readonly attachments: Attachments
  /** Thousands of equal tags are not to keep others waiting (CP32). */
  private readonly turn = Turn.make()

  constructor(
    private readonly from: Side,
    private readonly to: Side,
    private readonly ask: Questions,
    private readonly selection: Selection,
    private readonly failing: Failing,
    private readonly emit: Emit,
    scope: Scope.Scope
  ) {
    this.visits = new Shared(scope)
    const visiting: Visiting = {
      visit: (node, hint) => this.once(node, 1, hint),
      claim: (visited) => this.claim(visited),
      standing: (tag) => ask.standing(tag),
      tag: (visited, standing) => this.tag(visited, standing)
    }
    this.attachments = new Attachments(from, to, selection, failing, emit, visiting, scope)
  }

  /** Emits all steps for a root. */
  root({ expected, reference, tags }: Root): Effect.Effect<Rooted, CopyFailure> {
    return Effect.gen(this, function* () {
      yield* this.turn
      const { hint, node } = yield* this.ask.find(reference)
      const { descriptor } = node
      const { digest } = descriptor
      if (expected !== undefined && expected !== digest)
        return yield* Effect.fail(
          new DigestMismatch({
            manifest: `${this.to.name}${nameOf(expected)}`,
            expected,
            actual: digest
          })
        ).pipe(this.failing("source", nameOf(reference)))
      const [first] = tags
      if (first !== undefined && tags.length === 1 && CosignTag.is(first)) {
        const cosigned = yield* this.attachments.cosigned(first, node, hint)
        return { ...cosigned, attachments: undefined }
      }
      const standing = yield* Effect.forEach(tags, (tag, n) =>
        this.ask.standing(tag, n === 0 ? descriptor : undefined)
      )
      const same = standing.find(({ is }) => is === digest)
      if (!this.ask.rewrites(descriptor)) yield* this.untaken(standing, digest)
      const isTagged = same !== undefined && standing.every(({ is }) => is === digest)
      const { level, referrers } = this.selection
      if (isTagged && level === "tag" && !referrers && !this.ask.rewrites(descriptor)) {
        yield* this.emit({ _tag: "Have", id: Graph.idOf(node), ...node })
        return { digest, after: [], attachments: undefined, isKept: false }
      }
      const visited = yield* this.once(node, 0, {
        isThere: same === undefined ? hint.isThere : true,
        manifest: same?.manifest ?? hint.manifest
      })
      const attached = yield* this.attachments.of(visited.manifests)
      const walked = yield* this.tag(visited, standing, attached)
      return { ...walked, attachments: attached?.count, isKept: false }
    })
  }

  /** Fails before anything is moved where a tag is to be absent, and stands on something else. */
  private untaken(standing: ReadonlyArray<Standing>, digest: Digest.Digest) {
    const taken = standing.find(({ is }) => is !== "absent" && is !== digest)
    if (this.selection.tagging !== "absent" || taken === undefined) return Effect.void
    const { is: actual, tag } = taken
    const { repository } = this.to
    return Effect.fail(
      new PreconditionFailed({ repository, tag, expected: "absent", actual, reason: "Changed" })
    ).pipe(this.failing("target", nameOf(tag)))
  }

  /** Visits a node by itself, which its step in a plan says is there. */
  again(node: Graph.Node): Effect.Effect<Walked, CopyFailure> {
    return Effect.map(this.part(node, 1, {}), ({ after, descriptor: { digest } }) => ({
      digest,
      after
    }))
  }

  // ---------------------------------------------------------------------------
  // Tags
  // ---------------------------------------------------------------------------

  /** Puts a manifest under those tags that are something else, after what is attached to it. */
  private tag(
    visited: Visited,
    standing: ReadonlyArray<Standing>,
    attached?: Attached
  ): Effect.Effect<Walked, CopyFailure> {
    return Effect.gen(this, function* () {
      const { descriptor } = visited
      const { digest } = descriptor
      const changing = standing.filter(({ is }) => is !== digest)
      // The first tag brings the manifest, unless that is on its way.
      const put = changing.length === 0 ? undefined : visited.put
      const { document, omitted } = put?.step ?? {}
      if (put === undefined) yield* this.claim(visited)
      else visited.put = undefined
      const attachments = attached?.after ?? []
      const ids: Array<string> = []
      for (const { is: was, tag } of changing) {
        const id = Step.tagId(tag)
        const puts = put !== undefined && ids.length === 0
        const own = puts ? put.step.after : put === undefined ? visited.after : ids.slice(0, 1)
        yield* this.emit(
          {
            _tag: "Tag",
            id,
            kind: "manifest",
            descriptor,
            tag,
            was,
            puts,
            after: [...own, ...attachments],
            ...(attached !== undefined && { attachments: attached.count }),
            ...(omitted !== undefined && { omitted }),
            ...(document !== undefined && { document })
          },
          put?.manifest
        )
        ids.push(id)
      }
      return { digest, after: [...visited.after, ...attachments, ...ids] }
    })
  }

  // ---------------------------------------------------------------------------
  // Nodes
  // ---------------------------------------------------------------------------

  /** Visits a node that something refers to. */
  private part(node: Graph.Node, depth: number, hint: Hint): Effect.Effect<Visited, CopyFailure> {
    return Effect.tap(this.once(node, depth, hint), (visited) => this.claim(visited))
  }

  /** Emits the step that puts a manifest, unless that was done. */
  private claim(visited: Visited): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { put } = visited
      visited.put = undefined
      return put === undefined ? Effect.void : this.emit(put.step, put.manifest)
    })
  }

  /** Visits a node, once for all who refer to it. */
  private once(node: Graph.Node, depth: number, hint: Hint): Effect.Effect<Visited, CopyFailure> {
    return this.visits.get(Graph.idOf(node), () =>
      Effect.zipRight(
        this.turn,
        node.kind === "blob" ? this.blob(node, hint) : this.manifest(node, depth, hint)
      )
    )
  }

  private manifest(
    node: Graph.Node,
    depth: number,
    hint: Hint
  ): Effect.Effect<Visited, CopyFailure> {
    return Effect.gen(this, function* () {
      const { descriptor } = node
      const { digest, mediaType } = descriptor
      const rewrites = this.ask.rewrites(descriptor)
      const isThere = !rewrites && (hint.isThere ?? Option.isSome(yield* this.ask.head(digest)))
      if (isThere && this.selection.level !== "blobs" && !MediaType.isIndex(mediaType))
        return yield* this.have(node, [], [descriptor])
      const read = yield* this.ask.read(node, isThere, hint)
      if (read === undefined) return yield* this.skip(node, "Missing")
      if (depth > deepest) return yield* this.ask.tooDeep(digest)
      const { kept, lacking, omitted } = yield* this.ask.children(read)
      if (lacking.length > 0)
        return yield* Effect.fail(Indexes.lacking(this.from.name, read, lacking)).pipe(
          this.failing("source", nameOf(digest))
        )
      const parent = read.content._tag === "ImageIndex" ? read.descriptor : undefined
      const visits = kept.map((part) => this.part(part, depth + 1, { parent }))
      for (const [n, { descriptor, kind }] of kept.entries())
        if (kind === "manifest" && visits[n]) this.listed.set(descriptor.digest, visits[n])
      const parts = yield* Effect.all(visits, { concurrency })
      const subject = yield* this.subjectOf(read)
      const missing = kept.filter((_, n) => parts[n]?.isMissing)
      const manifest = rewrites
        ? yield* this.failing("source", nameOf(digest))(Indexes.rewritten(read, kept, parts))
        : read
      const content = parts.flatMap((part) => part.after)
      const after = [...new Set([...content, ...subject, ...(hint.after ?? [])])]
      const manifests = [
        ...(manifest === read ? [descriptor] : []),
        ...parts.flatMap((part) => part.manifests)
      ]
      const own = { ...node, descriptor: { ...descriptor, ...manifest.descriptor } }
      if (rewrites ? Option.isSome(yield* this.ask.head(own.descriptor.digest)) : isThere)
        return yield* this.have(own, [...new Set(content)], manifests)
      const lost = [...omitted, ...missing.map((part) => part.descriptor)]
      return {
        descriptor: own.descriptor,
        after: [Graph.idOf(own)],
        isMissing: false,
        manifests,
        put: {
          manifest,
          step: {
            _tag: "Put",
            id: Graph.idOf(own),
            kind: "manifest",
            descriptor: own.descriptor,
            after,
            ...(lost.length > 0 && manifest === read && { omitted: lost }),
            ...(manifest !== read && { document: new TextDecoder().decode(manifest.bytes) })
          }
        }
      }
    })
  }

  /** The steps of the subject of a manifest, where that is copied with an index (CP14). */
  private subjectOf(manifest: Manifest.Manifest) {
    const subject = Option.getOrUndefined(Manifest.subject(manifest))
    const visit = subject && this.listed.get(subject.digest)
    return visit === undefined ? Effect.succeed([]) : Effect.map(visit, ({ after }) => after)
  }

  private blob(node: Graph.Node, { parent }: Hint): Effect.Effect<Visited, CopyFailure> {
    return Effect.gen(this, function* () {
      const { descriptor } = node
      const { missing, nonDistributable } = this.selection
      if (nonDistributable === "skip" && MediaType.isNonDistributable(descriptor.mediaType))
        return yield* this.skip(node, "NonDistributable")
      if (yield* this.ask.hasBlob(descriptor)) return yield* this.have(node, [], [])
      const mayBeMissing = missing === "skip" && parent !== undefined
      if (mayBeMissing && !(yield* this.ask.isAtSource(descriptor)))
        return yield* this.skip(node, "Missing")
      const id = Graph.idOf(node)
      const from = yield* this.ask.mountableFrom(descriptor)
      yield* this.emit(
        from === undefined
          ? { _tag: "Transfer", id, kind: "blob", descriptor }
          : { _tag: "Mount", id, kind: "blob", descriptor, from }
      )
      return { descriptor, after: [id], isMissing: false, manifests: [], put: undefined }
    })
  }

  private have(
    node: Graph.Node,
    after: ReadonlyArray<string>,
    manifests: ReadonlyArray<Descriptor>
  ): Effect.Effect<Visited> {
    const { descriptor } = node
    return Effect.as(this.emit({ _tag: "Have", id: Graph.idOf(node), ...node }), {
      descriptor,
      after,
      isMissing: false,
      manifests,
      put: undefined
    })
  }

  private skip(node: Graph.Node, reason: "NonDistributable" | "Missing"): Effect.Effect<Visited> {
    const { descriptor } = node
    return Effect.as(this.emit({ _tag: "Skip", id: Graph.idOf(node), ...node, reason }), {
      descriptor,
      after: [],
      isMissing: reason === "Missing",
      manifests: [],
      put: undefined
    })
  }
}
