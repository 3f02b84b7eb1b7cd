/** Titles of files, which are the paths under which they are unpacked. */
import * as Option from "effect/Option"

/**
 * Returns the path that a title stands for, if it stays below the folder it is joined to on every
 * system (T11): it has no root, drive, `..`, backslash or control character, no part that is a
 * device on Windows, or another name there, and none that is longer than names of files are.
 */
export const pathOf = (title: string): Option.Option<string> => {
  const parts = title.split("/").filter((part, n) => n === 0 || (part !== "" && part !== "."))
  const [first, ...rest] = parts
  const path = (first === "." ? rest : parts).join("/")
  return bytesOf(path) <= maxPath && path.split("/").every(isName)
    ? Option.some(path)
    : Option.none()
}

/** The longest name that file systems have, in bytes. */
const maxName = 255

/** The longest path: systems have 4096 bytes, or 1024, with that of the folder. */
const maxPath = 768

const bytesOf = (text: string): number => new TextEncoder().encode(text).length

/** What is no text, half of a surrogate pair, is another name on disk. */
const isName = (part: string): boolean =>
  part !== "" &&
  !/[\\:\p{Cc}\p{Cs}]|[. ]$/u.test(part) &&
  !device.test(part) &&
  bytesOf(part) <= maxName

const device = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i

/** Whether a title stands for the folder itself that files are unpacked to. */
export const isRoot = (title: string): boolean => /^\.\/*$/.test(title)

/** The folders that a path is in, the outermost first. */
export const foldersOf = (path: string): ReadonlyArray<string> => {
  const parts = path.split("/").slice(0, -1)
  return parts.map((_, n) => parts.slice(0, n + 1).join("/"))
}
