/** What a prune removes, as a value. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Parsed from "../../../spec/internal/Parsed.js"
import type * as Tags from "../../Tags.js"
import * as DataText from "../DataText.js"
import * as TagFilter from "../tags/TagFilter.js"

/**
 * Chooses tags to remove, as `Tags.Filter` does: those that fit, but for the newest, and for those
 * that are not old enough, where `keep` and `olderThan` say so.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule extends Omit<TagFilter.Filter, "newest"> {
  /**
   * How many of what fits is kept: the newest versions where the rule has `semver` or `calendar`,
   * else the newest by age. Digests count, so that several tags of one image are one, and they
   * count before `olderThan` applies. Without versions, what is of unknown age is kept besides.
   */
  readonly keep?: number | undefined
  /**
   * Leaves all that is not older than this. The age of an image counts from the `created` of its
   * configuration, or the annotation `org.opencontainers.image.created` if that is newer, and an
   * index is as old as its newest image. Before 2013, as builds that are reproducible have it, and
   * in the future, a date says nothing, and what is of unknown age is left.
   */
  readonly olderThan?: Duration.DurationInput | undefined
}

/**
 * Says which manifests without a tag are removed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Untagged {
  /**
   * How long ago a manifest, and all that belongs to it, must have been put, 24 hours by default:
   * images and referrers are pushed before the index or the list that names them.
   */
  readonly grace?: Duration.DurationInput | undefined
}

/**
 * Says what is removed from a repository: what any of the `rules` chooses.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  readonly rules?: ReadonlyArray<Rule> | undefined
  /** The tags that are never removed, whatever a rule says. */
  readonly protect?: ReadonlyArray<TagFilter.Filter> | undefined
  /**
   * Removes manifests that no tag leads to. None by default. Only registries in memory and in
   * layouts list them (`Registry.manifests`): a plan for another one fails with `Unsupported`.
   */
  readonly untagged?: Untagged | undefined
}

/**
 * A length of time as text, such as `30 days`. A number alone is none: it would be milliseconds,
 * where somebody may have meant days.
 *
 * @since 0.1.0
 * @category models
 */
export type DurationText = `${number} ${Duration.Unit}`

/**
 * A rule that can be stored: its patterns and durations are texts.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleData extends Omit<Tags.FilterData, "newest"> {
  /** As `Rule` has it. */
  readonly keep?: number | undefined
  /** As `Rule` has it. */
  readonly olderThan?: DurationText | undefined
}

/**
 * A policy that can be stored: its patterns and durations are texts.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyData extends Policy {
  readonly rules?: ReadonlyArray<RuleData> | undefined
  readonly protect?: ReadonlyArray<Tags.FilterData> | undefined
  readonly untagged?: { readonly grace?: DurationText | undefined } | undefined
}

/**
 * Occurs for a policy that does not make sense. `part` says where: `rules[0]`, say.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidPolicy extends Schema.TaggedError<InvalidPolicy>("effect-oci/InvalidPolicy")(
  "InvalidPolicy",
  { part: Schema.String, problem: Schema.String }
) {
  override get message(): string {
    return `${this.part}: ${this.problem}`
  }
}

/** A rule that makes sense; times are in milliseconds. */
export interface CompiledRule extends TagFilter.Compiled {
  readonly shown: string
  readonly keep: number | undefined
  readonly olderThan: number | undefined
  readonly hasVersions: boolean
}

/** A policy that makes sense. */
export interface Compiled {
  readonly rules: ReadonlyArray<CompiledRule>
  readonly protect: ReadonlyArray<TagFilter.Compiled & { readonly shown: string }>
  readonly removesUntagged: boolean
  readonly grace: number
}

const aDuration = /^\d+(?:\.\d+)?\s+(?:nano|micro|milli|second|minute|hour|day|week)s?$/

const DurationSchema = Schema.declare(
  (value): value is DurationText => typeof value === "string" && aDuration.test(value),
  { description: 'a duration such as "30 days"' }
)

const { newest: _, ...filterFields } = TagFilter.fields

/** The form of policies as data. What they mean is not checked. */
const PolicyForm: Schema.Schema<PolicyData> = Schema.Struct({
  rules: Schema.optional(
    Schema.Array(
      Schema.Struct({
        ...filterFields,
        keep: Schema.optional(Schema.Number),
        olderThan: Schema.optional(DurationSchema)
      }).pipe(Schema.annotations({ identifier: "PruneRule" }))
    )
  ),
  protect: Schema.optional(Schema.Array(Schema.Struct(TagFilter.fields))),
  untagged: Schema.optional(Schema.Struct({ grace: Schema.optional(DurationSchema) }))
}).pipe(Schema.annotations({ identifier: "PrunePolicy" }))

/** The schema of policies as data. */
export const PolicySchema: Schema.Schema<PolicyData> = PolicyForm.pipe(
  Schema.filter((policy) =>
    Either.match(compile(policy), {
      onLeft: ({ message }) => message,
      onRight: () => true
    })
  )
)

/** Reads a policy from JSON or YAML. */
export const parse = (text: string): Effect.Effect<PolicyData, InvalidPolicy> =>
  DataText.parse(text, PolicyForm).pipe(
    Effect.mapError(
      ({ place, problem }) => new InvalidPolicy({ part: place || "the policy", problem })
    ),
    Effect.tap((policy) => Parsed.toEffect(compile(policy)))
  )

/** Compiles a policy. */
export const compile = (policy: Policy): Either.Either<Compiled, InvalidPolicy> =>
  Either.gen(function* () {
    const { protect = [], rules = [], untagged } = policy
    return {
      rules: yield* Either.all(rules.map((rule, n) => ruleOf(rule, `rules[${n}]`))),
      protect: yield* Either.all(protect.map((filter, n) => filterOf(filter, `protect[${n}]`))),
      removesUntagged: untagged !== undefined,
      grace: yield* millisOf(untagged?.grace ?? "24 hours", "untagged.grace")
    }
  })

const ruleOf = (rule: Rule, part: string): Either.Either<CompiledRule, InvalidPolicy> =>
  Either.gen(function* () {
    const { keep, olderThan, ...filter } = rule
    if ("newest" in filter && filter.newest !== undefined)
      return yield* invalid(part, "what is newest is kept, and not removed: write keep")
    if (keep !== undefined && !(Number.isSafeInteger(keep) && keep >= 0))
      return yield* invalid(part, `keep: ${keep} is not a number of images`)
    const compiled = yield* filterOf(filter, part)
    const age =
      olderThan === undefined ? undefined : yield* millisOf(olderThan, `${part}.olderThan`)
    const conditions = [
      ...(keep === undefined ? [] : [`but for the newest ${keep}`]),
      ...(age === undefined ? [] : [`older than ${Duration.format(age)}`])
    ]
    return {
      ...compiled,
      shown: [compiled.shown, ...conditions].join(", "),
      keep,
      olderThan: age,
      hasVersions: rule.semver !== undefined || rule.calendar !== undefined
    }
  })

const filterOf = (filter: TagFilter.Filter, part: string) =>
  Either.mapBoth(TagFilter.compile(filter), {
    onLeft: ({ message }) => new InvalidPolicy({ part, problem: message }),
    onRight: (compiled) => ({
      ...compiled,
      shown: compiled.rules.map(({ shown }) => shown).join(", ") || "all tags"
    })
  })

/** A negative duration would be none, and what is older than none is everything. */
const millisOf = (duration: Duration.DurationInput, part: string) =>
  Either.filterOrLeft(
    Either.try({
      try: () => (/^\s*-|NaN/.test(`${duration}`) ? -1 : Duration.toMillis(duration)),
      catch: () => new InvalidPolicy({ part, problem: `${duration} is not a duration` })
    }),
    (millis) => millis >= 0,
    () => new InvalidPolicy({ part, problem: `${duration} is not a duration` })
  )

const invalid = (part: string, problem: string) => Either.left(new InvalidPolicy({ part, problem }))
