/**
 * New layers as they are stored: archives that are made and compressed anew whenever they are read,
 * so that no layer is ever held in memory.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import { Compression, type Encoder } from "../../../Compression.js"
import type { DigestMismatch, InvalidDigest, SizeMismatch } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import * as Flattening from "../Flattening.js"
import type { Part } from "../LayerContent.js"
import { InvalidImage } from "./InvalidImage.js"
import type { Content } from "./LayerEntries.js"
import type { Algorithm, NewLayer } from "./Recipe.js"

/** What the sources of files fail with where they are not what they declare. */
export type ContentError = DigestMismatch | SizeMismatch | InvalidDigest

/** The tar archive of a layer, whose files have the sizes and digests that they should. */
export const archive = <E, R>(
  contents: ReadonlyArray<Content<E, R>>
): Stream.Stream<Uint8Array, E | ContentError, R> => {
  type Parts = Stream.Stream<Part, E | ContentError, R>
  const all: Array<Parts> = []
  // What is in memory goes together: a stream for each file would cost more than a small file.
  let run: Array<Part> = []
  for (const { entry, source } of contents) {
    run.push(entry)
    const bytes = source === undefined || !("open" in source) ? source : source.bytes
    if (bytes !== undefined) run.push(bytes)
    else if (source !== undefined && "open" in source) {
      const { digest } = source
      all.push(Stream.fromIterable(run))
      all.push(ByteStream.verify(source.open(0), { size: entry.size, digest }))
      run = []
    }
  }
  all.push(Stream.fromIterable(run))
  return Flattening.encoded(Stream.flatMap(Stream.fromIterable(all), identity))
}

const defaultLevels: Readonly<Record<Algorithm, number>> = { gzip: 6, zstd: 3, none: 0 }
const highest: Readonly<Record<Algorithm, number>> = { gzip: 9, zstd: 22, none: 0 }

/** The encoder that a layer asks for, none for one that is not compressed. */
export const encoderOf = ({
  compression = "gzip",
  level = defaultLevels[compression]
}: NewLayer): Effect.Effect<Encoder | undefined, InvalidImage, Compression> =>
  Effect.gen(function* () {
    if (compression === "none") return undefined
    const encoders = yield* Compression
    const most = highest[compression]
    if (!Number.isInteger(level) || level < 0 || level > most)
      return yield* invalid("level", `is not one of ${compression}: expected 0 to ${most}`)
    if (compression === "gzip") return encoders.gzip(level)
    return encoders.zstd === undefined
      ? yield* invalid("compression", "cannot be zstd here: Node has it from version 22.15 on")
      : encoders.zstd(level)
  })

const invalid = (path: string, problem: string) =>
  new InvalidImage({ reason: "Compression", path, problem })

/** Bytes per array: some encoders make other bytes of the same content in other arrays. */
const width = 131_072

/** A layer as it is stored, and the digest of its archive in the end. */
export interface Stored<out E, out R> {
  readonly content: Stream.Stream<Uint8Array, E, R>
  /** That of the archive that went by last. */
  readonly diffId: () => Digest.Digest
}

/** Compresses an archive. */
export const compressed = <E, R>(
  archive: Stream.Stream<Uint8Array, E, R>,
  encoder: Encoder | undefined
): Stored<E, R> => {
  let hasher = Digest.hasher("sha256")
  const hashed = Stream.suspend(() => {
    const own = Digest.hasher("sha256")
    hasher = own
    return ByteStream.tap(ByteStream.rechunk(archive, width), (bytes) => own.update(bytes))
  })
  return { content: (encoder ?? identity)(hashed), diffId: () => hasher.digest() }
}

/** Reads content to its end, for its digest and size. */
export const measured = <E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Pick<Descriptor, "digest" | "size">, E, R> =>
  Effect.suspend(() => {
    const hasher = Digest.hasher("sha256")
    let size = 0
    const counted = ByteStream.tap(content, (bytes) => {
      hasher.update(bytes)
      size += bytes.length
    })
    return Effect.map(Stream.runDrain(counted), () => ({ digest: hasher.digest(), size }))
  })
