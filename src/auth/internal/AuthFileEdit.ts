/**
 * Entries of an authentication file set and removed in its text. Whatever else stands there is kept
 * as it is spelled: members that nobody here knows, their order, and numbers that no `Number` has.
 * `JSON.parse` and `JSON.stringify` keep none of these.
 */
import { isNamed } from "./Members.js"

/** Whether the key of an entry is one of those that are meant. */
export type Selection = (key: string) => boolean

/**
 * Returns the text of a file with one entry, `login` under `key`, in place of all that are
 * selected. It stands where the last of these stood, and keeps the members of that one that are not
 * of a login. The text is JSON of the form that `AuthFile.parse` reads, or empty.
 */
export const withEntry = (
  text: string,
  selected: Selection,
  key: string,
  login: Readonly<Record<string, string>>
): string => {
  const layout = layoutOf(text)
  const document = membersOf(text)
  const entries = entriesOf(document)
  const former =
    entries.findLast(({ name }) => name === key) ?? entries.findLast(({ name }) => selected(name))
  const kept = former === undefined ? [] : membersOf(former.value).filter(isNoLogin)
  const added = Object.entries(login).map(([name, value]) => member(name, JSON.stringify(value)))
  const entry = member(key, written(layout, 2, [...kept, ...added]))
  const others = entries.map((other) => (other === former ? entry : other))
  const next = others.filter((other) => other === entry || !selected(other.name))
  return withEntries(text, former === undefined ? [...next, entry] : next)
}

/**
 * Returns the text of a file without the entries that are selected. `legacy` is the form of
 * `~/.dockercfg`, which is `auths` alone. The text is JSON of that form, or empty.
 */
export const withoutEntries = (text: string, selected: Selection, legacy: boolean): string => {
  const document = membersOf(text)
  const entries = legacy ? document : entriesOf(document)
  const left = entries.filter(({ name }) => !selected(name))
  if (left.length === entries.length) return text
  return legacy ? written(layoutOf(text), 0, left) : withEntries(text, left)
}

/** A member of an object: its name, and its value as it is spelled. */
interface Member {
  readonly name: string
  readonly value: string
}

const member = (name: string, value: string): Member => ({ name, value })

const loginMembers = ["auth", "username", "password", "identitytoken", "registrytoken"]

const isNoLogin = ({ name }: Member): boolean => !loginMembers.some((login) => isNamed(name, login))

const isAuths = ({ name }: Member): boolean => isNamed(name, "auths")

/** The entries of all `auths`: of several, in whatever case, Go programs read all. */
const entriesOf = (document: ReadonlyArray<Member>): ReadonlyArray<Member> =>
  document.filter(isAuths).flatMap(({ value }) => membersOf(value))

/** The document with one `auths`, where the first was or at the end. */
const withEntries = (text: string, entries: ReadonlyArray<Member>): string => {
  const layout = layoutOf(text)
  const document = membersOf(text)
  const former = document.find(isAuths)
  const auths = member(former?.name ?? "auths", written(layout, 1, entries))
  const members = document.flatMap((other) =>
    other === former ? [auths] : isAuths(other) ? [] : [other]
  )
  return written(layout, 0, former === undefined ? [...members, auths] : members)
}

// -----------------------------------------------------------------------------
// The text
// -----------------------------------------------------------------------------

/** How a text is laid out: on one line, or on lines that `unit` indents. As Docker's by default. */
interface Layout {
  readonly newline: string
  readonly unit: string
  readonly end: string
}

const layoutOf = (text: string): Layout => {
  if (text.trim() === "") return { newline: "\n", unit: "\t", end: "" }
  const [newline = ""] = /\r?\n/.exec(text.trim()) ?? []
  const [, unit = "\t"] = /^\s*\{[ \t]*\r?\n([ \t]+)"/.exec(text) ?? []
  return { newline, unit, end: text.slice(text.trimEnd().length) }
}

/** An object at a depth of the document, 0 for the document itself. */
const written = (
  { end, newline, unit }: Layout,
  depth: number,
  members: ReadonlyArray<Member>
): string => {
  const after = depth === 0 ? end : ""
  if (members.length === 0) return `{}${after}`
  const lineAt = (depth: number) => (newline === "" ? "" : newline + unit.repeat(depth))
  const colon = newline === "" ? ":" : ": "
  const lines = members.map(
    ({ name, value }) => `${lineAt(depth + 1)}${JSON.stringify(name)}${colon}${value}`
  )
  return `{${lines.join(",")}${lineAt(depth)}}${after}`
}

/** The members of an object in their order, none of `null` or of no text. The text is JSON. */
const membersOf = (text: string): ReadonlyArray<Member> => {
  const members: Array<Member> = []
  if (!text.trimStart().startsWith("{")) return members
  let at = text.indexOf("{") + 1
  for (;;) {
    const key = text.indexOf('"', at)
    if (key === -1) return members
    const colon = text.indexOf(":", endOfString(text, key))
    const end = endOfValue(text, colon + 1)
    const name = String(JSON.parse(text.slice(key, endOfString(text, key))))
    members.push(member(name, text.slice(colon + 1, end).trim()))
    at = end + 1
  }
}

/** Where the comma or the bracket stands that ends the value after `start`. */
const endOfValue = (text: string, start: number): number => {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '"') at = endOfString(text, at) - 1
    else if (depth === 0 && /[,}\]]/.test(character)) return at
    else if (/[{[]/.test(character)) depth++
    else if (/[}\]]/.test(character)) depth--
  }
  return text.length
}

const endOfString = (text: string, start: number): number => {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1
  return at + 1
}
