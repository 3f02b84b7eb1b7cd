/**
 * zstd by the package `fzstd`, in plain JavaScript: of those that are maintained it is the one that
 * stops at errors and keeps nothing when it is left in the middle. It gets one block at a time, and
 * each frame a decoder of its own.
 */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { InvalidEncoding } from "./InvalidEncoding.js"
import * as PullStream from "./PullStream.js"
import * as ZstdFrames from "./ZstdFrames.js"

/** Decompresses all frames of a stream. */
export const zstd = <E, R>(
  compressed: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | InvalidEncoding, R> =>
  PullStream.unwrap(
    Effect.map(loaded, ({ Decompress }) =>
      PullStream.transform(compressed, () => {
        const cutter = ZstdFrames.make()
        let out: Array<Uint8Array> = []
        const open = () => {
          const decoder = new Decompress((bytes) => out.push(bytes))
          decoder.push(magic)
          return decoder
        }
        let decoder: InstanceType<typeof Decompress> | undefined
        return {
          *push(bytes) {
            const pieces = cutter.push(bytes)
            let piece = pieces.next()
            for (; piece.done !== true; piece = pieces.next()) {
              decoder ??= open()
              try {
                decoder.push(piece.value.bytes, piece.value.isLast)
              } catch (failure) {
                return invalid(`is corrupt: ${failure instanceof Error ? failure.message : ""}`)
              }
              if (piece.value.isLast) decoder = undefined
              yield* out
              out = []
            }
            return piece.value === undefined ? undefined : invalid(piece.value)
          },
          *end() {
            const problem = cutter.end()
            return problem === undefined ? undefined : invalid(problem)
          }
        }
      })
    )
  )

const magic = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)

const invalid = (problem: string) => new InvalidEncoding({ format: "zstd", problem })

/** The package is an optional peer: only who reads such layers needs it. */
const loaded = Effect.tryPromise({
  try: () => import("fzstd"),
  catch: () => invalid("needs the package fzstd: run npm install fzstd")
})
