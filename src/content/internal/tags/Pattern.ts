/**
 * Patterns of tags. They are about whole names (CP27), and one that comes as data costs time in
 * proportion to its length and that of the name, whatever it is.
 */
import * as Either from "effect/Either"
import { escaped } from "../../../spec/internal/ServerText.js"

/** What a name of one tag must be. */
export type Test = (name: string) => boolean

/** What is accepted at one place of a name: any run of characters, or one of some. */
type Token = "run" | ((character: string) => boolean)

/** No pattern needs more: a tag has at most 128 characters (C12). */
const maxLength = 256

/**
 * Compiles a pattern: a text with `*`, `?` and sets such as `[0-9]`, or a regular expression. Fails
 * with what is wrong with it.
 */
export const compile = (pattern: string | RegExp): Either.Either<Test, string> => {
  if (typeof pattern === "string") return Either.map(tokensOf(pattern), (all) => matcher(all))
  return Either.right(regularExpression(pattern))
}

/** Compiles a pattern of names that can be any text: only `*` and `?` stand for more in one. */
export const ofNames = (pattern: string | RegExp): Test =>
  typeof pattern === "string" ? matcher(pattern.split("").map(tokenOf)) : regularExpression(pattern)

const regularExpression = ({ flags, source }: RegExp): Test => {
  const whole = new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, ""))
  return (name) => whole.test(name)
}

const tokenOf = (character: string): Token =>
  character === "*" ? "run" : (other) => character === "?" || other === character

const tokensOf = (pattern: string): Either.Either<ReadonlyArray<Token>, string> => {
  if (pattern.length > maxLength)
    return Either.left(`has more than the ${maxLength} characters of a pattern`)
  const tokens: Array<Token> = []
  let at = 0
  while (at < pattern.length) {
    const character = pattern.charAt(at)
    if (character === "[") {
      const end = pattern.indexOf("]", at + 2)
      const set = setOf(pattern.slice(at + 1, Math.max(end, at)))
      if (set === undefined) return Either.left(`has a set that is not one: ${example}`)
      tokens.push(set)
      at = end + 1
      continue
    }
    if (!/[a-zA-Z0-9._*?-]/.test(character))
      return Either.left(`has a character that tags do not have, ${escaped(character)}: ${example}`)
    tokens.push(tokenOf(character))
    at++
  }
  return Either.right(tokens)
}

const example = 'patterns are written like "v1.*", "build-????" or "nightly-[0-9]*"'

/** The set between brackets: nothing where there is none. */
const setOf = (text: string): Exclude<Token, "run"> | undefined => {
  const [, not, members = ""] = /^([!^]?)((?:[\w.](?:-[\w.])?|-)+)$/.exec(text) ?? []
  if (members === "") return undefined
  const ranges = [...members.matchAll(/(.)(?:-(.))?/g)].map(
    ([, first = "", last = first]) => [first, last] as const
  )
  return (character) =>
    ranges.some(([first, last]) => first <= character && character <= last) === (not === "")
}

/** After a mismatch only the last run can help, by one character more: so each costs little. */
const matcher =
  (tokens: ReadonlyArray<Token>): Test =>
  (name) => {
    let at = 0
    let next = 0
    let run: { readonly next: number; at: number } | undefined
    while (at < name.length) {
      const token = tokens[next]
      if (token === "run") {
        next++
        run = { next, at }
      } else if (token?.(name.charAt(at)) === true) {
        next++
        at++
      } else if (run !== undefined) {
        run.at++
        at = run.at
        next = run.next
      } else return false
    }
    return tokens.slice(next).every((token) => token === "run")
  }
