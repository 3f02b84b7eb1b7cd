/**
 * Chooses among the tags of a repository: those in a range of versions, those that fit a pattern,
 * the newest of them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as References from "../internal/References.js"
import * as Registries from "../Registries.js"
import * as Parsed from "../spec/internal/Parsed.js"
import type { Reference, Tag } from "../spec/Reference.js"
import * as TagFilter from "./internal/tags/TagFilter.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type Filter,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidFilter
} from "./internal/tags/TagFilter.js"

/**
 * A filter that can be stored: its patterns are texts.
 *
 * @since 0.1.0
 * @category models
 */
export interface FilterData extends TagFilter.FilterData {}

/**
 * A filter as data, in the configuration of a program say. Decoding fails where `select` would fail
 * with `InvalidFilter`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FilterData: Schema.Schema<FilterData> = Schema.Struct(TagFilter.fields).pipe(
  Schema.filter((filter) =>
    Either.match(TagFilter.compile(filter), {
      onLeft: ({ field, message }) => ({ path: [field], message }),
      onRight: () => true
    })
  ),
  Schema.annotations({ identifier: "TagFilter" })
)

/**
 * The tags that a filter chooses: the newest version first, and in the order of their names where
 * it has no versions. `unmatched` are the rules of the filter that fit no tag, such as
 * `exclude *-rc*`: each may be a mistake.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  readonly tags: ReadonlyArray<Tag>
  readonly unmatched: ReadonlyArray<string>
}

/**
 * Returns the tags that a filter chooses. Their order does not count, and nothing is requested.
 *
 * Fails with `InvalidFilter`.
 *
 * @example
 * ```ts
 * import * as Reference from "effect-oci/Reference"
 * import * as Tags from "effect-oci/Tags"
 *
 * const all = ["latest", "1.9.0", "1.10.0", "2.0.0-rc.1"].map(Reference.unsafeParseTag)
 * const selected = Tags.select(all, { semver: ">=1" }) // 1.10.0, 1.9.0
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const select: {
  (
    filter: TagFilter.Filter
  ): (tags: Iterable<Tag>) => Effect.Effect<Selection, TagFilter.InvalidFilter>
  (tags: Iterable<Tag>, filter: TagFilter.Filter): Effect.Effect<Selection, TagFilter.InvalidFilter>
} = dual(2, (tags: Iterable<Tag>, filter: TagFilter.Filter) =>
  Effect.map(
    Effect.suspend(() => Parsed.toEffect(TagFilter.compile(filter))),
    (compiled): Selection => TagFilter.choose(compiled, tags)
  )
)

/**
 * What `list` and `newest` can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type ListError = Registries.TagsError | TagFilter.InvalidFilter

/**
 * Lists the tags of a repository that a filter chooses, by default all but those of attachments:
 * the newest version first, and in the order of their names where it has no versions. A tag or
 * digest in the reference does not count.
 *
 * Fails with `InvalidFilter` before anything is requested, and as `Registries.tags` does.
 *
 * @example
 * ```ts
 * import * as Tags from "effect-oci/Tags"
 *
 * const releases = Tags.list("ghcr.io/owner/name", { semver: "^1.2", newest: 10 })
 * const nightlies = Tags.list("ghcr.io/owner/name", {
 *   include: ["nightly-*"],
 *   exclude: ["*-debug"]
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const list = (
  reference: string | Reference,
  filter: TagFilter.Filter = {}
): Effect.Effect<ReadonlyArray<Tag>, ListError, Registries.Registries> =>
  References.run("Tags.list", reference, (parsed) =>
    Effect.gen(function* () {
      yield* select([], filter)
      return (yield* select(yield* Stream.runCollect(Registries.tags(parsed)), filter)).tags
    })
  )

/**
 * Returns the newest tag that a filter chooses, by default the newest release by semantic version;
 * `None` where it chooses none.
 *
 * Fails as `list` does, and with `InvalidFilter` for a filter without versions.
 *
 * @example
 * ```ts
 * import * as Tags from "effect-oci/Tags"
 *
 * const newest = Tags.newest("ghcr.io/owner/name", { semver: "^1.2" })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const newest = (
  reference: string | Reference,
  filter: TagFilter.Filter = { semver: "*" }
): Effect.Effect<Option.Option<Tag>, ListError, Registries.Registries> =>
  Effect.map(list(reference, { ...filter, newest: 1 }), ([tag]) => Option.fromNullable(tag))
