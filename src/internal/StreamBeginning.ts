/**
 * The first bytes of a stream where the rest does not matter, as of the body of an error, or where
 * there may be no rest.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { concat } from "../ByteStream.js"
import * as PullStream from "./PullStream.js"

/** So many milliseconds what is not needed is waited for. */
export const longestWait = 5000

/**
 * Returns the first bytes of a stream whose rest is not needed: at least `enough` of them, if there
 * are so many, or those that arrived within some milliseconds or before a failure. Never fails.
 */
export const beginning = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  enough: number,
  within = longestWait
): Effect.Effect<Uint8Array, never, R> =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let count = 0
    // Running a stream makes a fiber, Effect logs the failures of fibers, and those of an HTTP
    // client hold the request with its headers (T13).
    const read = Stream.catchAll(self, () => Stream.empty)
    return Stream.runForEachWhile(read, (bytes) => {
      parts.push(bytes)
      count += bytes.length
      return Effect.succeed(count < enough)
    }).pipe(
      Effect.timeout(within),
      Effect.ignore,
      Effect.map(() => concat(parts))
    )
  })

/**
 * Maps a stream of at most `limit` bytes as a whole, which is held back until it has ended. Changes
 * nothing of a longer one.
 */
export const mapSmall = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  limit: number,
  f: (bytes: Uint8Array) => Effect.Effect<Uint8Array>
): Stream.Stream<Uint8Array, E, R> =>
  PullStream.make((scope) => {
    const pull = PullStream.open(self, scope)
    const held: Array<Uint8Array> = []
    let size = 0
    let next: PullStream.Pull<Uint8Array, E, R> | undefined
    const gather: PullStream.Pull<Uint8Array, E, R> = PullStream.match<
      Uint8Array,
      E,
      R,
      Chunk.Chunk<Uint8Array>,
      Option.Option<E>,
      R
    >(pull, {
      onChunk: (chunk) => {
        for (const bytes of chunk) {
          held.push(bytes)
          size += bytes.length
        }
        if (size <= limit) return gather
        next = pull
        return Effect.succeed(Chunk.unsafeFromArray(held))
      },
      onFailure: PullStream.failed,
      onEnd: () => {
        next = PullStream.end
        return Effect.map(f(concat(held)), Chunk.of)
      }
    })
    return Effect.suspend(() => next ?? gather)
  })
