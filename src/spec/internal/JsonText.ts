/** JSON of strangers, judged before it is parsed: a parser makes far more of it than its bytes. */
import * as Either from "effect/Either"

/** The most levels of lists and objects that a document may have, one within the other. */
export const maxDepth = 256

/** The most brackets, commas and colons that a document may have. */
export const maxTokens = 500_000

/**
 * Parses a document. Fails with what is wrong, to be said of the document: that it is not JSON, or
 * that it would take too long and too much memory to parse (T6), which one pass over the text finds
 * out.
 */
export const parse = (text: string): Either.Either<unknown, string> => {
  const problem = excess(text)
  return problem === undefined
    ? Either.try({ try: (): unknown => JSON.parse(text), catch: () => "is not a JSON document" })
    : Either.left(problem)
}

/** Parses the document in some bytes, with or without a byte order mark, as `parse` does. */
export const parseBytes = (bytes: Uint8Array): Either.Either<unknown, string> =>
  parse(new TextDecoder().decode(bytes))

/** A JSON object. */
export interface Document {
  readonly [name: string]: unknown
}

/** Parses the object in some bytes, as `parseBytes` does. */
export const parseObject = (bytes: Uint8Array): Either.Either<Document, string> =>
  Either.filterOrLeft(
    parseBytes(bytes),
    (value): value is Document =>
      typeof value === "object" && value !== null && !Array.isArray(value),
    () => "is not a JSON object"
  )

const excess = (text: string): string | undefined => {
  let depth = 0
  let tokens = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at)
        break
      case 0x5b: // [
      case 0x7b: // {
        tokens++
        if (++depth > maxDepth) return `nests deeper than ${maxDepth} levels`
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth--
        break
      case 0x2c: // ,
      case 0x3a: // :
        tokens++
    }
    if (tokens > maxTokens) return `has more than ${maxTokens} brackets, commas and colons`
  }
  return undefined
}

/** Returns where the string that begins at a quote ends: the text's end, if it does not. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slash = end
    while (text.charCodeAt(slash - 1) === 0x5c) slash--
    if ((end - slash) % 2 === 0) return end
  }
  return text.length
}
