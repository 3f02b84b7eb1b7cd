/**
 * gzip by `node:zlib`, which inflates in a thread of its own, all members of a stream (S15). What
 * it leaves unread is noticed by its count.
 */
import * as Zlib from "node:zlib"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { InvalidEncoding } from "../../Decompression.js"

/** Bytes that wait to be inflated, and those of an array that comes of it. */
const waiting = 262_144
const size = 1_048_576

/** Decompresses all members of a stream. */
export const gunzip = <E, R>(
  compressed: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | InvalidEncoding, R> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(compressed)
      const { change, failure, stream } = yield* opened
      let given = 0
      const next: Effect.Effect<
        Chunk.Chunk<Uint8Array>,
        Option.Option<E | InvalidEncoding>,
        R
      > = Effect.suspend(() => {
        const bytes: Uint8Array | null = stream.read()
        if (bytes !== null) return Effect.succeed(Chunk.of(bytes))
        const problem = failure()
        if (problem !== undefined) return Effect.fail(Option.some(invalid(problem)))
        if (stream.readableEnded)
          return Effect.fail(
            stream.bytesWritten < given
              ? Option.some(invalid("has bytes after its end that are not gzip"))
              : Option.none()
          )
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
      })
      return next
    })
  )

/** An inflater that is destroyed with the Scope, and the next change of what it can do. */
const opened = Effect.acquireRelease(
  Effect.sync(() => {
    const stream = Zlib.createGunzip({
      chunkSize: size,
      // The types of Node do not know that a stream takes these, too.
      ...{ writableHighWaterMark: waiting, readableHighWaterMark: 2 * size }
    })
    let failure: string | undefined
    let hasChanged = false
    let resume = () => {}
    const changed = () => {
      hasChanged = true
      resume()
    }
    stream.on("error", ({ message }) => {
      failure = message === "unexpected end of file" ? "was cut off" : `is corrupt: ${message}`
      changed()
    })
    for (const event of ["readable", "drain", "end"]) stream.on(event, changed)
    const change = Effect.async<void>((done) => {
      resume = () => {
        hasChanged = false
        resume = () => {}
        done(Effect.void)
      }
      if (hasChanged) resume()
    })
    return { change, failure: () => failure, stream }
  }),
  ({ stream }) => Effect.sync(() => stream.destroy())
)

const invalid = (problem: string) => new InvalidEncoding({ format: "gzip", problem })
