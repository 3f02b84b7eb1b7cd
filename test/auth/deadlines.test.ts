/**
 * What `timeouts.overall` bounds besides the registry's own response, over real sockets: servers
 * that send a byte now and then, and never come to an end.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import { alice, pull } from "./parties.js"
import { type Reply, tokenRequest, unauthorized, world } from "./wire.js"

const a = Effect.runSync(parseRepositoryName("a"))
const list = "registry GET /v2/a/tags/list"
const digest = Digest.fromBytes(new Uint8Array([1]))
const getBlob = `registry GET /v2/a/blobs/${digest}`

/** A body that keeps coming, of known length or not. */
const dripping = (status: number, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers,
  body: () => Stream.toReadableStream(bytesEach("20 millis"))
})

/** A byte at a time, for ever. */
const bytesEach = (interval: Duration.DurationInput): Stream.Stream<Uint8Array> =>
  Stream.as(Stream.tick(interval), new Uint8Array(1))

const announced = { "content-length": "1000" }

const tags = (registry: Registry.Service) => Stream.runDrain(registry.tags(a))
const blob = (registry: Registry.Service) => Stream.runDrain(registry.getBlob(a, digest))

/** The error, and that it came in time: the deadline, a second of grace, and a slow machine. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const [time, result] = yield* Effect.timed(Effect.either(effect))
    expect(Duration.toSeconds(time)).toBeLessThan(15)
    return result
  })

const timeouts = { overall: "2 seconds", response: "1 minute" } as const

describe("the whole exchange is over in time", () => {
  it.scopedLive.each([
    ["a document", tags, list],
    ["a blob", blob, getBlob]
  ] as const)("for %s, whose token server drips", ([, operation, line]) =>
    Effect.gen(function* () {
      for (const headers of [{}, announced]) {
        const { client, log } = yield* world(
          {
            registry: (_, realm) => unauthorized(`Bearer realm="${realm}",service="s"`),
            tokens: () => dripping(200, headers)
          },
          { credential: alice }
        )
        const result = yield* inTime(operation(yield* client({ timeouts })))
        expect(result).toMatchObject({ _tag: "Left", left: { _tag: "TransportFailure" } })
        expect(log).toEqual([`${line} -`, tokenRequest(pull)])
      }
    })
  )

  it.scopedLive("where the refusal of the token server drips", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: (_, realm) => unauthorized(`Bearer realm="${realm}",service="s"`),
          tokens: () => dripping(401)
        },
        { credential: alice }
      )
      const result = yield* inTime(tags(yield* client({ timeouts })))
      expect(result).toMatchObject({ _tag: "Left", left: { _tag: "Unauthorized", status: 401 } })
      expect(log).toEqual([`${list} -`, tokenRequest(pull)])
    })
  )

  it.scopedLive("where the body of a 401 drips", () =>
    Effect.gen(function* () {
      for (const headers of [{}, announced]) {
        const { client, log } = yield* world(
          { registry: () => dripping(401, headers), tokens: () => [500] },
          { credential: alice }
        )
        const result = yield* inTime(tags(yield* client({ timeouts })))
        expect(result).toMatchObject({ _tag: "Left" })
        expect(log.filter((line) => line.startsWith("tokens"))).toEqual([])
        expect(log[0]).toBe(`${list} -`)
      }
    })
  )

  it.scopedLive.each([
    ["a document", tags, list],
    ["a blob", blob, getBlob]
  ] as const)("for %s, behind a chain of redirects whose bodies drip", ([, operation, line]) =>
    Effect.gen(function* () {
      let hops = 0
      const { client, log } = yield* world({
        registry: ({ url }) => dripping(307, { location: `${url.pathname}?${hops++}` }),
        tokens: () => [500]
      })
      const result = yield* inTime(operation(yield* client({ timeouts })))
      expect(result).toMatchObject({ _tag: "Left", left: { _tag: "TransportFailure" } })
      expect(log[0]).toBe(`${line} -`)
      expect(log.length).toBeLessThan(4)
    })
  )

  it.scopedLive("behind a chain of redirects that are slow to begin", () =>
    Effect.gen(function* () {
      let hops = 0
      const { client, log } = yield* world({
        registry: ({ url }) => {
          const location = `${url.pathname}?${hops++}`
          return Effect.delay(Effect.succeed<Reply>([307, "", { location }]), "400 millis")
        },
        tokens: () => [500]
      })
      const result = yield* inTime(blob(yield* client({ timeouts })))
      expect(result).toMatchObject({ _tag: "Left", left: { reason: "Timeout" } })
      expect(log.length).toBeLessThan(10)
    })
  )

  it.scopedLive("for an upload, until its blob travels", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: (_, realm) => unauthorized(`Bearer realm="${realm}",service="s"`),
          tokens: () => dripping(200)
        },
        { credential: alice }
      )
      const registry = yield* client({ timeouts })
      const result = yield* inTime(
        registry.putBlob(a, BlobSource.fromBytes(new Uint8Array(100_000)))
      )
      expect(result).toMatchObject({ _tag: "Left", left: { _tag: "TransportFailure" } })
      expect(log.filter((line) => / (PUT|PATCH) /.test(line))).toEqual([])
    })
  )

  it.scopedLive("but a blob that keeps moving takes as long as it takes", () =>
    Effect.gen(function* () {
      const content = new Uint8Array(10)
      const found = Digest.fromBytes(content)
      const { client } = yield* world({
        registry: () => ({
          status: 200,
          headers: { "content-length": "10" },
          body: () => Stream.toReadableStream(Stream.take(bytesEach("400 millis"), 10))
        }),
        tokens: () => [500]
      })
      const registry = yield* client({ timeouts })
      yield* Stream.runDrain(registry.getBlob(a, found))
    })
  )
})
