/** Streams that may have so many bytes and no more, or have to have so many. */
import type * as Stream from "effect/Stream"
import type { Limit } from "../ByteStream.js"
import { LimitExceeded, SizeMismatch } from "../RegistryError.js"
import * as PullStream from "./PullStream.js"

/** Passes the bytes of a stream. Fails with `LimitExceeded` at the first one beyond the limit. */
export const atMost = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  limit: Limit
): Stream.Stream<Uint8Array, E | LimitExceeded, R> =>
  PullStream.transform(stream, () => {
    let count = 0
    return {
      *push(bytes): Generator<Uint8Array, LimitExceeded | undefined> {
        count += bytes.length
        // What is not a number allows nothing.
        if (!(count <= limit.limit)) return new LimitExceeded(limit)
        yield bytes
        return undefined
      },
      *end() {
        return undefined
      }
    }
  })

/**
 * Passes the bytes of a stream as they come. Fails with `SizeMismatch` at the first one beyond
 * `size`, or at the end when bytes are missing.
 */
export const exactly = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  size: number
): Stream.Stream<Uint8Array, E | SizeMismatch, R> =>
  PullStream.transform(stream, () => {
    let count = 0
    return {
      *push(bytes): Generator<Uint8Array, SizeMismatch | undefined> {
        count += bytes.length
        if (count > size) return new SizeMismatch({ expected: size, actual: count })
        yield bytes
        return undefined
      },
      *end() {
        return count === size ? undefined : new SizeMismatch({ expected: size, actual: count })
      }
    }
  })
