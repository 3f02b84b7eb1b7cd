/** What a choice of tags is made by, as a value, and what it makes of some tags. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type SemVer from "semver/classes/semver.js"
import { escaped } from "../../../spec/internal/ServerText.js"
import type { Tag } from "../../../spec/Reference.js"
import * as AttachmentTag from "./AttachmentTag.js"
import * as Pattern from "./Pattern.js"
import * as Version from "./Version.js"

/**
 * Says which tags are chosen. All that is said has to hold; without anything, all tags are chosen.
 * Tags that hold what is attached to a manifest are never chosen: its referrers (`sha256-<hex>`),
 * and what cosign and others keep beside it, such as `sha256-<hex>.sig`.
 *
 * A pattern is about the whole name. As a text it has `*` for any characters, `?` for one, and sets
 * such as `[0-9]` and `[!a-z]`, and is matched in time proportional to its length and that of the
 * name. A regular expression is matched as JavaScript does it, which some can make very slow: none
 * should come from a stranger.
 *
 * @since 0.1.0
 * @category models
 */
export interface Filter {
  /** The patterns of which one must fit. */
  readonly include?: ReadonlyArray<string | RegExp> | undefined
  /** The patterns of which none may fit. */
  readonly exclude?: ReadonlyArray<string | RegExp> | undefined
  /**
   * The range of [semantic versions](https://semver.org), as [npm writes
   * them](https://github.com/npm/node-semver#ranges): `^1.2`, `>=1.0.0 <3.0.0`, `*`. Chooses tags
   * that are such versions, with or without a `v` before them; `1.2`, `latest` and `01.2.3` are
   * not.
   */
  readonly semver?: string | undefined
  /**
   * The range of calendar versions, written alike: `>=2026.02`. Chooses tags that are a year and
   * one to three numbers, with dots or dashes between them: `2026.02.0`, `24.04`, `2026-02-28`; or
   * a date, `20260228`. A number may have zeros before it, and a fourth one counts as a build. The
   * number after a year of two digits is a month.
   */
  readonly calendar?: string | undefined
  /**
   * Whether a range includes prereleases, such as `2.0.0-rc.1`, as it does releases: no by default,
   * when it includes only those of a version that it names with a prerelease itself, as
   * `>=2.0.0-rc.1` does.
   */
  readonly prereleases?: boolean | undefined
  /**
   * Whether `_` in a version stands for `+`, which no tag can have: Helm writes `1.0.0+build.7` so.
   * Builds of one version are ordered as prereleases are. No by default.
   */
  readonly underscoreAsPlus?: boolean | undefined
  /** How many of them are chosen: the newest ones, by version. All by default. */
  readonly newest?: number | undefined
}

/**
 * A filter that can be stored: its patterns are texts.
 *
 * @since 0.1.0
 * @category models
 */
export interface FilterData extends Filter {
  readonly include?: ReadonlyArray<string> | undefined
  readonly exclude?: ReadonlyArray<string> | undefined
}

/** The fields of a filter as data. What they mean is not checked. */
export const fields = {
  include: Schema.optional(Schema.Array(Schema.String)),
  exclude: Schema.optional(Schema.Array(Schema.String)),
  semver: Schema.optional(Schema.String),
  calendar: Schema.optional(Schema.String),
  prereleases: Schema.optional(Schema.Boolean),
  underscoreAsPlus: Schema.optional(Schema.Boolean),
  newest: Schema.optional(Schema.Number)
}

/**
 * Occurs for a filter that does not make sense. `field` says which part of it.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidFilter extends Schema.TaggedError<InvalidFilter>("effect-oci/InvalidFilter")(
  "InvalidFilter",
  {
    field: Schema.Literal("include", "exclude", "semver", "calendar", "newest"),
    message: Schema.String
  }
) {}

/** A filter that makes sense. */
export interface Compiled {
  /** Whether a tag is chosen, if so many are. */
  readonly test: Pattern.Test
  /** Orders tags that are chosen: the newest version first, and those without one by name. */
  readonly compare: (self: Tag, that: Tag) => number
  readonly newest: number
  /** Its rules one by one, with what shows them. */
  readonly rules: ReadonlyArray<{ readonly shown: string; readonly test: Pattern.Test }>
}

/** Returns the tags that a filter chooses, and the rules of it that fit none. */
export const choose = ({ compare, newest, rules, test }: Compiled, tags: Iterable<Tag>) => {
  const all = [...new Set(tags)]
  return {
    tags: all.filter(test).sort(compare).slice(0, newest),
    unmatched: rules.filter((rule) => !all.some(rule.test)).map(({ shown }) => shown)
  }
}

/** Compiles a filter. */
export const compile = (filter: Filter): Either.Either<Compiled, InvalidFilter> =>
  Either.gen(function* () {
    const include = yield* patternsOf(filter, "include")
    const exclude = yield* patternsOf(filter, "exclude")
    const versions = yield* versionsOf(filter)
    const { newest = Number.POSITIVE_INFINITY } = filter
    if (filter.newest !== undefined && !(Number.isSafeInteger(newest) && newest > 0))
      return yield* invalid("newest", `${newest} is not a number of tags`)
    if (filter.newest !== undefined && versions === undefined)
      return yield* invalid(
        "newest",
        'which tags are the newest, their versions tell: say semver: "*" or calendar: "*" as well'
      )
    return {
      test: (name) =>
        AttachmentTag.subjectOf(name) === undefined &&
        (filter.include === undefined || include.some(({ test }) => test(name))) &&
        !exclude.some(({ test }) => test(name)) &&
        (versions === undefined || versions.test(name)),
      compare: (self, that) => versions?.compare(self, that) || (self < that ? -1 : +(self > that)),
      newest,
      rules: [...include, ...exclude, ...(versions === undefined ? [] : [versions])]
    }
  })

const patternsOf = (filter: Filter, field: "include" | "exclude") =>
  Either.all(
    (filter[field] ?? []).map((pattern) =>
      Either.mapBoth(Pattern.compile(pattern), {
        onLeft: (problem) =>
          new InvalidFilter({ field, message: `${field}: ${escaped(`${pattern}`)} ${problem}` }),
        onRight: (test) => ({ shown: `${field} ${pattern}`, test })
      })
    )
  )

const versionsOf = (filter: Filter) =>
  Either.gen(function* () {
    const { calendar, prereleases = false, semver, underscoreAsPlus = false } = filter
    if (semver !== undefined && calendar !== undefined)
      return yield* invalid("calendar", "a filter has either semver or calendar versions, not both")
    const scheme = calendar === undefined ? "semver" : "calendar"
    const text = filter[scheme]
    if (text === undefined) return undefined
    const isIn = yield* Either.mapLeft(
      Version.range(scheme, text, prereleases),
      (problem) =>
        new InvalidFilter({ field: scheme, message: `${scheme}: ${escaped(text)} ${problem}` })
    )
    const known = new Map<string, SemVer | undefined>()
    const versionOf = (name: string) => {
      const version = known.has(name)
        ? known.get(name)
        : Version.of(scheme, underscoreAsPlus ? name.replaceAll("_", "+") : name)
      known.set(name, version)
      return version
    }
    return {
      shown: `${scheme} ${text}`,
      test: (name: string) => {
        const version = versionOf(name)
        return version !== undefined && isIn(version)
      },
      compare: (self: Tag, that: Tag): number => {
        const [first, second] = [versionOf(self), versionOf(that)]
        return first !== undefined && second !== undefined ? Version.compare(second, first) : 0
      }
    }
  })

const invalid = (field: InvalidFilter["field"], message: string) =>
  Either.left(new InvalidFilter({ field, message: `${field}: ${message}` }))
