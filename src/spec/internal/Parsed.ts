/** What parsing a text gives: as an Effect, as a function for literals, and in a schema. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import type { AST } from "effect/SchemaAST"

/** Succeeds with what was parsed, or fails with its error. */
export const toEffect = <A, E>(parsed: Either.Either<A, E>): Effect.Effect<A, E> =>
  Either.match(parsed, { onLeft: Effect.fail, onRight: Effect.succeed })

/** Returns what was parsed, or throws its error. */
export const orThrow = <A, E>(parsed: Either.Either<A, E>): A =>
  Either.getOrThrowWith(parsed, identity)

/** Makes the decoding half of a schema from a text, which fails with the message of the error. */
export const decode =
  <A, E extends Error>(parse: (input: string) => Either.Either<A, E>) =>
  (input: string, _: unknown, ast: AST): Effect.Effect<A, ParseResult.ParseIssue> =>
    toEffect(
      Either.mapLeft(parse(input), ({ message }) => new ParseResult.Type(ast, input, message))
    )
