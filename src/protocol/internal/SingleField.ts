/**
 * Header fields that have a single value (RFC 9110 §5.3). Where a message has several lines of one,
 * HTTP clients and proxies join them to a list, which it then is not: a value is taken where all
 * say the same (§8.6), and of others none.
 */
import * as Either from "effect/Either"

/** Fields by their names in lower case, the lines of one joined by commas. */
export type Fields = Readonly<Record<string, string | undefined>>

/** Why a message has no value where it needs one. */
export type Problem = "absent" | "blank" | "repeated"

/**
 * The value of a field that says something beside the status and the body, such as `Content-Length`
 * or `Docker-Content-Digest`. `undefined` where it is absent, blank, or repeated with other values.
 */
export const value = (fields: Fields, name: string): string | undefined => {
  const text = fields[name]?.trim() ?? ""
  if (!text.includes(",")) return text === "" ? undefined : text
  const [first = "", ...others] = elements(text)
  return first !== "" && others.every((other) => other === first) ? first : undefined
}

/** The value of a field that the message means nothing without: there once, and not blank. */
export const required = (fields: Fields, name: string): Either.Either<string, Problem> =>
  once(fields, name, (text) => text.includes(","))

/**
 * The same of a field that is a URI reference, such as `Location`. That may hold commas, and no
 * white space (RFC 9110 §10.2.2): what was joined has white space after a comma, another URL, or
 * the same text twice. White space elsewhere is for the reader of the URL to judge.
 */
export const requiredReference = (fields: Fields, name: string): Either.Either<string, Problem> =>
  once(fields, name, (text) => /,\s|,[a-z][a-z0-9+.-]*:\/\//i.test(text) || isDoubled(text))

const isDoubled = (text: string): boolean => {
  const middle = (text.length - 1) / 2
  return text.charAt(middle) === "," && text.slice(0, middle) === text.slice(middle + 1)
}

const once = (
  fields: Fields,
  name: string,
  isRepeated: (text: string) => boolean
): Either.Either<string, Problem> => {
  const text = fields[name]?.trim()
  if (text === undefined) return Either.left("absent")
  if (text === "") return Either.left("blank")
  return isRepeated(text) ? Either.left("repeated") : Either.right(text)
}

/** Split at commas, except within quotes and after the day of a date (§5.6.7). */
const elements = (text: string): ReadonlyArray<string> =>
  (
    text.match(
      /(?:"(?:[^"\\]|\\.)*"?|(?:^|(?<=,))\s*(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,|[^",])+/g
    ) ?? []
  ).map((element) => element.trim())
