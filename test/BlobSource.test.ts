import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as BlobSource from "../src/BlobSource.js"
import * as Digest from "../src/spec/Digest.js"
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
