/** Syncs put together: what every rule finds is planned, or copied and removed. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "../../../Registries.js"
import type { Registry } from "../../../Registry.js"
import type { InputError, TooManyRequests } from "../../../RegistryError.js"
import * as Reference from "../../../spec/Reference.js"
import * as Copy from "../../Copy.js"
import * as Tags from "../../Tags.js"
import { Budget } from "../copy/Budget.js"
import * as Copying from "../copy/Copying.js"
import * as Roots from "../copy/Roots.js"
import * as Choices from "./Choices.js"
import * as Jobs from "./Jobs.js"
import * as Removal from "./Removal.js"
import { type Compiled, compile, type InvalidRules, type Rules } from "./Rules.js"

/** What a repository of a sync as a whole can fail with. */
export type RepositoryError =
  | Registry.ListTagsError
  | InputError
  | Tags.InvalidFilter
  | Copy.CopyFailure

/** What has become of one tag that was to be removed. */
export interface RemovalOutcome {
  readonly tag: Reference.Tag
  /** Why it is still there, if it is. */
  readonly failure?: Registries.UntagFromError | undefined
}

/** What has become of one repository by one rule. */
export interface RepositoryReport {
  readonly from: Reference.Reference
  readonly to: Reference.Reference
  /** Whether nothing has failed and nothing was postponed. */
  readonly ok: boolean
  /** What has become of each tag that was chosen. */
  readonly outcomes: ReadonlyArray<Copy.Outcome>
  /** The tags that are left for the next run, since the source allows too few more requests. */
  readonly postponed: ReadonlyArray<Reference.Tag>
  /** Why, if any are: with how many requests are left, and when there are more, where it says. */
  readonly postponedBy?: TooManyRequests | undefined
  readonly removals: ReadonlyArray<RemovalOutcome>
  /** Why nothing of it was copied or removed, if nothing was. */
  readonly failure?: RepositoryError | undefined
  readonly summary?: Copy.Summary | undefined
  readonly warnings: ReadonlyArray<string>
}

/** What has become of a sync. */
export interface Report {
  /** Whether all that the rules say is so now. */
  readonly ok: boolean
  readonly repositories: ReadonlyArray<RepositoryReport>
  /** The rules whose repositories could not be found. */
  readonly problems: ReadonlyArray<Jobs.Problem>
  readonly warnings: ReadonlyArray<string>
}

/** What a sync would do. */
export type Planned =
  | {
      readonly _tag: "Copy"
      readonly from: Reference.Reference
      readonly to: Reference.Reference
      readonly step: Copy.Step
    }
  /** The tag of a reference is removed. */
  | { readonly _tag: "Remove"; readonly reference: Reference.Reference }
  | { readonly _tag: "Warning"; readonly message: string }
  /** The tag of a reference of the source is left for the next run: see `RepositoryReport`. */
  | {
      readonly _tag: "Postponed"
      readonly reference: Reference.Reference
      readonly failure: TooManyRequests
    }
  /** Nothing would be done of this, since it fails. */
  | {
      readonly _tag: "Failure"
      readonly place: string
      readonly failure: RepositoryError | Jobs.Problem["failure"]
    }

/** How many tags are removed at a time. */
const removing = 4

/** A sync of compiled rules. */
class Syncing {
  private readonly budgets = new Map<string, Budget>()

  constructor(
    private readonly leave: number | undefined,
    /** The rules whose repositories are not all known. */
    private readonly unknown: ReadonlyArray<Compiled>
  ) {}

  /** Finds what is to be removed of a target. */
  removals(to: Reference.Reference, kept: ReadonlyArray<Removal.Kept>) {
    return Effect.gen(this, function* () {
      const at = yield* Registries.open(to)
      const unknown = this.unknown.filter((rule) => Jobs.mayFill(rule, to))
      return { ...at, ...(yield* Removal.find(at.registry, at.repository, kept, unknown)) }
    })
  }

  /** Opens both sides of a job, and chooses the tags of those that are not another's already. */
  open(job: Jobs.Job, chosen: ReadonlyArray<Choices.Chosen>) {
    return Effect.gen(this, function* () {
      const { compiled, from, to } = job
      const source = yield* Registries.open(from)
      const target = yield* Registries.open(to)
      const all = yield* Stream.runCollect(source.registry.tags(source.repository))
      const { tags: fitting, unmatched } = yield* Tags.select(all, compiled.rule.tags ?? {})
      const { tags, warnings } = yield* Choices.own(job, fitting, chosen)
      warnings.unshift(...unmatched.map((rule) => `${Reference.format(from)}: ${rule} fits no tag`))
      const budget = this.budgetOf(from.host)
      return {
        source: { ...source, registry: budget?.guard(source.registry) ?? source.registry },
        target,
        tags,
        warnings,
        options: { ...optionsOf(compiled), sameRegistry: source.registry === target.registry, tags }
      }
    })
  }

  private budgetOf(host: string): Budget | undefined {
    if (this.leave === undefined) return undefined
    const budget = this.budgets.get(host) ?? new Budget(this.leave)
    this.budgets.set(host, budget)
    return budget
  }
}

const optionsOf = ({ platforms, rule }: Compiled) => {
  const { index = "sparse", level = "tag", referrers } = rule
  return {
    index,
    level,
    platforms,
    referrers: referrers === true ? {} : undefined,
    continueOnError: true
  } as const
}

const found = (rules: Rules) =>
  Effect.gen(function* () {
    const found = yield* Jobs.find(yield* compile(rules))
    return rules.rules.length > 0
      ? found
      : { ...found, warnings: ["there are no rules, so that nothing is done"] }
  })

/** Copies and removes what the rules say. */
export const run = (rules: Rules): Effect.Effect<Report, InvalidRules, Registries.Registries> =>
  Effect.gen(function* () {
    const { problems, targets, unknown, warnings } = yield* found(rules)
    const syncing = new Syncing(rules.leave, unknown)
    const reports = yield* Effect.forEach(targets, (jobs) => runTarget(syncing, jobs), {
      concurrency: rules.concurrency ?? 2
    })
    const repositories = reports.flat()
    const ok = problems.length === 0 && repositories.every(({ ok }) => ok)
    return { ok, repositories, problems, warnings }
  })

/** One after the other, the rules for one target; what none of them keeps goes last. */
const runTarget = (syncing: Syncing, jobs: Jobs.Target) =>
  Effect.gen(function* () {
    const reports: Array<RepositoryReport> = []
    const chosen: Array<Choices.Chosen> = []
    // Nothing goes while it is not known what stays.
    let isWhole = true
    for (const job of jobs) {
      const { isKnown, report, tags } = yield* runJob(syncing, job, chosen)
      isWhole &&= isKnown
      reports.push(report)
      chosen.push({ job, tags })
    }
    const last = reports.pop()
    if (last === undefined) return reports
    return [...reports, isWhole ? yield* remove(syncing, last, keptOf(chosen)) : last]
  })

const keptOf = (chosen: ReadonlyArray<Choices.Chosen>): ReadonlyArray<Removal.Kept> =>
  chosen.map(({ job, tags = [] }) => ({ rule: job.compiled.rule, tags }))

const runJob = (syncing: Syncing, job: Jobs.Job, chosen: ReadonlyArray<Choices.Chosen>) =>
  Effect.gen(function* () {
    const { options, source, tags, target, warnings } = yield* syncing.open(job, chosen)
    const copied = yield* Copy.between(source, target, options)
    const reasonOf = ({ failure }: Copy.Outcome) => failure && postponing(failure)
    const [outcomes, late] = Arr.partition(copied.outcomes, (outcome) => !!reasonOf(outcome))
    const postponed = late.flatMap(({ tags }) => tags)
    const postponedBy = late.map(reasonOf).find((reason) => reason !== undefined)
    const { ok, summary } = copied
    const report = { ...emptyOf(job), ok, outcomes, postponed, postponedBy, summary, warnings }
    return { report, tags, isKnown: ok }
  }).pipe(
    Effect.catchAll((failure) => {
      const warning = untagged(job, failure)
      const report = emptyOf(job)
      return Effect.succeed(
        warning === undefined
          ? { report: { ...report, ok: false, failure }, tags: undefined, isKnown: false }
          : { report: { ...report, warnings: [warning] }, tags: [], isKnown: false }
      )
    })
  )

/**
 * Says that a registry lists a repository whose tags it does not know, as distribution does where
 * no tag was ever put. It may as well be gone meanwhile.
 */
const untagged = ({ from, isListed }: Jobs.Job, failure: RepositoryError): string | undefined =>
  isListed && failure._tag === "NameUnknown"
    ? `${Reference.format(from)}: the registry lists it, but knows no tags of it`
    : undefined

/** Why the source allows no more requests for now, or none but those that are to be left. */
const postponing = ({ error, side }: Copy.CopyFailure): TooManyRequests | undefined =>
  side === "source" && error._tag === "TooManyRequests" ? error : undefined

const emptyOf = ({ from, to }: Jobs.Job): RepositoryReport => ({
  from,
  to,
  ok: true,
  outcomes: [],
  postponed: [],
  removals: [],
  warnings: []
})

const helped =
  "the registry removes no tags by themselves: delete.throwaway has another way, if that is wanted"

const remove = (syncing: Syncing, report: RepositoryReport, kept: ReadonlyArray<Removal.Kept>) =>
  Effect.gen(function* () {
    const found = yield* syncing.removals(report.to, kept)
    const { refusal, registry, repository, tags, throwaway } = found
    const removals = yield* Effect.forEach(
      tags,
      (tag) =>
        Registries.untagFrom(registry, repository, tag, { throwaway }).pipe(
          Effect.match({
            onSuccess: (): RemovalOutcome => ({ tag }),
            onFailure: (failure) => ({ tag, failure })
          })
        ),
      { concurrency: removing }
    )
    const ok = refusal === undefined && removals.every(({ failure }) => failure === undefined)
    const isUnsupported = removals.some(({ failure }) => failure?._tag === "Unsupported")
    const warnings = [
      ...report.warnings,
      ...(refusal === undefined ? [] : [refusal]),
      ...(isUnsupported && !throwaway ? [helped] : [])
    ]
    return { ...report, ok, removals, warnings }
  }).pipe(Effect.catchAll((failure) => Effect.succeed({ ...report, ok: false, failure })))

/** Emits what `run` would do. */
export const plan = (rules: Rules): Stream.Stream<Planned, InvalidRules, Registries.Registries> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { problems, targets, unknown, warnings } = yield* found(rules)
      const syncing = new Syncing(rules.leave, unknown)
      return Stream.fromIterable<Planned>([
        ...warnings.map(warning),
        ...problems.map(({ failure, path }): Planned => ({ _tag: "Failure", place: path, failure }))
      ]).pipe(
        Stream.concat(
          Stream.flatMap(Stream.fromIterable(targets), (jobs) => planTarget(syncing, jobs))
        )
      )
    })
  )

const planTarget = (syncing: Syncing, jobs: Jobs.Target) =>
  Stream.suspend(() => {
    const chosen: Array<Choices.Chosen> = []
    const whole: Array<Jobs.Job> = []
    return Stream.fromIterable(jobs).pipe(
      Stream.flatMap((job) => planJob(syncing, job, chosen, whole)),
      Stream.concat(
        Stream.unwrap(
          Effect.gen(function* () {
            if (whole.length < jobs.length) return Stream.empty
            const { to } = jobs[0]
            const { refusal, tags } = yield* syncing.removals(to, keptOf(chosen))
            return Stream.fromIterable<Planned>([
              ...(refusal === undefined ? [] : [warning(`${Reference.format(to)}: ${refusal}`)]),
              ...tags.map((tag): Planned => {
                const { host, repository } = to
                return { _tag: "Remove", reference: Reference.make({ host, repository, tag }) }
              })
            ])
          }).pipe(Effect.catchAll((failure) => Effect.succeed(failed(jobs[0].to, failure))))
        )
      )
    )
  })

const planJob = (
  syncing: Syncing,
  job: Jobs.Job,
  chosen: Array<Choices.Chosen>,
  whole: Array<Jobs.Job>
) => {
  const { from, to } = job
  return Stream.unwrap(
    Effect.gen(function* () {
      const { options, source, tags, target, warnings } = yield* syncing.open(job, chosen)
      chosen.push({ job, tags })
      const failures: Array<Planned> = []
      const steps = Copying.plan(
        Roots.located(source),
        Roots.located(target),
        { ...Copying.defaults, ...options },
        ({ tags: [tag] }, failure) =>
          Effect.sync(() => {
            failures.push(...(tag === undefined ? [] : [planned(from, tag, failure)]))
          })
      )
      return Stream.fromIterable(warnings.map(warning)).pipe(
        Stream.concat(Stream.map(steps, (step): Planned => ({ _tag: "Copy", from, to, step }))),
        Stream.concat(
          Stream.suspend(() => {
            if (failures.length === 0) whole.push(job)
            return Stream.fromIterable(failures)
          })
        )
      )
    })
  ).pipe(
    Stream.catchAll((failure) => {
      const said = untagged(job, failure)
      const tags = said === undefined ? undefined : []
      if (!chosen.some((other) => other.job === job)) chosen.push({ job, tags })
      return said === undefined ? failed(from, failure) : Stream.make(warning(said))
    })
  )
}

const planned = (
  { host, repository }: Reference.Reference,
  tag: Reference.Tag,
  failure: Copy.CopyFailure
): Planned => {
  const reference = Reference.make({ host, repository, tag })
  const reason = postponing(failure)
  return reason === undefined
    ? { _tag: "Failure", place: Reference.format(reference), failure }
    : { _tag: "Postponed", reference, failure: reason }
}

const warning = (message: string): Planned => ({ _tag: "Warning", message })

const failed = (at: Reference.Reference, failure: RepositoryError): Stream.Stream<Planned> =>
  Stream.make<[Planned]>({ _tag: "Failure", place: Reference.format(at), failure })
