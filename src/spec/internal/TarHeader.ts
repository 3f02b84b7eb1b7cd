/**
 * The header of an entry in a tar archive: one block of 512 bytes, of the old format, ustar, pax
 * or GNU.
 */
import type { Problem } from "./TarEntry.js"
import * as TarPath from "./TarPath.js"

/** Bytes per block. */
export const blockSize = 512

/** A header as it stands in the archive, before extended headers change it. */
export interface Header {
  readonly name: string
  /** One character, "0" for the NUL of old archives. */
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly modified: number
  readonly link: string
  readonly userName: string
  readonly groupName: string
  readonly major: number
  readonly minor: number
}

/** Whether a block is one of those that end an archive. */
export const isEnd = (block: Uint8Array): boolean => block.every((byte) => byte === 0)

/** Reads a header. Returns what is wrong where it is not one. */
export const parse = (block: Uint8Array): Header | Problem => {
  if (!hasChecksum(block)) return broken("has a header whose checksum is wrong")
  const name = text(block, 0, 100)
  // GNU has a space after it, and other things in the place of the prefix.
  const hasMagic = text(block, 257, 5) === "ustar"
  const prefix = hasMagic && block[262] === 0 ? text(block, 345, 155) : ""
  const numbers: Array<number> = []
  for (const [start, length, what] of hasMagic ? fields : fields.slice(0, 5)) {
    const value = number(block.subarray(start, start + length))
    if (value === undefined) return broken(`has a header whose ${what} is not one`, name)
    numbers.push(value)
  }
  const [mode = 0, uid = 0, gid = 0, size = 0, modified = 0, major = 0, minor = 0] = numbers
  if (size < 0) return broken("has a negative size", name)
  const type = block[156] ?? 0
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: type === 0 ? "0" : String.fromCharCode(type),
    mode: mode & 0o7777,
    uid,
    gid,
    size,
    modified,
    link: text(block, 157, 100),
    userName: hasMagic ? text(block, 265, 32) : "",
    groupName: hasMagic ? text(block, 297, 32) : "",
    major,
    minor
  }
}

/** Where the numbers are, and how long. */
const fields: ReadonlyArray<readonly [start: number, length: number, what: string]> = [
  [100, 8, "mode"],
  [108, 8, "user id"],
  [116, 8, "group id"],
  [124, 12, "size"],
  [136, 12, "time"],
  [329, 8, "major device number"],
  [337, 8, "minor device number"]
]

const broken = (problem: string, path?: string): Problem => ({
  reason: "Archive",
  problem,
  ...(path !== undefined && { path })
})

const text = (block: Uint8Array, start: number, length: number): string => {
  const end = block.indexOf(0, start)
  return TarPath.decode(
    block.subarray(start, end === -1 ? start + length : Math.min(end, start + length))
  )
}

/** Octal digits, or a number to the base of 256, whose first bit is set (GNU, star). */
const number = (field: Uint8Array): number | undefined => {
  let value = 0
  for (let at = 0; at < field.length; at++) {
    const byte = field[at] ?? 0
    if (byte >= 0x30 && byte < 0x38) value = value * 8 + byte - 0x30
    else if (byte === 0) return value
    else return unusual(field)
  }
  return value
}

const unusual = (field: Uint8Array): number | undefined => {
  const [first = 0] = field
  if (first >= 0x80) return base256(field)
  const end = field.indexOf(0)
  const digits = TarPath.decode(end === -1 ? field : field.subarray(0, end)).trim()
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits === "" ? "0" : digits, 8) : undefined
}

const base256 = (field: Uint8Array): number | undefined => {
  const isNegative = field[0] === 0xff
  if (!isNegative && field[0] !== 0x80) return undefined
  let value = 0n
  for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte)
  if (isNegative) value -= 1n << BigInt(8 * (field.length - 1))
  const result = Number(value)
  return Number.isSafeInteger(result) ? result : undefined
}

/** Old programs took the bytes for signed ones. */
const hasChecksum = (block: Uint8Array): boolean => {
  let unsigned = 0
  let high = 0
  for (let at = 0; at < blockSize; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0)
    unsigned += byte
    high += byte >> 7
  }
  const expected = number(block.subarray(148, 156))
  return expected === unsigned || expected === unsigned - 256 * high
}
