/**
 * gzip by `node:zlib`, which works in a thread of its own: all members of a stream are inflated
 * (S15), and what it leaves unread is noticed by its count. What is compressed says neither when
 * nor where that was done (S31).
 */
import type { Transform, WritableOptions } from "node:stream"
import * as Zlib from "node:zlib"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { InvalidEncoding } from "../../Decompression.js"
import * as PullStream from "../../internal/PullStream.js"

/** Bytes that wait for zlib, and those of an array that comes of it. */
const waiting = 262_144
const size = 1_048_576

/** What streams of zlib are opened with. */
export const options = {
  chunkSize: size,
  // The types of Node do not know that a stream takes these, too.
  ...{ writableHighWaterMark: waiting, readableHighWaterMark: size }
}

/**
 * Arrays that wait while zlib works are its next piece together: when this thread is busy, that one
 * goes on longer by itself.
 */
const batching: Zlib.ZlibOptions & WritableOptions = {
  ...options,
  writev(chunks, done) {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", done)
  }
}

/** Decompresses all members of a stream. */
export const gunzip = <E, R>(
  compressed: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | InvalidEncoding, R> =>
  through(compressed, () => Zlib.createGunzip(batching), {
    failed: (message) =>
      invalid(message === "unexpected end of file" ? "was cut off" : `is corrupt: ${message}`),
    unread: () => invalid("has bytes after its end that are not gzip")
  })

const invalid = (problem: string) => Effect.fail(new InvalidEncoding({ format: "gzip", problem }))

/**
 * Compresses a stream to one member, whose header has neither a time nor a system. Blocks of it are
 * compressed at the same time, in the threads of Node: each knows the end of the one before it and
 * ends at a byte (RFC 1951 section 3.2.4), so that equal bytes give equal ones however many threads
 * there are, as long as zlib is the same.
 */
export const gzip =
  (level: number) =>
  <E, R>(content: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.suspend(() => {
      const blocks = new Blocks()
      const speed = level === 9 ? 2 : level === 1 ? 4 : 0
      return Stream.make(Uint8Array.of(31, 139, 8, 0, 0, 0, 0, 0, speed, 255)).pipe(
        Stream.concat(
          Stream.mapEffect(
            PullStream.transform<E, R, Block, never>(content, () => blocks, 1),
            (block) =>
              Effect.ensuring(
                deflated(block, level),
                Effect.sync(() => blocks.free(block))
              ),
            { concurrency: atOnce }
          )
        ),
        Stream.concat(Stream.sync(() => blocks.trailer()))
      )
    })

/** How many blocks are compressed at the same time: so many threads Node has by default. */
const atOnce = 4

/** The farthest that deflate looks back, in bytes. */
const reach = 32_768

interface Block {
  readonly bytes: Uint8Array
  readonly before: Uint8Array
  readonly isLast: boolean
}

/** Divides content into blocks, and counts it for what ends a member (RFC 1952 section 2.3.1). */
class Blocks implements PullStream.Transformer<Block, never> {
  private readonly spare: Array<Uint8Array> = []
  private block: Uint8Array = new Uint8Array(size)
  private filled = 0
  private before = new Uint8Array(0)
  private crc = 0
  private count = 0

  /** Takes the memory of a block that nobody reads any more, to be filled again. */
  free({ bytes }: Block): void {
    this.spare.push(new Uint8Array(bytes.buffer))
  }

  trailer(): Uint8Array {
    const bytes = new DataView(new ArrayBuffer(8))
    bytes.setUint32(0, this.crc, true)
    bytes.setUint32(4, this.count % 2 ** 32, true)
    return new Uint8Array(bytes.buffer)
  }

  *push(bytes: Uint8Array): Generator<Block, undefined> {
    this.crc = Zlib.crc32(bytes, this.crc)
    this.count += bytes.length
    for (let at = 0; at < bytes.length; ) {
      if (this.filled === size) yield this.next(false)
      const part = bytes.subarray(at, at + size - this.filled)
      this.block.set(part, this.filled)
      this.filled += part.length
      at += part.length
    }
    return undefined
  }

  *end(): Generator<Block, undefined> {
    yield this.next(true)
    return undefined
  }

  private next(isLast: boolean): Block {
    const bytes = this.block.subarray(0, this.filled)
    const { before } = this
    this.before = bytes.slice(-reach)
    if (!isLast) this.block = this.spare.pop() ?? new Uint8Array(size)
    this.filled = 0
    return { bytes, before, isLast }
  }
}

const deflated = ({ before, bytes, isLast }: Block, level: number): Effect.Effect<Uint8Array> =>
  Effect.async((resume) => {
    const options: Zlib.ZlibOptions = {
      level,
      chunkSize: size / 4,
      finishFlush: isLast ? Zlib.constants.Z_FINISH : Zlib.constants.Z_SYNC_FLUSH,
      ...(before.length > 0 && { dictionary: before })
    }
    Zlib.deflateRaw(bytes, options, (error, compressed) =>
      resume(error === null ? Effect.succeed(compressed) : Effect.die(error))
    )
  })

/** Compresses a stream by one of zlib. */
export const compressedBy =
  (open: () => ZlibStream) =>
  <E, R>(content: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    through(gathered(content), open, {
      failed: Effect.dieMessage,
      unread: () => Effect.dieMessage("zlib has not taken all bytes")
    })

/** Small arrays in larger ones: each costs a turn of the other thread. */
const gathered = <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
  PullStream.transform<E, R, Uint8Array, never>(content, () => {
    let block = new Uint8Array(0)
    let filled = 0
    function* flush() {
      if (filled > 0) yield block.subarray(0, filled)
      filled = 0
      return undefined
    }
    return {
      *push(bytes) {
        const isLarge = bytes.length > waiting / 4
        if (isLarge || filled + bytes.length > block.length) yield* flush()
        if (isLarge) {
          yield bytes
          return undefined
        }
        if (filled === 0) block = new Uint8Array(waiting / 2)
        block.set(bytes, filled)
        filled += bytes.length
        return undefined
      },
      end: flush
    }
  })

/** A stream of zlib, in one direction or the other. */
export interface ZlibStream extends Transform {
  readonly bytesWritten: number
}

/** What comes of a stream that goes through zlib. */
const through = <E, R, E2>(
  content: Stream.Stream<Uint8Array, E, R>,
  open: () => ZlibStream,
  fail: {
    readonly failed: (message: string) => Effect.Effect<never, E2>
    readonly unread: () => Effect.Effect<never, E2>
  }
): Stream.Stream<Uint8Array, E | E2, R> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(content)
      const { change, failure, stream, take } = yield* opened(open)
      let given = 0
      const next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<E | E2>, R> = Effect.suspend(
        () => {
          const arrays = take()
          if (arrays.length > 0) return Effect.succeed(Chunk.unsafeFromArray(arrays))
          const problem = failure()
          if (problem !== undefined) return Effect.mapError(fail.failed(problem), Option.some)
          if (stream.readableEnded)
            return stream.bytesWritten < given
              ? Effect.mapError(fail.unread(), Option.some)
              : Effect.fail(Option.none())
          if (stream.writableEnded || stream.writableNeedDrain) return Effect.zipRight(change, next)
          return Effect.matchEffect(pull, {
            onSuccess: (chunk) => {
              for (const bytes of chunk) {
                given += bytes.length
                stream.write(bytes)
              }
              return next
            },
            onFailure: (end) => {
              if (Option.isSome(end)) return Effect.fail(end)
              stream.end()
              return next
            }
          })
        }
      )
      return next
    })
  )

/**
 * A stream of zlib that is destroyed with the Scope, what has come of it, and the next change of
 * what it can do. Its arrays are taken as they come: its `read` copies all that there are into one.
 */
const opened = (open: () => ZlibStream) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const stream = open()
      let arrays: Array<Uint8Array> = []
      let held = 0
      let failure: string | undefined
      let hasChanged = false
      let resume = () => {}
      const changed = () => {
        hasChanged = true
        resume()
      }
      stream.on("error", ({ message }) => {
        failure = message
        changed()
      })
      stream.on("data", (bytes: Uint8Array) => {
        arrays.push(bytes)
        held += bytes.length
        if (held >= size) stream.pause()
        changed()
      })
      for (const event of ["drain", "end"]) stream.on(event, changed)
      const take = () => {
        const taken = arrays
        arrays = []
        held = 0
        if (stream.isPaused()) stream.resume()
        return taken
      }
      const change = Effect.async<void>((done) => {
        resume = () => {
          hasChanged = false
          resume = () => {}
          done(Effect.void)
        }
        if (hasChanged) resume()
      })
      return { change, failure: () => failure, stream, take }
    }),
    ({ stream }) => Effect.sync(() => stream.destroy())
  )
