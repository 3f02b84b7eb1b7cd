/** Downloads over several connections, from a registry on a socket that does as it is told. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Digest from "../../src/spec/Digest.js"
import * as Transfer from "../../src/Transfer.js"
import { alice } from "../support/fake/Client.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { origin, reply } from "../support/listeners.js"
import {
  type Asked,
  bytes,
  descriptor,
  digest,
  headOf,
  rangeRegistry,
  repository,
  serve,
  size,
  slowly,
  trickle,
  tuned
} from "../support/ranges.js"
import { until } from "../support/serve.js"

const KiB = 1024
const segment = 128 * KiB

/** The spans of requests for parts, in the order of the blob. */
const spans = (ranges: ReadonlyArray<string | undefined>) =>
  ranges
    .flatMap((range) => {
      const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? []
      return start === undefined ? [] : [[Number(start), Number(end || size - 1)] as const]
    })
    .sort(([a], [b]) => a - b)

describe("a large blob", () => {
  it.scopedLive("comes over as many connections as are allowed, each byte of it once", () =>
    Effect.gen(function* () {
      const { counts, ranges, registry } = yield* rangeRegistry(slowly())
      for (const blob of [descriptor, digest]) {
        ranges.length = 0
        const got = yield* gather(tuned()(registry.getBlob(repository, blob)))
        expect(Buffer.compare(got, bytes)).toBe(0)
        expect(ranges[0]).toBeUndefined()
        const parts = spans(ranges)
        expect(parts.length).toBeGreaterThan(10)
        // One after the other, to the end, a segment each.
        parts.forEach(([start, end], n) => {
          const next = parts[n + 1]?.[0]
          expect(end + 1).toBe(next ?? size)
          if (next !== undefined) expect(end + 1 - start).toBe(segment)
        })
      }
      expect(counts.most).toBe(4)
    })
  )

  it.scopedLive.each([
    ["is off by default", undefined, 1],
    ["is off", false, 1],
    ["is none", { connections: 0 }, 1],
    ["is one", { connections: 1 }, 1],
    ["is two", { connections: 2 }, 2],
    ["is six", { connections: 6 }, 6]
  ] as const)("has no more connections than that: %s", ([, parallelDownloads, most]) =>
    Effect.gen(function* () {
      const { counts, registry } = yield* rangeRegistry(slowly(10), { parallelDownloads })
      const got = yield* gather(
        tuned({ segment: 80 * KiB })(registry.getBlob(repository, descriptor))
      )
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(counts.most).toBe(most)
    })
  )

  it.scopedLive("goes on in segments where only a range of it is wanted", () =>
    Effect.gen(function* () {
      const { counts, ranges, registry } = yield* rangeRegistry(slowly())
      const got = yield* gather(
        tuned()(registry.getBlobRange(repository, digest, { start: 1000, end: size - 1001 }))
      )
      expect(Buffer.compare(got, bytes.subarray(1000, size - 1000))).toBe(0)
      expect(ranges[0]).toBe(`bytes=1000-${size - 1001}`)
      expect(spans(ranges).at(-1)?.[1]).toBe(size - 1001)
      expect(counts.most).toBe(4)
    })
  )

  it.scopedLive("comes as ever when it is not large", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry()
      const got = yield* gather(
        tuned({ segment: size / 4 + 1 })(registry.getBlob(repository, descriptor))
      )
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(ranges).toEqual([undefined])
    })
  )

  it.scopedLive("comes as ever when nobody says how large it is", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry(({ response }) => {
        response.writeHead(200)
        trickle(response, bytes)
        return true
      })
      const got = yield* gather(tuned()(registry.getBlob(repository, digest)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(ranges).toEqual([undefined])
    })
  )

  it.scopedLive("takes no permit that another transfer waits for", () =>
    Effect.gen(function* () {
      const { counts, ranges, registry } = yield* rangeRegistry(undefined, { concurrency: 1 })
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(ranges).toEqual([undefined])
      expect(counts.most).toBe(1)
    })
  )

  it.scopedLive("leaves room for other downloads, each with a connection at least", () =>
    Effect.gen(function* () {
      const { counts, registry } = yield* rangeRegistry(slowly(), { concurrency: 3 })
      const all = yield* Effect.all(
        Array.from({ length: 5 }, () => gather(tuned()(registry.getBlob(repository, descriptor)))),
        { concurrency: "unbounded" }
      )
      for (const got of all) expect(Buffer.compare(got, bytes)).toBe(0)
      expect(counts.most).toBe(3)
    })
  )

  it.scopedLive("is not fetched further ahead of its consumer than the segments that wait", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry()
      let at = 0
      let furthest = 0
      yield* Stream.runForEach(tuned()(registry.getBlob(repository, descriptor)), (part) =>
        Effect.gen(function* () {
          // All that is there, before any more is taken.
          if (at > size / 2 && at < size / 2 + segment) yield* Effect.sleep("50 millis")
          const [, end = 0] = spans(ranges).at(-1) ?? []
          if (end > at) furthest = Math.max(furthest, end + 1 - at)
          at += part.length
        })
      )
      expect(at).toBe(size)
      // One chunk is held back to be verified, and one is with the consumer.
      expect(furthest).toBeLessThanOrEqual(4 * segment + 2 * 1024 * KiB)
    })
  )
})

describe("a registry that does not do what is asked", () => {
  const headers = (changes: Record<string, string>) => (asked: Asked) => {
    const { part, response } = asked
    if (part === undefined) return false
    response.writeHead(206, { ...headOf(part.start, part.end), ...changes })
    response.end(bytes.subarray(part.start, part.end + 1))
    return true
  }
  const status = (status: number) => (asked: Asked) => {
    if (asked.part === undefined) return false
    reply(asked.response, status)
    return true
  }

  it.scopedLive.each([
    [
      "ignores ranges",
      (asked: Asked) => {
        serve({ ...asked, part: undefined })
        return true
      }
    ],
    ["sends another range", headers({ "content-range": `bytes 0-${segment - 1}/${size}` })],
    ["sends a range of another blob", headers({ "content-range": `bytes 0-9/${size * 2}` })],
    ["sends a range without its bounds", headers({ "content-range": "x" })],
    ["names another digest", headers({ "docker-content-digest": Digest.fromBytes(utf8("x")) })],
    ["encodes", headers({ "content-encoding": "gzip" })],
    ["refuses ranges", status(416)],
    ["refuses", status(403)],
    ["finds nothing", status(404)],
    ["is at its limit", status(503)],
    [
      "breaks off",
      ({ part, request }: Asked) => part !== undefined && request.socket.destroy().destroyed
    ]
  ] as ReadonlyArray<readonly [string, (asked: Asked) => boolean]>)(
    "and %s, goes on as if it had not been asked",
    ([, handle]) =>
      Effect.gen(function* () {
        const { ranges, registry } = yield* rangeRegistry(handle)
        const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
        expect(Buffer.compare(got, bytes)).toBe(0)
        // The whole blob is asked for once, and nothing of it is lost.
        expect(ranges.filter((range) => range === undefined)).toHaveLength(1)
        // Where it may pass, it was tried again.
        expect(new Set(ranges).size).toBe(2)
      })
  )

  it.scopedLive("and has another entity tag later on, goes on from the byte where it was", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry((asked) => {
        asked.response.setHeader("etag", asked.n < 8 ? '"one"' : '"two"')
        return false
      })
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      const rest = ranges.filter((range) => range?.endsWith("-"))
      expect(rest.length).toBeGreaterThanOrEqual(1)
      expect(ranges.filter((range) => range === undefined)).toHaveLength(1)
    })
  )

  it.scopedLive("and comes late with a range, is asked further ahead", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry((asked) => {
        if (asked.part === undefined || asked.n > 0) return false
        setTimeout(() => serve(asked), 100)
        return true
      })
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(ranges.filter((range) => range === undefined)).toHaveLength(1)
    })
  )

  it.scopedLive("and lets a third connection wait, is given up waiting for", () =>
    Effect.gen(function* () {
      const { counts, registry } = yield* rangeRegistry(({ active }) => active > 2)
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(counts.active).toBe(0)
    })
  )
})

describe("a segment", () => {
  /** Breaks the first response to each part, in the middle. */
  const breaking =
    (ending: (asked: Asked) => void) =>
    (asked: Asked): boolean => {
      const { part, response } = asked
      if (part === undefined || part.end + 1 - part.start < segment) return false
      response.writeHead(206, headOf(part.start, part.end))
      response.write(bytes.subarray(part.start, part.start + 1000), () => ending(asked))
      return true
    }

  it.scopedLive.each([
    ["is cut", ({ request }: Asked) => request.socket.destroy()],
    ["is reset", ({ request }: Asked) => request.socket.resetAndDestroy()]
  ] as const)("that %s goes on by itself, from the byte where it was", ([, ending]) =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry(breaking(ending))
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      const parts = spans(ranges)
      const broken = parts.filter(([start, end]) => end + 1 - start === segment)
      expect(broken.length).toBeGreaterThan(10)
      for (const [start, end] of broken) expect(parts).toContainEqual([start + 1000, end])
      expect(ranges.filter((range) => range === undefined)).toHaveLength(1)
    })
  )

  it.scopedLive("that stalls goes on by itself, after the timeout", () =>
    Effect.gen(function* () {
      const stall = breaking(() => undefined)
      const stalled: Array<number> = []
      const { ranges, registry } = yield* rangeRegistry(
        (asked) => {
          if (asked.n !== 8 || !stall(asked)) return false
          stalled.push(asked.part?.start ?? 0)
          return true
        },
        { timeouts: { response: "2 seconds" } }
      )
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(stalled).toHaveLength(1)
      for (const start of stalled)
        expect(spans(ranges)).toContainEqual([start + 1000, start + segment - 1])
    })
  )

  it.scopedLive("that never comes is left to the ordinary download", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry(({ n, part, request }) => {
        // The registry has parts with an end until then, and from then on none.
        if (part === undefined || part.end === size - 1 || n < 8) return false
        request.socket.destroy()
        return true
      })
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(ranges.filter((range) => range === undefined)).toHaveLength(1)
    })
  )

  it.scopedLive("that nothing brings fails as the ordinary download does", () =>
    Effect.gen(function* () {
      const { ranges, registry } = yield* rangeRegistry(({ n, part, request }) => {
        if (part === undefined || n < 8) return false
        request.socket.destroy()
        return true
      })
      const read = gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(yield* Effect.flip(read)).toMatchObject({ _tag: "TransportFailure", reason: "Reset" })
      expect(ranges.length).toBeLessThan(50)
    })
  )

  it.scopedLive("that changed is found out before the last byte is delivered (C26)", () =>
    Effect.gen(function* () {
      const { registry } = yield* rangeRegistry((asked) => {
        if (asked.part === undefined || asked.n !== 9) return false
        serve(
          asked,
          bytes.map((byte) => byte ^ 1)
        )
        return true
      })
      let delivered = 0
      const read = Stream.runForEach(tuned()(registry.getBlob(repository, descriptor)), (part) =>
        Effect.sync(() => {
          delivered += part.length
        })
      )
      expect(yield* Effect.flip(read)).toMatchObject({ _tag: "DigestMismatch", expected: digest })
      expect(delivered).toBeLessThan(size)
    })
  )

  it.scopedLive(
    "is asked for at the registry, and comes from storage without credentials (T1)",
    () =>
      Effect.gen(function* () {
        const stored: Array<unknown> = []
        let expired = 0
        const storage = yield* origin([], (request, response) => {
          stored.push(request.headers.authorization, request.headers["x-key"])
          const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
          // A URL that was signed for a moment.
          if (request.url?.endsWith("=7") === true) {
            expired++
            return reply(response, 403)
          }
          serve({
            request,
            response,
            part: start === undefined ? undefined : { start: Number(start), end: Number(end) },
            n: 0,
            active: 0
          })
        })
        let asked = 0
        const { registry } = yield* rangeRegistry(
          ({ request, response }) => {
            if (request.headers.authorization === undefined)
              reply(response, 401, { "www-authenticate": "Basic realm=x" })
            else reply(response, 307, { location: `${storage.url}/blob?signature=${asked++}` })
            return true
          },
          { headers: { "x-key": "k3y" }, trust: { allowStorage: ["127.0.0.1"] } },
          { credentials: alice }
        )
        const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
        expect(Buffer.compare(got, bytes)).toBe(0)
        expect(asked).toBeGreaterThan(7)
        expect(expired).toBe(1)
        expect(new Set(stored)).toEqual(new Set([undefined]))
      })
  )

  it.scopedLive("is asked for with a new token when the old one has expired", () =>
    Effect.gen(function* () {
      let refused = 0
      const { ranges, registry } = yield* rangeRegistry(
        ({ n, part, request, response }) => {
          if (request.headers.authorization !== undefined && (part === undefined || n % 5 > 0))
            return false
          refused++
          reply(response, 401, { "www-authenticate": "Basic realm=x" })
          return true
        },
        {},
        { credentials: alice }
      )
      const got = yield* gather(tuned()(registry.getBlob(repository, descriptor)))
      expect(Buffer.compare(got, bytes)).toBe(0)
      expect(refused).toBeGreaterThan(1)
      expect(ranges.filter((range) => range === undefined)).toHaveLength(2)
    })
  )
})

describe("a download over several connections", () => {
  it.scopedLive.each(["stops early", "is interrupted", "fails"])(
    "that %s leaves nothing under way",
    (how) =>
      Effect.gen(function* () {
        const { counts, registry } = yield* rangeRegistry(slowly())
        const read = tuned()(registry.getBlob(repository, descriptor))
        let taken = 0
        const some = Stream.tap(read, (part) => {
          taken += part.length
          return how === "fails" && taken > size / 2 ? Effect.fail("enough") : Effect.void
        })
        if (how === "stops early")
          yield* Stream.runDrain(Stream.takeUntil(some, () => taken > size / 2))
        else if (how === "fails") expect(yield* Effect.flip(Stream.runDrain(some))).toBe("enough")
        else {
          const fiber = yield* Effect.fork(Stream.runDrain(some))
          yield* until(() => taken > size / 2)
          yield* Fiber.interrupt(fiber)
        }
        expect(taken).toBeLessThan(size)
        yield* until(() => counts.active === 0)
      })
  )

  it.scopedLive("looks like one to observers, with its faults", () =>
    Effect.gen(function* () {
      const { registry } = yield* rangeRegistry((asked) => {
        if (asked.part === undefined || asked.n !== 9) return false
        asked.request.socket.destroy()
        return true
      })
      const events = yield* items(
        Transfer.events(Stream.runDrain(tuned()(registry.getBlob(repository, descriptor))))
      )
      const tags = events.map(({ _tag }) => _tag)
      expect(tags[0]).toBe("Started")
      expect(tags.slice(-3)).toEqual(["Verified", "Completed", "Result"])
      const offsets = events.flatMap((event) => ("offset" in event ? [event.offset] : []))
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b))
      expect(offsets.at(-1)).toBe(size)
    })
  )
})
