/**
 * Watches every test file for secrets. What was `Redacted` in it, by a test or by the library
 * (passwords, tokens, private keys), must be in nothing that an application can observe: no error
 * of ours in any form, no line of the log or the console, no span, no metric; nor may a query that
 * can be signed (T13). `setup.ts` searches after each file, and so sees what no test looks at.
 *
 * Many files run in one process: what is watched is patched once, when this module is loaded, and
 * what was seen is forgotten between files.
 *
 * Secrets of less than six characters are left out: they would be found by chance.
 */
import { inspect } from "node:util"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"

const shortest = 6

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

const secrets = new Set<string>()

/** Where Effect keeps the values of `Redacted`. */
const registry = globalValue(
  "effect/Redacted/redactedRegistry",
  () => new WeakMap<object, unknown>()
)
const set = registry.set.bind(registry)
registry.set = (key, value) => {
  if (typeof value === "string") secrets.add(value)
  return set(key, value)
}

/** A secret that a module made when another file loaded it counts where it is read. */
const get = registry.get.bind(registry)
registry.get = (key) => {
  const value = get(key)
  if (typeof value === "string") secrets.add(value)
  return value
}

/**
 * A secret as it may be written: in URLs, in the base64 of a login, a line of a key alone, a header
 * without its scheme; of a URL, its password.
 */
const spellings = (secret: string): ReadonlyArray<string> => {
  const password = URL.canParse(secret)
    ? new URLSearchParams(`p=${new URL(secret).password}`).get("p")
    : secret
  return (password ?? "")
    .split("\n")
    .filter((line) => !line.startsWith("-----"))
    .map((line) => line.replace(/^(Basic|Bearer) /, ""))
    .flatMap((line) => [
      line,
      new URLSearchParams([["", line]]).toString().slice(1),
      // Wherever it begins within the three bytes that four characters stand for; its end depends
      // on what follows.
      ...["", "a", "aa"].map((before) =>
        Buffer.from(before + line)
          .toString("base64")
          .slice(before === "" ? 0 : 4)
          .replace(/..?={1,2}$/, "")
          .slice(0, -2)
      )
    ])
    .filter((text) => text.length >= shortest)
}

// -----------------------------------------------------------------------------
// What can be observed
// -----------------------------------------------------------------------------

const observed = new Set<string>()

/** What is printed elsewhere, by a program that a test runs. */
export const see = (value: unknown): void => {
  observed.add(typeof value === "string" ? value : inspect(value, { depth: 12 }))
}

const seeCause = (cause: Cause.Cause<unknown>): void =>
  see(Cause.pretty(cause, { renderErrorCause: true }))

/** Metrics live as long as the process; what one of them can show of a secret is in its key. */
const metrics = new Set<unknown>()

const seeMetrics = (): void => {
  for (const { metricKey } of Effect.runSync(Metric.snapshot)) {
    if (metrics.has(metricKey)) continue
    metrics.add(metricKey)
    see(metricKey)
  }
}

const errors: Array<Error> = []

/** Every error of this library is one of `Data.Error`, which assigns its tag. */
Object.defineProperty(Data.Error.prototype, "_tag", {
  configurable: true,
  get: () => undefined,
  set(this: Error, value: unknown) {
    Object.defineProperty(this, "_tag", {
      value,
      enumerable: true,
      configurable: true,
      writable: true
    })
    const { identifier } = this.constructor as { readonly identifier?: unknown }
    if (typeof identifier === "string" && identifier.startsWith("effect-oci/")) errors.push(this)
  }
})

const seeError = (error: Error): void => {
  see(error)
  see(JSON.stringify(error))
  see(error.message)
  seeCause(Cause.fail(error))
}

/** Changes what a fiber has that was given nothing else. */
const byDefault = <A>(ref: FiberRef.FiberRef<A>, change: (value: A) => A): void => {
  Object.defineProperty(ref, "initial", { value: change(Effect.runSync(FiberRef.get(ref))) })
}

byDefault(FiberRef.currentLoggers, (loggers) =>
  HashSet.add(
    loggers,
    Logger.make((line) => {
      see([line.message, [...line.annotations]])
      seeCause(line.cause)
    })
  )
)

const tracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)
byDefault(DefaultServices.currentServices, (services) =>
  Context.add(
    services,
    Tracer.Tracer,
    Tracer.make({
      context: (run, fiber) => tracer.context(run, fiber),
      span: (...args) => {
        const span = tracer.span(...args)
        // What a server sees of its clients is not what a client shows.
        if (span.kind === "server") return span
        const end = span.end.bind(span)
        span.end = (time, exit) => {
          see([span.name, [...span.attributes], "events" in span ? span.events : []])
          if (Exit.isFailure(exit)) seeCause(exit.cause)
          end(time, exit)
        }
        return span
      }
    })
  )
)

for (const method of ["debug", "error", "info", "log", "warn"] as const) {
  const print = console[method].bind(console)
  console[method] = (...args: ReadonlyArray<unknown>) => {
    for (const arg of args) see(arg)
    print(...args)
  }
}

// -----------------------------------------------------------------------------
// The search
// -----------------------------------------------------------------------------

/**
 * All that stands in a text, each with what is around it: it is read once, however many secrets
 * there are.
 */
const find = (text: string): ReadonlyArray<string> => {
  const beginnings = new Map<string, Set<string>>()
  for (const spelling of new Set([...secrets].flatMap(spellings))) {
    const beginning = spelling.slice(0, shortest)
    beginnings.set(beginning, (beginnings.get(beginning) ?? new Set()).add(spelling))
  }
  const found: Array<string> = []
  for (let at = 0; at < text.length && beginnings.size > 0; at++) {
    for (const spelling of beginnings.get(text.slice(at, at + shortest)) ?? [])
      if (text.startsWith(spelling, at))
        found.push(
          `${spelling} in: ${text.slice(Math.max(0, at - 200), at + spelling.length + 100)}`
        )
  }
  return found
}

/** What storage back ends and upload sessions put into queries that are secret (RedactedUrl). */
const signed = /[?&](X-Amz-\w+|sig|signature|_?state|access_token)=(?!REDACTED)[^\s"'`)]+/gi

/** Every secret that was observed so far, with what is around it. */
export const leaks = (): ReadonlyArray<string> => {
  for (const error of errors.splice(0)) seeError(error)
  seeMetrics()
  const text = [...observed].join("\n")
  return [...find(text), ...(text.match(signed) ?? [])]
}

let searched = true

/** For a file whose secrets are random texts, or which leaks them on purpose. */
export const ignoreSecrets = (): void => {
  searched = false
}

/** What leaked in a file that ends here; the next one begins with nothing seen. */
export const endFile = (): ReadonlyArray<string> => {
  const found = searched ? leaks() : []
  searched = true
  secrets.clear()
  observed.clear()
  errors.length = 0
  return found
}
