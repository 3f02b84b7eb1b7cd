/** What the `Range` of a request selects of a blob. */
import type { ByteRange } from "../../protocol/ByteRange.js"

/**
 * Returns the ranges of bytes that a `Range` selects from content of `size` bytes, `Whole` where
 * the header does not apply, or `Unsatisfiable`, which is answered with 416 (RFC 9110 section
 * 14.1.2).
 *
 * Other units than bytes are ignored, as they must be (section 14.2). A malformed range of bytes,
 * one that ends before it starts among them, is unsatisfiable: section 14.2 leaves it to the server
 * whether it ignores or rejects those, and clients that ask for one cannot use the whole. Of
 * several ranges, those beyond the end do not count. Many or overlapping ones are ignored, as
 * nothing but an attack or a mistake (section 17.15).
 */
export const select = (
  header: string,
  size: number
): ReadonlyArray<ByteRange> | "Whole" | "Unsatisfiable" => {
  const [, set] = /^bytes=(.*)$/i.exec(header.trim()) ?? []
  if (set === undefined) return "Whole"
  // Lists may have empty elements (RFC 9110 section 5.6.1.2).
  const specs = set
    .split(",")
    .map((spec) => spec.trim())
    .filter((spec) => spec !== "")
  if (specs.length > maximum) return "Whole"
  const selected = specs.map((spec) => range(spec, size))
  if (selected.includes("Malformed")) return "Unsatisfiable"
  const ranges = selected.filter((range) => typeof range === "object")
  if (ranges.length === 0) return selected.includes("Whole") ? "Whole" : "Unsatisfiable"
  return isDisjoint(ranges) ? ranges : "Whole"
}

const maximum = 16

const isDisjoint = (ranges: ReadonlyArray<ByteRange>): boolean => {
  const sorted = [...ranges].sort((a, b) => a.start - b.start)
  return sorted.every(({ start }, index) => start > (sorted[index - 1]?.end ?? -1))
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
