import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Retry from "../../src/client/http/Retry.js"
import * as Operation from "../../src/protocol/Operation.js"
import { RegistryFailure, TooManyRequests, TransportFailure } from "../../src/RegistryError.js"
import { items } from "../support/fixtures.js"
import {
  basic,
  clientOver,
  knownManifest,
  m1Digest,
  manifestAnswer,
  registryUrl,
  repository,
  status,
  tag,
  world
} from "./world.js"

const get = Operation.GetManifest({ repository, reference: tag })

/**
 * What an effect results in, and at which times (in milliseconds) its attempts began, with all the
 * time it needs.
 */
const timed = <E extends { readonly _tag: string }>(
  operation: Operation.Operation,
  options: Partial<Retry.RetryOptions>,
  fail: (attempt: number) => E,
  lasting: Duration.DurationInput = 0
) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      times.push(now)
      return Effect.zipRight(Effect.sleep(lasting), Effect.fail(fail(times.length)))
    })
    const fiber = yield* Effect.fork(
      Effect.exit(
        Retry.retried(attempt, operation, {
          origin: registryUrl,
          retry: { ...Retry.defaultRetry, ...options }
        })
      )
    )
    yield* TestClock.adjust(Duration.hours(2))
    return { exit: yield* Fiber.join(fiber), times }
  })

const unavailable = () => new RegistryFailure({ status: 503 })
const gaps = (times: ReadonlyArray<number>) =>
  times.slice(1).map((time, n) => time - (times[n] ?? 0))

describe("the schedule", () => {
  it.effect("tries four times more, each wait twice the last, within a fifth of it (T20)", () =>
    Effect.gen(function* () {
      const runs = yield* Effect.replicateEffect(timed(get, {}, unavailable), 30)
      for (const { exit, times } of runs) {
        expect(Exit.isFailure(exit)).toBe(true)
        const waits = gaps(times)
        expect(waits.length).toBe(4)
        waits.forEach((wait, n) => {
          expect(wait).toBeGreaterThanOrEqual(250 * 2 ** n * 0.8)
          expect(wait).toBeLessThanOrEqual(250 * 2 ** n * 1.2 + 1)
        })
      }
      const factors = runs.flatMap(({ times }) =>
        gaps(times).map((wait, n) => wait / (250 * 2 ** n))
      )
      expect(Math.min(...factors)).toBeLessThan(0.9)
      expect(Math.max(...factors)).toBeGreaterThan(1.1)
    })
  )

  it.effect.each([
    ["429 and seconds", new TooManyRequests({ status: 429, retryAfter: 7000 }), 7000],
    ["503 and seconds", new RegistryFailure({ status: 503, retryAfter: 7000 }), 7000],
    [
      "an hour, which is cut to maxDelay",
      new TooManyRequests({ status: 429, retryAfter: 3_600_000 }),
      60_000
    ]
  ] as const)("waits as long as it is asked to: %s (C104, T20)", ([, error, wait]) =>
    Effect.gen(function* () {
      const { times } = yield* timed(get, { attempts: 1 }, () => error)
      expect(gaps(times)).toEqual([wait])
    })
  )

  it.effect(
    "never waits less than the backoff, whatever microseconds it is asked to wait (GHCR, T20)",
    () =>
      Effect.gen(function* () {
        const { times } = yield* timed(
          get,
          { attempts: 1 },
          () => new TooManyRequests({ status: 429, retryAfter: 0.88 })
        )
        expect(gaps(times)[0]).toBeGreaterThanOrEqual(200)
      })
  )

  it.effect("begins no attempt after the deadline, which counts from the first one (T20)", () =>
    Effect.gen(function* () {
      const late = () => new TooManyRequests({ status: 429, retryAfter: 60_000 })
      expect((yield* timed(get, { attempts: 100 }, late)).times.length).toBe(4)
      const slow = yield* timed(get, { attempts: 100 }, unavailable, Duration.seconds(100))
      expect(slow.times.length).toBe(2)
    })
  )
})

describe("the wait before an attempt", () => {
  const retry: Retry.RetryOptions = {
    attempts: 3,
    base: "100 millis",
    maxDelay: "1 second",
    deadline: "10 seconds"
  }

  it.each([
    ["the base, after one failure", { failures: 1, since: 0, now: 0 }, unavailable(), 100],
    ["twice as long each time", { failures: 3, since: 0, now: 0 }, unavailable(), 400],
    [
      "what the registry asks for",
      { failures: 1, since: 0, now: 0 },
      new TooManyRequests({ retryAfter: 700 }),
      700
    ],
    [
      "no longer than maxDelay",
      { failures: 1, since: 0, now: 0 },
      new TooManyRequests({ retryAfter: 7000 }),
      1000
    ],
    ["until the deadline", { failures: 1, since: 0, now: 9900 }, unavailable(), 100],
    ["none after it", { failures: 1, since: 0, now: 9901 }, unavailable(), undefined],
    ["none after the last attempt", { failures: 4, since: 0, now: 0 }, unavailable(), undefined]
  ] as const)("is %s", (_, attempts, error, wait) => {
    expect(Retry.delay(retry, attempts, error, 1)).toBe(wait)
  })
})

describe("what is tried again", () => {
  const failures: ReadonlyArray<readonly [again: boolean, error: { readonly _tag: string }]> = [
    ...[408, 429, 499, 500, 502, 503, 504, 522].map(
      (status) => [true, new RegistryFailure({ status })] as const
    ),
    ...[400, 401, 405, 412, 413, 416, 501, 505].map(
      (status) => [false, new RegistryFailure({ status })] as const
    ),
    [true, new TooManyRequests({ status: 429 })],
    ...(["Connect", "Reset", "Timeout", "Stall"] as const).map(
      (reason) => [true, new TransportFailure({ reason })] as const
    ),
    [false, new TransportFailure({ reason: "Tls" })],
    [false, new TransportFailure({ reason: "Proxy", status: 407 })]
  ]
  it.effect.each(failures)("%s: %o", ([again, error]) =>
    Effect.gen(function* () {
      const { times } = yield* timed(get, { attempts: 1 }, () => error)
      expect(times.length).toBe(again ? 2 : 1)
    })
  )

  it.effect("nothing whose body is a stream: its source may have failed, or be gone", () =>
    Effect.gen(function* () {
      let attempts = 0
      const attempt = Effect.suspend(() => {
        attempts++
        return Effect.fail(new TransportFailure({ reason: "Reset" }))
      })
      yield* Effect.flip(
        Retry.retried(attempt, get, { origin: registryUrl, retry: Retry.defaultRetry }, false)
      )
      expect(attempts).toBe(1)
    })
  )

  const digest = m1Digest
  const posts = [
    Operation.StartUpload({ repository }),
    Operation.MountBlob({ repository, digest }),
    Operation.UploadBlob({ repository, digest, size: 1 })
  ]
  const appending = [
    Operation.UploadChunk({ repository, location: "/u" }),
    Operation.CompleteUpload({ repository, location: "/u", digest })
  ]

  it.effect(
    "a POST only where it certainly did nothing; PATCH and the closing PUT never (trap 4)",
    () =>
      Effect.gen(function* () {
        const attempts = (operation: Operation.Operation, error: { readonly _tag: string }) =>
          Effect.map(
            timed(operation, { attempts: 1 }, () => error),
            ({ times }) => times.length
          )
        for (const post of posts) {
          expect(yield* attempts(post, new TooManyRequests({ status: 429 }))).toBe(2)
          expect(yield* attempts(post, new TransportFailure({ reason: "Connect" }))).toBe(2)
          expect(
            yield* attempts(post, new TransportFailure({ reason: "Proxy", status: 407 }))
          ).toBe(1)
          expect(yield* attempts(post, new TransportFailure({ reason: "Reset" }))).toBe(1)
          expect(yield* attempts(post, new RegistryFailure({ status: 503 }))).toBe(1)
        }
        for (const operation of appending) {
          expect(yield* attempts(operation, new TooManyRequests({ status: 429 }))).toBe(1)
          expect(yield* attempts(operation, new TransportFailure({ reason: "Connect" }))).toBe(1)
        }
      })
  )
})

/** Runs an effect with as much time as it asks for. */
const patiently = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* passing
    return yield* Fiber.join(fiber)
  })

/** Web streams answer in turns of the event loop, between which the clock moves on. */
const passing = Effect.repeatN(
  Effect.zipRight(
    Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
    TestClock.adjust(Duration.seconds(10))
  ),
  40
)

describe("through the client", () => {
  const broken = () =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('{"tags":["a"'))
          controller.error(new Error("cut"))
        }
      })
    )

  it.effect("a manifest is asked for again after 503, in the same words", () =>
    Effect.gen(function* () {
      let answers = 0
      const { log, registry } = yield* world({
        [registryUrl]: () => (++answers < 3 ? status(503) : manifestAnswer())
      })
      expect((yield* patiently(registry.getManifest(repository, tag))).descriptor.digest).toBe(
        m1Digest
      )
      expect(log).toEqual(Array(3).fill(`GET ${registryUrl}/v2/team/app/manifests/v1 -`))
    })
  )

  it.effect("a document that breaks off is asked for again", () =>
    Effect.gen(function* () {
      let answers = 0
      const { log, registry } = yield* world({
        [registryUrl]: () => (++answers === 1 ? broken() : status(200, '{"tags":["a","b"]}'))
      })
      expect(yield* patiently(items(registry.tags(repository)))).toEqual(["a", "b"])
      expect(log.length).toBe(2)
    })
  )

  it.effect.each([
    ["in passing trouble", () => status(503)],
    ["that breaks off", broken]
  ] as const)("a token server %s does not keep a session from being opened", ([, trouble]) =>
    Effect.gen(function* () {
      let asked = 0
      const realm = "https://auth.example/token"
      const { log, registry } = yield* world(
        {
          [registryUrl]: ({ authorization }) =>
            authorization === undefined
              ? status(401, null, { "www-authenticate": `Bearer realm="${realm}"` })
              : status(202, null, { location: "/u" }),
          "https://auth.example": () => (++asked === 1 ? trouble() : status(200, '{"token":"t"}'))
        },
        { trust: { allowTokens: ["auth.example"] } }
      )
      yield* patiently(
        Effect.scoped(Effect.flatMap(registry.startUpload(repository), (session) => session.detach))
      )
      const post = `POST ${registryUrl}/v2/team/app/blobs/uploads/`
      const token = `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Ateam%2Fapp%3Apull%2Cpush ${basic}`
      expect(log).toEqual([`${post} -`, token, token, `${post} Bearer t`])
    })
  )

  it.effect("a PUT of a manifest is repeated", () =>
    Effect.gen(function* () {
      let puts = 0
      const { log, registry } = yield* world({
        [registryUrl]: ({ method }) =>
          method === "PUT"
            ? ++puts === 1
              ? status(500)
              : status(201)
            : status(202, null, { location: "/u" })
      })
      yield* patiently(registry.putManifest(repository, yield* knownManifest, { tags: [tag] }))
      expect(log.map((line) => line.split(" ", 1).join())).toEqual(["PUT", "PUT"])
    })
  )

  it.effect("a TLS failure is final and never falls back to http (T19)", () =>
    Effect.gen(function* () {
      const urls: Array<string> = []
      const client = HttpClient.make((request) => {
        urls.push(request.url)
        const cause = Object.assign(new Error("self-signed certificate"), {
          code: "DEPTH_ZERO_SELF_SIGNED_CERT"
        })
        return Effect.fail(
          new HttpClientError.RequestError({ request, reason: "Transport", cause })
        )
      })
      const registry = yield* clientOver(client)
      expect(yield* Effect.flip(registry.ping)).toMatchObject({
        _tag: "TransportFailure",
        reason: "Tls"
      })
      expect(urls).toEqual([`${registryUrl}/v2/`])
    })
  )
})

describe("a deletion whose answer was lost", () => {
  const first = (answers: ReadonlyArray<() => Response | Effect.Effect<Response>>) => {
    let n = 0
    return () => (answers[Math.min(n++, answers.length - 1)] ?? answers[0])?.() ?? status(599)
  }
  const gone = () => status(404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

  it.effect("is success if a HEAD confirms that nothing is there", () =>
    Effect.gen(function* () {
      const answer = first([() => status(500), gone])
      const { log, registry } = yield* world({
        [registryUrl]: ({ method }) => (method === "HEAD" ? status(404) : answer())
      })
      yield* patiently(registry.deleteTag(repository, tag))
      yield* patiently(registry.deleteBlob(repository, m1Digest)).pipe(Effect.flip)
      expect(log.slice(0, 3).map((line) => line.split(" ", 1).join())).toEqual([
        "DELETE",
        "DELETE",
        "HEAD"
      ])
    })
  )

  it.effect("is success for a blob, too", () =>
    Effect.gen(function* () {
      const answer = first([
        () => status(502),
        () => status(404, '{"errors":[{"code":"BLOB_UNKNOWN"}]}')
      ])
      const { log, registry } = yield* world({
        [registryUrl]: ({ method }) => (method === "HEAD" ? status(404) : answer())
      })
      yield* patiently(registry.deleteBlob(repository, m1Digest))
      expect(log.map((line) => line.split(" ", 1).join())).toEqual(["DELETE", "DELETE", "HEAD"])
    })
  )

  it.effect("is none if it is still there, or if nothing was lost", () =>
    Effect.gen(function* () {
      const answer = first([() => status(500), gone])
      const there = yield* world({
        [registryUrl]: ({ method }) => (method === "DELETE" ? answer() : manifestAnswer())
      })
      expect(
        yield* Effect.flip(patiently(there.registry.deleteTag(repository, tag)))
      ).toMatchObject({
        _tag: "ManifestUnknown"
      })
      const never = yield* world({ [registryUrl]: gone })
      expect(yield* Effect.flip(never.registry.deleteTag(repository, tag))).toMatchObject({
        _tag: "ManifestUnknown"
      })
      expect(never.log.length).toBe(1)
    })
  )
})
