/** The content of a layer: decompressed by what its first bytes are, bounded and verified. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { type Decompression, InvalidEncoding } from "../../Decompression.js"
import * as LimitedStream from "../../internal/LimitedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import * as StreamFormat from "../../internal/StreamFormat.js"
import type {
  DigestMismatch,
  InvalidDigest,
  LimitExceeded,
  SizeMismatch
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import { escaped } from "../../spec/internal/ServerText.js"
import type { Entry, Problem } from "../../spec/internal/TarEntry.js"
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
  const plain = Stream.mapError(
    StreamFormat.uncompressed(content, (format) =>
      format === undefined
        ? unknownFormat(layer)
        : Effect.as(reportMismatch(descriptor, format), format)
    ),
    (error) => (error instanceof InvalidEncoding ? corrupt(layer, error) : error)
  )
  const what = `Layer ${layer}, decompressed,`
  const bounded = LimitedStream.atMost(plain, { what, limit, option: "limit" })
  return diffId === undefined ? bounded : ByteStream.verify(bounded, { digest: diffId })
}

/** The error of a layer whose first bytes are of no known format. */
export const unknownFormat = (layer: string) =>
  new InvalidLayer({
    reason: "Format",
    layer,
    problem:
      "begins with bytes that are neither gzip, zstd nor a tar archive: other formats are not read"
  })

const corrupt = (layer: string, { format, problem }: InvalidEncoding) =>
  new InvalidLayer({
    reason: "Compression",
    layer,
    problem: `is compressed with ${format} and ${problem}`
  })

/** A media type can be wrong, and the digest is that of the bytes. */
const reportMismatch = (
  { digest, mediaType }: Descriptor,
  format: StreamFormat.Format
): Effect.Effect<void> => {
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
  parts(uncompressed(source, options), source.descriptor.digest, make)

/** Emits what a consumer makes of the archive of the layer with a digest. */
export const parts = <E, R, A = never>(
  archive: Stream.Stream<Uint8Array, E, R>,
  layer: string,
  make: (emit: (item: A) => void) => Consumer
): Stream.Stream<A, E | InvalidLayer, R> =>
  PullStream.transform(
    archive,
    () => {
      const emitted: Array<A> = []
      const { end, take } = make((item) => emitted.push(item))
      const reader = TarReader.make({ entry: take, data: take })
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
