/**
 * The walk over what is copied: asks the target what it has, reads of the source what it lacks, and
 * emits a step for each piece of content, in an order in which they can be done. What is asked for
 * twice is walked once.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { DigestMismatch } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type * as Digest from "../../../spec/Digest.js"
import type * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { Tag } from "../../../spec/Reference.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import * as Graph from "./Graph.js"
import * as Indexes from "./Indexes.js"
import {
  deepest,
  type Hint,
  nameOf,
  type Questions,
  type Selection,
  type Standing
} from "./Questions.js"
import * as Step from "./Step.js"

/** Takes a step, with the manifest that it puts where that is at hand. */
export type Emit = (step: Step.Step, manifest?: Manifest.Manifest) => Effect.Effect<void>

/** A manifest under a tag or digest of the source, and the tags that it is to have. */
export interface Root {
  readonly reference: Tag | Digest.Digest
  readonly tags: ReadonlyArray<Tag>
  /** The digest that it must have, if it has one. */
  readonly expected?: Digest.Digest | undefined
}

/** What a root has come to: the manifest at the target, and the steps that it waits for. */
export interface Walked {
  readonly digest: Digest.Digest
  readonly after: ReadonlyArray<string>
}

/** A node that was visited. A manifest is put by whoever needs it first: see `claim`. */
interface Visited {
  readonly descriptor: Descriptor
  /** The steps that whatever refers to it waits for. */
  readonly after: ReadonlyArray<string>
  readonly isMissing: boolean
  put: { readonly step: Step.Put; readonly manifest: Manifest.Manifest } | undefined
}

/** How many parts of a manifest are visited at a time; the clients bound the requests. */
const concurrency = 16

/** A walk from one repository to another. What it forks lasts as long as its scope. */
export class Walk {
  private readonly visits = new Map<string, Deferred.Deferred<Visited, CopyFailure>>()

  constructor(
    private readonly ask: Questions,
    private readonly selection: Selection,
    private readonly failing: Failing,
    private readonly emit: Emit,
    private readonly scope: Scope.Scope
  ) {}

  /** Emits all steps for a root. */
  root({ expected, reference, tags }: Root): Effect.Effect<Walked, CopyFailure> {
    return Effect.gen(this, function* () {
      const { hint, node } = yield* this.ask.find(reference)
      const { digest } = node.descriptor
      if (expected !== undefined && expected !== digest)
        return yield* Effect.fail(new DigestMismatch({ expected, actual: digest })).pipe(
          this.failing("source", nameOf(reference))
        )
      const standing = yield* Effect.forEach(tags, (tag, n) =>
        this.ask.standing(tag, n === 0 ? node.descriptor : undefined)
      )
      const same = standing.find(({ is }) => is === digest)
      const isTagged = same !== undefined && standing.every(({ is }) => is === digest)
      if (isTagged && this.selection.level === "tag" && !this.ask.rewrites(node.descriptor)) {
        yield* this.emit({ _tag: "Have", id: Graph.idOf(node), ...node })
        return { digest, after: [] }
      }
      const visited = yield* this.once(node, 0, {
        isThere: same === undefined ? hint.isThere : true,
        manifest: same?.manifest ?? hint.manifest
      })
      return yield* this.tag(visited, standing)
    })
  }

  /** Visits a node by itself, which its step in a plan says is there. */
  again(node: Graph.Node): Effect.Effect<Walked, CopyFailure> {
    return Effect.map(this.part(node, 1, {}), ({ after, descriptor: { digest } }) => ({
      digest,
      after
    }))
  }

  // ---------------------------------------------------------------------------
  // Roots and tags
  // ---------------------------------------------------------------------------

  /** Puts a manifest under those tags that are something else. */
  private tag(
    visited: Visited,
    standing: ReadonlyArray<Standing>
  ): Effect.Effect<Walked, CopyFailure> {
    return Effect.gen(this, function* () {
      const { descriptor } = visited
      const { digest } = descriptor
      const changing = standing.filter(({ is }) => is !== digest)
      // The first tag brings the manifest, unless that is on its way.
      const put = changing.length === 0 ? undefined : visited.put
      if (put === undefined) yield* this.claim(visited)
      else visited.put = undefined
      const ids: Array<string> = []
      for (const { is: was, tag } of changing) {
        const id = Step.tagId(tag)
        const puts = put !== undefined && ids.length === 0
        yield* this.emit(
          {
            _tag: "Tag",
            id,
            kind: "manifest",
            descriptor,
            tag,
            was,
            puts,
            after: puts ? put.step.after : put === undefined ? visited.after : ids.slice(0, 1),
            ...(put !== undefined && { omitted: put.step.omitted, document: put.step.document })
          },
          put?.manifest
        )
        ids.push(id)
      }
      return { digest, after: [...visited.after, ...ids] }
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

  /** Visits a node, once for all who refer to it: nobody's interruption is that of others. */
  private once(node: Graph.Node, depth: number, hint: Hint): Effect.Effect<Visited, CopyFailure> {
    return Effect.uninterruptibleMask((restore) => {
      const id = Graph.idOf(node)
      const known = this.visits.get(id)
      if (known !== undefined) return restore(Deferred.await(known))
      const visiting = Deferred.unsafeMake<Visited, CopyFailure>(FiberId.none)
      this.visits.set(id, visiting)
      const visit = node.kind === "blob" ? this.blob(node, hint) : this.manifest(node, depth, hint)
      return Effect.interruptible(visit).pipe(
        Effect.exit,
        Effect.flatMap((exit) => Deferred.done(visiting, exit)),
        Effect.forkIn(this.scope),
        Effect.zipRight(restore(Deferred.await(visiting)))
      )
    })
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
        return yield* this.have(node, [])
      const read = yield* this.ask.read(node, isThere, hint)
      if (read === undefined) return yield* this.skip(node, "Missing")
      if (depth > deepest) return yield* this.ask.tooDeep(digest)
      const { kept, lacking, omitted } = Graph.children(read, this.selection.platforms)
      if (lacking.length > 0)
        return yield* Effect.fail(Indexes.lacking(this.ask.source, read, lacking)).pipe(
          this.failing("source", nameOf(digest))
        )
      const parent = read.content._tag === "ImageIndex" ? read.descriptor : undefined
      const parts = yield* Effect.forEach(kept, (part) => this.part(part, depth + 1, { parent }), {
        concurrency
      })
      const missing = kept.filter((_, n) => parts[n]?.isMissing)
      const manifest = rewrites
        ? yield* this.failing("source", nameOf(digest))(Indexes.rewritten(read, kept, parts))
        : read
      const after = [...new Set(parts.flatMap((part) => part.after))]
      const own = { ...node, descriptor: { ...descriptor, ...manifest.descriptor } }
      if (rewrites ? Option.isSome(yield* this.ask.head(own.descriptor.digest)) : isThere)
        return yield* this.have(own, after)
      const lost = [...omitted, ...missing.map((part) => part.descriptor)]
      return {
        descriptor: own.descriptor,
        after: [Graph.idOf(own)],
        isMissing: false,
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

  private blob(node: Graph.Node, { parent }: Hint): Effect.Effect<Visited, CopyFailure> {
    return Effect.gen(this, function* () {
      const { descriptor } = node
      const { missing, nonDistributable } = this.selection
      if (nonDistributable === "skip" && MediaType.isNonDistributable(descriptor.mediaType))
        return yield* this.skip(node, "NonDistributable")
      if (yield* this.ask.hasBlob(descriptor)) return yield* this.have(node, [])
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
      return { descriptor, after: [id], isMissing: false, put: undefined }
    })
  }

  private have(node: Graph.Node, after: ReadonlyArray<string>): Effect.Effect<Visited> {
    const { descriptor } = node
    return Effect.as(this.emit({ _tag: "Have", id: Graph.idOf(node), ...node }), {
      descriptor,
      after,
      isMissing: false,
      put: undefined
    })
  }

  private skip(node: Graph.Node, reason: "NonDistributable" | "Missing"): Effect.Effect<Visited> {
    const { descriptor } = node
    return Effect.as(this.emit({ _tag: "Skip", id: Graph.idOf(node), ...node, reason }), {
      descriptor,
      after: [],
      isMissing: reason === "Missing",
      put: undefined
    })
  }
}
