/** Plans as a whole: whether their steps can be performed, wherever they come from. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as ServerText from "../../../spec/internal/ServerText.js"
import * as Grouped from "../Grouped.js"
import * as Step from "./Step.js"

/**
 * Occurs for a plan whose steps cannot be performed, before anything is sent. `steps` are the ids
 * of those that are concerned: those that wait for each other in a circle, in this order, or the
 * one whose id is not that of its content, or that is there for two manifests.
 */
export class InvalidPlan extends Schema.TaggedError<InvalidPlan>("effect-oci/InvalidPlan")(
  "InvalidPlan",
  { steps: Schema.Array(Schema.String), problem: Schema.String }
) {
  override get message(): string {
    return `The plan cannot be run: ${this.problem}`
  }
}

/** The steps of a plan, each once. */
export interface Plan {
  readonly checks: ReadonlyArray<Step.Step>
  readonly work: ReadonlyArray<Step.Work>
  /** What steps wait for. */
  readonly awaited: ReadonlySet<string>
  /** What they wait for that no step ends: it counts as done. */
  readonly unknown: ReadonlyArray<string>
}

/** Checks the steps of a plan. Of steps with the same id the first counts. */
export const make = (steps: Iterable<Step.Step>): Either.Either<Plan, InvalidPlan> => {
  const had = new Map<string, Step.Step>()
  const work = new Map<string, Step.Work>()
  for (const step of steps) {
    if (step._tag === "Skip") continue
    const { descriptor, id } = step
    if (id !== Step.ownId(step))
      return invalid([id], `the step ${show(id)} has to have the id ${show(Step.ownId(step))}`)
    if (!Step.isWork(step)) had.set(id, step)
    else if ((work.get(id) ?? step).descriptor.digest !== descriptor.digest)
      return invalid([id], `it has two steps ${show(id)}, which are for different manifests`)
    else if (!work.has(id)) work.set(id, step)
  }
  const all = [...work.values()]
  const awaited = new Set(all.flatMap(after))
  const ended = new Set([...had.keys(), ...all.flatMap(Step.idsOf)])
  const circle = circleOf(
    all.filter(({ id }) => !had.has(id)),
    had
  )
  return circle.length > 0
    ? invalid(circle, `these steps wait for each other: ${list(circle)}`)
    : Either.right({
        checks: [...had.values()],
        work: all,
        awaited,
        unknown: [...awaited].filter((id) => !ended.has(id))
      })
}

const after = (step: Step.Work): ReadonlyArray<string> =>
  step.kind === "manifest" ? step.after : []

/** Returns steps that wait for each other for ever, each for the next one, if there are any. */
const circleOf = (
  work: ReadonlyArray<Step.Work>,
  had: ReadonlyMap<string, unknown>
): ReadonlyArray<string> => {
  const pending = new Map<string, Step.Work>()
  for (const step of work)
    for (const id of Step.idsOf(step)) if (!had.has(id) && !pending.has(id)) pending.set(id, step)
  const waiting = new Map<string, Array<Step.Work>>()
  const open = new Map<Step.Work, number>()
  for (const step of work) {
    const ids = new Set(after(step).filter((id) => pending.has(id)))
    open.set(step, ids.size)
    for (const id of ids) Grouped.add(waiting, id, step)
  }
  const ready = work.filter((step) => open.get(step) === 0)
  for (const step of ready)
    for (const id of Step.idsOf(step)) {
      if (!pending.delete(id)) continue
      for (const other of waiting.get(id) ?? []) {
        const left = (open.get(other) ?? 0) - 1
        open.set(other, left)
        if (left === 0) ready.push(other)
      }
    }
  // What is left waits for something that is left.
  const path = new Set<string>()
  let [at] = pending.keys()
  while (at !== undefined && !path.has(at)) {
    path.add(at)
    const step = pending.get(at)
    at = step && after(step).find((id) => pending.has(id))
  }
  return at === undefined ? [] : [...path].slice([...path].indexOf(at))
}

const invalid = (steps: ReadonlyArray<string>, problem: string) =>
  Either.left(new InvalidPlan({ steps, problem }))

const show = (id: string): string => ServerText.plain(id, 160)

const list = (ids: ReadonlyArray<string>): string => {
  const rest = ids.length - 4
  const shown = ids.slice(0, 4).map(show).join(", ")
  return rest > 0 ? `${shown}, and ${rest} more` : shown
}
