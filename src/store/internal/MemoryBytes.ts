/** The bytes of a blob in memory, in the arrays that they came in: joining them is another copy. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"

/**
 * The bytes of a blob. `isVerified` tells whether they were hashed when they came, and nobody else
 * has had their arrays since.
 */
export class MemoryBytes {
  readonly size: number

  constructor(
    private parts: ReadonlyArray<Uint8Array>,
    public isVerified: boolean
  ) {
    this.size = parts.reduce((size, { length }) => size + length, 0)
  }

  /** All of them in one array, which must not be written to. */
  get whole(): Uint8Array {
    const whole = ByteStream.concat(this.parts)
    this.parts = [whole]
    return whole
  }

  /** The same for others, who may write to it all the same. */
  share(): Uint8Array {
    this.isVerified = false
    return this.whole
  }

  /**
   * Streams the bytes from `start` to `end` in many arrays, as from a network, so that progress
   * shows and a consumer that stops early has not been given everything. Unless they are borrowed,
   * they are copies, since a consumer may change or transfer them.
   */
  stream(borrowed: boolean, start = 0, end = this.size): Stream.Stream<Uint8Array> {
    return PullStream.make(() => {
      const slices = this.slices(start, end)
      return Effect.suspend(() => {
        const out: Array<Uint8Array> = []
        for (let size = 0; size < (borrowed ? most : 1); ) {
          const { done, value } = slices.next()
          if (done === true) break
          size += value.length
          out.push(borrowed ? value : new Uint8Array(value))
        }
        return out.length === 0 ? PullStream.end : Effect.succeed(Chunk.unsafeFromArray(out))
      })
    })
  }

  private *slices(start: number, end: number): Generator<Uint8Array> {
    let before = 0
    for (const part of this.parts) {
      const last = Math.min(end - before, part.length)
      for (let at = Math.max(start - before, 0); at < last; at += sliceSize)
        yield part.subarray(at, Math.min(at + sliceSize, last))
      before += part.length
    }
  }
}

/** In bytes. */
const sliceSize = 64 * 1024

/** How many borrowed bytes are emitted at a time. */
const most = 1024 * 1024
