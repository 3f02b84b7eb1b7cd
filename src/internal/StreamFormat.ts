/** What a stream is, by its first bytes: an archive, or one that is compressed. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import { Decompression, type InvalidEncoding } from "../Decompression.js"
import { isProblem } from "../spec/internal/TarEntry.js"
import * as TarHeader from "../spec/internal/TarHeader.js"

/** What archives come in. */
export type Format = "gzip" | "zstd" | "tar"

/** What the first bytes are of, whatever the media type says (S21). */
export const formatOf = (head: Uint8Array): Format | undefined => {
  const [a, b, c, d] = head
  if (a === 0x1f && b === 0x8b) return "gzip"
  const isFrame = a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd
  const isSkippable = (a ?? 0) >> 4 === 5 && b === 0x2a && c === 0x4d && d === 0x18
  if (isFrame || isSkippable) return "zstd"
  const block = head.subarray(0, TarHeader.blockSize)
  const isArchive =
    block.length === 0 ||
    (block.length === TarHeader.blockSize &&
      (TarHeader.isEnd(block) || !isProblem(TarHeader.parse(block))))
  return isArchive ? "tar" : undefined
}

/**
 * Decompresses a stream that is compressed. `accept` gets what it is, or nothing where that is
 * unknown, and returns what it is to be read as.
 */
export const uncompressed = <E, R, E2>(
  content: Stream.Stream<Uint8Array, E, R>,
  accept: (format: Format | undefined) => Effect.Effect<Format, E2>
): Stream.Stream<Uint8Array, E | E2 | InvalidEncoding, R | Decompression> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const decoders = yield* Decompression
      const { all, head } = yield* peeked(content)
      const format = yield* accept(formatOf(head))
      return format === "tar" ? all : decoders[format](all)
    })
  )

/** The first bytes of a stream, enough for a block if there are so many, and all of it. */
export const peeked = <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(content)
    const parts: Array<Uint8Array> = []
    let size = 0
    let isWhole = false
    while (size < TarHeader.blockSize && !isWhole) {
      const next = yield* Effect.catchAll(
        pull,
        Option.match({
          onNone: () => Effect.succeed(undefined),
          onSome: (error: E) => Effect.fail(error)
        })
      )
      isWhole = next === undefined
      for (const bytes of next ?? []) {
        parts.push(bytes)
        size += bytes.length
      }
    }
    const first = Stream.fromIterable(parts)
    return {
      head: ByteStream.concat(parts),
      all: isWhole ? first : Stream.concat(first, Stream.fromPull(Effect.succeed(pull)))
    }
  })
