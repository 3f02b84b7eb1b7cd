/** What the registries of a copy are asked, and how what they fail with is named. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as OlderParts from "../../../internal/OlderParts.js"
import type { Registry } from "../../../Registry.js"
import { LimitExceeded, ManifestUnknown } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type * as Platform from "../../../spec/Platform.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import * as Graph from "./Graph.js"
import * as Indexes from "./Indexes.js"

/** One side of a copy. `name` is how people know the repository. */
export interface Side {
  readonly registry: Registry.Service
  readonly repository: RepositoryName
  readonly name: string
}

/** What is copied, with every default filled in: see `Copy.Options`. */
export interface Selection {
  readonly level: "tag" | "manifests" | "blobs"
  readonly platforms: ReadonlyArray<Platform.Platform> | undefined
  readonly index: "sparse" | "rewrite"
  readonly missing: "fail" | "skip"
  readonly nonDistributable: "skip" | "copy"
  readonly mountFrom: ReadonlyArray<RepositoryName>
  readonly cosignTags: "keep" | "replace" | "skip"
  readonly tagging: "always" | "unchanged" | "absent"
  readonly referrers:
    | {
        readonly artifactTypes?: ReadonlyArray<string> | undefined
        readonly depth?: number | undefined
      }
    | undefined
}

/** What is known of a manifest before it is visited. */
export interface Hint {
  readonly isThere?: boolean | undefined
  readonly manifest?: Manifest.Manifest | undefined
  /** The index that lists it, none for a root. */
  readonly parent?: Descriptor | undefined
  /** Whether it is left out where the source does not have it: a list says so much (CP08). */
  readonly mayBeMissing?: boolean | undefined
  /** The steps that come before it, besides its parts. */
  readonly after?: ReadonlyArray<string> | undefined
}

/** What stands at a tag of the target. */
export interface Standing {
  readonly tag: Tag
  readonly is: Digest.Digest | "absent"
  readonly manifest: Manifest.Manifest | undefined
}

/** The most indexes in each other. */
export const deepest = 32

/** The questions of one copy. */
export class Questions {
  constructor(
    private readonly from: Side,
    private readonly to: Side,
    private readonly selection: Selection,
    private readonly mountable: boolean,
    private readonly failing: Failing
  ) {}

  /** What a reference leads to; by digest the target is asked before the source is read. */
  find(
    reference: Tag | Digest.Digest
  ): Effect.Effect<{ readonly node: Graph.Node; readonly hint: Hint }, CopyFailure> {
    return Effect.gen(this, function* () {
      const failing = this.failing("source", nameOf(reference))
      const { registry, repository } = this.from
      if (!Digest.isDigest(reference)) {
        const found = yield* failing(registry.headManifest(repository, reference))
        if (Option.isNone(found))
          return yield* failing(Effect.fail(new ManifestUnknown({ repository, reference })))
        return { node: { kind: "manifest", descriptor: found.value }, hint: {} } as const
      }
      const there = yield* this.head(reference)
      if (Option.isSome(there))
        return { node: { kind: "manifest", descriptor: there.value }, hint: { isThere: true } }
      const manifest = yield* failing(registry.getManifest(repository, reference))
      return {
        node: { kind: "manifest", descriptor: manifest.descriptor },
        hint: { isThere: false, manifest }
      } as const
    })
  }

  /**
   * What a tag of the target is. Where an index is expected, it is read at once, since its entries
   * are asked for if it is the same: one request for the tag and the manifest.
   */
  standing(tag: Tag, expected?: Descriptor | undefined): Effect.Effect<Standing, CopyFailure> {
    const { registry, repository } = this.to
    const head = Effect.map(
      this.failing("target", nameOf(tag))(registry.headManifest(repository, tag)),
      (found): Standing => ({
        tag,
        is: Option.match(found, { onNone: () => "absent", onSome: ({ digest }) => digest }),
        manifest: undefined
      })
    )
    const asksForEntries =
      expected !== undefined &&
      MediaType.isIndex(expected.mediaType) &&
      this.selection.level !== "tag" &&
      !this.rewrites(expected)
    if (!asksForEntries) return head
    return Effect.matchEffect(registry.getManifest(repository, tag), {
      // What cannot be read there may well be replaced.
      onFailure: (error) =>
        error._tag === "ManifestUnknown" || error._tag === "NameUnknown"
          ? Effect.succeed<Standing>({ tag, is: "absent", manifest: undefined })
          : head,
      onSuccess: (manifest) =>
        Effect.succeed<Standing>({ tag, is: manifest.descriptor.digest, manifest })
    })
  }

  /** Whether the target has a manifest. */
  head(digest: Digest.Digest) {
    const { registry, repository } = this.to
    return this.failing("target", nameOf(digest))(registry.headManifest(repository, digest))
  }

  /** Whether a repository of the target has a blob, of the size that is expected. */
  hasBlob({ digest, size }: Descriptor, repository = this.to.repository) {
    return Effect.map(
      this.failing("target", nameOf(digest))(this.to.registry.headBlob(repository, digest)),
      Option.exists((found) => found.size === size)
    )
  }

  /** Whether the source has a blob. */
  isAtSource({ digest }: Descriptor) {
    const { registry, repository } = this.from
    return Effect.map(
      this.failing("source", nameOf(digest))(registry.headBlob(repository, digest)),
      Option.isSome
    )
  }

  /** Returns the repository of the target that a blob can be mounted from (CP21). */
  mountableFrom(descriptor: Descriptor): Effect.Effect<RepositoryName | undefined, CopyFailure> {
    return Effect.gen(this, function* () {
      if (this.mountable && this.from.repository !== this.to.repository) return this.from.repository
      for (const repository of this.selection.mountFrom)
        if (yield* this.hasBlob(descriptor, repository)) return repository
      return undefined
    })
  }

  /**
   * Reads a manifest where it is. Returns nothing where the source lacks one that may be left out.
   */
  read(
    { descriptor }: Graph.Node,
    isThere: boolean,
    { manifest, mayBeMissing = false, parent }: Hint
  ): Effect.Effect<Manifest.Manifest | undefined, CopyFailure> {
    if (manifest !== undefined) return Effect.succeed(manifest)
    const { digest } = descriptor
    const { registry, repository } = isThere ? this.to : this.from
    const read = registry.getManifest(repository, digest)
    const side = isThere ? "target" : "source"
    const named = this.failing(side, nameOf(digest))
    if (isThere || (parent === undefined && !mayBeMissing)) return named(read)
    return Effect.catchAll(read, (error): Effect.Effect<undefined, CopyFailure> => {
      if (error._tag !== "ManifestUnknown" && error._tag !== "NameUnknown")
        return named(Effect.fail(error))
      return this.selection.missing === "skip" || parent === undefined
        ? Effect.succeed(undefined)
        : this.failing(side, nameOf(digest), Indexes.listed(parent, descriptor))(Effect.fail(error))
    })
  }

  /** The parts of a manifest, of an index those that are copied. */
  children(manifest: Manifest.Manifest): Effect.Effect<Graph.Children, CopyFailure> {
    return childrenOf(this.from, this.failing, manifest, this.selection.platforms)
  }

  /** Whether an index may become another one. */
  rewrites({ mediaType }: Descriptor): boolean {
    const { index, missing, platforms } = this.selection
    return (
      index === "rewrite" &&
      (platforms !== undefined || missing === "skip") &&
      MediaType.isIndex(mediaType)
    )
  }

  /** Fails for an index that is in too many others (T6). */
  tooDeep(digest: Digest.Digest) {
    return this.failing(
      "source",
      nameOf(digest)
    )(
      Effect.fail(
        new LimitExceeded({ what: "The number of indexes in each other", limit: deepest })
      )
    )
  }
}

/** The parts of a manifest of the source, which is asked for those of an older kind. */
export const childrenOf = (
  { registry, repository }: Side,
  failing: Failing,
  manifest: Manifest.Manifest,
  platforms?: Selection["platforms"]
): Effect.Effect<Graph.Children, CopyFailure> => {
  const children = Graph.children(manifest, platforms)
  if (manifest.content._tag !== "UnknownManifest") return Effect.succeed(children)
  return Effect.map(
    failing(
      "source",
      nameOf(manifest.descriptor.digest)
    )(OlderParts.find(registry, repository, manifest)),
    (blobs) => ({ ...children, kept: blobs.map(Graph.blob) })
  )
}

/** What follows the name of a repository in a reference. */
export const nameOf = (reference: Tag | Digest.Digest): string =>
  Digest.isDigest(reference) ? `@${reference}` : `:${reference}`
