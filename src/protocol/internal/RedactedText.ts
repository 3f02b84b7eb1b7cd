/**
 * Texts of servers without the secrets that were sent to them: careless servers repeat what they
 * get, in their own spelling (T13).
 */
import { identity } from "effect/Function"

/** Replaces secrets in a text by `REDACTED`. */
export type Redact = (text: string) => string

/** Secrets of fewer characters stand everywhere, and are not searched for. */
const shortest = 4

/**
 * Returns a function that replaces the secrets in texts: as they are, in any case, percent-encoded,
 * and as they are written in JSON, HTML, XML and forms.
 */
export const redactor = (secrets: Iterable<string>): Redact => {
  const searched = Array.from(new Set(secrets), (secret) =>
    secret.length < shortest ? "" : canonical(secret).text
  ).filter((secret) => secret.length >= shortest)
  return searched.length === 0 ? identity : (text) => redacted(text, searched)
}

const redacted = (text: string, secrets: ReadonlyArray<string>): string => {
  const { ends, starts, text: searched } = canonical(text)
  const hidden: Array<readonly [start: number, end: number]> = []
  for (const secret of secrets)
    for (let at = searched.indexOf(secret); at !== -1; at = searched.indexOf(secret, at + 1))
      hidden.push([starts[at] ?? 0, ends[at + secret.length - 1] ?? text.length])
  if (hidden.length === 0) return text
  let shown = ""
  let next = 0
  for (const [start, end] of hidden.toSorted(([a], [b]) => a - b)) {
    if (start >= next) shown += `${text.slice(next, start)}REDACTED`
    next = Math.max(next, end)
  }
  return shown + text.slice(next)
}

/**
 * A text in a spelling that all its spellings have in common: its bytes in UTF-8, one character for
 * each, in lower case and without backslashes. `starts` and `ends` say where in the text each of them stands.
 */
interface Canonical {
  readonly text: string
  readonly starts: ReadonlyArray<number>
  readonly ends: ReadonlyArray<number>
}

const canonical = (text: string): Canonical => {
  let bytes = ""
  const starts: Array<number> = []
  const ends: Array<number> = []
  for (const found of text.matchAll(spelled)) {
    const [written] = found
    for (const byte of bytesOf(found)) {
      // JSON doubles them, and others of their kind.
      if (byte === "\\") continue
      // A form writes spaces so.
      bytes += byte === "+" ? " " : byte
      starts.push(found.index)
      ends.push(found.index + written.length)
    }
  }
  return { text: bytes.replace(/[A-Z]/g, (letter) => letter.toLowerCase()), starts, ends }
}

/**
 * One character in any spelling, encoded once or more often: percent-encoded, a reference of HTML or
 * XML, an escape of JSON; or as it is, less the backslashes before it.
 */
const spelled = new RegExp(
  [
    "%(?:25)*([0-9a-f]{2})",
    "&(?:amp;)*(?:(lt|gt|quot|apos|amp)|#0{0,8}([0-9]{1,7})|#x0{0,8}([0-9a-f]{1,6}));",
    "\\\\+u(d[89ab][0-9a-f]{2})\\\\+u(d[c-f][0-9a-f]{2})",
    "\\\\+u([0-9a-f]{4})",
    "\\\\*([^\\\\])",
    "\\\\+"
  ].join("|"),
  "giu"
)

const bytesOf = ([
  ,
  percent,
  entity,
  decimal,
  hexadecimal,
  high,
  low,
  escaped,
  plain
]: ReadonlyArray<string | undefined>): string => {
  if (percent !== undefined) return String.fromCharCode(Number.parseInt(percent, 16))
  if (high !== undefined && low !== undefined)
    return utf8(String.fromCharCode(Number.parseInt(high, 16), Number.parseInt(low, 16)))
  const code = parse(decimal, 10) ?? parse(hexadecimal ?? escaped, 16)
  if (code !== undefined) return utf8(code <= 0x10ffff ? String.fromCodePoint(code) : "\uFFFD")
  return utf8(entities.get(entity?.toLowerCase() ?? "") ?? plain ?? "")
}

const entities = new Map([
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["amp", "&"]
])

const parse = (digits: string | undefined, radix: number): number | undefined =>
  digits === undefined ? undefined : Number.parseInt(digits, radix)

const utf8 = (text: string): string =>
  // The one character of nearly every call.
  text.length === 1 && text < "\x80" ? text : String.fromCharCode(...new TextEncoder().encode(text))
