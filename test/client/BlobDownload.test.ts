/**
 * The requests of downloads, one by one, against registries that break off and answer ranges in odd
 * ways.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import { inOrder, type Reply } from "../support/fake/Handler.js"
import { gather, generated, items, utf8 } from "../support/fixtures.js"
import { registryAt, reply } from "../support/listeners.js"
import { scripted } from "../support/scripted.js"
import { until } from "../support/serve.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const size = 100_000
const bytes = Effect.runSync(gather(generated(size)))
const digest = Digest.fromBytes(bytes)
const descriptor = { mediaType: "application/octet-stream", digest, size }

/** Bytes in pieces, and then a connection that breaks, or says nothing more. */
const body =
  (content: Uint8Array, ending: "end" | "break" | "silence" = "end") =>
  () => {
    let at = 0
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller): undefined | Promise<void> => {
          if (at < content.length) {
            controller.enqueue(content.slice(at, at + 16_384))
            at += 16_384
          } else if (ending === "end") controller.close()
          else if (ending === "break") controller.error(new Error("reset"))
          else return new Promise(() => undefined)
          return undefined
        }
      },
      // A stream that breaks forgets what nobody has taken yet.
      { highWaterMark: 0 }
    )
  }

const whole = (ending?: "end" | "break" | "silence", upTo = size): Reply => ({
  status: 200,
  headers: { "content-length": String(size) },
  body: body(bytes.slice(0, upTo), ending)
})

const part = (
  from: number,
  to: number,
  total: number | string = size,
  ending?: "end" | "break"
): Reply => ({
  status: 206,
  headers: { "content-range": `bytes ${from}-${to}/${total}` },
  body: body(bytes.slice(from, to + 1), ending)
})

/** The ranges that were asked for, and what came of it. */
const get = Effect.fnUntraced(function* (
  replies: ReadonlyArray<Reply>,
  read: (registry: Registry.Service) => Stream.Stream<Uint8Array, { readonly _tag: string }> = (
    registry
  ) => registry.getBlob(repository, descriptor)
) {
  const ranges: Array<string | undefined> = []
  const answer = inOrder(replies)
  const { registry } = yield* scripted((received) => {
    ranges.push(received.headers["range"])
    return answer(received)
  })
  const delivered: Array<Uint8Array> = []
  const result = yield* Effect.either(
    Stream.runForEach(read(registry), (bytes) => Effect.sync(() => void delivered.push(bytes)))
  )
  return { ranges, delivered: Buffer.concat(delivered), result, registry }
})

describe("a download that breaks off", () => {
  it.live.each([
    [
      "goes on by Range (C28)",
      [whole("break", 50_000), part(50_000, 99_999)],
      [undefined, "bytes=50000-"]
    ],
    [
      "goes on as often as it gets further",
      [
        whole("break", 20_000),
        part(20_000, 39_999, size, "break"),
        part(40_000, 59_999, size, "break"),
        part(60_000, 79_999, size, "break"),
        part(80_000, 89_999, size, "break"),
        part(90_000, 99_999)
      ],
      [undefined, "bytes=20000-", "bytes=40000-", "bytes=60000-", "bytes=80000-", "bytes=90000-"]
    ],
    [
      "takes an answer to the end of the range as a part of it",
      [whole("break", 50_000), part(50_000, 69_999), part(70_000, 99_999)],
      [undefined, "bytes=50000-", "bytes=70000-"]
    ],
    [
      "goes on where the answer does not say how much there is",
      [whole("break", 50_000), part(50_000, 99_999, "*")],
      [undefined, "bytes=50000-"]
    ],
    [
      "drops what an ignored Range repeats (C28)",
      [whole("break", 50_000), whole()],
      [undefined, "bytes=50000-"]
    ],
    [
      "drops what a range that starts earlier repeats",
      [whole("break", 50_000), part(30_000, 99_999)],
      [undefined, "bytes=50000-"]
    ],
    [
      "asks for everything where a range starts too late, and stops asking for ranges (trap 77)",
      [whole("break", 50_000), part(60_000, 99_999), whole("break", 70_000), whole()],
      [undefined, "bytes=50000-", undefined, undefined]
    ],
    [
      "asks for everything where the range is of something else",
      [whole("break", 50_000), part(50_000, 99_999, 200_000), whole()],
      [undefined, "bytes=50000-", undefined]
    ],
    [
      "asks for everything where a 206 says no range",
      [whole("break", 50_000), { status: 206 }, whole()],
      [undefined, "bytes=50000-", undefined]
    ],
    [
      "asks for everything where the range is refused (416)",
      [whole("break", 50_000), { status: 416 }, whole()],
      [undefined, "bytes=50000-", undefined]
    ],
    ["asks for nothing more when all is there but the end", [whole("break", size)], [undefined]],
    [
      "takes an end before the announced length for a break",
      [whole("end", 50_000), part(50_000, 99_999)],
      [undefined, "bytes=50000-"]
    ],
    [
      "starts from the first byte when none came",
      [whole("break", 0), whole()],
      [undefined, undefined]
    ],
    [
      "survives a refusal on the way",
      [whole("break", 50_000), { status: 503 }, part(50_000, 99_999)],
      [undefined, "bytes=50000-", "bytes=50000-"]
    ]
  ] as ReadonlyArray<readonly [string, ReadonlyArray<Reply>, ReadonlyArray<string | undefined>]>)(
    "%s, and delivers each byte once",
    ([, replies, asked]) =>
      Effect.gen(function* () {
        for (const blob of [descriptor, digest]) {
          const { delivered, ranges, result } = yield* get(replies, (registry) =>
            registry.getBlob(repository, blob)
          )
          expect(ranges).toEqual(asked)
          expect(result).toEqual(Either.void)
          expect(Digest.fromBytes(delivered)).toBe(digest)
        }
      })
  )

  it.live("never delivers the last bytes of content that changed on the way (C26, T7)", () =>
    Effect.gen(function* () {
      const other = {
        ...(part(50_000, 99_999) as object),
        status: 206,
        body: body(new Uint8Array(50_000))
      }
      const { delivered, result } = yield* get([whole("break", 50_000), other])
      expect(result).toMatchObject({ left: { _tag: "DigestMismatch", expected: digest } })
      expect(delivered.length).toBeLessThan(size)
    })
  )

  it.live("fails with the fault when nothing more comes, after the attempts of one step", () =>
    Effect.gen(function* () {
      const dead = { ...(part(50_000, 99_999) as object), status: 206 }
      const { delivered, ranges, result } = yield* get([
        whole("break", 50_000),
        ...Array.from({ length: 9 }, () => ({ ...dead, body: body(new Uint8Array(), "break") }))
      ])
      expect(result).toMatchObject({ left: { _tag: "TransportFailure", reason: "Reset" } })
      expect(ranges).toHaveLength(4)
      // All but the piece that is held back until more comes.
      expect(delivered.length).toBe(49_152)
    })
  )

  it.live.each([
    ["a part", part(0, 99_999)],
    ["416", { status: 416 }]
  ] as ReadonlyArray<readonly [string, Reply]>)(
    "takes %s for no answer where no range was asked for",
    ([, reply]) =>
      Effect.gen(function* () {
        const { delivered, ranges, result } = yield* get([reply])
        expect(result).toMatchObject({ left: { _tag: "ProtocolViolation" } })
        expect(ranges).toEqual([undefined])
        expect(delivered.length).toBe(0)
      })
  )

  it.live("fails at the first byte too many (C29)", () =>
    Effect.gen(function* () {
      const { result } = yield* get([
        { status: 200, body: body(Buffer.concat([bytes, utf8("x")])) }
      ])
      expect(result).toMatchObject({ left: { _tag: "SizeMismatch", expected: size } })
    })
  )

  it.live("tells of the fault, and from where it goes on", () =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(inOrder([whole("break", 50_000), part(50_000, 99_999)]))
      const events = yield* items(
        Transfer.events(Stream.runDrain(registry.getBlob(repository, descriptor)))
      )
      expect(events.filter(({ _tag }) => _tag !== "Bytes")).toMatchObject([
        { _tag: "Started", subject: { direction: "download", repository, digest, size } },
        { _tag: "Retried", offset: 50_000 },
        { _tag: "Resumed", offset: 50_000 },
        { _tag: "Verified", digest },
        { _tag: "Completed", skipped: false },
        { _tag: "Result" }
      ])
    })
  )

  it.effect("goes on when the registry falls silent, after the timeout", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(get([whole("silence", 50_000), part(50_000, 99_999)]))
      const turns = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
      yield* turns
      yield* TestClock.adjust("50 seconds")
      yield* turns
      expect(fiber.unsafePoll()).toBeNull()
      while (fiber.unsafePoll() === null) {
        yield* TestClock.adjust("10 seconds")
        yield* turns
      }
      const { delivered, ranges } = yield* Fiber.join(fiber)
      expect(ranges).toEqual([undefined, "bytes=50000-"])
      expect(Digest.fromBytes(delivered)).toBe(digest)
    })
  )
})

describe("a range", () => {
  const range = { start: 10_000, end: 59_999 }
  const ranged = (replies: ReadonlyArray<Reply>) =>
    get(replies, (registry) => registry.getBlobRange(repository, digest, range))

  it.live("goes on after a fault within its bounds", () =>
    Effect.gen(function* () {
      const { delivered, ranges, result } = yield* ranged([
        part(10_000, 59_999, size, "break"),
        part(10_000, 59_999)
      ])
      expect(result).toEqual(Either.void)
      expect(ranges).toEqual(["bytes=10000-59999"])
      expect(delivered.equals(bytes.slice(10_000, 60_000))).toBe(true)
      const cut = {
        status: 206,
        headers: { "content-range": `bytes 10000-59999/${size}` },
        body: body(bytes.slice(10_000, 30_000), "break")
      }
      const other = yield* ranged([cut, part(30_000, 59_999)])
      expect(other.ranges).toEqual(["bytes=10000-59999", "bytes=30000-59999"])
      expect(other.delivered.equals(bytes.slice(10_000, 60_000))).toBe(true)
    })
  )

  it.live.each([
    ["an answer without one", whole(), "Unsupported"],
    ["another one", part(20_000, 59_999), "RangeMismatch"],
    ["one that ends early, but not at the end of the blob", part(10_000, 49_999), "RangeMismatch"],
    ["a refusal", { status: 416 }, "RangeMismatch"]
  ] as ReadonlyArray<readonly [string, Reply, string]>)("refuses %s", ([, reply, tag]) =>
    Effect.gen(function* () {
      const { delivered, result } = yield* ranged([reply])
      expect(result).toMatchObject({ left: { _tag: tag } })
      expect(delivered.length).toBe(0)
    })
  )

  it.live.each([{ start: 4, end: 2 }, { start: -1 }, { start: 0.5 }])(
    "that is none is not sent: %o",
    (none) =>
      Effect.gen(function* () {
        const { ranges, result } = yield* get([], (registry) =>
          registry.getBlobRange(repository, digest, none)
        )
        expect(result).toMatchObject({ left: { _tag: "RangeMismatch", actual: "" } })
        expect(ranges).toEqual([])
      })
  )

  it.live("names the range of a refusal as it was sent", () =>
    Effect.gen(function* () {
      const { result } = yield* ranged([{ status: 416 }])
      expect(result).toMatchObject({ left: { expected: "bytes=10000-59999" } })
    })
  )
})

describe("a range, on sockets", () => {
  const url = `/v2/a/blobs/${digest}`
  const range = { start: 10, end: 19 }

  it.scopedLive.each([
    ["a piece at once", (bytes: Uint8Array) => [bytes]],
    ["byte by byte", (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte))]
  ] as const)(
    "ends at its last byte where the registry sends on without end, %s, and leaves the connection",
    ([, pieces]) =>
      Effect.gen(function* () {
        const { counted, log, registry } = yield* registryAt((request, response) => {
          response.writeHead(206, { "content-range": `bytes 10-19/${size}` })
          for (const piece of pieces(bytes.subarray(10, 40))) response.write(piece)
          const more = setInterval(() => response.write(new Uint8Array(65_536)), 1)
          request.socket.on("close", () => clearInterval(more))
        })
        const delivered = yield* gather(registry.getBlobRange(repository, digest, range))
        expect(delivered).toEqual(bytes.slice(10, 20))
        expect(log).toEqual([`GET ${url} bytes=10-19`])
        yield* until(() => counted.open === 0)
      })
  )

  it.scopedLive("ends at its last byte where the registry sends nothing more, and no end", () =>
    Effect.gen(function* () {
      const { counted, registry } = yield* registryAt((_, response) => {
        response.writeHead(206, { "content-range": `bytes 10-19/${size}` })
        response.write(bytes.subarray(10, 20))
      })
      const delivered = yield* gather(registry.getBlobRange(repository, digest, range))
      expect(delivered).toEqual(bytes.slice(10, 20))
      yield* until(() => counted.open === 0)
    })
  )

  it.scopedLive("of another unit shows neither secrets nor control characters of it", () =>
    Effect.gen(function* () {
      const key = "k3y-of-the-application"
      const { registry } = yield* registryAt(
        (request, response) =>
          reply(response, 206, { "content-range": `x\t\u0085${request.headers["x-key"]}` }, "x"),
        { headers: { "x-key": key } }
      )
      const error = yield* Effect.flip(
        Stream.runDrain(registry.getBlobRange(repository, digest, range))
      )
      expect(error).toMatchObject({ _tag: "RangeMismatch", actual: "x REDACTED" })
      expect(error.message).not.toContain(key)
    })
  )

  it.scopedLive("that is whole leaves its connection to the next one", () =>
    Effect.gen(function* () {
      const { counted, registry } = yield* registryAt((_, response) =>
        reply(
          response,
          206,
          { "content-range": `bytes 10-${size - 1}/${size}` },
          bytes.subarray(10)
        )
      )
      for (const _ of [1, 2, 3])
        yield* Stream.runDrain(registry.getBlobRange(repository, digest, { start: 10 }))
      expect(counted.made).toBe(1)
    })
  )

  it.scopedLive.each([
    ["that is announced as longer", { "content-range": `bytes 10-19/${size}` }, "RangeMismatch"],
    ["that goes further", { "content-range": `bytes 10-39/${size}` }, "RangeMismatch"],
    ["that goes to the end", { "content-range": "bytes 10-39/40" }, "RangeMismatch"],
    ["without its range", {}, "ProtocolViolation"],
    ["of a blank range", { "content-range": " " }, "ProtocolViolation"],
    [
      "of two ranges",
      { "content-range": [`bytes 10-19/${size}`, `bytes 20-29/${size}`] },
      "ProtocolViolation"
    ],
    [
      "of one range twice",
      { "content-range": [`bytes 10-19/${size}`, `bytes 10-19/${size}`] },
      "ProtocolViolation"
    ]
  ] as ReadonlyArray<readonly [string, Record<string, string | ReadonlyArray<string>>, string]>)(
    "is not a part %s: nothing of it is delivered",
    ([, headers, _tag]) =>
      Effect.gen(function* () {
        const body = bytes.subarray(10, 40)
        const { registry } = yield* registryAt((_, response) =>
          reply(response, 206, { ...headers, "content-length": `${body.length}` }, body)
        )
        const delivered: Array<Uint8Array> = []
        const read = Stream.runForEach(registry.getBlobRange(repository, digest, range), (part) =>
          Effect.sync(() => void delivered.push(part))
        )
        expect(yield* Effect.flip(read)).toMatchObject({
          _tag,
          method: "GET",
          status: 206,
          url: expect.stringContaining(url)
        })
        expect(delivered).toEqual([])
      })
  )

  it.scopedLive("that is refused says what the registry has instead", () =>
    Effect.gen(function* () {
      const { registry } = yield* registryAt((_, response) =>
        reply(response, 416, { "content-range": "bytes */5" })
      )
      expect(
        yield* Effect.flip(Stream.runDrain(registry.getBlobRange(repository, digest, range)))
      ).toMatchObject({ _tag: "RangeMismatch", expected: "bytes=10-19", actual: "bytes */5" })
    })
  )
})

describe("content that is not what it should be", () => {
  const url = `/v2/a/blobs/${digest}`
  const other = Uint8Array.from(bytes).fill(7, 0, 1)

  it.scopedLive.each([
    ["in one piece", Buffer.from("b2")],
    ["in many", other]
  ] as const)("is a mismatch of the request that brought it, %s", ([, content]) =>
    Effect.gen(function* () {
      const { registry, url: base } = yield* registryAt((_, response) =>
        reply(response, 200, {}, content)
      )
      const facts = { method: "GET", status: 200, url: base + url }
      expect(
        yield* Effect.flip(Stream.runDrain(registry.getBlob(repository, digest)))
      ).toMatchObject({
        _tag: "DigestMismatch",
        expected: digest,
        actual: Digest.fromBytes(content),
        ...facts
      })
      expect(
        yield* Effect.flip(
          Stream.runDrain(registry.getBlob(repository, { ...descriptor, size: content.length - 1 }))
        )
      ).toMatchObject({ _tag: "SizeMismatch", expected: content.length - 1, ...facts })
    })
  )

  it.live("is a mismatch of the last request, where there were several", () =>
    Effect.gen(function* () {
      const rest = { ...(part(50_000, 99_999) as object), status: 206 }
      const { result } = yield* get([
        whole("break", 50_000),
        { ...rest, body: body(new Uint8Array(50_000)) }
      ])
      expect(result).toMatchObject({ left: { _tag: "DigestMismatch", status: 206 } })
    })
  )
})
