/**
 * The records of extended headers, `<length> <keyword>=<value>\n`, cut by their lengths: values are
 * bytes, and capabilities have line feeds and no UTF-8 in them (S22).
 */
import * as Bytes from "./Bytes.js"
import type { Problem } from "./TarEntry.js"
import * as TarPath from "./TarPath.js"

/** Values by keyword. */
export type Records = ReadonlyMap<string, Uint8Array>

const space = 0x20
const equalsSign = 0x3d
const lineFeed = 0x0a

/** Reads the records of a header. The last of a keyword counts. */
export const parse = (bytes: Uint8Array): Records | Problem => {
  const records = new Map<string, Uint8Array>()
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(space, at)
    const digits = end === -1 || end - at > 10 ? "" : TarPath.decode(bytes.subarray(at, end))
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0
    const equals = bytes.indexOf(equalsSign, end)
    const last = at + length - 1
    if (equals === -1 || equals > last || bytes[last] !== lineFeed || equals === end + 1)
      return { reason: "Archive", problem: "has an extended header that is not one" }
    records.set(TarPath.decode(bytes.subarray(end + 1, equals)), bytes.slice(equals + 1, last))
    at += length
  }
  return records
}

/** Writes records in their order. */
export const encode = (records: Iterable<readonly [string, Uint8Array]>): Uint8Array => {
  const parts: Array<Uint8Array> = []
  for (const [keyword, value] of records) {
    const name = TarPath.encode(` ${keyword}=`)
    const rest = name.length + value.length + 1
    // The length counts its own digits.
    let length = rest + String(rest).length
    if (String(length).length > String(rest).length) length = rest + String(length).length
    parts.push(TarPath.encode(String(length)), name, value, Uint8Array.of(lineFeed))
  }
  return Bytes.concat(parts)
}
