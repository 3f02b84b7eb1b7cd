/**
 * The bytes of files, read and written a mebibyte at a time. Each step is brought to its end before
 * an interruption counts, since one that goes on alone would write to what is closed or removed by
 * then.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import { StorageFailure } from "../../RegistryError.js"

/** Bytes per read and per write. */
const blockSize = 1_048_576

/** A step that fails naming the file. */
export type Step<A> = Effect.Effect<A, StorageFailure>

/** Runs a step to its end. */
export const step = <A, R = never>(
  path: string,
  effect: Effect.Effect<A, PlatformError, R>
): Effect.Effect<A, StorageFailure, R> =>
  Effect.uninterruptible(Effect.mapError(effect, (cause) => new StorageFailure({ path, cause })))

/** Reads bytes into an array until it is full or the file ends. */
export const fill = Effect.fnUntraced(function* (
  path: string,
  file: FileSystem.File,
  bytes: Uint8Array
) {
  let size = 0
  while (size < bytes.length) {
    const count = Number(yield* step(path, file.read(bytes.subarray(size))))
    if (count === 0) break
    size += count
  }
  return bytes.subarray(0, size)
})

/**
 * Streams the bytes of a file from `start` on, and up to `end` if given, in new arrays, or in
 * borrowed ones, whose memory is used again once they are given back.
 */
export const stream = (
  fs: FileSystem.FileSystem,
  path: string,
  start = 0,
  end = Number.POSITIVE_INFINITY,
  borrowed = false
): Stream.Stream<Uint8Array, StorageFailure> =>
  PullStream.unwrapScoped(
    Effect.gen(function* () {
      const file = yield* step(path, fs.open(path, { flag: "r" }))
      const { size } = yield* step(path, file.stat)
      yield* file.seek(start, "start")
      let left = Math.min(Number(size), end) - start
      const given: Array<Uint8Array> = []
      const most = Math.max(0, Math.min(left, blockSize))
      const blockOf = (size: number): Uint8Array => {
        const block = borrowed ? (given.pop() ?? lent(most, given)) : new Uint8Array(size)
        return block.subarray(0, size)
      }
      const next = Effect.suspend(() => {
        const bytes = blockOf(Math.max(0, Math.min(left, blockSize)))
        return Effect.map(fill(path, file, bytes), (block) => {
          left -= block.length
          return block
        })
      })
      return PullStream.make(() => PullStream.untilEmpty(next))
    })
  )

/** New memory, which is among those given when it is given back. */
const lent = (size: number, given: Array<Uint8Array>): Uint8Array => {
  const block = new Uint8Array(size)
  BorrowedStream.lend(block.buffer, () => given.push(block))
  return block
}

/** Writes all bytes, however few of them the file system takes at a time (V33). */
export const write = Effect.fnUntraced(function* (
  path: string,
  file: FileSystem.File,
  bytes: Uint8Array
): Effect.fn.Return<void, StorageFailure> {
  for (let rest = bytes; rest.length > 0; ) {
    const count = Number(yield* step(path, file.write(rest)))
    if (count === 0)
      return yield* new StorageFailure({ path, cause: new Error("it takes no more bytes") })
    rest = rest.subarray(count)
  }
})

/**
 * Writes a stream, whose arrays may be borrowed, a mebibyte or more at a time. What came before a
 * failure or an interruption is written too.
 */
export const drain = <E, R>(
  path: string,
  file: FileSystem.File,
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.suspend(() => {
    let parts: Array<Uint8Array> = []
    let size = 0
    const take = (bytes: Uint8Array): boolean => {
      parts.push(bytes)
      size += bytes.length
      return size >= blockSize
    }
    const flush = Effect.suspend(() => {
      const [first] = parts
      const isWhole = parts.length === 1 && first !== undefined
      const bytes = isWhole ? first : ByteStream.concat(parts)
      if (!isWhole) for (const part of parts) BorrowedStream.giveBack(part)
      parts = []
      size = 0
      return Effect.ensuring(
        write(path, file, bytes),
        Effect.sync(() => BorrowedStream.giveBack(bytes))
      )
    })
    return Effect.onInterrupt(PullStream.runFlushing(stream, take, flush), () =>
      Effect.ignore(flush)
    )
  })
