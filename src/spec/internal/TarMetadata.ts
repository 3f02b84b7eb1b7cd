/** What an entry of a tar archive is: of its header, and of the extended headers before it. */
import type * as PaxRecords from "./PaxRecords.js"
import type { Entry, EntryType, Problem } from "./TarEntry.js"
import type * as TarHeader from "./TarHeader.js"
import * as TarPath from "./TarPath.js"

/** What extended headers say of the file after them. */
export interface Extended {
  readonly name?: string
  readonly link?: string
  readonly records?: PaxRecords.Records
}

const types: Readonly<Record<string, EntryType>> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "characterDevice",
  "4": "blockDevice",
  "5": "directory",
  "6": "fifo",
  "7": "file"
}

/** What an entry is, once its extended headers are heeded. */
export const entryOf = (
  header: TarHeader.Header,
  extended: Extended,
  globals: PaxRecords.Records
): Entry | Problem => {
  const isPlain = globals.size === 0 && extended.records === undefined
  const records = isPlain ? none : new Map([...globals, ...(extended.records ?? [])])
  const text = (keyword: string): string | undefined => {
    const value = records.get(keyword)
    // An empty value stands for none (pax, "Extended Header").
    return value === undefined || value.length === 0 ? undefined : TarPath.decode(value)
  }
  const name = text("path") ?? extended.name ?? header.name
  const refused = (reason: Problem["reason"], problem: string) => ({ reason, problem, path: name })
  if (header.type === "S" || [...records.keys()].some((keyword) => keyword.startsWith(sparse)))
    return refused("Unsupported", "is a sparse file of GNU tar, which is not read")
  const known = types[header.type]
  if (known === undefined)
    return refused("Unsupported", `is of the unknown type ${JSON.stringify(header.type)}`)
  const type = known === "file" && name.endsWith("/") ? "directory" : known
  const resolved = TarPath.resolve(name)
  if ("problem" in resolved) return refused("Path", resolved.problem)

  const numbers = numbersOf(header, text)
  if (typeof numbers === "string") return refused("Archive", `has a ${numbers} that is not one`)
  const { gid, mtime, size, uid } = numbers
  // GNU tar skips the content of what is no file, and Go has none; for a hard link both have none.
  if (type !== "file" && size > 0 && !(type === "hardlink" && text("size") === undefined))
    return refused("Archive", `is not a file, and has a size of ${size} bytes`)

  const target = text("linkpath") ?? extended.link ?? header.link
  const linked = type === "hardlink" ? TarPath.resolve(target) : { path: target }
  if ("problem" in linked) return refused("Path", `is a link to a name that ${linked.problem}`)
  if (target.includes("\0")) return refused("Path", "is a link to a name that has a NUL")
  if (target === "" && (type === "hardlink" || type === "symlink"))
    return refused("Path", "is a link to nothing")
  if (type === "hardlink" && linked.path === ".")
    return refused("Path", "is a hard link to the root of the image")
  if (resolved.path === "." && type !== "directory")
    return refused("Path", "is the root of the image, and not a directory")
  const userName = text("uname") ?? header.userName
  const groupName = text("gname") ?? header.groupName
  for (const keyword of decoded) records.delete(keyword)
  // Not by spreads, which take longer than all the rest.
  const entry: { -readonly [K in keyof Entry]: Entry[K] } = {
    path: resolved.path,
    type,
    size: type === "file" ? size : 0,
    mode: header.mode,
    uid,
    gid,
    modified: mtime,
    records: records.size === 0 ? none : records
  }
  if (userName !== "") entry.userName = userName
  if (groupName !== "") entry.groupName = groupName
  if (type === "hardlink" || type === "symlink") entry.target = linked.path
  if (type === "characterDevice" || type === "blockDevice")
    entry.device = { major: header.major, minor: header.minor }
  return entry
}

/** Nothing is put into it. */
const none = new Map<string, Uint8Array>()

const sparse = "GNU.sparse."

/** The keywords whose records an entry has as properties. Times with fractions are kept exactly. */
const decoded = ["path", "linkpath", "size", "uid", "gid", "uname", "gname", "comment"]

/** The numbers of an entry, or the name of the first one that is not one. */
const numbersOf = (header: TarHeader.Header, text: (keyword: string) => string | undefined) => {
  const numbers = { uid: header.uid, gid: header.gid, size: header.size, mtime: header.modified }
  for (const keyword of ["uid", "gid", "size", "mtime"] as const) {
    const value = text(keyword)
    if (value === undefined) continue
    const isNumber = keyword === "mtime" ? /^-?\d+(\.\d*)?$/ : /^\d+$/
    if (!isNumber.test(value) || Number(value) > Number.MAX_SAFE_INTEGER) return keyword
    numbers[keyword] = Number(value)
  }
  return numbers
}
