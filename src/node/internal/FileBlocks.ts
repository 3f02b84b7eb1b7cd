/** Files read and written in blocks of a mebibyte, with no Effect for a chunk. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { giveBack } from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import type { OpenReader } from "../../internal/ReadInto.js"
import { StorageFailure } from "../../RegistryError.js"

/**
 * Bytes per read, and the least per write: at 64 KiB an Effect for each costs a quarter of the
 * throughput.
 */
const blockSize = 1_048_576

/** A step that fails naming the file. */
export const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, StorageFailure> =>
  Effect.tryPromise({ try: run, catch: (cause) => new StorageFailure({ path, cause }) })

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/** Where the next block goes. */
export type Memory = () => Buffer

/** New memory for every block. */
export const newBlock: Memory = () => Buffer.allocUnsafeSlow(blockSize)

/** The same for a file of so many bytes: small ones are many, and a mebibyte for each is much. */
export const newBlocks =
  (size: number): Memory =>
  () =>
    Buffer.allocUnsafeSlow(Math.max(1, Math.min(size, blockSize)))

/**
 * The same memory over and over: one block is being read, one held until the next is verified, one
 * ready, one being sent, and two are to spare.
 */
export const inTurn = (size = blockSize): Memory => {
  const newBlock = newBlocks(size)
  const blocks: Array<Buffer> = []
  let turn = 0
  return () => {
    const block = blocks[turn % 6] ?? newBlock()
    blocks[turn++ % 6] = block
    return block
  }
}

const opened = (path: string) =>
  Effect.acquireRelease(
    attempt(path, () => Fs.open(path, "r")),
    (file) => Effect.ignore(attempt(path, () => file.close()))
  )

/** A file from a byte on, read into memory of the reader's. */
export const readInto =
  (path: string): OpenReader<StorageFailure> =>
  (offset) =>
    Effect.map(opened(path), (file) => {
      let position = offset
      return (into) =>
        attempt(path, async () => {
          const { bytesRead } = await file.read(into, 0, into.length, position)
          position += bytesRead
          return bytesRead
        })
    })

/** A file from a byte on, opened anew whenever the stream is run. */
export const read = (
  path: string,
  offset: number,
  memory: () => Memory
): Stream.Stream<Uint8Array, StorageFailure> =>
  PullStream.unwrapScoped(
    Effect.map(opened(path), (file) => readFrom(path, file, offset, memory()))
  )

/**
 * An open file from a byte on. While a block is on its way, the next one is being read. What is
 * being read is no part of the stream's state: from one block's promise to the next a chain would
 * lead, by which the garbage collector keeps all of them until it goes through the whole heap.
 */
export const readFrom = (
  path: string,
  file: Fs.FileHandle,
  offset: number,
  memory: Memory
): Stream.Stream<Uint8Array, StorageFailure> =>
  PullStream.make(() => {
    let position = offset
    let reading: Promise<Uint8Array> | undefined
    const read = async (): Promise<Uint8Array> => {
      const block = memory()
      const { buffer, bytesRead } = await file.read(block, 0, block.length, position)
      position += bytesRead
      return buffer.subarray(0, bytesRead)
    }
    const next = attempt(path, async () => {
      const block = await (reading ?? read())
      reading = block.length === 0 ? undefined : read()
      // Whoever waits for it sees the failure; when nobody reads on, nobody does.
      reading?.catch(() => undefined)
      return block
    })
    return PullStream.untilEmpty(next)
  })

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

/**
 * Writes the chunks, which may be borrowed, as they are, a mebibyte or more at a time, while the
 * next ones gather; with no Effect for a chunk, and no copy.
 */
export const drain = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  path: string,
  file: Fs.FileHandle,
  offset: number
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.suspend(() => {
    let gathered: Array<Uint8Array> = []
    let size = 0
    let position = offset
    let writing = Promise.resolve()
    const written = attempt(path, () => writing)
    const flush = Effect.map(written, () => {
      writing = writeAll(file, gathered, size, position)
      position += size
      // The failure is for whoever waits next; after an interruption nobody does.
      writing.catch(() => undefined)
      gathered = []
      size = 0
    })
    const take = (bytes: Uint8Array): boolean => {
      gathered.push(bytes)
      size += bytes.length
      return size >= blockSize
    }
    // What was gathered before a failure may be worth keeping.
    return Effect.zipRight(PullStream.runFlushing(stream, take, flush), written)
  })

/** All of the bytes, however few of them the file system takes at a time. */
const writeAll = async (
  file: Fs.FileHandle,
  parts: ReadonlyArray<Uint8Array>,
  size: number,
  position: number
): Promise<void> => {
  if (size === 0) return
  const { bytesWritten } = await file.writev(parts, position)
  if (bytesWritten < size) {
    const bytes = ByteStream.concat(parts)
    for (let at = bytesWritten; at < size; ) {
      at += (await file.write(bytes, at, size - at, position + at)).bytesWritten
    }
  }
  for (const part of parts) giveBack(part)
}
