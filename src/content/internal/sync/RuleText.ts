/** Rules as text, in JSON or YAML. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "../../../spec/internal/SchemaIssue.js"
import { plain } from "../../../spec/internal/ServerText.js"
import { InvalidRules, type Rules, RulesSchema } from "./Rules.js"

/** The most characters of a text: no more than rules for ten thousand repositories. */
const longest = 1024 * 1024

/**
 * Reads rules. What is not known is an error: a filter that is written wrong would choose too much
 * (CP27).
 */
export const parse = (text: string): Effect.Effect<Rules, InvalidRules> =>
  Effect.gen(function* () {
    if (text.length > longest)
      return yield* invalid("", `has more than the ${longest} characters of rules`)
    const document = yield* /^\s*\{/.test(text) ? json(text) : yaml(text)
    return yield* Effect.mapError(decode(document), ({ issue }) => {
      const { message, place } = SchemaIssue.first(issue)
      return new InvalidRules({ path: place, message })
    })
  })

const decode = Schema.decodeUnknown(RulesSchema, { onExcessProperty: "error" })

/** In YAML as well, what JSON is not may be. */
const json = (text: string): Effect.Effect<unknown, InvalidRules> =>
  Effect.catchAll(
    Effect.try((): unknown => JSON.parse(text)),
    () => yaml(text)
  )

/** The package is an optional peer: only who writes YAML needs it. */
const yaml = (text: string): Effect.Effect<unknown, InvalidRules> =>
  Effect.gen(function* () {
    const { parse } = yield* Effect.tryPromise({
      try: () => import("yaml"),
      catch: () =>
        invalid(
          "",
          "is not JSON, and the package yaml that reads YAML is not installed: run npm install yaml"
        )
    })
    return yield* Effect.try({
      try: (): unknown => parse(text, { maxAliasCount: 100 }),
      catch: (cause) =>
        invalid("", `is not YAML: ${plain(cause instanceof Error ? cause.message : "", 256)}`)
    })
  })

const invalid = (path: string, message: string) => new InvalidRules({ path, message })
