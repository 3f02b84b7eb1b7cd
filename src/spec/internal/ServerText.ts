/** Texts of servers, made fit for messages, fields of errors, logs and spans. */

/**
 * Returns at most `limit` characters of a text: each run of control characters and line separators
 * becomes one space, bidirectional controls and unpaired surrogates are left out, and white space
 * around the rest is trimmed.
 */
export const plain = (text: string, limit: number): string =>
  text
    .slice(0, limit)
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/[\p{Bidi_Control}\p{Cs}]/gu, "")
    .trim()

/** Returns a text in double quotes, for messages, as `plain` makes it fit for them. */
export const quoted = (text: string, limit = 128): string => JSON.stringify(plain(text, limit))

/**
 * Returns the first `limit` characters of a text in double quotes, for messages about a text that
 * is not what it should be: what `plain` leaves out is escaped, so that a reader sees it.
 */
export const escaped = (text: string, limit = 128): string =>
  JSON.stringify(text.slice(0, limit)).replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
