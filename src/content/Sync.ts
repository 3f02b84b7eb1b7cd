/**
 * Keeps sets of repositories equal, by rules: which repositories, which tags and platforms of them,
 * whether what is attached goes along, and what is removed. The rules are data, which can be read
 * from JSON or YAML; a run of them is a report, and what is repeated by a schedule moves only what
 * is new.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Spans from "../internal/Spans.js"
import type { Registries } from "../Registries.js"
import * as Reference from "../spec/Reference.js"
import * as Copy from "./Copy.js"
import * as Rule from "./internal/sync/Rules.js"
import * as Syncing from "./internal/sync/Syncing.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Problem
} from "./internal/sync/Jobs.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Deletion,
  /**
   * @since 0.1.0
   * @category models
   */
  Rule
} from "./internal/sync/Rules.js"
export {
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidRules
} from "./internal/sync/Rules.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Planned,
  /**
   * @since 0.1.0
   * @category models
   */
  RemovalOutcome,
  /**
   * @since 0.1.0
   * @category models
   */
  Report,
  /**
   * @since 0.1.0
   * @category errors
   */
  RepositoryError,
  /**
   * @since 0.1.0
   * @category models
   */
  RepositoryReport
} from "./internal/sync/Syncing.js"

/**
 * Rules, and what holds for all of them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rules extends Rule.Rules {}

/**
 * Rules as data, in the configuration of a program say. What the texts in it mean is checked when
 * they are run.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Rules: Schema.Schema<Rules> = Rule.RulesSchema

/**
 * Reads rules from JSON, or from YAML by the package [`yaml`](https://www.npmjs.com/package/yaml),
 * which is to be installed for it. What is not known of a rule is an error, since a filter that is
 * misspelled would choose everything.
 *
 * Fails with `InvalidRules`.
 *
 * @example
 * ```ts
 * import * as Sync from "effect-oci/Sync"
 *
 * const rules = Sync.parse(`
 * rules:
 *   - from: docker.io/library
 *     to: registry.lan:5000/mirror
 *     repositories: [alpine, debian]
 *     tags: { semver: ">=3", newest: 5 }
 *     platforms: [linux/amd64, linux/arm64]
 * leave: 20
 * `)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Effect.Effect<Rules, Rule.InvalidRules> => Rule.parse(text)

/**
 * Copies what the rules choose and the targets lack, and removes what they say. What fails is in
 * the report, and no reason to leave out the rest: `ok` says that nothing did, and nothing was
 * postponed.
 *
 * - A repository is listed, its tags are chosen, and those are copied as `Copy.copy` does. By
 *   default a tag that stands on the same digest costs one request to each side. Where an index is
 *   rewritten its digest is another one, so that the source's is read each time.
 * - Nothing is removed unless a rule says so, nothing more than its share of a repository, and
 *   nothing where a copy to the repository has failed or was postponed. Several rules may fill one
 *   repository: what one of them keeps stays, and all does while it is not known what one keeps.
 * - A repository that a pattern finds, and of which the registry knows no tags, is a warning, as
 *   docker-registry lists those that never had one. Nothing is removed from its target then.
 * - Patterns do not find what their rule would copy to where that came from, as where a target lies
 *   within its source, or two registries mirror each other: each run would copy more copies.
 * - Where several rules put something else under one tag, the first one does, with a warning.
 * - Where a source says how many requests it still allows, those that `leave` says are left, and
 *   what would take them is `postponed`.
 *
 * Fails with `InvalidRules` before anything is asked.
 *
 * @example
 * ```ts
 * import * as Sync from "effect-oci/Sync"
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 *
 * const hourly = Effect.gen(function*() {
 *   const rules = yield* Sync.parse(`{ "rules": [
 *     { "from": "ghcr.io/owner/app", "to": "registry.lan:5000/app", "tags": { "semver": "^2" } }
 *   ] }`)
 *   const report = Effect.map(Sync.run(rules), Sync.formatReport)
 *   yield* Effect.repeat(Effect.flatMap(report, Effect.log), Schedule.spaced("1 hour"))
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (rules: Rules): Effect.Effect<Syncing.Report, Rule.InvalidRules, Registries> =>
  Spans.inSpan("Sync.run", () => ({}), Syncing.run(rules))

/**
 * Emits what `run` would do, what would fail and what would be postponed. Nothing is changed.
 *
 * Fails with `InvalidRules` before anything is asked.
 *
 * @example
 * ```ts
 * import * as Sync from "effect-oci/Sync"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * const dryRun = (rules: Sync.Rules) =>
 *   Stream.runForEach(Sync.plan(rules), (planned) => Console.log(Sync.format(planned)))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const plan = (rules: Rules): Stream.Stream<Syncing.Planned, Rule.InvalidRules, Registries> =>
  Spans.streamInSpan("Sync.plan", () => ({}), Syncing.plan(rules))

/**
 * Returns what would be done as a line of text, such as `registry.lan:5000/app: put tag 2.1.0`.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (planned: Syncing.Planned): string => {
  switch (planned._tag) {
    case "Copy":
      return `${Reference.format(planned.to)}: ${Copy.format(planned.step)}`
    case "Remove":
      return `remove ${Reference.format(planned.reference)}`
    case "Warning":
      return `warning: ${planned.message}`
    case "Postponed":
      return `postponed: ${Reference.format(planned.reference)}: ${planned.failure.message}`
    case "Failure":
      return `failed: ${planned.place}: ${planned.failure.message}`
  }
}

/**
 * Returns a report as text: a line for each repository, and for each failure and warning.
 *
 * @since 0.1.0
 * @category getters
 */
export const formatReport = ({ problems, repositories, warnings }: Syncing.Report): string =>
  [
    ...warnings.map((text) => `warning: ${text}`),
    ...problems.map(({ failure, path }) => `failed: ${path}: ${failure.message}`),
    ...repositories.flatMap(linesOf)
  ].join("\n")

const linesOf = (report: Syncing.RepositoryReport): ReadonlyArray<string> => {
  const { failure, from, outcomes, postponed, postponedBy, removals, to, warnings } = report
  const count = (status: Copy.Outcome["status"]) =>
    outcomes.filter((outcome) => outcome.status === status).length
  const removed = removals.filter(({ failure }) => failure === undefined).length
  const counts = [
    [count("copied"), "copied"],
    [count("present"), "present"],
    [removed, "removed"],
    [postponed.length, "postponed"],
    [count("failed") + removals.length - removed, "failed"]
  ] as const
  const said = (failure: { readonly message: string } | undefined, of = "") =>
    failure === undefined ? [] : [`  failed: ${of}${failure.message}`]
  const done = counts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`)
  const name = `${Reference.format(from)} to ${Reference.format(to)}`
  return [
    `${name}: ${done.join(", ") || "no tags"}`,
    ...warnings.map((text) => `  warning: ${text}`),
    ...(postponedBy === undefined ? [] : [`  postponed: ${postponedBy.message}`]),
    ...outcomes.flatMap(({ failure }) => said(failure)),
    ...removals.flatMap(({ failure, tag }) => said(failure, `remove ${tag}: `)),
    ...said(failure)
  ]
}
