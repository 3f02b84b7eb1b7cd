/** The content of a layer: decompressed by what its first bytes are, bounded and verified. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { Decompression, InvalidEncoding } from "../../Decompression.js"
import * as StreamChannel from "../../internal/StreamChannel.js"
import {
  type DigestMismatch,
  type InvalidDigest,
  LimitExceeded,
  type SizeMismatch
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import { escaped } from "../../spec/internal/ServerText.js"
import { type Entry, isProblem, type Problem } from "../../spec/internal/TarEntry.js"
import * as TarHeader from "../../spec/internal/TarHeader.js"
import * as TarReader from "../../spec/internal/TarReader.js"
import { InvalidLayer } from "./InvalidLayer.js"

/** A layer, or a file of an artifact that is an archive. */
export interface ImageLayer<out E = never> {
  readonly descriptor: Descriptor
  /** The bytes as they are stored, compressed or not, verified against the descriptor. */
  readonly content: Stream.Stream<Uint8Array, E>
  /** The digest of the tar archive, where an image configuration says it. */
  readonly diffId?: Digest | undefined
}

/** How a layer is read. */
export interface ReadOptions {
  /**
   * The most that the layer may be when it is decompressed, in bytes: 64 GiB by default. A little
   * that is compressed can be a thousand times as much.
   */
  readonly limit?: number | undefined
}

/** What reading a layer fails with, besides what its content does. */
export type ReadError = InvalidLayer | DigestMismatch | SizeMismatch | InvalidDigest | LimitExceeded

const defaultLimit = 64 * 1024 ** 3

/** The tar archive of a layer, verified if its diff id is known. */
export const uncompressed = <E>(
  { content, descriptor, diffId }: ImageLayer<E>,
  { limit = defaultLimit }: ReadOptions = {}
): Stream.Stream<Uint8Array, E | ReadError, Decompression> => {
  const layer = descriptor.digest
  const plain = StreamChannel.unwrap(
    Effect.map(
      Decompression,
      (decoders): Stream.Stream<Uint8Array, E | ReadError> =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const { all, head } = yield* peeked(content)
            const format = formatOf(head)
            if (format === undefined) {
              const problem =
                "begins with bytes that are neither gzip, zstd nor a tar archive: other formats " +
                "are not read"
              return yield* new InvalidLayer({ reason: "Format", layer, problem })
            }
            yield* reportMismatch(descriptor, format)
            if (format === "tar") return all
            return Stream.mapError(decoders[format](all), (error) =>
              error instanceof InvalidEncoding ? corrupt(layer, error) : error
            )
          })
        )
    )
  )
  const bounded = StreamChannel.transform(plain, () => {
    let count = 0
    return {
      *push(bytes): Generator<Uint8Array, LimitExceeded | undefined> {
        count += bytes.length
        if (count > limit)
          return new LimitExceeded({
            what: `Layer ${layer}, decompressed,`,
            limit,
            option: "limit"
          })
        yield bytes
        return undefined
      },
      *end() {
        return undefined
      }
    }
  })
  return diffId === undefined ? bounded : ByteStream.verify(bounded, { digest: diffId })
}

const corrupt = (layer: string, { format, problem }: InvalidEncoding) =>
  new InvalidLayer({
    reason: "Compression",
    layer,
    problem: `is compressed with ${format} and ${problem}`
  })

type Format = "gzip" | "zstd" | "tar"

/** What the first bytes are of, whatever the media type says (S21). */
const formatOf = (head: Uint8Array): Format | undefined => {
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

/** The first bytes of a stream, enough for a block if there are so many, and all of it. */
const peeked = <E>(content: Stream.Stream<Uint8Array, E>) =>
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

/** A media type can be wrong, and the digest is that of the bytes. */
const reportMismatch = ({ digest, mediaType }: Descriptor, format: Format): Effect.Effect<void> => {
  const [, compression] = /tar(?:[.+](gzip|zstd))?$/i.exec(mediaType) ?? [undefined, format]
  const expected = compression?.toLowerCase() ?? "tar"
  return expected === format
    ? Effect.void
    : Effect.logWarning(
        `Layer ${digest} is said to be ${escaped(mediaType.slice(0, 128))}, and its first bytes ` +
          `are those of ${format}: it is read as that`
      )
}

// -----------------------------------------------------------------------------
// Entries
// -----------------------------------------------------------------------------

/** What an archive holds: its entries, and after each the bytes of its content. */
export type Part = Entry | Uint8Array

/** Whether a part is an entry. */
export const isEntry = (part: Part): part is Entry => !(part instanceof Uint8Array)

/** Takes the parts of a layer in their order, and hears when the layer has ended, verified. */
export interface Consumer {
  readonly take: (part: Part) => void
  readonly end?: () => void
}

/** Emits what a consumer, which is made for each run, makes of a layer. */
export const read = <E, A = never>(
  source: ImageLayer<E>,
  options: ReadOptions | undefined,
  make: (emit: (item: A) => void) => Consumer
): Stream.Stream<A, E | ReadError, Decompression> =>
  StreamChannel.transform(
    uncompressed(source, options),
    () => {
      const emitted: Array<A> = []
      const { end, take } = make((item) => emitted.push(item))
      const reader = TarReader.make({ entry: take, data: take })
      const layer = source.descriptor.digest
      const failure = (problem: Problem | undefined) =>
        problem === undefined ? undefined : new InvalidLayer({ layer, ...problem })
      return {
        *push(bytes): Generator<A, InvalidLayer | undefined> {
          const problem = failure(reader.push(bytes))
          yield* emitted.splice(0)
          return problem
        },
        *end() {
          const problem = failure(reader.end())
          if (problem === undefined) end?.()
          yield* emitted.splice(0)
          return problem
        }
      }
    },
    1024
  )
