/**
 * Writes entries of tar archives: ustar where it suffices, with an extended header of pax where
 * not, so that no number is clamped and no name is cut (S24).
 */
import * as PaxRecords from "./PaxRecords.js"
import type { Entry, EntryType } from "./TarEntry.js"
import { blockSize } from "./TarHeader.js"
import * as TarPath from "./TarPath.js"

/** What ends an archive. */
export const end = new Uint8Array(2 * blockSize)

/** The zeros after a content of so many bytes. */
export const paddingOf = (size: number): Uint8Array =>
  end.subarray(0, (blockSize - (size % blockSize)) % blockSize)

/** The headers of an entry, which its content follows. */
export const header = (entry: Entry): Uint8Array => {
  const { path, target = "", type } = entry
  const name = TarPath.encode(type === "directory" ? `${path}/` : path)
  const link = TarPath.encode(target)
  const [prefix, rest] = split(name) ?? []
  const records: Array<readonly [string, Uint8Array]> = []
  const extend = (keyword: string, value: string | Uint8Array) =>
    records.push([keyword, typeof value === "string" ? TarPath.encode(value) : value])
  if (rest === undefined) extend("path", name)
  if (link.length > 100) extend("linkpath", link)
  if (entry.size > largest(12)) extend("size", String(entry.size))
  if (entry.uid > largest(8)) extend("uid", String(entry.uid))
  if (entry.gid > largest(8)) extend("gid", String(entry.gid))
  const { userName = "", groupName = "" } = entry
  if (TarPath.encode(userName).length > 31) extend("uname", userName)
  if (TarPath.encode(groupName).length > 31) extend("gname", groupName)
  if (!entry.records.has("mtime") && !fits(entry.modified, 12))
    extend("mtime", decimal(entry.modified))
  records.push(...entry.records)
  const main = block({ ...entry, prefix, name: rest ?? name.subarray(0, 100), link })
  if (records.length === 0) return main
  const content = PaxRecords.encode(records)
  const padding = paddingOf(content.length)
  const out = new Uint8Array(2 * blockSize + content.length + padding.length)
  out.set(block({ ...extended, size: content.length }))
  out.set(content, blockSize)
  out.set(main, out.length - blockSize)
  return out
}

interface Fields extends Omit<Entry, "type" | "path" | "target" | "records"> {
  readonly type: EntryType | "extended"
  readonly prefix?: Uint8Array | undefined
  readonly name: Uint8Array
  readonly link: Uint8Array
}

const extended: Fields = {
  type: "extended",
  name: TarPath.encode("PaxHeaders/0"),
  link: new Uint8Array(0),
  size: 0,
  mode: 0o644,
  uid: 0,
  gid: 0,
  modified: 0
}

const types: Readonly<Record<EntryType | "extended", string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  characterDevice: "3",
  blockDevice: "4",
  directory: "5",
  fifo: "6",
  extended: "x"
}

const block = (fields: Fields): Uint8Array => {
  const out = new Uint8Array(blockSize)
  const put = (at: number, value: Uint8Array | string) =>
    out.set(typeof value === "string" ? TarPath.encode(value) : value, at)
  put(0, fields.name)
  put(100, octal(fields.mode, 8))
  put(108, octal(fields.uid, 8))
  put(116, octal(fields.gid, 8))
  put(124, octal(fields.size, 12))
  put(136, octal(fields.modified, 12))
  put(148, "        ")
  put(156, types[fields.type])
  put(157, fields.link.subarray(0, 100))
  put(257, "ustar\u000000")
  put(265, TarPath.encode(fields.userName ?? "").subarray(0, 31))
  put(297, TarPath.encode(fields.groupName ?? "").subarray(0, 31))
  put(329, device(fields.device?.major ?? 0))
  put(337, device(fields.device?.minor ?? 0))
  if (fields.prefix !== undefined) put(345, fields.prefix)
  const sum = out.reduce((total, byte) => total + byte, 0)
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `)
  return out
}

/** The most that a field of so many bytes holds in octal digits and a NUL. */
const largest = (width: number): number => 8 ** (width - 1) - 1

const fits = (value: number, width: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= largest(width)

/** Without an exponent, to the nanosecond. */
const decimal = (value: number): string =>
  Number.isInteger(value) ? BigInt(value).toString() : value.toFixed(9).replace(/\.?0+$/, "")

/** Zero for what an extended header has. */
const octal = (value: number, width: number): string =>
  (fits(value, width) ? value : 0).toString(8).padStart(width - 1, "0")

/** pax has no record for devices: a number that is too large is to the base of 256, as in GNU. */
const device = (value: number): string | Uint8Array => {
  if (fits(value, 8)) return octal(value, 8)
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value) | (1n << 63n))
  return bytes
}

/** A name in two, where it does not fit into one field and a "/" is at the right place. */
const split = (name: Uint8Array): readonly [Uint8Array | undefined, Uint8Array] | undefined => {
  if (name.length <= 100) return [undefined, name]
  for (let at = name.length - 101; at <= Math.min(155, name.length - 2); at++)
    if (name[at] === slash && at > 0) return [name.subarray(0, at), name.subarray(at + 1)]
  return undefined
}

const slash = 0x2f
