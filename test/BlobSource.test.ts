import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as BlobSource from "../src/BlobSource.js"
import type { Registry } from "../src/Registry.js"
import { BlobUnknown, Unsupported } from "../src/RegistryError.js"
import * as Digest from "../src/spec/Digest.js"
import * as Reference from "../src/spec/Reference.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { gather, utf8 } from "./support/fixtures.js"

const hello = utf8("hello, world")
const digest = "sha256:09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b"

describe("fromBytes", () => {
  it.effect("knows everything, and opens at any byte as often as asked", () =>
    Effect.gen(function* () {
      const source = BlobSource.fromBytes(hello)
      expect(source).toMatchObject({
        size: 12,
        digest,
        replay: "any"
      })
      for (const offset of [0, 7, 11, 12, 0]) {
        expect(yield* gather(source.open(offset))).toEqual(hello.slice(offset))
      }
    })
  )

  it.effect(
    "yields no chunk where no bytes are left, as no chunk of an upload can be empty (trap 15)",
    () =>
      Effect.gen(function* () {
        expect(yield* Stream.runCount(BlobSource.fromBytes(hello).open(12))).toBe(0)
        expect(yield* Stream.runCount(BlobSource.fromBytes(new Uint8Array()).open(0))).toBe(0)
      })
  )
})

describe("fromStream", () => {
  it.effect.prop(
    "opens at an offset by running from the start and skipping",
    [FastCheck.array(FastCheck.uint8Array({ maxLength: 8 })), FastCheck.nat(40)],
    ([parts, offset]) =>
      Effect.gen(function* () {
        let runs = 0
        const stream = Stream.suspend(() => {
          runs++
          return Stream.fromIterable(parts)
        })
        const whole = Uint8Array.from(parts.flatMap((part) => [...part]))
        const source = BlobSource.fromStream(stream)
        expect(yield* gather(source.open(offset))).toEqual(whole.slice(offset))
        expect(yield* gather(source.open(0))).toEqual(whole)
        expect(runs).toBe(2)
      })
  )

  it("declares what is known, and nothing else", () => {
    const known = { size: 12, digest: Digest.fromBytes(hello) }
    expect(BlobSource.fromStream(Stream.make(hello), known)).toMatchObject({
      size: 12,
      digest,
      replay: "any"
    })
    expect(BlobSource.fromStream(Stream.make(hello))).toMatchObject({
      size: undefined,
      digest: undefined
    })
    expect(BlobSource.fromStream(Stream.empty, { size: 0 })).toMatchObject({ size: 0 })
  })
})

describe("make", () => {
  it.effect("leaves it to the source where to start", () =>
    Effect.gen(function* () {
      const opened: Array<number> = []
      const source = BlobSource.make((offset) => {
        opened.push(offset)
        return Stream.make(hello.subarray(offset))
      })
      expect(yield* gather(source.open(7))).toEqual(utf8("world"))
      expect(opened).toEqual([7])
      expect(source.replay).toBe("any")
    })
  )
})

describe("fromStreamOnce", () => {
  it.effect("says that it can be opened one time only", () =>
    Effect.gen(function* () {
      const source = BlobSource.fromStreamOnce(Stream.make(hello), { size: 12 })
      expect(source).toMatchObject({ size: 12, digest: undefined, replay: "once" })
      expect(yield* gather(source.open(0))).toEqual(hello)
    })
  )
})

describe("fromRegistry", () => {
  const repository = Reference.unsafeParseRepositoryName("team/app")

  const stored = Effect.gen(function* () {
    const registry = yield* MemoryRegistry.make()
    const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(hello))
    const asked: Array<string> = []
    const watched: Registry.Service = {
      ...registry,
      getBlob: (repository, blob) => {
        const stream = registry.getBlob(repository, blob)
        return Stream.onStart(
          stream,
          Effect.sync(() => asked.push("whole"))
        )
      },
      getBlobRange: (repository, digest, range) => {
        const stream = registry.getBlobRange(repository, digest, range)
        return Stream.onStart(
          stream,
          Effect.sync(() => asked.push(`from ${range.start}`))
        )
      }
    }
    return { registry: watched, blob, asked }
  })

  it.effect("asks for what is left of the blob, and for nothing where nothing is", () =>
    Effect.gen(function* () {
      const { asked, blob, registry } = yield* stored
      const source: BlobSource.BlobSource<Registry.GetBlobError | Registry.GetBlobRangeError> =
        BlobSource.fromRegistry(registry, repository, blob)
      expect(source).toMatchObject({ size: 12, digest, replay: "any" })
      expect(asked).toEqual([])
      for (const offset of [0, 7, 11, 12])
        expect(yield* gather(source.open(offset))).toEqual(hello.slice(offset))
      expect(asked).toEqual(["whole", "from 7", "from 11"])
    })
  )

  it.effect("reads the blob again where the registry has no ranges, and no other failure", () =>
    Effect.gen(function* () {
      const { asked, blob, registry } = yield* stored
      const failing = (error: Registry.GetBlobRangeError) =>
        BlobSource.fromRegistry(
          { ...registry, getBlobRange: () => Stream.fail(error) },
          repository,
          blob
        )
      const without = failing(new Unsupported({ operation: "getBlobRange" }))
      expect(yield* gather(without.open(7))).toEqual(hello.slice(7))
      expect(asked).toEqual(["whole"])
      const lost = new BlobUnknown({ repository, digest: blob.digest })
      expect(yield* Effect.flip(gather(failing(lost).open(7)))).toBe(lost)
    })
  )

  it.effect("moves a blob to another registry, which gets nothing that is not the blob", () =>
    Effect.gen(function* () {
      const { blob, registry } = yield* stored
      const to = yield* MemoryRegistry.make()
      const put = (from: typeof registry) =>
        to.putBlob(repository, BlobSource.fromRegistry(from, repository, blob))
      const other = { ...registry, getBlob: () => Stream.make(utf8("hello, wOrld")) }
      expect(yield* Effect.flip(put(other))).toMatchObject({ _tag: "DigestMismatch" })
      expect(yield* to.uploads).toEqual([])
      expect(yield* put(registry)).toMatchObject({ digest, size: 12 })
      expect(yield* to.getBlobBytes(repository, blob.digest)).toEqual(hello)
    })
  )
})
