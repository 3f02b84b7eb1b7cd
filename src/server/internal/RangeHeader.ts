/** What the `Range` of a request selects of a blob. */
import type { ByteRange } from "../../protocol/ByteRange.js"

/**
 * Returns the range of bytes that a `Range` selects from content of `size` bytes, `Whole` where the
 * header does not apply, or `Unsatisfiable`, which is answered with 416 (RFC 9110 section 14.1.2).
 *
 * Other units than bytes are ignored, as they must be (section 14.2). A malformed range of bytes,
 * one that ends before it starts among them, is unsatisfiable: section 14.2 leaves it to the server
 * whether it ignores or rejects those, and clients that ask for one cannot use the whole. Of
 * several ranges, those beyond the end do not count; where more than one is left the response is
 * the whole, since `multipart/byteranges` is nothing that a client of a registry asks for.
 */
export const select = (header: string, size: number): ByteRange | "Whole" | "Unsatisfiable" => {
  const [, set] = /^bytes=(.*)$/i.exec(header.trim()) ?? []
  if (set === undefined) return "Whole"
  // Lists may have empty elements (RFC 9110 section 5.6.1.2).
  const specs = set
    .split(",")
    .map((spec) => spec.trim())
    .filter((spec) => spec !== "")
  const ranges = specs.map((spec) => range(spec, size))
  if (ranges.includes("Malformed")) return "Unsatisfiable"
  const [first, second] = ranges.filter((range) => typeof range === "object")
  if (first === undefined) return ranges.includes("Whole") ? "Whole" : "Unsatisfiable"
  return second === undefined ? first : "Whole"
}

const range = (spec: string, size: number): ByteRange | "Malformed" | "Unsatisfiable" | "Whole" => {
  const [, first = "", last = ""] = /^([0-9]*)-([0-9]*)$/.exec(spec) ?? []
  if (first === "" && last === "") return "Malformed"
  if (first === "") {
    if (isZero(last)) return "Unsatisfiable"
    // The last bytes of nothing are satisfiable and no range that a 206 can name.
    if (size === 0) return "Whole"
    return { start: Math.max(0, size - Number(last)), end: size - 1 }
  }
  if (last !== "" && isLess(last, first)) return "Malformed"
  const start = Number(first)
  if (start >= size) return "Unsatisfiable"
  return { start, end: last === "" ? size - 1 : Math.min(Number(last), size - 1) }
}

const isZero = (digits: string): boolean => /^0*$/.test(digits)

/** Numbers may have any number of digits, more than a double holds exactly. */
const isLess = (a: string, b: string): boolean => BigInt(a) < BigInt(b)
