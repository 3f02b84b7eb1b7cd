/** What is read of the sources of an artifact before they are sent. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"
import * as ReadInto from "../../internal/ReadInto.js"
import type { LimitExceeded } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"

/**
 * Hashes those sources that may have the content of another one, since they have its size and its
 * beginning: it is to be sent once (CP29).
 */
export const digests = <E, R>(
  sources: ReadonlyArray<BlobSource.BlobSource<E, R>>
): Effect.Effect<ReadonlyMap<unknown, Digest.Digest>, E, R> =>
  Effect.gen(function* () {
    const found = new Map<unknown, Digest.Digest>()
    const bySize = Arr.groupBy(new Set(sources), ({ size }) => `${size}`)
    for (const sameSize of Object.values(bySize)) {
      const unknown = sameSize.filter(
        ({ digest, replay, size }) => digest === undefined && size !== undefined && replay === "any"
      )
      if (unknown.length === 0 || sameSize.length === 1) continue
      const read = yield* Effect.forEach(unknown, (source) =>
        Effect.map(digestOf(source, beginning), (start) => ({ source, start }))
      )
      for (const { source, start } of read) {
        const isAlone =
          unknown.length === sameSize.length &&
          read.every((other) => other.source === source || other.start !== start)
        if (isAlone) continue
        // The beginning of a small one is all of it.
        const isWhole = (source.size ?? beginning) < beginning
        found.set(source, isWhole ? start : yield* digestOf(source))
      }
    }
    return found
  })

/** How much of sources is compared before all of them is, in bytes. */
const beginning = 65_536

/** Hashes a source, or so many bytes of it. */
const digestOf = <E, R>(
  { open }: BlobSource.BlobSource<E, R>,
  most = Number.POSITIVE_INFINITY
): Effect.Effect<Digest.Digest, E, R> =>
  Effect.suspend(() => {
    const hasher = Digest.hasher("sha256")
    let left = most
    const content = ByteStream.tap(
      PullStream.endAfter(open(0), () => left),
      (bytes) => {
        left -= bytes.length
        hasher.update(bytes)
      }
    )
    return Effect.map(Stream.runDrain(content), hasher.digest)
  })

/** Reads what fits into one request, since its digest has to be known then. */
export const gathered = <E, R>(
  source: BlobSource.BlobSource<E, R>
): Effect.Effect<BlobSource.BlobSource<E, R>, E | LimitExceeded, R> => {
  const { digest, open, replay, size } = source
  if (digest !== undefined || size === undefined || replay === "once") return Effect.succeed(source)
  const reader = ReadInto.readerOf(open)
  const bytes =
    reader !== undefined && size <= smallFile
      ? ReadInto.gather(reader, size)
      : size <= small
        ? ByteStream.collect(open(0), size)
        : undefined
  return bytes === undefined
    ? Effect.succeed(source)
    : Effect.map(bytes, (bytes) => ({ ...BlobSource.fromBytes(bytes), size }))
}

/** The most that is read of any source, and of one that is a file, in bytes. */
const small = 65_536
const smallFile = 1_048_576
