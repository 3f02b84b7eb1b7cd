/** What parsing a text gives, as an Effect and as a function for literals. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"

/** Succeeds with what was parsed, or fails with its error. */
export const toEffect = <A, E>(parsed: Either.Either<A, E>): Effect.Effect<A, E> =>
  Either.match(parsed, { onLeft: Effect.fail, onRight: Effect.succeed })

/** Returns what was parsed, or throws its error. */
export const orThrow = <A, E>(parsed: Either.Either<A, E>): A =>
  Either.getOrThrowWith(parsed, identity)
