/**
 * What is attached to manifests, to what is attached to them, and so on: one level after the other,
 * each manifest asked about once.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Registry } from "../../Registry.js"
import { LimitExceeded } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import * as ManifestMediaType from "../../spec/internal/ManifestMediaType.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import * as CosignTag from "./CosignTag.js"

/** How something is attached, as `Referrers.Link` says. */
export type Link =
  | { readonly _tag: "Referrer" }
  | { readonly _tag: "CosignTag"; readonly tag: Tag; readonly kind: CosignTag.Kind }

/** Something attached to a manifest, `depth` steps away from what was asked about. */
export interface Attachment {
  readonly _tag: "Attachment"
  readonly subject: Descriptor
  readonly descriptor: Descriptor
  readonly link: Link
  readonly depth: number
}

/** A manifest of an index, which is as deep as that. */
export interface Member {
  readonly _tag: "Member"
  readonly index: Descriptor
  readonly descriptor: Descriptor
  readonly depth: number
}

/** Says what is looked for. */
export interface Options {
  /**
   * The artifact type of what is attached to the manifest itself, or to its platforms: others are
   * left out, and so is what is under cosign's tags, which has none. What is attached to the
   * attachments found is of any type, such as the signature of a bill of materials.
   */
  readonly artifactType?: string | undefined
  /**
   * How deep to look: 1 for what is attached to the manifest itself, 2 for what is attached to
   * that, too, and so on. Without it, all is found, or the walk fails with `LimitExceeded` after 32
   * levels.
   */
  readonly depth?: number | undefined
  /**
   * Looks for what is attached to the manifests of an index, too, and of the indexes in it. False
   * by default. Each of them is asked about.
   */
  readonly platforms?: boolean | undefined
  /**
   * Looks for cosign's tags, with three HEAD requests for each manifest. True by default.
   */
  readonly cosignTags?: boolean | undefined
  /**
   * The most attachments, and manifests of indexes, that are met, 10,000 by default. For more, the
   * walk fails with `LimitExceeded`.
   */
  readonly limit?: number | undefined
  /** How many manifests are asked about at a time, 6 by default. */
  readonly concurrency?: number | undefined
}

/** What a walk asks. */
type Asked = Pick<Registry.Service, "referrers" | "headManifest" | "getManifest">

/** Where a walk may go on. */
type Place = Pick<Attachment, "descriptor" | "depth">

/** The most steps from a root, through attachments and the indexes in indexes. */
const maxSteps = 32

/**
 * Streams what is attached to some manifests of a repository, and the manifests of indexes where
 * `platforms` asks for them. Every attachment of a manifest is emitted, and where that manifest is
 * met again nothing below it is: what a list says can be wrong, and lead in a circle.
 */
export const walk = (
  registry: Asked,
  repository: RepositoryName,
  roots: Iterable<Descriptor>,
  options: Options = {}
): Stream.Stream<Attachment | Member, Registry.GetManifestError> =>
  Stream.suspend(() => {
    const { concurrency = 6, depth: levels = Infinity, limit = 10_000, platforms } = options
    const excess = new LimitExceeded({ what: "The number of attachments", limit, option: "limit" })
    const ask = asking(registry, repository, options)
    const asked = new Set<Digest>()
    let count = 0

    const level = (
      places: ReadonlyArray<Place>,
      step: number
    ): Stream.Stream<Attachment | Member, Registry.GetManifestError> => {
      const next = places.filter(({ depth, descriptor: { digest, mediaType } }) => {
        const isWanted = depth < levels || (platforms === true && MediaType.isIndex(mediaType))
        if (!isWanted || asked.has(digest)) return false
        asked.add(digest)
        return true
      })
      if (next.length === 0) return Stream.empty
      if (step === maxSteps)
        return Stream.fail(
          new LimitExceeded({
            what: "The number of levels of attachments",
            limit: maxSteps,
            fix: "the option depth leaves out what is further away"
          })
        )
      const all: Array<Place> = []
      return Stream.fromIterable(next).pipe(
        Stream.mapEffect((place) => Stream.runCollect(Stream.take(ask(place), limit + 1)), {
          concurrency
        }),
        Stream.mapEffect((found) => {
          count += found.length
          all.push(...found)
          return count > limit ? Effect.fail(excess) : Effect.succeed(found)
        }),
        Stream.flattenIterables,
        Stream.concat(Stream.suspend(() => level(all, step + 1)))
      )
    }

    return level(
      Array.from(roots, (descriptor) => ({ descriptor, depth: 0 })),
      0
    )
  })

/** Returns what asks about one manifest. */
const asking = (
  registry: Asked,
  repository: RepositoryName,
  { artifactType, cosignTags = true, depth: levels = Infinity, platforms = false }: Options
) => {
  const attached = (subject: Descriptor, depth: number) => {
    const by =
      (link: Link) =>
      (descriptor: Descriptor): Attachment => ({
        _tag: "Attachment",
        subject,
        descriptor,
        link,
        depth: depth + 1
      })
    const filter = depth === 0 ? artifactType : undefined
    const referrers = Stream.map(
      registry.referrers(repository, subject.digest, { artifactType: filter }),
      by({ _tag: "Referrer" })
    )
    // What is under the tags of cosign has no artifact type.
    if (!cosignTags || filter !== undefined) return referrers
    const tagged = Stream.fromIterable(CosignTag.of(subject.digest)).pipe(
      Stream.mapEffect(({ kind, tag }) =>
        Effect.map(
          registry.headManifest(repository, tag),
          Option.map(by({ _tag: "CosignTag", kind, tag }))
        )
      ),
      Stream.filterMap((found) => found)
    )
    return Stream.concat(referrers, tagged)
  }

  const members = (index: Descriptor, depth: number) =>
    registry.getManifest(repository, index.digest).pipe(
      Effect.map(({ content }) => (content._tag === "ImageIndex" ? content.manifests : [])),
      // What an index names, and its repository does not have, has no manifests either.
      Effect.catchTag("ManifestUnknown", () => Effect.succeed([])),
      Stream.fromIterableEffect,
      // Caches of BuildKit list layers (CP15), to which nothing is attached.
      Stream.filter(({ mediaType }) => ManifestMediaType.isManifest(mediaType)),
      Stream.map((descriptor): Member => ({ _tag: "Member", index, descriptor, depth }))
    )

  return ({
    depth,
    descriptor
  }: Place): Stream.Stream<Attachment | Member, Registry.GetManifestError> =>
    Stream.concat(
      depth < levels ? attached(descriptor, depth) : Stream.empty,
      platforms && MediaType.isIndex(descriptor.mediaType)
        ? members(descriptor, depth)
        : Stream.empty
    )
}
