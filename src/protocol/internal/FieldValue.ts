/**
 * The pieces that header field values are made of (RFC 9110 section 5.6): tokens, quoted strings,
 * white space. Readers take a position and never move backwards, so parsers built from them run in
 * linear time.
 */

/**
 * Field values longer than this, in characters, are not read at all (T6): a part of a list could
 * mean something else than the whole.
 */
export const maxLength = 16_384

/**
 * What was read, and the position after it, which is at or beyond the end of the input when all is
 * read.
 */
export interface Read {
  readonly value: string
  readonly next: number
}

/** Returns the position of the first character from `start` on that `matches` does not accept. */
export const skip = (
  input: string,
  start: number,
  matches: (character: string) => boolean
): number => {
  let at = start
  while (at < input.length && matches(input.charAt(at))) at++
  return at
}

/** Returns whether a character is optional white space: space or tab. */
export const isSpace = (character: string): boolean => character === " " || character === "\t"

/**
 * Returns whether a character may stand between two elements of a list: white space and commas,
 * since empty elements are legal.
 */
export const isSeparator = (character: string): boolean => character === "," || isSpace(character)

/**
 * Returns whether the text holds a control character (U+0000 to U+001F, U+007F to U+009F), tab
 * included. Values with one are not used (T12).
 */
export const hasControl = (text: string): boolean => /\p{Cc}/u.test(text)

/** Reads the longest run of token characters, which may be empty. */
export const token = (input: string, start: number): Read => {
  const next = skip(input, start, isTokenCharacter)
  return { value: input.slice(start, next), next }
}

/**
 * Reads a parameter value: a quoted string with its escapes resolved, or else everything up to a
 * character of `end` (zot sends URLs unquoted). An unterminated quoted string extends to the end of
 * the input.
 */
export const value = (input: string, start: number, end: string): Read => {
  if (input.charAt(start) !== '"') {
    const next = skip(input, start, (character) => !end.includes(character))
    return { value: input.slice(start, next), next }
  }
  let text = ""
  let at = start + 1
  while (at < input.length && input.charAt(at) !== '"') {
    if (input.charAt(at) === "\\") at++
    text += input.charAt(at)
    at++
  }
  return { value: text, next: at + 1 }
}

/**
 * Returns the text as a quoted string, for sending. Characters that a field value cannot carry (all
 * but printable ASCII) are left out (T12).
 */
export const quote = (text: string): string =>
  `"${text.replace(/[^ -~]/g, "").replace(/["\\]/g, "\\$&")}"`

const isTokenCharacter = (character: string): boolean =>
  /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character)
