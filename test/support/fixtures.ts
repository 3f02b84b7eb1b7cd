/** Content named by symbols: "b1" is some blob, "m1" some manifest. Digests are computed. */
import { randomUUID } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A repository that no other test has, on any registry. */
export const freshRepository: Effect.Effect<Reference.RepositoryName> = Effect.suspend(() =>
  Effect.orDie(Reference.parseRepositoryName(`test/${randomUUID()}`))
)

/**
 * Content that no other test has, so that a registry which looks into all repositories does not
 * find it.
 */
export const freshBytes = (symbol: string): Uint8Array => utf8(`${symbol} ${randomUUID()}`)

/** A digest that nothing has. */
export const freshDigest = (): Digest.Digest => Digest.fromBytes(freshBytes("nothing"))

/** A grammatical digest that cannot be computed here (C17). */
export const unverifiableDigest: Effect.Effect<Digest.Digest> = Effect.orDie(
  Digest.parse(`blake3:${"ab".repeat(32)}`)
)

export const tag = (text: string): Effect.Effect<Reference.Tag> =>
  Effect.orDie(Reference.parseTag(text))

/** `size` bytes, made 64 KiB at a time as they are asked for; no two pieces are equal. */
export const generated = (size: number): Stream.Stream<Uint8Array> =>
  Stream.unfold(0, (offset) => {
    if (offset >= size) return Option.none()
    const piece = new Uint8Array(Math.min(64 * 1024, size - offset)).fill(offset / 1024)
    piece.set(utf8(`${offset}`).subarray(0, piece.length))
    return Option.some([piece, offset + piece.length])
  })

/** Everything a stream yields, as one array. */
export const gather = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Uint8Array, E, R> =>
  Effect.map(Stream.runCollect(stream), (chunk) => ByteStream.concat([...chunk]))

/** Everything a stream yields, as an array of its items. */
export const items = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<ReadonlyArray<A>, E, R> =>
  Effect.map(Stream.runCollect(stream), (chunk) => [...chunk])

/** An image manifest, not put yet, whose config and layer are in the repository. */
export const image = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  symbol: string,
  options: Omit<Parameters<typeof Manifest.image>[0], "config" | "layers"> = {}
) {
  const config = yield* registry.putBlob(
    repository,
    BlobSource.fromBytes(freshBytes(`config of ${symbol}`))
  )
  const layer = yield* registry.putBlob(
    repository,
    BlobSource.fromBytes(freshBytes(`layer of ${symbol}`))
  )
  return Manifest.image({
    config: { ...config, mediaType: MediaType.imageConfig },
    layers: [{ ...layer, mediaType: MediaType.layerTar }],
    ...options
  })
})

/** Lets web streams and sockets, which the runtime knows nothing of, go on. */
export const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
