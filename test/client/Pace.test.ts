/** When requests begin: rates of each kind for a whole host, and pauses after 429 (CP25, CP26). */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import { Pace } from "../../src/client/http/Pace.js"
import * as Rates from "../../src/client/http/Rates.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Operation from "../../src/protocol/Operation.js"
import * as Registries from "../../src/Registries.js"
import { TooManyRequests } from "../../src/RegistryError.js"
import * as Reference from "../../src/spec/Reference.js"
import type { Handler } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { turn, utf8 } from "../support/fixtures.js"
import {
  clientOver,
  knownManifest,
  m1,
  m1Digest,
  m1Type,
  manifestAnswer,
  registryUrl,
  repository,
  status,
  tag
} from "./world.js"

const length = { "content-length": String(utf8(m1).length) }

/** A manifest, whatever it is asked for by. */
const found = (method = "HEAD") =>
  method === "HEAD"
    ? status(200, null, { ...length, "content-type": m1Type, "docker-content-digest": m1Digest })
    : manifestAnswer()

/**
 * A registry that is there from `began` on, and at which time, in milliseconds after that, each
 * request came.
 */
const timed = (
  answer: (n: number, method: string) => Response = (_, method) => found(method),
  options: Partial<RegistryClient.EndpointOptions> = {},
  host = registryUrl
) =>
  Effect.gen(function* () {
    const arrivals: Array<readonly [at: number, line: string]> = []
    const handler: Handler = ({ method, url }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        arrivals.push([now, `${method} ${url.pathname}`])
        return answer(arrivals.length, method)
      })
    const { client } = internet({ [host]: handler })
    const registry = yield* clientOver(client, { url: host, ...options })
    return { registry, arrivals, times: () => arrivals.map(([at]) => at) }
  })

/** Runs effects at the same time, with the minutes they need: answers take turns of the loop. */
const together = <E>(effects: ReadonlyArray<Effect.Effect<unknown, E>>, minutes = 5) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(
      Effect.forEach(effects, Effect.either, { concurrency: "unbounded" })
    )
    for (let n = 0; n < minutes * 120; n++) {
      yield* turn
      if (fiber.unsafePoll() !== null) break
      yield* TestClock.adjust("500 millis")
    }
    return yield* Fiber.join(fiber)
  })

const hour = 3_600_000

const other = Reference.unsafeParseRepositoryName("team/other")

describe("rates", () => {
  it.effect("are those of the whole host, for all repositories and each kind by itself", () =>
    Effect.gen(function* () {
      const { arrivals, registry } = yield* timed(undefined, {
        rates: { pulls: { requests: 1, per: "1 second" } },
        concurrency: 20
      })
      const pulls = [repository, other, repository, other].map((name) =>
        Effect.asVoid(registry.getManifest(name, tag))
      )
      const heads = [1, 2, 3, 4].map(() => Effect.asVoid(registry.headManifest(repository, tag)))
      yield* together([...pulls, ...heads])
      const at = (method: string) =>
        arrivals.filter(([, line]) => line.startsWith(method)).map(([time]) => time)
      expect(at("GET")).toEqual([0, 1000, 2000, 3000])
      expect(at("HEAD")).toEqual([0, 0, 0, 0])
    })
  )

  it.effect("are slow at the start, and save up no more than a burst", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed(undefined, {
        rates: { reads: { requests: 10, per: "10 seconds", burst: 4 } },
        concurrency: 20
      })
      const heads = Array.from({ length: 6 }, () => registry.headManifest(repository, tag))
      yield* together(heads)
      expect(times()).toEqual([0, 0, 1000, 2000, 3000, 4000])
      yield* TestClock.adjust("1 hour")
      const now = yield* Clock.currentTimeMillis
      yield* together(heads)
      expect(
        times()
          .slice(6)
          .map((time) => time - now)
      ).toEqual([0, 0, 0, 0, 1000, 2000])
    })
  )

  it.effect("take nothing for whoever is interrupted while they wait", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed(undefined, {
        rates: { reads: { requests: 1, per: "1 second" } }
      })
      const head = registry.headManifest(repository, tag)
      yield* together([head])
      const waiting = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 100 }, () => head),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(waiting)
      yield* together([head])
      expect(times()).toEqual([0, 1000])
    })
  )

  it.effect("hold up nothing for longer where the clock is set back", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(hour)
      const { registry, times } = yield* timed(undefined, {
        rates: { reads: { requests: 1, per: "1 second" } }
      })
      const head = registry.headManifest(repository, tag)
      yield* together([head, head])
      yield* TestClock.setTime(0)
      yield* together([head, head])
      expect(times()).toEqual([hour, hour + 1000, 1000, 2000])
    })
  )

  it.effect("do not keep a permit from others while they wait", () =>
    Effect.gen(function* () {
      const { arrivals, registry } = yield* timed(
        (_, method) => (method === "PUT" ? status(201) : found()),
        { rates: { pushes: { requests: 1, per: "10 seconds" } }, concurrency: 1 }
      )
      const manifest = yield* knownManifest
      const push = registry.putManifest(repository, manifest, { tags: [tag] })
      yield* together<unknown>([push, push, registry.headManifest(repository, tag)])
      expect(arrivals.map(([at, line]) => `${Math.floor(at)} ${line.split(" ", 1)}`)).toEqual([
        "0 PUT",
        "0 HEAD",
        "10000 PUT"
      ])
    })
  )

  it.effect("count retries, and uploads by the sessions that are opened", () =>
    Effect.gen(function* () {
      const { arrivals, registry } = yield* timed(
        (n, method) =>
          method === "HEAD"
            ? status(404)
            : n === 2
              ? status(429)
              : status(method === "POST" ? 201 : 202, null, { location: "/u" }),
        { rates: { uploads: { requests: 1, per: "10 seconds" } } }
      )
      yield* together([registry.putBlob(repository, BlobSource.fromBytes(utf8("b")))])
      expect(arrivals.map(([at, line]) => `${Math.floor(at)} ${line.split(" ", 1)}`)).toEqual([
        "0 HEAD",
        "0 POST",
        "10000 POST"
      ])
    })
  )

  it.each([
    ["registry-1.docker.io", ["reads"]],
    ["ghcr.io", ["reads", "uploads"]],
    ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", ["uploads", "pushes"]],
    ["123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", ["uploads", "pushes"]],
    ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", ["uploads", "pushes"]],
    ["123456789012.dkr-ecr.us-west-2.on.aws", ["uploads", "pushes"]],
    ["public.ecr.aws", ["uploads", "pushes"]],
    ["registry.example.com", []],
    ["ghcr.io.example.com", []],
    ["127.0.0.1", []]
  ] as const)("that are published hold by default: %s", (host, kinds) => {
    expect(Object.keys(Rates.published(host) ?? {})).toEqual(kinds)
  })

  it.effect("that are published hold for Docker Hub unless others are given", () =>
    Effect.gen(function* () {
      const hub = "https://registry-1.docker.io"
      const head = Array(150).fill(Effect.void)
      const all = (options: Partial<RegistryClient.EndpointOptions>) =>
        Effect.gen(function* () {
          const { registry, times } = yield* timed(undefined, options, hub)
          yield* together(head.map(() => registry.headManifest(repository, tag)))
          return (times().at(-1) ?? 0) - (times()[0] ?? 0)
        })
      // 100 at once, and 50 of 2,000 a minute.
      expect(yield* all({})).toBeGreaterThanOrEqual(1400)
      expect(yield* all({ rates: {} })).toBe(0)
    })
  )

  it.effect("are given for each host, or for all", () =>
    Effect.gen(function* () {
      const { client, log } = internet({
        "https://a.test": () => found(),
        "https://b.test": () => found()
      })
      const layer = RegistryClient.layerRegistries({
        defaults: { rates: { reads: { requests: 1, per: "1 second" } } },
        hosts: {
          "b.test": { rates: {} },
          "c.test": { rates: { pushes: { requests: 0, per: "1 second" } } }
        }
      }).pipe(
        Layer.provide([
          Layer.succeed(HttpClient.HttpClient, client),
          Credentials.layerAnonymous,
          TokenCache.layerMemory
        ])
      )
      yield* Effect.gen(function* () {
        const { get } = yield* Registries.Registries
        for (const host of ["a.test", "b.test"]) {
          const began = yield* Clock.currentTimeMillis
          const head = (yield* get(host)).headManifest(repository, tag)
          yield* together([head, head, head])
          const took = (yield* Clock.currentTimeMillis) - began
          expect(took).toBe(host === "a.test" ? 2000 : 0)
        }
        expect(yield* Effect.flip(get("c.test"))).toMatchObject({
          _tag: "InvalidUrl",
          problem: "its rate of pushes is not a number of requests in a time"
        })
      }).pipe(Effect.provide(layer))
      expect(log.length).toBe(6)
    })
  )
})

describe("a registry that says that there are too many requests", () => {
  it.effect.each([
    ["in a header", () => status(429, null, { "retry-after": "30" })],
    [
      "in its message",
      () =>
        status(429, '{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 30s"}]}', {
          "content-type": "application/json"
        })
    ]
  ] as const)("gets none for as long as it asks for %s, then one, then all", ([, refusal]) =>
    Effect.gen(function* () {
      const { arrivals, registry, times } = yield* timed((n, method) =>
        n === 1 ? refusal() : found(method)
      )
      const get = registry.getManifest(repository, tag)
      const first = yield* Effect.fork(together([get]))
      yield* turn
      yield* turn
      const results = yield* together([
        ...Array(4).fill(registry.headManifest(other, tag)),
        registry.headBlob(other, m1Digest)
      ])
      yield* Fiber.join(first)
      expect(results.every(({ _tag }) => _tag === "Right")).toBe(true)
      expect(times()).toEqual([0, ...Array(6).fill(30_000)])
      expect(arrivals[0]?.[1]).toBe("GET /v2/team/app/manifests/v1")
    })
  )

  it.effect("also to a HEAD (CP26), gets one request after each pause, which are longer", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed((n) => (n < 4 ? status(429) : found()), {
        retry: { base: "1 second", attempts: 9 },
        concurrency: 1
      })
      yield* together(Array(5).fill(registry.headManifest(repository, tag)))
      const [first, second = 0, third = 0, fourth = 0, ...others] = times()
      expect(first).toBe(0)
      expect(second).toBeGreaterThanOrEqual(1000)
      expect(third - second).toBeGreaterThanOrEqual(2000)
      expect(fourth - third).toBeGreaterThanOrEqual(4000)
      expect(others).toEqual(Array(4).fill(fourth))
      // Whoever was refused waits as it would by itself, too: here for no more than the pause.
    }).pipe(Effect.withRandom(Random.fixed([1])))
  )

  it.effect("is as new to after a download that it let pass", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed(
        (n) => (n % 2 === 1 ? status(429) : status(200, m1, length)),
        { retry: { base: "1 second", attempts: 9 } }
      )
      const get = Stream.runDrain(registry.getBlob(repository, m1Digest))
      for (let n = 0; n < 4; n++) yield* together([get])
      const waits = times().flatMap((time, n, all) =>
        n % 2 === 1 ? [Math.round((time - (all[n - 1] ?? 0)) / 1000)] : []
      )
      expect(waits).toEqual([1, 1, 1, 1])
    }).pipe(Effect.withRandom(Random.fixed([1])))
  )

  it.effect("fails those who would wait longer than the deadline, with nothing sent", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed(() => status(429, null, { "retry-after": "3600" }), {
        retry: { attempts: 1, maxDelay: "1 minute", deadline: "30 seconds" }
      })
      const head = registry.headManifest(repository, tag)
      yield* together([head])
      const [result] = yield* together([head])
      if (result?._tag !== "Left") return expect.fail("it did not fail")
      expect(result.left).toBeInstanceOf(TooManyRequests)
      expect(result.left).toMatchObject({ retryAfter: 60_000 })
      expect(times()).toEqual([0])
    })
  )

  it.effect("pauses no longer where the clock is set back, nor lets that hide the next pause", () =>
    Effect.gen(function* () {
      const retry = { attempts: 4, base: 0, maxDelay: "1 minute", deadline: "1 hour" } as const
      const pace = new Pace({}, retry)
      const sent = pace.paced(Operation.Ping(), true, Clock.currentTimeMillis, identity)
      const refused = pace.refused(new TooManyRequests({ retryAfter: 30_000 }))
      yield* TestClock.setTime(hour)
      yield* refused
      yield* TestClock.setTime(0)
      expect(yield* together([sent])).toEqual([Either.right(60_000)])
      yield* TestClock.setTime(0)
      yield* refused
      expect(yield* together([sent])).toEqual([Either.right(30_000)])
    })
  )

  it.effect("ends at a time with parts of a nanosecond, which no sleep has", () =>
    Effect.gen(function* () {
      const retry = { attempts: 4, base: 0, maxDelay: "1 minute", deadline: "1 minute" } as const
      const pace = new Pace({}, retry)
      yield* pace.refused(new TooManyRequests({ retryAfter: 0.3000000004 }))
      const sent = Effect.succeed("sent")
      const fiber = yield* Effect.fork(pace.paced(Operation.Ping(), true, sent, identity))
      yield* TestClock.adjust("299 micros")
      yield* turn
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 micros")
      yield* turn
      expect(fiber.unsafePoll()).toEqual(Exit.succeed("sent"))
    })
  )

  it.effect("is asked as ever by whoever does without retries", () =>
    Effect.gen(function* () {
      const { registry, times } = yield* timed(() => status(429, null, { "retry-after": "30" }), {
        retry: { attempts: 0 }
      })
      const head = registry.headManifest(repository, tag)
      yield* together([head])
      yield* together([head])
      expect(times()).toEqual([0, 0])
    })
  )

  it.effect("is asked again when the first request after the pause was interrupted", () =>
    Effect.gen(function* () {
      let isStuck = true
      const arrivals: Array<string> = []
      const { client } = internet({
        [registryUrl]: ({ method, url }) => {
          arrivals.push(`${method} ${url.pathname}`)
          if (arrivals.length === 1) return status(429, null, { "retry-after": "10" })
          return isStuck ? Effect.never : found()
        }
      })
      const registry = yield* clientOver(client)
      const first = yield* Effect.fork(registry.headManifest(repository, tag))
      yield* turn
      yield* TestClock.adjust("10 seconds")
      yield* turn
      const second = yield* Effect.fork(registry.headManifest(other, tag))
      yield* turn
      expect(arrivals.length).toBe(2)
      isStuck = false
      yield* Fiber.interrupt(first)
      yield* turn
      yield* Fiber.join(second)
      expect(arrivals.at(-1)).toBe("HEAD /v2/team/other/manifests/v1")
    })
  )

  it.effect("elsewhere, as a token server or storage, holds up none of its own", () =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registryUrl]: ({ method, url }) =>
          method === "GET"
            ? status(307, null, { location: `https://storage.example${url.pathname}` })
            : found(),
        "https://storage.example": () => status(429, null, { "retry-after": "60" })
      })
      const registry = yield* clientOver(client, {
        trust: { allowStorage: ["storage.example"] },
        retry: { attempts: 1 }
      })
      const get = yield* Effect.fork(Effect.either(registry.getManifest(repository, tag)))
      yield* turn
      yield* turn
      const head = yield* Effect.fork(registry.headManifest(repository, tag))
      for (let n = 0; n < 5; n++) yield* turn
      expect(head.unsafePoll()).toMatchObject({ _tag: "Success" })
      expect(log.length).toBe(3)
      yield* Fiber.interrupt(get)
    })
  )
})
