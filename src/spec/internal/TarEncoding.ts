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
  const { device, gid, mode, modified, path, size, target = "", type, uid } = entry
  const name = TarPath.encode(type === "directory" ? `${path}/` : path)
  const link = TarPath.encode(target)
  const [prefix, rest] = split(name) ?? []
  const records: Array<readonly [string, Uint8Array]> = []
  const extend = (keyword: string, value: string | Uint8Array) =>
    records.push([keyword, typeof value === "string" ? TarPath.encode(value) : value])
  if (rest === undefined) extend("path", name)
  if (link.length > 100) extend("linkpath", link)
  if (size > largest(12)) extend("size", String(size))
  if (uid > largest(8)) extend("uid", String(uid))
  if (gid > largest(8)) extend("gid", String(gid))
  const { userName = "", groupName = "" } = entry
  const [user, group] = [TarPath.encode(userName), TarPath.encode(groupName)]
  if (user.length > 31) extend("uname", user)
  if (group.length > 31) extend("gname", group)
  if (!entry.records.has("mtime") && !fits(modified, 12)) extend("mtime", decimal(modified))
  records.push(...entry.records)
  // Not by a spread, which takes longer than all the rest.
  const main = block({
    type,
    size,
    mode,
    uid,
    gid,
    modified,
    device,
    prefix,
    name: rest ?? name.subarray(0, 100),
    link,
    user,
    group
  })
  if (records.length === 0) return main
  const content = PaxRecords.encode(records)
  const padding = paddingOf(content.length)
  const out = new Uint8Array(2 * blockSize + content.length + padding.length)
  out.set(block({ ...extended, size: content.length }))
  out.set(content, blockSize)
  out.set(main, out.length - blockSize)
  return out
}

interface Fields extends Pick<Entry, "size" | "mode" | "uid" | "gid" | "modified"> {
  readonly device?: Entry["device"]
  readonly type: EntryType | "extended"
  readonly prefix?: Uint8Array | undefined
  readonly name: Uint8Array
  readonly link: Uint8Array
  readonly user: Uint8Array
  readonly group: Uint8Array
}

const extended: Fields = {
  type: "extended",
  name: TarPath.encode("PaxHeaders/0"),
  link: new Uint8Array(0),
  user: new Uint8Array(0),
  group: new Uint8Array(0),
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
  out.set(fields.name)
  putOctal(out, 100, 8, fields.mode)
  putOctal(out, 108, 8, fields.uid)
  putOctal(out, 116, 8, fields.gid)
  putOctal(out, 124, 12, fields.size)
  putOctal(out, 136, 12, fields.modified)
  TarPath.putAscii(out, 148, "        ")
  TarPath.putAscii(out, 156, types[fields.type])
  out.set(fields.link.subarray(0, 100), 157)
  TarPath.putAscii(out, 257, "ustar\u000000")
  out.set(fields.user.subarray(0, 31), 265)
  out.set(fields.group.subarray(0, 31), 297)
  putDevice(out, 329, fields.device?.major ?? 0)
  putDevice(out, 337, fields.device?.minor ?? 0)
  if (fields.prefix !== undefined) out.set(fields.prefix, 345)
  let sum = 0
  for (let at = 0; at < blockSize; at++) sum += out[at] ?? 0
  putOctal(out, 148, 7, sum)
  out[154] = 0
  return out
}

/** The most that a field of so many bytes holds in octal digits and a NUL. */
const largest = (width: number): number => 8 ** (width - 1) - 1

const fits = (value: number, width: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= largest(width)

/** Without an exponent, to the nanosecond. */
const decimal = (value: number): string =>
  Number.isInteger(value) ? BigInt(value).toString() : value.toFixed(9).replace(/\.?0+$/, "")

/** Puts octal digits and a NUL: zero for what an extended header has. */
const putOctal = (out: Uint8Array, start: number, width: number, value: number): void => {
  let rest = fits(value, width) ? value : 0
  for (let at = start + width - 2; at >= start; at--) {
    out[at] = 0x30 + (rest % 8)
    rest = Math.floor(rest / 8)
  }
}

/** pax has no record for devices: a number that is too large is to the base of 256, as in GNU. */
const putDevice = (out: Uint8Array, start: number, value: number): void =>
  fits(value, 8)
    ? putOctal(out, start, 8, value)
    : new DataView(out.buffer).setBigUint64(start, BigInt(value) | (1n << 63n))

/** A name in two, where it does not fit into one field and a "/" is at the right place. */
const split = (name: Uint8Array): readonly [Uint8Array | undefined, Uint8Array] | undefined => {
  if (name.length <= 100) return [undefined, name]
  for (let at = name.length - 101; at <= Math.min(155, name.length - 2); at++)
    if (name[at] === slash && at > 0) return [name.subarray(0, at), name.subarray(at + 1)]
  return undefined
}

const slash = 0x2f
