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
  const hidden: Array<[start: number, end: number]> = []
  for (const secret of secrets) {
    let last: [start: number, end: number] | undefined
    for (let at = searched.indexOf(secret); at !== -1; at = searched.indexOf(secret, at + 1)) {
      const start = starts[at] ?? 0
      const end = ends[at + secret.length - 1] ?? text.length
      // A match that begins within the one before it lengthens it.
      if (last !== undefined && start < last[1]) last[1] = Math.max(last[1], end)
      else {
        last = [start, end]
        hidden.push(last)
      }
    }
  }
  for (const cut of cutsOf(searched)) {
    const at = secrets.map((secret) => beginning(searched, cut, secret)).find((at) => at >= 0)
    if (at !== undefined) hidden.push([starts[at] ?? 0, ends[cut - 1] ?? text.length])
  }
  if (hidden.length === 0) return text
  let shown = ""
  let next = 0
  for (const [start, end] of hidden.toSorted(([a], [b]) => a - b)) {
    if (start >= next) shown += `${text.slice(next, start)}REDACTED`
    next = Math.max(next, end)
  }
  return shown + text.slice(next)
}

/** So many characters at the beginning of a secret are searched for where a text was cut. */
const shortestBeginning = 8

/** In a text, so many places are looked at where it may have been cut. */
const maxCuts = 64

/**
 * Where a text may have been cut, by a limit, the end of a connection or a separator: its end, and
 * the ends of what is quoted in it.
 */
const cutsOf = (text: string): ReadonlyArray<number> => {
  const cuts = [text.length]
  for (
    let at = text.indexOf('"');
    at !== -1 && cuts.length < maxCuts;
    at = text.indexOf('"', at + 1)
  )
    cuts.push(at)
  return cuts
}

/** Where before a cut the beginning of a secret stands, whose rest was cut off; -1 if nowhere. */
const beginning = (text: string, cut: number, secret: string): number => {
  const first = Math.max(0, cut - secret.length + 1)
  const start = secret.slice(0, shortestBeginning)
  // The search is bounded for texts that repeat themselves.
  let at = text.indexOf(start, first)
  for (let tries = 0; tries < 16 && at !== -1 && at + start.length <= cut; tries++) {
    if (secret.startsWith(text.slice(at, cut))) return at
    at = text.indexOf(start, at + 1)
  }
  return -1
}

/**
 * A text in a spelling that all its spellings have in common: its bytes in UTF-8, one character for
 * each, decoded, in lower case and without backslashes. `starts` and `ends` say where in the text
 * each of them stands.
 */
interface Canonical {
  readonly text: string
  readonly starts: ReadonlyArray<number>
  readonly ends: ReadonlyArray<number>
}

/** What was encoded more often, in whatever ways, is not a mistake of a server any more. */
const maxDecodings = 4

const canonical = (text: string): Canonical => {
  let decoded = inUtf8(text)
  for (let count = 0; count < maxDecodings; count++) {
    const next = replaced(decoded, encoded, bytesOf)
    if (next === decoded) break
    decoded = next
  }
  // JSON doubles backslashes, and others of their kind; a form writes spaces as plus signs.
  const plain = replaced(decoded, /\\+([^\\]?)|\+/g, ([found, after = ""]) =>
    found === "+" || after === "+" ? " " : after
  )
  return { ...plain, text: plain.text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) }
}

/** The bytes of a text; without a search, which costs more than what it finds. */
const inUtf8 = (text: string): Canonical => {
  let bytes = ""
  const starts: Array<number> = []
  const ends: Array<number> = []
  let at = 0
  for (const character of text) {
    const encoded = character < "\x80" ? character : utf8(character)
    bytes += encoded
    for (let count = 0; count < encoded.length; count++) {
      starts.push(at)
      ends.push(at + character.length)
    }
    at += character.length
  }
  return { text: bytes, starts, ends }
}

/** The text with all that is found replaced, and the same if nothing is. */
const replaced = (
  from: Canonical,
  what: RegExp,
  by: (found: ReadonlyArray<string | undefined>) => string
): Canonical => {
  let text = ""
  let next = 0
  const starts: Array<number> = []
  const ends: Array<number> = []
  const keep = (end: number) => {
    text += from.text.slice(next, end)
    for (let at = next; at < end; at++) {
      starts.push(from.starts[at] ?? 0)
      ends.push(from.ends[at] ?? 0)
    }
  }
  for (const found of from.text.matchAll(what)) {
    keep(found.index)
    next = found.index + found[0].length
    const instead = by(found)
    text += instead
    for (let count = 0; count < instead.length; count++) {
      starts.push(from.starts[found.index] ?? 0)
      ends.push(from.ends[next - 1] ?? 0)
    }
  }
  if (next === 0) return from
  keep(from.text.length)
  return { text, starts, ends }
}

/** One character percent-encoded, as a reference of HTML or XML, or as an escape of JSON. */
const encoded = new RegExp(
  [
    "%(?:25)*([0-9a-f]{2})",
    "&(?:(lt|gt|quot|apos|amp)|#0{0,8}([0-9]{1,7})|#x0{0,8}([0-9a-f]{1,6}));",
    "\\\\{1,8}u(d[89ab][0-9a-f]{2})\\\\{1,8}u(d[c-f][0-9a-f]{2})",
    "\\\\{1,8}u([0-9a-f]{4})"
  ].join("|"),
  "gi"
)

const bytesOf = ([, percent, entity, decimal, hexadecimal, high, low, escaped]: ReadonlyArray<
  string | undefined
>): string => {
  if (percent !== undefined) return String.fromCharCode(Number.parseInt(percent, 16))
  if (high !== undefined && low !== undefined)
    return utf8(String.fromCharCode(Number.parseInt(high, 16), Number.parseInt(low, 16)))
  const code = parse(decimal, 10) ?? parse(hexadecimal ?? escaped, 16)
  if (code !== undefined) return utf8(code <= 0x10ffff ? String.fromCodePoint(code) : "\uFFFD")
  return entities.get(entity?.toLowerCase() ?? "") ?? ""
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

/**
 * The bytes of a text in UTF-8, one character for each. By hand: an encoder costs ten times as much
 * for a single character, and a text of a server may hold thousands.
 */
const utf8 = (text: string): string => {
  let bytes = ""
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    // Half a surrogate pair becomes the replacement character, as everywhere.
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point
    if (code < 0x80) bytes += String.fromCharCode(code)
    else if (code < 0x800) bytes += String.fromCharCode(0xc0 | (code >> 6), tail(code))
    else if (code < 0x10000)
      bytes += String.fromCharCode(0xe0 | (code >> 12), tail(code >> 6), tail(code))
    else
      bytes += String.fromCharCode(
        0xf0 | (code >> 18),
        tail(code >> 12),
        tail(code >> 6),
        tail(code)
      )
  }
  return bytes
}

const tail = (bits: number): number => 0x80 | (bits & 0x3f)
