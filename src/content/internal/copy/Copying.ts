/** Copies put together: a walk with what takes its steps, to plan them or to perform them. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Digest from "../../../spec/Digest.js"
import * as Parsed from "../../../spec/internal/Parsed.js"
import type { InvalidReference, Tag } from "../../../spec/Reference.js"
import * as Failures from "./CopyFailure.js"
import * as Events from "./Events.js"
import { Execution, type Manner } from "./Execution.js"
import * as Plan from "./Plan.js"
import { Progress, type Summary } from "./Progress.js"
import { Questions, type Selection } from "./Questions.js"
import * as Roots from "./Roots.js"
import * as Step from "./Step.js"
import { type Root, Walk } from "./Walk.js"

/** All that a copy is told, with every default filled in: see `Copy.Options`. */
export interface Settings<E, R> extends Selection, Omit<Manner<E, R>, "asks">, Roots.Tags {
  readonly sameRegistry: boolean
  readonly continueOnError: boolean
}

/**
 * What has become of one manifest of the source.
 *
 * - `copied`: it is there now, under all its tags. `present`: it was there, with all that was asked
 *   for. `kept`: it is what cosign keeps under a tag, and the target has another one, which stays.
 *   `failed`: it may not be there, for the reason `failure`.
 *
 * `digest` is the one that it has at the target, and `tags` are those that it was to have there:
 * without any it is `untagged`, and many registries clear what has no tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome<out E = never> {
  readonly status: "copied" | "present" | "kept" | "failed"
  readonly source: Tag | Digest.Digest
  readonly digest?: Digest.Digest | undefined
  readonly tags: ReadonlyArray<Tag>
  readonly untagged: boolean
  /** How much is attached to it, and was copied or there. */
  readonly attachments: number | "not asked for"
  readonly failure?: Failures.CopyFailure | E | undefined
}

/**
 * What has become of a copy: an outcome for each manifest that was asked for, and all that was done
 * for them. `ok` says that none has failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report<out E = never> {
  readonly ok: boolean
  readonly outcomes: ReadonlyArray<Outcome<E>>
  readonly summary: Summary
}

/** How many manifests with their tags are under way at a time. */
const roots = 8

/** The defaults that `Copy.Options` documents. */
export const defaults: Settings<never, never> = {
  tags: undefined,
  additionalTags: undefined,
  level: "manifests",
  platforms: undefined,
  index: "sparse",
  missing: "fail",
  nonDistributable: "skip",
  referrers: undefined,
  cosignTags: "keep",
  tagging: "always",
  sameRegistry: false,
  mountFrom: [],
  concurrency: 6,
  unfinished: "resume",
  continueOnError: false,
  before: undefined,
  after: undefined
}

/**
 * Returns the steps of a copy as they are found. `failed` says what becomes of the rest when a root
 * has failed. Without it, the failure ends the steps: those of all others come first where the copy
 * would go on.
 */
export const plan = <E, R>(
  from: Roots.Located,
  to: Roots.Located,
  settings: Settings<E, R>,
  failed?: (root: Root, failure: Failures.CopyFailure) => Effect.Effect<void, Failures.CopyFailure>
): Stream.Stream<Step.Step, Failures.CopyFailure | InvalidReference> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const failing = failingOf(from, to, new Progress(yield* Clock.currentTimeMillis))
      const all = yield* Roots.make(from, to, settings, failing)
      // None ends it. A walk waits for whoever takes the steps, and is given up with them.
      const queue = yield* Effect.acquireRelease(
        Queue.bounded<Option.Option<Step.Step>>(64),
        Queue.shutdown
      )
      // A tag that is enough and an index can both find a manifest there.
      const emitted = new Set<string>()
      const emit = (step: Step.Step) =>
        Effect.suspend(() => {
          if (emitted.has(step.id)) return Effect.void
          emitted.add(step.id)
          return Effect.asVoid(Queue.offer(queue, Option.some(step)))
        })
      const walk = walkOf(from, to, settings, failing, emit, yield* Effect.scope)
      const late: Array<Failures.CopyFailure> = []
      const lost = (root: Root, failure: Failures.CopyFailure) =>
        failed?.(root, failure) ??
        (settings.continueOnError
          ? Effect.sync(() => void late.push(failure))
          : Effect.fail(failure))
      const walking = yield* Stream.mapEffect(
        all,
        (root) => Effect.catchAll(walk.root(root), (failure) => lost(root, failure)),
        { concurrency: roots }
      ).pipe(
        Stream.runDrain,
        Effect.zipRight(Effect.suspend(() => late[0] ?? Effect.void)),
        Effect.exit,
        Effect.zipLeft(Queue.offer(queue, Option.none())),
        Effect.forkScoped
      )
      return Stream.concat(
        Stream.filterMapWhile(Stream.fromQueue(queue), identity),
        Stream.execute(Effect.flatten(Fiber.join(walking)))
      )
    })
  )

/** Copies, step after step as they are found. */
export const copy = <E, R>(
  from: Roots.Located,
  to: Roots.Located,
  settings: Settings<E, R>
): Effect.Effect<Report<E>, Failures.CopyFailure | E | InvalidReference, R> =>
  executing(from, to, { ...settings, asks: false }, (execution, walk, failing) =>
    Effect.gen(function* () {
      const all = yield* Roots.make(from, to, settings, failing)
      const outcomeOf = (root: Root) =>
        Effect.gen(function* () {
          const { after, attachments, digest, isKept } = yield* walk.root(root)
          yield* execution.await(after)
          return {
            ...ofRoot(root, attachments),
            status: isKept ? "kept" : after.length === 0 ? "present" : "copied",
            digest
          } as const
        })
      return yield* Stream.mapEffect(
        all,
        (root): Effect.Effect<Outcome<E>, Failures.CopyFailure | E> =>
          settings.continueOnError
            ? Effect.map(Effect.either(outcomeOf(root)), (outcome) =>
                Either.getOrElse(outcome, (failure) => {
                  execution.lost()
                  return { ...ofRoot(root), status: "failed" as const, failure }
                })
              )
            : outcomeOf(root),
        { concurrency: roots }
      ).pipe(Stream.runCollect)
    })
  )

const ofRoot = ({ reference, tags }: Root, attachments?: number) => ({
  attachments: attachments ?? ("not asked for" as const),
  source: reference,
  tags,
  untagged: tags.length === 0
})

/** Performs the steps of a plan. What was there when it was made is asked for again. */
export const run = <E, R>(
  from: Roots.Located,
  to: Roots.Located,
  steps: Iterable<Step.Step>,
  settings: Settings<E, R>
): Effect.Effect<Report<E>, Failures.CopyFailure | Plan.InvalidPlan | E, R> =>
  executing(from, to, { ...settings, asks: true }, (execution, walk) =>
    Effect.gen(function* () {
      const { awaited, checks, unknown, work } = yield* Parsed.toEffect(Plan.make(steps))
      yield* execution.ignore(unknown)
      yield* Effect.forEach(checks, (step) => execution.check(step, walk), { discard: true })
      yield* Effect.ignore(execution.await(checks.map(({ id }) => id)))
      yield* Effect.forEach(work, (step) => execution.start(step), { discard: true })
      const ends = yield* Effect.forEach(
        // One tag waits for another of the same manifest, and each has an outcome.
        [...checks, ...work.filter(({ _tag, id }) => _tag === "Tag" || !awaited.has(id))],
        (step) => Effect.map(Effect.either(execution.await([step.id])), endOf(step))
      )
      return ends.flat()
    })
  )

/**
 * What the end of a step in a plan means: an outcome for what is the end of a copy, or a failure.
 */
const endOf =
  (step: Step.Step) =>
  <E>(ended: Either.Either<void, Failures.CopyFailure | E>): ReadonlyArray<Outcome<E>> => {
    const { digest } = step.descriptor
    const tags = step._tag === "Tag" ? [step.tag] : []
    const attachments = step._tag === "Tag" ? step.attachments : undefined
    const root = ofRoot({ reference: digest, tags }, attachments)
    return Either.isLeft(ended)
      ? [{ ...root, status: "failed", failure: ended.left }]
      : step.kind === "manifest" && Step.isWork(step)
        ? [{ ...root, status: "copied", digest }]
        : []
  }

/** Runs what begins steps, until all of its outcomes are known, or one has failed that counts. */
const executing = <E, R, E2>(
  from: Roots.Located,
  to: Roots.Located,
  settings: Settings<E, R> & Manner<E, R>,
  outcomes: (
    execution: Execution<E, R>,
    walk: Walk,
    failing: Failures.Failing
  ) => Effect.Effect<Iterable<Outcome<E>>, Failures.CopyFailure | E | E2>
): Effect.Effect<Report<E>, Failures.CopyFailure | E | E2, R> =>
  Effect.scoped(
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const context = yield* Effect.context<R>()
      const progress = new Progress(yield* Clock.currentTimeMillis)
      const failing = failingOf(from, to, progress)
      const tell = yield* telling(progress)
      const execution = new Execution(from, to, settings, progress, failing, tell, context, scope)
      const walk = walkOf(from, to, settings, failing, execution.emit, scope)
      const running = outcomes(execution, walk, failing)
      const all = [
        ...(yield* settings.continueOnError
          ? running
          : Effect.raceFirst(running, Deferred.await(execution.failed)))
      ]
      const ok = all.every(({ status }) => status !== "failed")
      progress.ended()
      const summary = progress.summary()
      yield* tell({ _tag: "Progress", summary })
      return { ok, outcomes: all, summary }
    })
  )

/**
 * Returns what tells an observer of events, if there is one, to which a fiber tells how far the
 * copy is, as long as its scope.
 */
const telling = (progress: Progress) =>
  Effect.gen(function* () {
    const observer = yield* Events.Observer
    if (observer === undefined) return () => Effect.void
    const sample = Effect.gen(function* () {
      const reached = progress.sample(yield* Clock.currentTimeMillis)
      for (const one of reached) yield* observer({ _tag: "Bytes", ...one })
      yield* observer({ _tag: "Progress", summary: progress.summary() })
    })
    yield* Effect.forkScoped(Effect.schedule(sample, Schedule.spaced("200 millis")))
    return observer
  })

const failingOf = (from: Roots.Located, to: Roots.Located, progress: Progress) =>
  Failures.failing({ source: from.name, target: to.name }, () => progress.summary())

const walkOf = <E, R>(
  from: Roots.Located,
  to: Roots.Located,
  settings: Settings<E, R>,
  failing: Failures.Failing,
  emit: Step.Emit,
  scope: Scope.Scope
) => {
  const mountable = settings.sameRegistry || from.registry === to.registry
  const questions = new Questions(from, to, settings, mountable, failing)
  return new Walk(from, to, questions, settings, failing, emit, scope)
}
