/**
 * The memory that sockets read into. Nothing is ever taken back from whoever holds it: a buffer is
 * filled again only after all bytes that were handed out of it were given back, and with none to
 * spare a new one is made.
 */
import { lend } from "../../internal/BorrowedStream.js"

/** The least that a socket offers at a time; an idle connection holds no more. */
export const smallest = 64 * 1024

/** What a socket offers while reads fill all that it offers. */
export const largest = 1024 * 1024

/** How many bytes are kept to be filled again: enough for sixteen transfers at a time. */
const spare = 48 * 1024 * 1024

/**
 * A buffer in use.
 *
 * - `isFilling`: whether its socket may read more into it.
 * - `isParsed`: whether the parser is done with all of it. As long as it reads a head, it keeps
 *   parts of it.
 * - `lent`: how many bytes of bodies were handed out of it and not given back.
 */
export interface Block {
  readonly bytes: Buffer
  readonly pool: BufferPool
  isFilling: boolean
  isParsed: boolean
  lent: number
}

/** Blocks in use, by their memory: whoever keeps bytes for good keeps theirs from being reused. */
const blocks = new WeakMap<ArrayBufferLike, Block>()

const newMemory = (size: number): Buffer => {
  const bytes = Buffer.allocUnsafeSlow(size)
  lend(bytes.buffer, release)
  return bytes
}

/** A pool for all sockets of a dispatcher. */
export class BufferPool {
  private readonly free = new Map<number, Array<Buffer>>()
  private kept = 0

  /** A block to be filled. */
  take(size: number): Block {
    const kept = this.free.get(size)?.pop()
    if (kept !== undefined) this.kept -= size
    const bytes = kept ?? newMemory(size)
    const block = { bytes, pool: this, isFilling: true, isParsed: false, lent: 0 }
    blocks.set(bytes.buffer, block)
    return block
  }

  /** Keeps memory that nobody uses any more. */
  put(bytes: Buffer): void {
    if (this.kept + bytes.length > spare) return
    this.kept += bytes.length
    const kept = this.free.get(bytes.length)
    if (kept === undefined) this.free.set(bytes.length, [bytes])
    else kept.push(bytes)
  }
}

/** The block that bytes lie in, if they lie in one. */
export const blockOf = (bytes: Uint8Array): Block | undefined => blocks.get(bytes.buffer)

/** Ends what keeps a block in use, one reason at a time, as `change` says. */
export const settle = (block: Block, change: Partial<Block>): void => {
  Object.assign(block, change)
  if (block.isFilling || !block.isParsed || block.lent !== 0) return
  blocks.delete(block.bytes.buffer)
  block.pool.put(block.bytes)
}

/** Gives bytes back that were lent, to be called once for each; other bytes are left alone. */
export const release = (bytes: Uint8Array): void => {
  const block = blockOf(bytes)
  if (block !== undefined) settle(block, { lent: block.lent - bytes.length })
}

/** Bytes for good: those that were lent are copied and given back. */
export const owned = (bytes: Uint8Array): Uint8Array => {
  if (blockOf(bytes) === undefined) return bytes
  const { buffer } = Buffer.allocUnsafeSlow(bytes.length)
  const copy = new Uint8Array(buffer)
  copy.set(bytes)
  release(bytes)
  return copy
}
