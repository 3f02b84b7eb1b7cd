/** Which repositories the rules of a sync are about. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "../../../Registries.js"
import type { Registry } from "../../../Registry.js"
import type { InputError } from "../../../RegistryError.js"
import * as Reference from "../../../spec/Reference.js"
import { type Base, type Compiled, nameOf } from "./Rules.js"

/** One repository, and where it goes by which rule. */
export interface Job {
  readonly compiled: Compiled
  readonly from: Reference.Reference
  readonly to: Reference.Reference
}

/** The jobs of one target repository: several rules may fill it. */
export type Target = readonly [first: Job, ...others: Array<Job>]

/** What is wrong with a rule, which is no reason not to apply the others. */
export interface Problem {
  readonly path: string
  readonly failure: Registry.ListRepositoriesError | InputError
}

/** What was found of the rules. */
export interface Found {
  /** The rules whose repositories are not all known. */
  readonly unknown: ReadonlyArray<Compiled>
  readonly targets: ReadonlyArray<Target>
  readonly problems: ReadonlyArray<Problem>
  readonly warnings: ReadonlyArray<string>
}

/** Finds the repositories of rules. Those that patterns fit are asked for. */
export const find = (
  rules: ReadonlyArray<Compiled>
): Effect.Effect<Found, never, Registries.Registries> =>
  Effect.gen(function* () {
    const targets = new Map<string, [Job, ...Array<Job>]>()
    const problems: Array<Problem> = []
    const unknown: Array<Compiled> = []
    const warnings: Array<string> = []
    for (const compiled of rules) {
      const { from, names, path, patterns, to } = compiled
      const lost = (failure: Problem["failure"]) =>
        Effect.sync(() => {
          problems.push({ path, failure })
          unknown.push(compiled)
        })
      const add = Effect.fnUntraced(function* (name: string) {
        const job = { compiled, from: yield* at(from, name), to: yield* at(to, name) }
        const key = Reference.format(job.to)
        const jobs = targets.get(key)
        if (jobs === undefined) targets.set(key, [job])
        else if (!jobs.some((other) => other.compiled === compiled)) jobs.push(job)
      })
      const unmatched = new Set(patterns)
      const listed = Effect.gen(function* () {
        if (patterns.length === 0) return
        const registry = yield* (yield* Registries.Registries).get(from.host)
        const start = from.prefix === "" ? "" : `${from.prefix}/`
        yield* Stream.runForEach(registry.repositories(), (repository) => {
          if (!repository.startsWith(start) || isFilled(compiled, repository)) return Effect.void
          const name = repository.slice(start.length)
          const fitting = patterns.filter(({ test }) => test(name))
          for (const pattern of fitting) unmatched.delete(pattern)
          return fitting.length === 0 ? Effect.void : Effect.catchAll(add(name), lost)
        })
        for (const { text } of unmatched)
          warnings.push(`${path}.repositories: ${text} fits no repository of ${from.host}`)
      })
      yield* Effect.zipRight(Effect.forEach(names, add), listed).pipe(Effect.catchAll(lost))
    }
    return { targets: [...targets.values()], problems, unknown, warnings }
  })

/**
 * Whether a pattern finds what its own rule has filled, as under `registry/mirror` where all of
 * `registry` is copied to that: each run would copy the copies of the last one.
 */
const isFilled = ({ from, to }: Compiled, repository: string) =>
  to.host === from.host && isBehind(to, repository) && isBehind(from, to.prefix)

const isBehind = ({ prefix }: Base, name: string) =>
  prefix === "" || name === prefix || name.startsWith(`${prefix}/`)

/** Whether a rule may choose for a repository: one of those that its patterns fit. */
export const mayFill = ({ patterns, to }: Compiled, { host, repository }: Reference.Reference) => {
  if (to.host !== host || !isBehind(to, repository)) return false
  const name = to.prefix === "" ? repository : repository.slice(to.prefix.length + 1)
  return patterns.some(({ test }) => test(name))
}

const at = (base: Base, name: string) => Reference.parse(`${base.host}/${nameOf(base, name)}`)
