/** What programs are told by text, such as rules: in JSON or YAML. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "../../spec/internal/SchemaIssue.js"
import { plain, quoted } from "../../spec/internal/ServerText.js"

/** The most characters of a text: no more than rules for ten thousand repositories. */
const longest = 1024 * 1024

/**
 * Reads a text. What is not known is an error: a filter that is written wrong would choose too much
 * (CP27). Fails with the place that is wrong, which is empty for the text itself.
 */
export const parse = <A, I>(
  text: string,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, SchemaIssue.Described> =>
  Effect.gen(function* () {
    if (text.length > longest)
      return yield* Effect.fail(misfit(`has more than the ${longest} characters of rules`))
    if (text.trim() === "") return yield* Effect.fail(misfit("is empty"))
    const document = yield* /^\s*\{/.test(text) ? json(text) : yaml(text)
    const decode = Schema.decodeUnknown(schema, { onExcessProperty: "error" })
    return yield* Effect.mapError(decode(document), ({ issue }) =>
      SchemaIssue.first(issue, "", wordsOf)
    )
  })

/** In YAML as well, what JSON is not may be. */
const json = (text: string): Effect.Effect<unknown, SchemaIssue.Described> =>
  Effect.flatMap(
    Effect.option(Effect.try((): unknown => JSON.parse(text))),
    Option.match({
      onNone: () => yaml(text),
      onSome: (document) => {
        const name = repeatedName(text)
        return name === undefined
          ? Effect.succeed(document)
          : Effect.fail(misfit(`has ${quoted(name, 64)} twice in one object, of which one is lost`))
      }
    })
  )

/** Returns a name that an object has twice in a text of JSON, as YAML does not let it (CP27). */
const repeatedName = (text: string): string | undefined => {
  const objects: Array<Set<string> | undefined> = []
  for (const [token, name] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === "{" || token === "[") objects.push(token === "{" ? new Set() : undefined)
    else if (token === "}" || token === "]") objects.pop()
    else if (name !== undefined) {
      const names = objects.at(-1)
      const read = String(JSON.parse(name))
      if (names?.has(read)) return read
      names?.add(read)
    }
  }
  return undefined
}

/** The package is an optional peer: only who writes YAML needs it. */
const yaml = (text: string): Effect.Effect<unknown, SchemaIssue.Described> =>
  Effect.gen(function* () {
    const { parse } = yield* Effect.tryPromise({
      try: () => import("yaml"),
      catch: () =>
        misfit(
          "is not JSON, and the package yaml that reads YAML is not installed: run npm install yaml"
        )
    })
    if (isDeep(text)) return yield* Effect.fail(misfit("has too much in each other"))
    return yield* Effect.try({
      // Merge keys are not of YAML 1.2, but are what people write. Nothing is printed.
      try: (): unknown => parse(text, { maxAliasCount: 100, merge: true, logLevel: "error" }),
      catch: (cause) =>
        misfit(`is not YAML: ${plain(cause instanceof Error ? cause.message : "", 256)}`)
    })
  })

/**
 * Whether more is in each other than data has that is meant. The parser goes through it by
 * recursion, and a regular expression compiled at the end of the stack ends the process.
 */
const isDeep = (text: string): boolean => {
  let depth = 0
  for (let n = 0; n < text.length && depth <= deepest; n++)
    if (text[n] === "[" || text[n] === "{") depth++
    else if (depth > 0 && (text[n] === "]" || text[n] === "}")) depth--
  return depth > deepest || /(?:[-?] +){64}|^ {200}/m.test(text)
}

const deepest = 64

/** Says what is wrong with a value to whoever has written it. */
const wordsOf = (unfit: SchemaIssue.Unfit): string => {
  const { actual, ast } = unfit
  if ("issue" in unfit && unfit.issue._tag === "Type") return wordsOf(unfit.issue)
  if ("message" in unfit && unfit.message !== undefined) return unfit.message
  const expected = `expected ${SchemaIssue.nameOf(ast)}`
  const fields = SchemaIssue.fieldsOf(ast)
  if (fields !== "") return `${expected} with ${fields}`
  // YAML takes them for that.
  const isUnquoted = typeof actual === "number" || typeof actual === "boolean"
  return SchemaAST.isStringKeyword(ast) && isUnquoted
    ? `${expected}, and ${actual} is a ${typeof actual}: put it into quotes`
    : expected
}

const misfit = (problem: string): SchemaIssue.Described => ({
  place: "",
  problem,
  message: problem
})
