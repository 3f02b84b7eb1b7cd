/**
 * Names in tar archives, which are bytes, as strings: UTF-8 where they are, and what is not UTF-8
 * byte for byte as a lone surrogate (U+DC80 to U+DCFF, as Python has it), so that each name has a
 * string of its own and comes out again as it came in.
 */

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** The string of some bytes. */
export const decode = (bytes: Uint8Array): string => {
  try {
    return strict.decode(bytes)
  } catch {
    return decodeMixed(bytes)
  }
}

const decodeMixed = (bytes: Uint8Array): string => {
  let text = ""
  for (let at = 0; at < bytes.length; ) {
    const size = sequenceAt(bytes, at)
    text +=
      size === 0
        ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0))
        : strict.decode(bytes.subarray(at, at + size))
    at += Math.max(1, size)
  }
  return text
}

/** How many bytes the character has that begins there, 0 if none does. */
const sequenceAt = (bytes: Uint8Array, at: number): number => {
  const first = bytes[at] ?? 0
  const size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  try {
    return strict.decode(bytes.subarray(at, at + size)).length === 0 ? 0 : size
  } catch {
    return 0
  }
}

/** Whether the bytes of a string are UTF-8. */
export const isUtf8 = (text: string): boolean => !/\p{Surrogate}/u.test(text)

/** The bytes of a string: what `decode` made it of. */
export const encode = (text: string): Uint8Array => {
  if (text.length <= short) {
    const bytes = new Uint8Array(text.length)
    if (putAscii(bytes, 0, text)) return bytes
  }
  if (isUtf8(text)) return encoder.encode(text)
  const out: Array<number> = []
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    if (code >= 0xdc80 && code <= 0xdcff) out.push(code - 0xdc00)
    else out.push(...encoder.encode(character))
  }
  return Uint8Array.from(out)
}

/** Arrays of so many bytes are part of the heap: others cost a microsecond each. */
const short = 64

/** Puts the bytes of a text into an array, and returns whether it was ASCII. */
export const putAscii = (bytes: Uint8Array, start: number, text: string): boolean => {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return false
    bytes[start + at] = code
  }
  return true
}

/** What Linux takes at most of a path, in bytes, with the byte that ends it. */
const longest = 4096

/** Whether no path can be as long. */
export const isTooLong = (path: string): boolean =>
  // A character has three bytes at most for each unit of UTF-16.
  path.length * 3 >= longest && encode(path).length >= longest

/**
 * The path below the root that a name stands for, whose parts are joined by "/": none is empty, "."
 * or "..". It is "." for the root itself. A "/" at its start is that of the image, as for runtimes.
 * Returns what is wrong with it where it leads out, or no file can have it (T11).
 */
export const resolve = (name: string): { readonly path: string } | { readonly problem: string } => {
  if (name === "") return { problem: "is empty" }
  const parts = name.split("/").filter((part) => part !== "" && part !== ".")
  if (parts.includes("..")) return { problem: "has a part .., which leads out of its folder" }
  if (name.includes("\0")) return { problem: "has a NUL" }
  const path = parts.join("/")
  return isTooLong(path)
    ? { problem: `has more than ${longest - 1} bytes` }
    : { path: path === "" ? "." : path }
}
