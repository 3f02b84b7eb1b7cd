/** A line in the log for each operation of a registry. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as LogLevel from "effect/LogLevel"
import type * as Option from "effect/Option"
import type { Registry } from "../../Registry.js"
import { httpStatus } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import * as AroundRegistry from "./AroundRegistry.js"
import * as Timed from "./Timed.js"

/** Logs every operation at a level when it has ended: see `ComposedRegistry.logged`. */
export const logged = (
  host: string | undefined,
  level: LogLevel.LogLevel,
  registry: Registry.Service
): Registry.Service => {
  const line =
    (operation: AroundRegistry.Operation): Timed.OnEnd =>
    (outcome, duration, exit) =>
      Effect.logWithLevel(
        level,
        `${operation.name}${placeOf(host, operation)} ${outcome} in ${Math.round(duration)} ms` +
          problemOf(outcome, exit)
      )
  return AroundRegistry.around(
    {
      effect: (operation, effect) => Timed.effect(effect, line(operation)),
      stream: (operation, stream) => Timed.stream(stream, line(operation))
    },
    registry
  )
}

/** The reference of what an operation is about, as people write it. */
const placeOf = (
  host: string | undefined,
  { digest, from, reference = digest, repository }: AroundRegistry.Operation
): string => {
  const name = [host, repository].filter((part) => part !== undefined).join("/")
  const suffix =
    reference === undefined ? "" : `${Digest.isDigest(reference) ? "@" : ":"}${reference}`
  return (name === "" ? "" : ` ${name}${suffix}`) + (from === undefined ? "" : ` from ${from}`)
}

/** The errors of this library hold no secret; of others, as of a source, only the tag is known. */
const problemOf = (outcome: Timed.Outcome, exit: Exit.Exit<unknown, unknown>): string => {
  if (outcome !== "failed" || Exit.isSuccess(exit)) return ""
  const failure: Option.Option<unknown> = Cause.failureOption(exit.cause)
  if (failure._tag === "None") return ": defect"
  const error = failure.value
  if (!(typeof error === "object" && error !== null && "_tag" in error)) return ": error"
  return httpStatus(error) !== undefined && error instanceof Error
    ? `: ${error._tag}: ${error.message}`
    : `: ${error._tag}`
}
