/** Tar archives put together by hand, also ones that no program writes. */
import { utf8 } from "./fixtures.js"

/** What a header says: numbers are written in octal, and texts as they are. */
export interface HeaderFields {
  readonly name?: string | Uint8Array
  readonly type?: string
  readonly size?: number | string
  readonly mode?: number
  readonly uid?: number
  readonly link?: string
  readonly magic?: string
  readonly prefix?: string
  readonly checksum?: number
}

const bytesOf = (text: string | Uint8Array) => (typeof text === "string" ? utf8(text) : text)

/** One header block. */
export const header = ({
  checksum,
  link = "",
  magic = "ustar\u000000",
  mode = 0o644,
  name = "",
  prefix = "",
  size = 0,
  type = "0",
  uid = 0
}: HeaderFields): Uint8Array => {
  const block = Buffer.alloc(512)
  const put = (at: number, value: string | Uint8Array) => block.set(bytesOf(value), at)
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, "0")}\0`
  put(0, name)
  put(100, octal(mode, 8))
  put(108, octal(uid, 8))
  put(116, octal(0, 8))
  put(124, typeof size === "number" ? octal(size, 12) : size)
  put(136, octal(0, 12))
  put(148, "        ")
  put(156, type)
  put(157, link)
  put(257, magic)
  put(345, prefix)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(148, `${(checksum ?? sum).toString(8).padStart(6, "0")}\0 `)
  return block
}

/** Bytes in whole blocks. */
export const padded = (bytes: string | Uint8Array): Uint8Array => {
  const content = bytesOf(bytes)
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)])
}

/** An entry and its content, whose size the header has if none is said. */
export const entry = (fields: HeaderFields, content: string | Uint8Array = ""): Uint8Array =>
  Buffer.concat([header({ size: bytesOf(content).length, ...fields }), padded(content)])

/** The record of an extended header. */
export const record = (keyword: string, value: string | Uint8Array): Uint8Array => {
  const rest = Buffer.concat([utf8(` ${keyword}=`), bytesOf(value), utf8("\n")])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length++
  return Buffer.concat([utf8(String(length)), rest])
}

/** An extended header for the next entry, or for all with the type `g`. */
export const extended = (
  records: Readonly<Record<string, string | Uint8Array>>,
  type = "x"
): Uint8Array =>
  entry(
    { name: "PaxHeaders/0", type },
    Buffer.concat(Object.entries(records).map(([keyword, value]) => record(keyword, value)))
  )

/** The long name of GNU tar for the next entry. */
export const longName = (name: string, type = "L"): Uint8Array =>
  entry({ name: "././@LongLink", type }, `${name}\0`)

/** An archive of entries, with its end. */
export const archive = (...entries: ReadonlyArray<Uint8Array>): Uint8Array =>
  Buffer.concat([...entries, Buffer.alloc(1024)])

/** An archive of files by name: a folder ends in "/". */
export const files = (contents: Readonly<Record<string, string>>): Uint8Array =>
  archive(
    ...Object.entries(contents).map(([name, content]) =>
      entry({ name, type: name.endsWith("/") ? "5" : "0" }, content)
    )
  )

/** An archive whose headers have the checksums that they should, wherever they stand. */
export const sealed = (archive: Uint8Array): Uint8Array => {
  const bytes = Buffer.from(archive)
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512)
    if (!block.subarray(257, 262).equals(utf8("ustar"))) continue
    block.fill(" ", 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
  }
  return bytes
}
