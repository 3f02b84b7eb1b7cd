/** Blobs that come to a layout, and go from it, in memory that is used again. */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as BorrowedStream from "../../src/internal/BorrowedStream.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { gather } from "../support/fixtures.js"
import { fresh } from "../support/layouts.js"

const app = Reference.unsafeParseRepositoryName("app")
const size = 3_000_000
const content = Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 12)) & 255)
const blob = { mediaType: MediaType.octetStream, digest: Digest.fromBytes(content), size }

/** A registry whose arrays are overwritten when they are given back, and how it was read. */
const lending = (bytes: Uint8Array, part: number) => {
  const forms: Array<BorrowedStream.Form> = []
  const out = new Set<ArrayBufferLike>()
  let given = 0
  const array = (at: number) => {
    const copy = bytes.slice(at, at + part)
    out.add(copy.buffer)
    BorrowedStream.lend(copy.buffer, (back) => {
      expect(out.delete(back.buffer)).toBe(true)
      given++
      back.fill(0xff)
    })
    return copy
  }
  const getBlob = () =>
    BorrowedStream.make((form) =>
      Stream.suspend(() => {
        forms.push(form)
        const starts = Array.from({ length: Math.ceil(bytes.length / part) }, (_, n) => n * part)
        return Stream.fromChunks(...starts.map((at) => Chunk.of(array(at))))
      })
    )
  return { forms, out, given: () => given, registry: { getBlob, getBlobRange: getBlob } }
}

describe("a blob that comes from another registry", () => {
  it.scopedLive.each([4096, 100_000, 1_048_576, size])(
    "in arrays of %i bytes is written before they are given back, and hashed once",
    (part) =>
      Effect.gen(function* () {
        const { registry } = yield* fresh
        const source = lending(content, part)
        yield* registry.putBlob(app, BlobSource.fromRegistry(source.registry, app, blob))
        expect(source.forms).toEqual([{ borrowed: true, hashed: false }])
        expect(source.out.size).toBe(0)
        expect(source.given()).toBe(Math.ceil(size / part))
        const stored = yield* gather(registry.getBlob(app, blob))
        expect(Digest.fromBytes(stored)).toBe(blob.digest)
      })
  )

  it.scopedLive("and is something else is not stored", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const other = content.slice()
      other[1_234_567] = 0
      const source = BlobSource.fromRegistry(lending(other, 65_536).registry, app, blob)
      const failure = yield* Effect.flip(registry.putBlob(app, source))
      expect(failure).toMatchObject({ _tag: "DigestMismatch", expected: blob.digest })
      const none = yield* Effect.flip(gather(registry.getBlob(app, blob)))
      expect(["BlobUnknown", "NameUnknown"]).toContain(none._tag)
    })
  )
})

describe("a blob of a layout", () => {
  it.scopedLive(
    "is read into one block by whoever gives it back, and into new ones by others",
    () =>
      Effect.gen(function* () {
        const { registry } = yield* fresh
        yield* registry.putBlob(app, BlobSource.fromBytes(content))
        for (const range of [undefined, { start: 0 }]) {
          const stream: Stream.Stream<Uint8Array, unknown> =
            range === undefined
              ? registry.getBlob(app, blob)
              : registry.getBlobRange(app, blob.digest, range)
          const memories = new Set<ArrayBufferLike>()
          const hasher = Digest.hasher("sha256")
          yield* Stream.runForEach(BorrowedStream.unhashed(stream), (bytes) =>
            Effect.sync(() => {
              memories.add(bytes.buffer)
              hasher.update(bytes)
              BorrowedStream.giveBack(bytes)
            })
          )
          expect(hasher.digest()).toBe(blob.digest)
          // A stream that verifies the size holds one back until the next is there.
          expect(memories.size).toBeLessThanOrEqual(2)
          const kept = Chunk.toReadonlyArray(yield* Stream.runCollect(stream))
          expect(new Set(kept.map((bytes) => bytes.buffer)).size).toBe(kept.length)
          expect(Digest.fromBytes(Buffer.concat(kept))).toBe(blob.digest)
        }
      })
  )
})
