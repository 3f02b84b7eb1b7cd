/** What of a repository is copied, and under which tags. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Registry } from "../../../Registry.js"
import * as Digest from "../../../spec/Digest.js"
import type { Platform } from "../../../spec/Platform.js"
import * as Reference from "../../../spec/Reference.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import type { Side } from "./Questions.js"
import type { Root } from "./Walk.js"

/**
 * A place in a registry: what of a repository is copied, or where it goes. What `Registries.open`
 * returns is one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Place {
  readonly registry: Registry.Service
  readonly repository: Reference.RepositoryName
  /** The tag or the digest in the repository, or a reference, which may have both. */
  readonly reference?: Reference.Tag | Digest.Digest | Reference.Reference | undefined
}

/** A place whose reference is taken apart. */
export interface Located extends Side {
  readonly tag: Reference.Tag | undefined
  readonly digest: Digest.Digest | undefined
}

/** Takes a place apart. Errors name its repository with its host, where that is known. */
export const located = ({ reference, registry, repository }: Place): Located => {
  const parts =
    reference === undefined
      ? { tag: undefined, digest: undefined }
      : typeof reference === "string"
        ? Digest.isDigest(reference)
          ? { tag: undefined, digest: reference }
          : { tag: reference, digest: undefined }
        : {
            tag: Option.getOrUndefined(reference.tag),
            digest: Option.getOrUndefined(reference.digest)
          }
  const host = typeof reference === "object" ? `${reference.host}/` : ""
  return { registry, repository, name: `${host}${repository}`, ...parts }
}

/** Which tags are copied, and of which platforms: see `Copy.Options`. */
export interface Tags {
  readonly tags?: "all" | ReadonlyArray<string> | undefined
  readonly additionalTags?: ReadonlyArray<string> | undefined
  readonly platforms: ReadonlyArray<Platform> | undefined
}

/** Returns what is copied, as a stream where the source is asked for its tags. */
export const make = (
  from: Located,
  to: Located,
  { additionalTags = [], platforms, tags }: Tags,
  failing: Failing
): Effect.Effect<Stream.Stream<Root, CopyFailure>, Reference.InvalidReference> =>
  Effect.gen(function* () {
    const additional = yield* Effect.forEach(additionalTags, Reference.parseTag)
    if (platforms?.length === 0)
      return yield* invalid(
        from,
        "cannot be copied for no platform: leave the option platforms out if all are meant"
      )
    if (tags === undefined) {
      const reference = from.digest ?? from.tag ?? ("latest" as Reference.Tag)
      const own = to.digest === undefined ? (to.tag ?? tagOf(from)) : to.tag
      const all = [...new Set([...(own === undefined ? [] : [own]), ...additional])]
      return Stream.make<[Root]>({ reference, tags: all, expected: to.digest })
    }
    for (const place of [from, to])
      if (place.tag !== undefined || place.digest !== undefined)
        return yield* invalid(
          place,
          "names one manifest, and the option tags names others: leave one of them out"
        )
    if (additional.length > 0 && (tags === "all" || tags.length !== 1))
      return yield* invalid(to, "can have additional tags for one manifest, not for several")
    const root = (tag: Reference.Tag): Root => ({ reference: tag, tags: [tag, ...additional] })
    return tags === "all"
      ? from.registry.tags(from.repository).pipe(
          Stream.catchAll((error) => Stream.fromEffect(failing("source", "")(Effect.fail(error)))),
          // A list of referrers is that of what the target has (CP11).
          Stream.filter((tag) => !Reference.isReferrersTag(tag)),
          Stream.map(root)
        )
      : Stream.fromIterable([...new Set(yield* Effect.forEach(tags, Reference.parseTag))].map(root))
  })

/** The tag that a source has by itself. One that is named by its digest has none. */
const tagOf = ({ digest, tag }: Located): Reference.Tag | undefined =>
  tag ?? (digest === undefined ? ("latest" as Reference.Tag) : undefined)

const invalid = ({ name }: Located, problem: string) =>
  new Reference.InvalidReference({
    input: name.slice(0, 128),
    reason: "Tag",
    message: `${name} ${problem}`
  })
