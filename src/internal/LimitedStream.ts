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
  counted(stream, (count) =>
    // What is not a number allows nothing.
    count <= limit.limit ? undefined : new LimitExceeded(limit)
  )

/**
 * Passes the bytes of a stream as they come. Fails with `SizeMismatch` at the first one beyond
 * `size`, or at the end when bytes are missing.
 */
export const exactly = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  size: number
): Stream.Stream<Uint8Array, E | SizeMismatch, R> =>
  counted(stream, (count, isEnd) =>
    count > size || (isEnd && count < size)
      ? new SizeMismatch({ expected: size, actual: count })
      : undefined
  )

/** Counts the bytes before they pass, and at the end, and fails with what is wrong with that. */
const counted = <E, R, E2>(
  stream: Stream.Stream<Uint8Array, E, R>,
  problemOf: (count: number, isEnd: boolean) => E2 | undefined
): Stream.Stream<Uint8Array, E | E2, R> =>
  PullStream.transform(stream, (): PullStream.Transformer<Uint8Array, E2> => {
    let count = 0
    return {
      *push(bytes) {
        count += bytes.length
        const problem = problemOf(count, false)
        if (problem === undefined) yield bytes
        return problem
      },
      *end() {
        return problemOf(count, true)
      }
    }
  })
