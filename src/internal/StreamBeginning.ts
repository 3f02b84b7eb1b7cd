/**
 * The first bytes of a stream where the rest does not matter, as of the body of an error, or where
 * there may be no rest.
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { concat } from "../ByteStream.js"

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
): Stream.Stream<Uint8Array, E, R> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const gather = (
    held: Bytes,
    size: number
  ): Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> =>
    Channel.readWithCause({
      onInput: (chunk: Bytes) => {
        const all = Chunk.appendAll(held, chunk)
        const total = Chunk.reduce(chunk, size, (sum, bytes) => sum + bytes.length)
        return total > limit ? Channel.flatMap(Channel.write(all), () => pass) : gather(all, total)
      },
      onFailure: Channel.failCause,
      onDone: () =>
        Channel.unwrap(Effect.map(f(concat([...held])), (bytes) => Channel.write(Chunk.of(bytes))))
    })
  const pass: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => Channel.flatMap(Channel.write(chunk), () => pass),
    onFailure: Channel.failCause,
    onDone: () => Channel.void
  })
  return Stream.fromChannel(
    Channel.pipeTo(
      Stream.toChannel(self),
      Channel.suspend(() => gather(Chunk.empty(), 0))
    )
  )
}
