/** Syncs put together: what every rule finds is planned, or copied and removed. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "../../../Registries.js"
import type { Registry } from "../../../Registry.js"
import type { InputError } from "../../../RegistryError.js"
import * as Reference from "../../../spec/Reference.js"
import * as Copy from "../../Copy.js"
import * as Tags from "../../Tags.js"
import { Budget } from "../copy/Budget.js"
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

  /** Opens both sides of a job, and chooses the tags. */
  open({ compiled, from, to }: Jobs.Job) {
    return Effect.gen(this, function* () {
      const source = yield* Registries.open(from)
      const target = yield* Registries.open(to)
      const all = yield* Stream.runCollect(source.registry.tags(source.repository))
      const { tags, unmatched } = yield* Tags.select(all, compiled.rule.tags ?? {})
      const warnings = unmatched.map((rule) => `${Reference.format(from)}: ${rule} fits no tag`)
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
  const { index, level = "tag", referrers } = rule
  return { index, level, platforms, referrers, continueOnError: true } as const
}

/** Copies and removes what the rules say. */
export const run = (rules: Rules): Effect.Effect<Report, InvalidRules, Registries.Registries> =>
  Effect.gen(function* () {
    const { problems, targets, unknown, warnings } = yield* Jobs.find(yield* compile(rules))
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
    const kept: Array<Removal.Kept> = []
    for (const job of jobs) {
      const { report, tags } = yield* runJob(syncing, job)
      reports.push(report)
      kept.push({ rule: job.compiled.rule, tags })
    }
    const last = reports.pop()
    if (last === undefined) return reports
    // Nothing goes while it is not known what stays.
    const isWhole = last.ok && reports.every(({ ok }) => ok)
    return [...reports, isWhole ? yield* remove(syncing, last, kept) : last]
  })

const runJob = (syncing: Syncing, job: Jobs.Job) =>
  Effect.gen(function* () {
    const { options, source, tags, target, warnings } = yield* syncing.open(job)
    const copied = yield* Copy.between(source, placeOf(target), options)
    const outcomes = copied.outcomes.filter((outcome) => !isPostponed(outcome))
    const postponed = copied.outcomes.filter(isPostponed).flatMap(({ tags }) => tags)
    const { ok, summary } = copied
    const report = { ...emptyOf(job), ok, outcomes, postponed, summary, warnings }
    return { report, tags }
  }).pipe(
    Effect.catchAll((failure) =>
      Effect.succeed({ report: { ...emptyOf(job), ok: false, failure }, tags: [] })
    )
  )

/** Whether the source allows no more requests for now, or none but those that are to be left. */
const isPostponed = ({ failure }: Copy.Outcome): boolean =>
  failure?.side === "source" && failure.error._tag === "TooManyRequests"

const emptyOf = ({ from, to }: Jobs.Job): RepositoryReport => ({
  from,
  to,
  ok: true,
  outcomes: [],
  postponed: [],
  removals: [],
  warnings: []
})

const placeOf = ({ registry, repository }: Registries.Opened): Copy.Place => ({
  registry,
  repository
})

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
    const warnings = [...report.warnings, ...(refusal === undefined ? [] : [refusal])]
    return { ...report, ok, removals, warnings }
  }).pipe(Effect.catchAll((failure) => Effect.succeed({ ...report, ok: false, failure })))

/** Emits what `run` would do. */
export const plan = (rules: Rules): Stream.Stream<Planned, InvalidRules, Registries.Registries> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { problems, targets, unknown, warnings } = yield* Jobs.find(yield* compile(rules))
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
    const kept: Array<Removal.Kept> = []
    return Stream.fromIterable(jobs).pipe(
      Stream.flatMap((job) => planJob(syncing, job, kept)),
      Stream.concat(
        Stream.unwrap(
          Effect.gen(function* () {
            if (kept.length < jobs.length) return Stream.empty
            const { to } = jobs[0]
            const { refusal, tags } = yield* syncing.removals(to, kept)
            return Stream.fromIterable<Planned>([
              ...(refusal === undefined ? [] : [warning(`${Reference.format(to)}: ${refusal}`)]),
              ...tags.map((tag): Planned => {
                const { host, repository } = to
                return { _tag: "Remove", reference: Reference.make({ host, repository, tag }) }
              })
            ])
          }).pipe(Effect.catchAll((failure) => Effect.succeed(failed(jobs[0], failure))))
        )
      )
    )
  })

const planJob = (syncing: Syncing, job: Jobs.Job, kept: Array<Removal.Kept>) => {
  const { compiled, from, to } = job
  return Stream.unwrap(
    Effect.map(syncing.open(job), ({ options, source, tags, target, warnings }) =>
      Copy.planBetween(source, placeOf(target), options).pipe(
        Stream.map((step): Planned => ({ _tag: "Copy", from, to, step })),
        Stream.concat(Stream.execute(Effect.sync(() => kept.push({ rule: compiled.rule, tags })))),
        (steps) => Stream.concat(Stream.fromIterable(warnings.map(warning)), steps)
      )
    )
  ).pipe(Stream.catchAll((failure) => failed(job, failure)))
}

const warning = (message: string): Planned => ({ _tag: "Warning", message })

const failed = ({ from }: Jobs.Job, failure: RepositoryError): Stream.Stream<Planned> =>
  Stream.make<[Planned]>({ _tag: "Failure", place: Reference.format(from), failure })
