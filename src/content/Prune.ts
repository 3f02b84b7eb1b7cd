/**
 * Deletes what is not needed any more: old images, by age, by version, by pattern, all but the
 * newest, or without a tag. What is needed stays: the manifests of indexes, what several tags
 * share, and what is attached to images with what it is attached to.
 *
 * `plan` only reads. Its plan says what is going to happen, and why, and `execute` does that and
 * nothing else. `run` does both, the second only if `dryRun` is false. `planFrom` and `executeFrom`
 * take a registry in place of a reference.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as References from "../internal/References.js"
import * as Spans from "../internal/Spans.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import { type InputError, InvalidReference, type InvalidUrl } from "../RegistryError.js"
import * as Reference from "../spec/Reference.js"
import * as Execution from "./internal/prune/Execution.js"
import * as Format from "./internal/prune/Format.js"
import type { Plan } from "./internal/prune/Plan.js"
import * as Planning from "./internal/prune/Planning.js"
import * as PolicyOf from "./internal/prune/Policy.js"
import type { Pace } from "./internal/prune/Reads.js"

export type {
  /**
   * @since 0.1.0
   * @category errors
   */
  ExecuteError,
  /**
   * @since 0.1.0
   * @category models
   */
  Moved,
  /**
   * @since 0.1.0
   * @category models
   */
  Outcome,
  /**
   * @since 0.1.0
   * @category models
   */
  Report
} from "./internal/prune/Execution.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Missing
} from "./internal/prune/Graph.js"
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
  Orphan,
  /**
   * @since 0.1.0
   * @category models
   */
  Plan,
  /**
   * @since 0.1.0
   * @category models
   */
  Reason,
  /**
   * @since 0.1.0
   * @category models
   */
  RuleResult,
  /**
   * @since 0.1.0
   * @category models
   */
  Untagging
} from "./internal/prune/Plan.js"
export {
  /**
   * @since 0.1.0
   * @category models
   */
  type DurationText,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidPolicy,
  /**
   * @since 0.1.0
   * @category models
   */
  type Policy,
  /**
   * @since 0.1.0
   * @category models
   */
  type Rule,
  /**
   * @since 0.1.0
   * @category models
   */
  type RuleData,
  /**
   * @since 0.1.0
   * @category models
   */
  type Untagged
} from "./internal/prune/Policy.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Cost,
  /**
   * @since 0.1.0
   * @category models
   */
  Pace
} from "./internal/prune/Reads.js"

/**
 * A policy that can be stored: its patterns and durations are texts.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyData extends PolicyOf.PolicyData {}

/**
 * A policy as data, in the configuration of a program say. Decoding fails where `plan` would fail
 * with `InvalidPolicy`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PolicyData: Schema.Schema<PolicyData> = PolicyOf.PolicySchema

/**
 * Reads a policy from JSON, or from YAML by the package
 * [`yaml`](https://www.npmjs.com/package/yaml), which is to be installed for it. What is not known
 * of a rule is an error, since one that is misspelled would choose more.
 *
 * Fails with `InvalidPolicy`.
 *
 * @example
 * ```ts
 * import * as Prune from "effect-oci/Prune"
 *
 * const policy = Prune.parse(`
 * protect:
 *   - include: [latest, stable]
 * rules:
 *   - include: [pr-*]
 *     olderThan: 30 days
 *   - { semver: "*", keep: 10 }
 * untagged: { grace: 2 days }
 * `)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Effect.Effect<PolicyData, PolicyOf.InvalidPolicy> =>
  PolicyOf.parse(text)

/**
 * What planning can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type PlanError =
  | PolicyOf.InvalidPolicy
  | Registry.ListTagsError
  | Registry.HeadManifestError
  | Registry.GetManifestError
  | Registry.GetBlobError
  | Registry.ListReferrersError
  | Registry.ListManifestsError

/**
 * Plans what is removed from a repository. Nothing is changed.
 *
 * - A manifest goes when rules choose all its tags, and takes along the manifests of an index, what
 *   is attached to it, and what is attached to those: by the list of referrers, and by tags that
 *   are named after it, as cosign has them. Such tags fit no rule.
 * - It stays, and loses the tags alone, where something needs it that stays: an index that has it,
 *   another tag, a referrer of which it is the subject, or the subject that it is attached to. So
 *   do manifests that hold each other, such as an index that is attached to one of its own: no
 *   order of deleting these is safe while others push. A warning names them.
 * - Where the registry lists all manifests (`Registry.manifests`), those without a tag count as
 *   well; elsewhere nobody can know that an index without a tag has a manifest that goes.
 *
 * Reading costs a HEAD for each tag; the manifest and configuration of each image whose age counts;
 * each index that stays, if anything goes; the manifest and referrers of all that goes, and a HEAD
 * for its subject where that is not read. Blobs are not deleted: that is for the registry, and for
 * `LayoutRegistry.collect`.
 *
 * Fails with
 *
 * - `InvalidPolicy` before anything is requested, for a pace as well, and `InvalidReference` for a
 *   reference with a tag or a digest: a repository is pruned as a whole;
 * - `NameUnknown` when there is no such repository;
 * - `Unsupported` for `untagged` where the registry does not list all manifests;
 * - any other failure to read, and so does not plan on what it does not know. What is not there is
 *   no failure: it is among the `missing` of the plan.
 *
 * @example
 * ```ts
 * import * as Prune from "effect-oci/Prune"
 * import * as Effect from "effect/Effect"
 *
 * const text = Effect.map(
 *   Prune.plan("registry.example/owner/name", {
 *     protect: [{ include: ["latest", "stable"] }],
 *     rules: [
 *       { include: ["pr-*"], olderThan: "30 days" },
 *       { semver: "*", keep: 10 }
 *     ]
 *   }),
 *   Prune.format
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const plan = (
  reference: string | Reference.Reference,
  policy: PolicyOf.Policy,
  options?: Pace
): Effect.Effect<Plan, PlanError | InputError, Registries> =>
  References.run("Prune.plan", reference, (parsed) =>
    Effect.gen(function* () {
      const registry = yield* registryOf(parsed)
      const made = yield* planFrom(registry, parsed.repository, policy, options)
      return { ...made, host: parsed.host }
    })
  )

/**
 * Plans what is removed from a repository of a registry, as `plan` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const planFrom = (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  policy: PolicyOf.Policy,
  options: Pace = {}
): Effect.Effect<Plan, PlanError> => Planning.plan(registry, repository, policy, options)

/**
 * Says how a plan is executed: at the pace of the plan unless another one is said that makes sense.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExecuteOptions extends Pace {
  /**
   * Removes tags by way of a throwaway manifest where the registry deletes no tags: see
   * `Registries.UntagOptions`. False by default.
   */
  readonly throwaway?: boolean | undefined
}

/**
 * Executes a plan that was made for a reference, and reports what became of each part of it. It
 * happens one after the other, each index before its manifests, and can be done again with the same
 * plan after an interruption.
 *
 * Right before each digest goes, the tags are listed and read again, and so are manifests where the
 * registry lists them. A tag that has appeared or moved is left alone and reported, and so is all
 * that it leads to now. In a repository where that would be more than 10,000 HEAD requests in all,
 * every tag is read again from time to time, and in between those that are new, or on the digest.
 *
 * Nothing is deleted any more once tags could not be read, or deletions are `Unsupported`. Every
 * other failure is that of one digest, and of what belongs to it.
 *
 * Fails with `InvalidUrl` as `Registries.get` does, and with `InvalidReference` for a plan that was
 * made without a host.
 *
 * @since 0.1.0
 * @category operations
 */
export const execute = (
  plan: Plan,
  options?: ExecuteOptions
): Effect.Effect<Execution.Report, InputError, Registries> =>
  Effect.gen(function* () {
    const { host, repository } = plan
    if (host === undefined)
      return yield* new InvalidReference({
        input: repository,
        reason: "Host",
        message: "the plan was made without a host: execute it with executeFrom"
      })
    const registry = yield* (yield* Registries).get(host)
    return yield* executeFrom(registry, plan, options)
  })

/**
 * Executes a plan at a registry, as `execute` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const executeFrom = (
  registry: Registry.Service,
  plan: Plan,
  options: ExecuteOptions = {}
): Effect.Effect<Execution.Report> =>
  Spans.inSpan(
    "Prune.execute",
    () => ({ "oci.repository": plan.repository }),
    Execution.execute(registry, plan, options)
  )

/**
 * Says whether anything is done.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions extends ExecuteOptions {
  /** Whether to plan only: true by default. */
  readonly dryRun?: boolean | undefined
}

/**
 * Plans what is removed from a repository, and executes that if `dryRun` is false. Returns the plan
 * of a dry run, and the report of another.
 *
 * Fails as `plan` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const run = (
  reference: string | Reference.Reference,
  policy: PolicyOf.Policy,
  { dryRun = true, ...options }: RunOptions = {}
): Effect.Effect<Plan | Execution.Report, PlanError | InputError, Registries> =>
  Effect.flatMap(
    plan(reference, policy, options),
    (made): Effect.Effect<Plan | Execution.Report, InputError, Registries> =>
      dryRun ? Effect.succeed(made) : execute(made, options)
  )

/**
 * Returns a plan or a report as text, for people: what the rules fit, what goes and why, what it
 * has cost to read, and what may be a mistake.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (self: Plan | Execution.Report): string =>
  (self._tag === "Plan" ? Format.ofPlan(self) : Format.ofReport(self)).join("\n")

/** Returns the registry of a reference to a repository, and to nothing in it. */
const registryOf = (
  parsed: Reference.Reference
): Effect.Effect<Registry.Service, InvalidReference | InvalidUrl, Registries> =>
  Effect.gen(function* () {
    if (Option.isSome(parsed.tag) || Option.isSome(parsed.digest)) {
      const input = Reference.format(parsed)
      return yield* new InvalidReference({
        input: input.slice(0, 128),
        reason: Option.isSome(parsed.tag) ? "Tag" : "Digest",
        message: `${input} is one manifest, and a repository is pruned as a whole: leave it out`
      })
    }
    return yield* (yield* Registries).get(parsed.host)
  })
