/**
 * Reads tar archives as their bytes arrive, with one block in memory besides extended headers: the
 * old format, ustar, pax and GNU, with the names and sizes that GNU tar reads. Where readers
 * disagree on what an archive holds, it is refused.
 */
import * as PaxRecords from "./PaxRecords.js"
import { type Entry, isProblem, type Problem } from "./TarEntry.js"
import * as TarHeader from "./TarHeader.js"
import { type Extended, entryOf } from "./TarMetadata.js"
import * as TarPath from "./TarPath.js"

/** Takes what an archive holds, in its order. */
export interface Sink {
  readonly entry: (entry: Entry) => void
  /** Bytes of the content of the entry before, which are the caller's own. */
  readonly data: (bytes: Uint8Array) => void
}

/** Reads one archive. After a problem, or the end of the archive, it reads no more. */
export interface Reader {
  readonly push: (bytes: Uint8Array) => Problem | undefined
  /**
   * Leaves out what is left of the content of the entry before, with what fills its last block, and
   * returns how many bytes that are. They are not to be pushed.
   */
  readonly skip: () => number
  /** Whether it reads no more. */
  readonly isEnded: () => boolean
  /** Tells that there are no more bytes. What follows the end of the archive does not count. */
  readonly end: () => Problem | undefined
}

/** Makes a reader. */
export const make = (sink: Sink): Reader => new State(sink)

/** The most that an extended header or a long name may have, in bytes (T11). */
const longest = 1_048_576

/** Headers about the next one, or all that follow. */
const extensions = new Set(["x", "X", "g", "L", "K"])

class State implements Reader {
  readonly #sink: Sink
  /** A header of which only some bytes have come. */
  readonly #block = new Uint8Array(TarHeader.blockSize)
  #filled = 0
  /** How much is to come of a content or an extended header, and of what fills its last block. */
  #left = 0
  #padding = 0
  #gathered: { readonly type: string; readonly bytes: Uint8Array; size: number } | undefined
  #globals: PaxRecords.Records = new Map()
  #extended: Extended = {}
  #isNameOpen = false
  #isEnded = false

  constructor(sink: Sink) {
    this.#sink = sink
  }

  push(bytes: Uint8Array): Problem | undefined {
    for (let at = 0; at < bytes.length && !this.#isEnded; ) {
      const available = bytes.length - at
      const wanted = this.#left > 0 ? this.#left : this.#padding
      const size = Math.min(wanted > 0 ? wanted : TarHeader.blockSize - this.#filled, available)
      const part = bytes.subarray(at, at + size)
      at += size
      const problem =
        this.#left > 0
          ? this.#takeContent(part)
          : this.#padding > 0
            ? this.#skip(part)
            : this.#takeHeader(part)
      if (problem === undefined) continue
      this.#isEnded = true
      return problem
    }
    return undefined
  }

  isEnded(): boolean {
    return this.#isEnded
  }

  skip(): number {
    if (this.#gathered !== undefined) return 0
    const skipped = this.#left + this.#padding
    this.#left = 0
    this.#padding = 0
    return skipped
  }

  end(): Problem | undefined {
    const isBetween = this.#left === 0 && this.#padding === 0 && this.#filled === 0
    return this.#isEnded || (isBetween && isEmpty(this.#extended)) ? undefined : truncated
  }

  #skip(bytes: Uint8Array): Problem | undefined {
    this.#padding -= bytes.length
    const isWithin = this.#isNameOpen && bytes.some((byte) => byte !== 0)
    if (this.#padding === 0) this.#isNameOpen = false
    return isWithin ? broken("has a long name that goes on after its size") : undefined
  }

  #takeHeader(bytes: Uint8Array): Problem | undefined {
    if (bytes.length === TarHeader.blockSize) return this.#readHeader(bytes)
    this.#block.set(bytes, this.#filled)
    this.#filled += bytes.length
    if (this.#filled < TarHeader.blockSize) return undefined
    this.#filled = 0
    return this.#readHeader(this.#block)
  }

  #readHeader(block: Uint8Array): Problem | undefined {
    if (TarHeader.isEnd(block)) {
      this.#isEnded = true
      return isEmpty(this.#extended) ? undefined : truncated
    }
    const header = TarHeader.parse(block)
    if (isProblem(header)) return header
    if (extensions.has(header.type)) {
      if (header.size > longest)
        return broken(`has an extended header of more than ${longest} bytes`, header.name)
      this.#gathered = { type: header.type, bytes: new Uint8Array(header.size), size: 0 }
      this.#left = header.size
    } else {
      const entry = entryOf(header, this.#extended, this.#globals)
      this.#extended = {}
      if (isProblem(entry)) return entry
      this.#sink.entry(entry)
      this.#left = entry.size
    }
    const rest = this.#left % TarHeader.blockSize
    this.#padding = rest === 0 ? 0 : TarHeader.blockSize - rest
    return this.#left === 0 ? this.#finish() : undefined
  }

  #takeContent(bytes: Uint8Array): Problem | undefined {
    if (this.#gathered === undefined) this.#sink.data(bytes)
    else {
      this.#gathered.bytes.set(bytes, this.#gathered.size)
      this.#gathered.size += bytes.length
    }
    this.#left -= bytes.length
    return this.#left === 0 ? this.#finish() : undefined
  }

  /** Reads an extended header that has come as a whole. */
  #finish(): Problem | undefined {
    if (this.#gathered === undefined) return undefined
    const { bytes, type } = this.#gathered
    this.#gathered = undefined
    if (type === "L" || type === "K") {
      const [name = "", ...rest] = TarPath.decode(bytes).split("\0", 2)
      // GNU tar reads on to the next NUL, and others do not.
      this.#isNameOpen = rest.length === 0 && this.#padding > 0
      this.#extended = { ...this.#extended, [type === "L" ? "name" : "link"]: name }
      return undefined
    }
    const records = PaxRecords.parse(bytes)
    if (isProblem(records)) return records
    if (type !== "g") {
      this.#extended = { ...this.#extended, records }
      return undefined
    }
    this.#globals = new Map([...this.#globals, ...records])
    let size = 0
    for (const [keyword, value] of this.#globals) size += keyword.length + value.length
    return size > longest
      ? broken(`has more than ${longest} bytes of records for all entries`)
      : undefined
  }
}

const isEmpty = (extended: Extended): boolean => Object.keys(extended).length === 0

const broken = (problem: string, path?: string): Problem => ({
  reason: "Archive",
  problem,
  ...(path !== undefined && { path })
})

const truncated: Problem = broken("ends before the content that it announces")
