/** What a document lacks of what its schema expects, in a few words. */
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as AST from "effect/SchemaAST"
import * as ServerText from "./ServerText.js"

/**
 * The first place of a document that does not fit, such as `layers[0].digest` (empty for the
 * document itself), and what is wrong there, as a `message` with the place.
 */
export interface Misfit {
  readonly place: string
  readonly message: string
}

/** A place that does not fit, with what is wrong there besides, without the place. */
export interface Described extends Misfit {
  readonly problem: string
}

/** A value that does not fit, where a schema says no more of it, or is a choice of texts. */
export type Unfit = Exclude<
  ParseResult.ParseIssue,
  ParseResult.Pointer | ParseResult.Missing | ParseResult.Unexpected
>

/**
 * Returns the first place that does not fit, and what is wrong there as `wordsOf` says it. The
 * stock formatter would print the offending value: as large as the document, and recursively, which
 * a deeply nested one turns into a stack overflow (T21).
 */
export const first = (
  issue: ParseResult.ParseIssue,
  path = "",
  wordsOf: (unfit: Unfit) => string = ({ ast }) => `expected ${nameOf(ast)}`,
  parent?: AST.AST
): Described => {
  switch (issue._tag) {
    case "Pointer": {
      const keys = typeof issue.path === "object" ? issue.path : [issue.path]
      return first(issue.issue, path + keys.map(step).join(""), wordsOf, parent)
    }
    case "Composite":
      if (isChoice(issue.ast)) break
      return first(
        "_tag" in issue.issues ? issue.issues : issue.issues[0],
        path,
        wordsOf,
        issue.ast
      )
    case "Refinement":
    case "Transformation":
      if (issue.issue._tag !== "Type") return first(issue.issue, path, wordsOf)
  }
  const place = path.replace(/^\./, "").slice(0, 128)
  if (issue._tag === "Missing")
    return { place, problem: "is missing", message: `${place} is missing` }
  const known = parent === undefined ? "" : fieldsOf(parent)
  const problem =
    "ast" in issue ? wordsOf(issue) : `expected no such field${known && `, but ${known}`}`
  return { place, problem, message: place === "" ? problem : `${place}: ${problem}` }
}

/** What people call what a schema expects: its identifier and its type are for programmers. */
export const nameOf = (ast: AST.AST): string =>
  Option.getOrElse(AST.getDescriptionAnnotation(ast), () => {
    if (AST.isTransformation(ast)) return nameOf(ast.from)
    if (isChoice(ast)) return listOf(ast.types.filter(AST.isLiteral).map(String))
    return AST.isTupleType(ast) ? "a list" : AST.isTypeLiteral(ast) ? "an object" : String(ast)
  })

/** Whether a value is one of several texts, or nothing. */
const isChoice = (ast: AST.AST): ast is AST.Union =>
  AST.isUnion(ast) && ast.types.filter(AST.isLiteral).length > 1

/** Returns the names of the fields of an object, as in `a, b or c`. */
export const fieldsOf = (ast: AST.AST): string =>
  AST.isTypeLiteral(ast) ? listOf(ast.propertySignatures.map(({ name }) => String(name))) : ""

const listOf = (names: ReadonlyArray<string>): string =>
  [names.slice(0, -1).join(", "), ...names.slice(-1)].filter(Boolean).join(" or ")

const step = (key: PropertyKey): string => {
  if (typeof key === "number") return `[${key}]`
  const name = String(key)
  return /^_?[a-z]+(_[a-z]+)*$/i.test(name) ? `.${name}` : `[${ServerText.quoted(name, 64)}]`
}
