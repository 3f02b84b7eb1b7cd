import { describe, expect, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as ByteStream from "../src/ByteStream.js"
import * as WatchedStream from "../src/internal/WatchedStream.js"
import * as Digest from "../src/spec/Digest.js"
import { gather, items, unverifiableDigest, utf8 } from "./support/fixtures.js"

class Boom extends Data.TaggedError("Boom") {}

/** Bytes in pieces of any size, none included. */
const pieces = FastCheck.array(FastCheck.uint8Array({ maxLength: 20 }), { maxLength: 12 })
const counts = FastCheck.integer({ min: 0, max: 60 })

/** A stream whose pieces are cut into Chunks of one and of several, as sources do. */
const streamOf = (parts: ReadonlyArray<Uint8Array>): Stream.Stream<Uint8Array> => {
  const half = Math.floor(parts.length / 2)
  return Stream.concat(
    Stream.rechunk(Stream.fromIterable(parts.slice(0, half)), 1),
    Stream.fromIterable(parts.slice(half))
  )
}

const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]))

/** What a consumer saw, and how it ended. */
const consumed = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.gen(function* () {
    const seen: Array<Uint8Array> = []
    const error = yield* Effect.match(
      Stream.runForEach(stream, (bytes) => Effect.sync(() => void seen.push(bytes))),
      { onFailure: (error): E | undefined => error, onSuccess: () => undefined }
    )
    return { seen: joined(seen), error }
  })

describe("verify", () => {
  const [hello, world] = [utf8("hello, "), utf8("world")]
  const digest = Digest.fromBytes(utf8("hello, world"))
  const content = Stream.concat(Stream.make(hello), Stream.make(world))

  it.effect("passes on what is as expected, as far as anything is (C26)", () =>
    Effect.gen(function* () {
      for (const expected of [{}, { digest }, { size: 12 }, { digest, size: 12 }]) {
        expect(yield* gather(ByteStream.verify(content, expected))).toEqual(utf8("hello, world"))
        expect(yield* gather(content.pipe(ByteStream.verify(expected)))).toEqual(
          utf8("hello, world")
        )
      }
    })
  )

  it.effect("can be run again", () =>
    Effect.gen(function* () {
      const verified = ByteStream.verify(content, { digest, size: 12 })
      yield* Stream.runDrain(verified)
      expect(yield* gather(verified)).toEqual(utf8("hello, world"))
    })
  )

  it.effect("keeps the last chunk of other content from the consumer (T7)", () =>
    Effect.gen(function* () {
      const expected = Digest.fromBytes(utf8("hello, moon!"))
      const { error, seen } = yield* consumed(
        ByteStream.verify(content, { digest: expected, size: 12 })
      )
      expect(error).toMatchObject({ _tag: "DigestMismatch", expected, actual: digest })
      expect(seen).toEqual(hello)
      const trailing = Stream.concat(content, Stream.make(new Uint8Array()))
      expect((yield* consumed(ByteStream.verify(trailing, { digest: expected }))).seen).toEqual(
        hello
      )
    })
  )

  it.effect("verifies the size before the digest (C29)", () =>
    Effect.gen(function* () {
      const other = Digest.fromBytes(utf8("other"))
      const { error, seen } = yield* consumed(
        ByteStream.verify(content, { digest: other, size: 13 })
      )
      expect(error).toMatchObject({ _tag: "SizeMismatch", expected: 13, actual: 12 })
      expect(seen).toEqual(hello)
    })
  )

  it.effect("stops at the first chunk beyond the size, however much follows (C29)", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = Stream.repeatValue(hello).pipe(
        Stream.rechunk(1),
        ByteStream.tap(() => {
          pulled++
        })
      )
      const { error, seen } = yield* consumed(ByteStream.verify(endless, { digest, size: 14 }))
      expect(error).toMatchObject({ _tag: "SizeMismatch", expected: 14, actual: 21 })
      expect(seen.length).toBeLessThanOrEqual(14)
      expect(pulled).toBe(3)
    })
  )

  it.effect("takes nothing for something, and something for nothing, for a mismatch", () =>
    Effect.gen(function* () {
      expect((yield* consumed(ByteStream.verify(Stream.empty, { digest }))).error?._tag).toBe(
        "DigestMismatch"
      )
      expect((yield* consumed(ByteStream.verify(Stream.empty, { size: 1 }))).error?._tag).toBe(
        "SizeMismatch"
      )
      expect((yield* consumed(ByteStream.verify(content, { size: 0 }))).error?._tag).toBe(
        "SizeMismatch"
      )
      const nothing = Digest.fromBytes(new Uint8Array())
      expect(
        yield* consumed(ByteStream.verify(Stream.empty, { digest: nothing, size: 0 }))
      ).toMatchObject({
        error: undefined
      })
    })
  )

  it.effect("refuses a digest it cannot compute, before the first byte (C17)", () =>
    Effect.gen(function* () {
      const unread = Stream.dieMessage("the stream was read")
      const { error } = yield* consumed(
        ByteStream.verify(unread, { digest: yield* unverifiableDigest })
      )
      expect(error).toMatchObject({ _tag: "InvalidDigest", reason: "Algorithm" })
    })
  )

  it.effect("passes the stream's own error on", () =>
    Effect.gen(function* () {
      const failing = Stream.concat(Stream.make(hello), Stream.fail(new Boom()))
      expect((yield* consumed(ByteStream.verify(failing, { digest }))).error).toEqual(new Boom())
    })
  )

  it.effect.prop(
    "accepts content however it is cut, and no other",
    [pieces, FastCheck.nat()],
    ([parts, at]) =>
      Effect.gen(function* () {
        const whole = joined(parts)
        const expected = { digest: Digest.fromBytes(whole, "sha512"), size: whole.length }
        expect(yield* consumed(ByteStream.verify(streamOf(parts), expected))).toEqual({
          seen: whole,
          error: undefined
        })
        if (whole.length === 0) return
        const spoilt = Uint8Array.from(whole, (byte, index) =>
          index === at % whole.length ? byte ^ 1 : byte
        )
        const { error, seen } = yield* consumed(ByteStream.verify(Stream.make(spoilt), expected))
        expect(error?._tag).toBe("DigestMismatch")
        expect(seen.length).toBe(0)
      })
  )
})

describe("collect", () => {
  const limit = (bytes: number) => ({
    what: "The document",
    limit: bytes,
    option: "limits.document"
  })

  it.effect("takes as much as the limit, and not a byte more (T6)", () =>
    Effect.gen(function* () {
      const content = Stream.make(utf8("hello, "), utf8("world"))
      expect(yield* ByteStream.collect(content, limit(12))).toEqual(utf8("hello, world"))
      expect(yield* content.pipe(ByteStream.collect(limit(100)))).toEqual(utf8("hello, world"))
      expect(yield* Effect.flip(ByteStream.collect(content, limit(11)))).toMatchObject({
        _tag: "LimitExceeded",
        what: "The document",
        limit: 11,
        option: "limits.document"
      })
    })
  )

  it.effect("stops reading at the limit", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = Stream.repeatValue(utf8("hello")).pipe(
        Stream.rechunk(1),
        ByteStream.tap(() => {
          pulled++
        })
      )
      expect((yield* Effect.flip(ByteStream.collect(endless, limit(12))))._tag).toBe(
        "LimitExceeded"
      )
      expect(pulled).toBe(3)
    })
  )

  it.effect("starts afresh each time it is run", () =>
    Effect.gen(function* () {
      const collected = ByteStream.collect(Stream.make(utf8("hello")), limit(5))
      yield* collected
      expect(yield* collected).toEqual(utf8("hello"))
    })
  )

  it.effect.prop("gathers what concat would", [pieces], ([parts]) =>
    Effect.gen(function* () {
      expect(yield* ByteStream.collect(streamOf(parts), limit(1_000))).toEqual(joined(parts))
    })
  )
})

describe("text and json", () => {
  const bytesOf = (...parts: ReadonlyArray<string | ReadonlyArray<number>>) =>
    Stream.fromIterable(
      parts.map((part) => (typeof part === "string" ? utf8(part) : Uint8Array.from(part)))
    )
  const Settings = Schema.Struct({ name: Schema.String, sizes: Schema.Array(Schema.Number) })

  it.effect("are what was written, however it is cut", () =>
    Effect.gen(function* () {
      expect(yield* ByteStream.text(bytesOf("é", [0xf0, 0x9f], [0x98, 0x80]))).toBe("é😀")
      expect(yield* bytesOf([0xef, 0xbb], [0xbf], "a").pipe(ByteStream.text)).toBe("a")
      expect(yield* ByteStream.text(Stream.empty)).toBe("")
      const settings = yield* bytesOf(`{"name":"a","si`, `zes":[1],"more":null}`).pipe(
        ByteStream.json(Settings)
      )
      expect(settings).toEqual({ name: "a", sizes: [1] })
    })
  )

  it.effect.prop(
    "are UTF-8 or fail: nothing is replaced",
    [FastCheck.uint8Array({ maxLength: 8 })],
    ([bytes]) =>
      Effect.gen(function* () {
        const result = yield* Effect.either(ByteStream.text(Stream.make(bytes)))
        if (result._tag === "Left") {
          expect(result.left).toMatchObject({ _tag: "InvalidContent", reason: "Text" })
        } else {
          const mark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
          expect(utf8(result.right)).toEqual(Uint8Array.from(bytes.subarray(mark)))
        }
      })
  )

  it.effect.each([
    ["Text", [0xc3, 0x28], "", "The content is not UTF-8"],
    ["Json", "{", "", "The content is not a JSON document"],
    ["Json", "", "", "The content is not a JSON document"],
    ["Schema", "[]", "", "The content does not fit its schema: expected an object"],
    ["Schema", `{"name":"a"}`, "sizes", "The content does not fit its schema: sizes is missing"],
    [
      "Schema",
      `{"name":"a","sizes":[1,"hunter2"]}`,
      "sizes[1]",
      "The content does not fit its schema: sizes[1]: expected a number"
    ]
  ] as const)("fail for the reason %s of %j, at %j", ([reason, content, path, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(ByteStream.json(Settings)(bytesOf(content)))
      expect(error).toMatchObject({ _tag: "InvalidContent", reason, path })
      expect(error.message).toContain(message)
      expect(error.message).not.toContain("hunter2")
    })
  )

  it.effect("are bounded, by 4 MiB unless told otherwise", () =>
    Effect.gen(function* () {
      const block = new Uint8Array(1024 * 1024).fill(0x20)
      const four = Stream.make(block, block, block, block)
      expect((yield* ByteStream.text(four)).length).toBe(4 * 1024 * 1024)
      const more = Stream.concat(four, bytesOf("x"))
      const reads: ReadonlyArray<readonly [Effect.Effect<unknown, unknown>, number]> = [
        [ByteStream.text(more), 4 * 1024 * 1024],
        [ByteStream.text(four, 8), 8],
        [ByteStream.json(Settings)(more), 4 * 1024 * 1024],
        [ByteStream.json(Settings)(four, { what: "The settings", limit: 8 }), 8]
      ]
      for (const [read, limit] of reads)
        expect(yield* Effect.flip(read)).toMatchObject({ _tag: "LimitExceeded", limit })
      const named = ByteStream.text(bytesOf([0xff]), { what: "The settings", limit: 8 })
      expect((yield* Effect.flip(named)).message).toBe("The settings is not UTF-8")
      expect((yield* ByteStream.text(more, 5 * 1024 * 1024)).length).toBe(4 * 1024 * 1024 + 1)
    })
  )

  it.effect("fail as their stream does", () =>
    Effect.gen(function* () {
      const broken = Stream.concat(bytesOf("{"), Stream.fail(new Boom()))
      expect(yield* Effect.flip(ByteStream.json(Settings)(broken))).toBeInstanceOf(Boom)
    })
  )

  it.effect("do not print a document that is too deep or too large", () =>
    Effect.gen(function* () {
      const Deep = Schema.Struct({ a: Schema.String })
      const deep = `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`
      const error = yield* Effect.flip(ByteStream.json(Deep)(bytesOf(deep)))
      expect(error.message.length).toBeLessThan(200)
    })
  )
})

describe("rechunk", () => {
  it.effect.each([0, -1, Number.NaN, 0.5])("takes a size of %s for 1", (size) =>
    Effect.gen(function* () {
      const chunks = yield* items(ByteStream.rechunk(Stream.make(utf8("abc")), size))
      expect(chunks).toEqual([utf8("a"), utf8("b"), utf8("c")])
    })
  )

  it.effect("holds no more than one chunk back", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = Stream.repeatValue(utf8("hello")).pipe(
        Stream.rechunk(1),
        ByteStream.tap(() => {
          pulled++
        })
      )
      yield* endless.pipe(ByteStream.rechunk(12), Stream.take(2), Stream.runDrain)
      expect(pulled).toBe(5)
    })
  )

  it.effect.prop(
    "cuts the same bytes into equal chunks but for the last",
    [pieces, counts],
    ([parts, size]) =>
      Effect.gen(function* () {
        const width = Math.max(1, size)
        const chunks = yield* items(streamOf(parts).pipe(ByteStream.rechunk(width)))
        expect(joined(chunks)).toEqual(joined(parts))
        expect(chunks.slice(0, -1).every((chunk) => chunk.length === width)).toBe(true)
        expect((chunks.at(-1)?.length ?? width) > 0 && (chunks.at(-1)?.length ?? 0) <= width).toBe(
          true
        )
      })
  )
})

describe("drop", () => {
  it.effect.prop(
    "leaves the bytes from the offset on, run again too",
    [pieces, counts],
    ([parts, count]) =>
      Effect.gen(function* () {
        const rest = ByteStream.drop(streamOf(parts), count)
        expect(joined(yield* items(rest))).toEqual(joined(parts).slice(count))
        expect(joined(yield* items(rest))).toEqual(joined(parts).slice(count))
      })
  )
})

describe("tap", () => {
  it.effect("shows every chunk and changes none", () =>
    Effect.gen(function* () {
      const seen: Array<Uint8Array> = []
      const parts = [utf8("a"), utf8("b"), utf8("c")]
      const tapped = ByteStream.tap(streamOf(parts), (bytes) => void seen.push(bytes))
      expect(yield* items(tapped)).toEqual(parts)
      expect(seen).toEqual(parts)
    })
  )
})

describe("concat", () => {
  it.prop("is all the parts, one after the other", [pieces], ([parts]) => {
    expect(ByteStream.concat(parts)).toEqual(joined(parts))
  })
})

describe("verifier", () => {
  const content = utf8("hello, world")
  const digest = Digest.fromBytes(content)
  const size = content.length

  it.effect(
    "goes on over streams that begin anywhere in what was seen, and hashes each byte once",
    () =>
      Effect.gen(function* () {
        const verifier = yield* ByteStream.verifier({ digest, size })
        const broken = Stream.concat(
          Stream.make(content.subarray(0, 5), content.subarray(5, 8)),
          Stream.fail(new Boom())
        )
        yield* Effect.exit(Stream.runDrain(verifier.verify(broken)))
        expect(verifier.size()).toBe(8)
        const again = Stream.concat(Stream.make(content.subarray(3, 5)), Stream.fail(new Boom()))
        yield* Effect.exit(Stream.runDrain(verifier.verify(again, 3)))
        expect(verifier.size()).toBe(8)
        expect(yield* gather(verifier.verify(Stream.make(content.subarray(3)), 3))).toEqual(
          content.subarray(3)
        )
        expect([verifier.size(), verifier.isVerified()]).toEqual([size, true])
      })
  )

  it.effect("approves of nothing else, whichever stream it came in", () =>
    Effect.gen(function* () {
      const verifier = yield* ByteStream.verifier({ digest, size })
      verifier.update(utf8("jello"))
      const rest = yield* consumed(verifier.verify(Stream.make(content.subarray(5)), 5))
      expect(rest.error).toMatchObject({ _tag: "DigestMismatch", expected: digest })
      expect(verifier.isVerified()).toBe(false)
      expect((yield* consumed(verifier.verify(Stream.empty, 5))).error).toMatchObject({
        _tag: "SizeMismatch",
        actual: 5
      })
    })
  )

  it.effect(
    "computes the digest where none is known, by the algorithm asked for or not at all",
    () =>
      Effect.gen(function* () {
        for (const algorithm of ["sha256", "sha512"] as const) {
          const verifier = yield* ByteStream.verifier({ algorithm })
          yield* Stream.runDrain(verifier.verify(Stream.make(content)))
          expect(verifier.digest()).toEqual(Option.some(Digest.fromBytes(content, algorithm)))
        }
        expect((yield* ByteStream.verifier({ size })).digest()).toEqual(Option.none())
      })
  )
})

describe("watched", () => {
  const onFault = (reason: "Stall" | "Reset") => reason
  const watched = <E>(stream: Stream.Stream<Uint8Array, E>, ahead = 20, length?: number) =>
    WatchedStream.watched(stream, { stall: "10 seconds", ahead, length, onFault })
  const hello = utf8("hello")

  it.effect("passes the same bytes on, and the stream's own failure after them", () =>
    Effect.gen(function* () {
      expect(yield* gather(watched(Stream.make(hello, hello, hello)))).toEqual(
        utf8("hellohellohello")
      )
      const { error, seen } = yield* consumed(
        watched(Stream.concat(Stream.make(hello), Stream.fail(new Boom())))
      )
      expect([seen, error]).toEqual([hello, new Boom()])
    })
  )

  it.effect("takes an end before the length for a break", () =>
    Effect.gen(function* () {
      const { error, seen } = yield* consumed(watched(Stream.make(hello), 20, 6))
      expect([seen, error]).toEqual([hello, "Reset"])
      expect((yield* consumed(watched(Stream.make(hello), 20, 5))).error).toBeUndefined()
    })
  )

  it.effect("fails when nothing arrives for that long, and not before", () =>
    Effect.gen(function* () {
      const slow = Stream.concat(
        Stream.make(hello),
        Stream.concat(Stream.fromEffect(Effect.as(Effect.sleep("9 seconds"), hello)), Stream.never)
      )
      const fiber = yield* Effect.fork(consumed(watched(slow)))
      yield* TestClock.adjust("18 seconds")
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toEqual({ seen: utf8("hellohello"), error: "Stall" })
    })
  )

  it.effect("counts no time while the consumer is the slower one", () =>
    Effect.gen(function* () {
      const source = Stream.rechunk(Stream.make(...Array.from({ length: 20 }, () => hello)), 1)
      const fiber = yield* Effect.fork(
        Stream.runForEach(watched(source), () => Effect.sleep("1 minute"))
      )
      yield* TestClock.adjust("1 hour")
      expect(yield* Fiber.join(fiber)).toBeUndefined()
    })
  )

  it.effect("reads no further ahead than it is told, and nothing more once nobody reads", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = ByteStream.tap(Stream.rechunk(Stream.repeatValue(hello), 1), () => {
        pulled++
      })
      const released = yield* Deferred.make<void>()
      yield* Stream.runDrain(
        Stream.take(watched(Stream.ensuring(endless, Deferred.succeed(released, undefined))), 1)
      )
      yield* Deferred.await(released)
      expect(pulled).toBeLessThanOrEqual(8)
    })
  )
})
