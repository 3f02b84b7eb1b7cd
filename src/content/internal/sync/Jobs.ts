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
  /** Whether the source lists it, and no rule names it. */
  readonly isListed: boolean
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
      const report = (failure: Problem["failure"]) =>
        Effect.sync(() => {
          problems.push({ path, failure })
        })
      const add = Effect.fnUntraced(function* (name: string, isListed: boolean) {
        const job = { compiled, from: yield* at(from, name), to: yield* at(to, name), isListed }
        const key = Reference.format(job.to)
        const jobs = targets.get(key)
        if (jobs === undefined) targets.set(key, [job])
        // A name may be said, and fit a pattern as well.
        else if (!jobs.some((other) => other.compiled === compiled && isSame(other.from, job.from)))
          jobs.push(job)
      })
      const unmatched = new Set(patterns)
      const listed = Effect.gen(function* () {
        if (patterns.length === 0) return
        const registry = yield* (yield* Registries.Registries).get(from.host)
        const start = from.prefix === "" ? "" : `${from.prefix}/`
        yield* Stream.runForEach(registry.repositories(), (repository) => {
          if (!repository.startsWith(start)) return Effect.void
          const name = repository.slice(start.length)
          const fitting = patterns.filter(({ test }) => test(name))
          if (fitting.length === 0 || isFedBack(rules, compiled, name)) return Effect.void
          for (const pattern of fitting) unmatched.delete(pattern)
          return Effect.catchAll(add(name, true), report)
        })
        for (const { text } of unmatched)
          warnings.push(`${path}.repositories: ${text} fits no repository of ${from.host}`)
      })
      yield* Effect.forEach(names, (name) => Effect.catchAll(add(name, false), report))
      yield* Effect.catchAll(listed, (failure) => {
        unknown.push(compiled)
        return report(failure)
      })
    }
    return { targets: [...targets.values()], problems, unknown, warnings }
  })

const isSame = (one: Reference.Reference, other: Reference.Reference) =>
  Reference.format(one) === Reference.format(other)

interface Repository {
  readonly host: string
  readonly repository: string
}

/**
 * Whether a pattern finds what rules have filled with what its own rule would copy there once more:
 * as under `registry/mirror` where all of `registry` is copied to that, or between two registries
 * that mirror each other. Each run would copy the copies of the last one.
 */
const isFedBack = (rules: ReadonlyArray<Compiled>, rule: Compiled, name: string): boolean => {
  const to = behind(rule.to, name)
  const comes = (found: Repository, depth: number): boolean =>
    depth > 0 &&
    rules.some((other) => {
      const filled = filledName(other, found)
      if (filled === undefined) return false
      const origin = behind(other.from, filled)
      if (origin.host !== to.host) return comes(origin, depth - 1)
      // Two registries that are kept equal copy each repository back to where it came from.
      if (origin.repository === to.repository) return false
      return takes(other, to) || comes(origin, depth - 1)
    })
  return comes(behind(rule.from, name), rules.length)
}

/** The repository of a name behind the start of others. */
const behind = (base: Base, name: string): Repository => ({
  host: base.host,
  repository: nameOf(base, name)
})

/** Whether the patterns of a rule find a repository. */
const takes = ({ from, patterns }: Compiled, { host, repository }: Repository): boolean => {
  const name = from.host === host ? nameBehind(from, repository) : undefined
  return name !== undefined && patterns.some(({ test }) => test(name))
}

/** What is left of a name behind the start of others. */
const nameBehind = ({ prefix }: Base, name: string): string | undefined => {
  if (prefix === "") return name
  if (name === prefix) return ""
  return name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : undefined
}

/** The name behind `from` of what a rule copies to a repository by its patterns, if it may. */
const filledName = (
  { patterns, to }: Compiled,
  { host, repository }: Repository
): string | undefined => {
  const name = to.host === host ? nameBehind(to, repository) : undefined
  if (name === undefined) return undefined
  // Docker Hub's own images have a longer name than is written.
  const short = host === "docker.io" && to.prefix === "" ? /^library\/([^/]+)$/.exec(name) : null
  return [name, ...(short?.slice(1) ?? [])].find((name) => patterns.some(({ test }) => test(name)))
}

/** Whether a rule may choose for a repository: one of those that its patterns fit. */
export const mayFill = (rule: Compiled, repository: Repository): boolean =>
  filledName(rule, repository) !== undefined

const at = (base: Base, name: string) => Reference.parse(`${base.host}/${nameOf(base, name)}`)
