/** The rules of a sync, as data and as what they mean. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { quoted } from "../../../spec/internal/ServerText.js"
import * as Platform from "../../../spec/Platform.js"
import * as Reference from "../../../spec/Reference.js"
import * as Tags from "../../Tags.js"
import * as DataText from "../DataText.js"
import * as Pattern from "../tags/Pattern.js"

/**
 * Occurs for rules that do not make sense: `path` is the place, such as `rules[0].tags.semver`,
 * empty for the document itself.
 */
export class InvalidRules extends Schema.TaggedError<InvalidRules>("effect-oci/InvalidRules")(
  "InvalidRules",
  { path: Schema.String, message: Schema.String }
) {}

/**
 * Says which tags of the target are removed that the source does not have any more, or that the
 * filter does not choose any more. Tags that no rule for the repository could choose are left
 * alone.
 */
export interface Deletion {
  /**
   * The greatest share that may be removed in one run, from 0 to 1, of those tags of a target
   * repository that its rules with a `delete` could choose. Where more would be, none is.
   */
  readonly share: number
  /** Whether registries that remove no tags are helped: see `Registries.untag`. No by default. */
  readonly throwaway?: boolean | undefined
}

/** Says which repositories are kept equal, and what of them. */
export interface Rule {
  /**
   * The repository to copy from, such as `ghcr.io/owner/name`; with `repositories`, the registry,
   * or the registry and the start of their names, such as `docker.io/library`.
   */
  readonly from: string
  /** The repository to copy to; with `repositories`, what stands before their names there. */
  readonly to: string
  /**
   * The names of the repositories behind `from`, or patterns of them, in which `*` stands for any
   * characters and `?` for one. Patterns need a registry that lists its repositories.
   */
  readonly repositories?: ReadonlyArray<string> | undefined
  /** The tags to copy, by default all but those of attachments. */
  readonly tags?: Tags.FilterData | undefined
  /** The platforms to copy of an index, such as `linux/amd64`: see `Copy.Options`. */
  readonly platforms?: ReadonlyArray<string> | undefined
  /** What becomes of an index of which a part is copied: see `Copy.Options`. */
  readonly index?: "sparse" | "rewrite" | undefined
  /**
   * What the target is asked for, `tag` by default: a tag that stands on the same digest costs
   * nothing but that question. See `Copy.Options`.
   */
  readonly level?: "tag" | "manifests" | "blobs" | undefined
  /** Whether what is attached goes along, no by default: see `Copy.Options`. */
  readonly referrers?: boolean | undefined
  /** What is removed from the target, nothing by default. */
  readonly delete?: Deletion | undefined
}

/** Rules, and what holds for all of them. */
export interface Rules {
  readonly rules: ReadonlyArray<Rule>
  /** How many repositories are copied at a time, 2 by default. */
  readonly concurrency?: number | undefined
  /**
   * How many requests are left alone of those that a source says to allow still, as Docker Hub does
   * with `ratelimit-remaining`. What would take more is postponed.
   */
  readonly leave?: number | undefined
}

const Count = Schema.Number.pipe(Schema.int(), Schema.nonNegative())

/** The schema of rules. */
export const RulesSchema: Schema.Schema<Rules> = Schema.Struct({
  rules: Schema.Array(
    Schema.Struct({
      from: Schema.String,
      to: Schema.String,
      repositories: Schema.optional(Schema.Array(Schema.String)),
      tags: Schema.optional(Tags.FilterData),
      platforms: Schema.optional(Schema.Array(Schema.String)),
      index: Schema.optional(Schema.Literal("sparse", "rewrite")),
      level: Schema.optional(Schema.Literal("tag", "manifests", "blobs")),
      referrers: Schema.optional(Schema.Boolean),
      delete: Schema.optional(
        Schema.Struct({
          share: Schema.Number.pipe(Schema.between(0, 1)),
          throwaway: Schema.optional(Schema.Boolean)
        })
      )
    })
  ),
  concurrency: Schema.optional(Schema.Number.pipe(Schema.int(), Schema.positive())),
  leave: Schema.optional(Count)
}).pipe(Schema.annotations({ identifier: "SyncRules" }))

/** Reads rules from JSON or YAML. */
export const parse = (text: string): Effect.Effect<Rules, InvalidRules> =>
  Effect.mapError(DataText.parse(text, RulesSchema), ({ message, place }) =>
    invalid(place, place === "" ? `the rules: ${message}` : message)
  )

/** Where repositories are: a host, and what their names start with. */
export interface Base {
  readonly host: string
  readonly prefix: string
}

/** A rule whose texts are parsed. */
export interface Compiled {
  readonly rule: Rule
  /** Its place among the rules, to name it by. */
  readonly path: string
  readonly from: Base
  readonly to: Base
  /** The names behind `from` that are said, and the patterns that others must fit. */
  readonly names: ReadonlyArray<string>
  readonly patterns: ReadonlyArray<{ readonly text: string; readonly test: Pattern.Test }>
  readonly platforms: ReadonlyArray<Platform.Platform> | undefined
}

/** Parses the texts of rules, so that what is wrong with one is known before anything is asked. */
export const compile = (rules: Rules): Effect.Effect<ReadonlyArray<Compiled>, InvalidRules> =>
  Effect.forEach(rules.rules, (rule, n) => compiled(rule, `rules[${n}]`))

const compiled = (rule: Rule, path: string): Effect.Effect<Compiled, InvalidRules> =>
  Effect.gen(function* () {
    const at = <A, E extends { readonly message: string }>(
      field: string,
      effect: Effect.Effect<A, E>
    ) => Effect.mapError(effect, ({ message }) => wrong(field, message))
    const wrong = (field: string, problem: string) =>
      invalid(`${path}.${field}`, `${path}.${field}: ${problem}`)
    const { platforms, repositories, tags } = rule
    if (tags !== undefined) yield* at("tags", Tags.select([], tags))
    for (const [field, list] of Object.entries({ platforms, repositories }))
      if (list?.length === 0) return yield* wrong(field, "is empty: leave it out if that is meant")
    const parsed = platforms && (yield* at("platforms", Effect.forEach(platforms, Platform.parse)))
    if (repositories === undefined) {
      const from = yield* at("from", whole(rule.from))
      const to = yield* at("to", whole(rule.to))
      if (from.host === to.host && from.prefix === to.prefix)
        return yield* wrong("to", "is the repository that is copied from")
      return { rule, path, from, to, names: [""], patterns: [], platforms: parsed }
    }
    const from = yield* at("from", base(rule.from))
    const to = yield* at("to", base(rule.to))
    if (from.host === to.host && from.prefix === to.prefix)
      return yield* wrong("to", "has the repositories that are copied from")
    const isPattern = (text: string) => /[*?]/.test(text)
    const names = repositories.filter((text) => !isPattern(text))
    yield* Effect.forEach(
      [from, to].flatMap((base) => names.map((name) => nameOf(base, name))),
      (name) => at("repositories", Reference.parseRepositoryName(name))
    )
    const patterns = repositories
      .filter(isPattern)
      .map((text) => ({ text, test: Pattern.ofNames(text) }))
    return { rule, path, from, to, names, patterns, platforms: parsed }
  })

/** The whole name of a repository behind a base: the empty one is the base itself. */
export const nameOf = ({ prefix }: Base, name: string): string =>
  [prefix, name].filter((part) => part !== "").join("/")

/** A repository, which has neither tag nor digest. */
const whole = (text: string) =>
  Effect.flatMap(Reference.parse(text), ({ digest, host, repository, tag }) =>
    digest._tag === "Some" || tag._tag === "Some"
      ? Effect.fail({
          message: `${quoted(text, 128)} names one manifest: leave out what follows the name`
        })
      : Effect.succeed({ host, prefix: repository })
  )

/** What stands before the names of repositories. */
const base = (text: string): Effect.Effect<Base, { readonly message: string }> =>
  Effect.gen(function* () {
    if (text.endsWith("/"))
      return yield* Effect.fail({ message: `${quoted(text, 128)} ends with "/": leave that out` })
    // Docker Hub's own images have a longer name than is written, which is not meant here.
    const { host, repository } = yield* Effect.mapError(
      Reference.parse(`${text}/of/any`),
      ({ message }) => ({ message: message.replaceAll("/of/any", "") })
    )
    return { host, prefix: repository.replace(/\/?of\/any$/, "") }
  })

const invalid = (path: string, message: string) => new InvalidRules({ path, message })
