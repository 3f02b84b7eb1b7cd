/**
 * The frames of data compressed with zstd ([RFC 8878 section
 * 3.1](https://www.rfc-editor.org/rfc/rfc8878#section-3.1)), cut where a decoder may stop: at each
 * block, which has 128 KiB of content at most, so that little input never makes much output, and at
 * the end of each frame, so that none is lost (S16). Skippable frames are left out.
 */

/** Input for the decoder of a frame. */
export interface Piece {
  readonly bytes: Uint8Array
  /** Whether the frame ends with it: what follows is for another decoder. */
  readonly isLast: boolean
}

/** What is wrong with the data, in words. */
export type Problem = string

/** Cuts data as it arrives. */
export interface Cutter {
  readonly push: (bytes: Uint8Array) => Generator<Piece, Problem | undefined>
  readonly end: () => Problem | undefined
}

type State =
  | "magic"
  | "skippable"
  | "skipped"
  | "descriptor"
  | "header"
  | "block"
  | "content"
  | "checksum"

const magic = 0xfd2fb528
const skippable = 0x184d2a50
/** What a block has at most, in bytes (RFC 8878 section 3.1.1.2.4). */
const largestBlock = 131_072

/** What a decoder keeps of a frame at most, in bytes: four times what all of them have to. */
const largestWindow = 33_554_432

/** Makes a cutter for data from its first byte on. */
export const make = (): Cutter => {
  let state: State = "magic"
  /** Bytes until the state is done. They are gathered, but for those of contents. */
  let left = 4
  let gathered: Array<number> = []
  let descriptor = 0
  let isLastBlock = false

  const become = (next: State, size: number) => {
    state = next
    left = size
    gathered = []
  }
  const startBlock = () => become("block", 3)
  const endBlock = () => {
    if (!isLastBlock) startBlock()
    else if ((descriptor & 0b100) !== 0) become("checksum", 4)
    else become("magic", 4)
  }

  /** What the gathered bytes mean. */
  const advance = (): Problem | undefined => {
    const value = gathered.reduceRight((sum, byte) => sum * 256 + byte, 0)
    switch (state) {
      case "magic":
        if (value === magic) become("descriptor", 1)
        else if (value >= skippable && value <= skippable + 15) become("skippable", 4)
        else return "has bytes that are not a frame of zstd"
        return undefined
      case "skippable":
        if (value === 0) become("magic", 4)
        else become("skipped", value)
        return undefined
      case "descriptor":
        if ((value & 0b1000) !== 0) return "has a frame of zstd with a reserved bit set"
        descriptor = value
        become("header", headerSize(value))
        return undefined
      case "header":
        if (windowSize(descriptor, gathered) > largestWindow)
          return `has a frame of zstd with a window of more than ${largestWindow} bytes`
        startBlock()
        return undefined
      case "block": {
        isLastBlock = (value & 1) === 1
        const type = (value >> 1) & 3
        const size = value >> 3
        if (type === 3 || size > largestBlock) return "has a block of zstd that is not one"
        const length = type === 1 ? 1 : size
        if (length === 0) endBlock()
        else become("content", length)
        return undefined
      }
      default:
        become("magic", 4)
        return undefined
    }
  }

  return {
    *push(bytes) {
      for (let at = 0; at < bytes.length; ) {
        const piece = bytes.subarray(at, at + left)
        at += piece.length
        left -= piece.length
        const isFrame = state !== "magic" && state !== "skippable" && state !== "skipped"
        if (state === "content") {
          if (left === 0) endBlock()
        } else {
          if (state !== "skipped") gathered.push(...piece)
          const problem = left === 0 ? advance() : undefined
          if (problem !== undefined) return problem
        }
        // A decoder has the magic number from whoever feeds it.
        if (isFrame) yield { bytes: piece, isLast: state === "magic" }
      }
      return undefined
    },
    end: () =>
      state === "magic" && gathered.length === 0
        ? undefined
        : "ends within a frame of zstd: it was cut off"
  }
}

/** How much of its content a frame refers back to, in bytes (RFC 8878 section 3.1.1.1.2). */
const windowSize = (descriptor: number, header: ReadonlyArray<number>): number => {
  if ((descriptor & singleSegment) === 0) {
    const [window = 0] = header
    const base = 2 ** (10 + (window >> 3))
    return base + (base / 8) * (window & 7)
  }
  const size = header.slice(dictionarySize(descriptor))
  return size.reduceRight((sum, byte) => sum * 256 + byte, size.length === 2 ? 256 : 0)
}

const singleSegment = 0b100000

const dictionarySize = (descriptor: number): number => [0, 1, 2, 4][descriptor & 3] ?? 0

/** The size of what follows the descriptor of a frame, in bytes. */
const headerSize = (descriptor: number): number => {
  const isSingle = (descriptor & singleSegment) !== 0
  const contentSize = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  return (isSingle ? 0 : 1) + dictionarySize(descriptor) + contentSize
}
