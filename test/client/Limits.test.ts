import { createServer, type Socket } from "node:net"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Dispatcher } from "@effect/platform-node/NodeHttpClient"
import { Agent } from "@effect/platform-node/Undici"
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Sent from "../../src/auth/internal/Sent.js"
import * as Limits from "../../src/client/http/Limits.js"
import * as Transport from "../../src/client/http/Transport.js"
import * as Watchdog from "../../src/client/http/Watchdog.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { gather, utf8 } from "../support/fixtures.js"
import { registryAt } from "../support/listeners.js"
import { clientOver, m1, m1Type, registryUrl, repository, status, tag, world } from "./world.js"

const hour = Duration.hours(1)

const bounds = (options: Partial<Transport.Bounds> = {}): Transport.Bounds => ({
  limits: Limits.defaultLimits,
  response: 60_000,
  until: Number.POSITIVE_INFINITY,
  overall: Number.POSITIVE_INFINITY,
  registry: "https://registry.test",
  watchdog: Watchdog.make(Duration.minutes(1)),
  sent: Sent.make(),
  ...options
})

/** How an effect ends, and after how many seconds of the clock, if it does within the hour. */
const outcome = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(Effect.zip(Effect.either(effect), Clock.currentTimeMillis))
    yield* TestClock.adjust(hour)
    const exit = yield* Fiber.poll(fiber)
    if (Option.isNone(exit)) return yield* Effect.as(Fiber.interrupt(fiber), undefined)
    const [result, now] = yield* exit.value
    return { result, seconds: now / 1000 }
  })

/** A client of which each request takes so long. */
const slow = (duration: Duration.DurationInput) =>
  HttpClient.make((request) =>
    Effect.as(Effect.sleep(duration), HttpClientResponse.fromWeb(request, new Response("ok")))
  )

const get = HttpClientRequest.get(`${registryUrl}/v2/`)

describe("the time until an answer begins", () => {
  it.effect("is limited", () =>
    Effect.gen(function* () {
      const end = yield* outcome(Transport.bounded(bounds())(slow(hour)).execute(get))
      expect(end?.seconds).toBe(60)
      expect(end?.result).toMatchObject({
        left: { _tag: "TransportFailure", reason: "Timeout", url: get.url }
      })
    })
  )

  it.effect("is the same where the clock of the machine is set back meanwhile", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      let setBack = 0
      const wall: Clock.Clock = Object.assign(Object.create(clock), {
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() - setBack,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos()
      })
      const hanging = HttpClient.make(() => {
        setBack = 24 * Duration.toMillis(hour)
        return Effect.never
      })
      const end = yield* outcome(
        Effect.withClock(Transport.bounded(bounds())(hanging).execute(get), wall)
      )
      expect(end?.seconds).toBe(60)
    })
  )

  it.effect("is taken as it is below that", () =>
    Effect.gen(function* () {
      const end = yield* outcome(
        Transport.bounded(bounds())(slow(Duration.seconds(59))).execute(get)
      )
      expect(end?.seconds).toBe(59)
      expect(end?.result._tag).toBe("Right")
    })
  )

  it.effect("is less than what is left of the whole exchange", () =>
    Effect.gen(function* () {
      const end = yield* outcome(
        Transport.bounded(bounds({ until: 20_000 }))(slow(hour)).execute(get)
      )
      expect(end?.seconds).toBe(20)
    })
  )

  /** A client that reads bodies to their end, waits `after` each chunk, and answers then. */
  const reader = (after: Duration.DurationInput) =>
    HttpClient.make((request) =>
      request.body._tag === "Stream"
        ? Stream.runForEach(request.body.stream, () => Effect.sleep(after)).pipe(
            Effect.orDie,
            Effect.as(HttpClientResponse.fromWeb(request, new Response("ok")))
          )
        : Effect.die("a stream is expected")
    )
  const body = (every: Duration.DurationInput) =>
    HttpBody.stream(
      Stream.fromIterable([1, 2, 3]).pipe(
        Stream.mapEffect((n) => Effect.as(Effect.sleep(every), utf8(`${n}`)))
      )
    )
  const put = (every: Duration.DurationInput) =>
    HttpClientRequest.setBody(HttpClientRequest.put(get.url), body(every))

  it.effect("counts anew with each piece of a body that the registry takes", () =>
    Effect.gen(function* () {
      const end = yield* outcome(
        Transport.bounded(bounds())(reader(Duration.seconds(50))).execute(put(0))
      )
      expect(end).toMatchObject({ seconds: 150, result: { _tag: "Right" } })
      const late = yield* outcome(
        Transport.bounded(bounds())(reader(Duration.seconds(70))).execute(put(0))
      )
      expect(late?.result).toMatchObject({ left: { reason: "Timeout" } })
    })
  )

  it.effect("is a second longer for each 64 KiB of a body in memory", () =>
    Effect.gen(function* () {
      const megabytes = HttpClientRequest.setBody(
        HttpClientRequest.patch(get.url),
        HttpBody.uint8Array(new Uint8Array(4 * 1024 * 1024))
      )
      const end = yield* outcome(Transport.bounded(bounds())(slow(hour)).execute(megabytes))
      expect(end).toMatchObject({ seconds: 124, result: { left: { reason: "Timeout" } } })
    })
  )

  it.effect("does not count while the source of a body is waited for", () =>
    Effect.gen(function* () {
      const end = yield* outcome(
        Transport.bounded(bounds())(reader(0)).execute(put(Duration.seconds(100)))
      )
      expect(end).toMatchObject({ seconds: 300, result: { _tag: "Right" } })
    })
  )

  it.effect("is not what an HTTP client ran into that interrupts itself", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Transport.bounded(bounds())(HttpClient.make(() => Effect.interrupt)).execute(get)
      )
      expect(Exit.isInterrupted(exit)).toBe(true)
    })
  )

  it.effect("ends with the request interrupted", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const client = HttpClient.make(() =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted++
          })
        )
      )
      yield* outcome(Transport.bounded(bounds())(client).execute(get))
      expect(interrupted).toBe(1)
    })
  )
})

describe("an exchange as a whole", () => {
  it.effect("is limited, redirects and token requests included", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        {
          [registryUrl]: () =>
            Effect.as(Effect.sleep(Duration.seconds(50)), status(307, null, { location: "/x" }))
        },
        { retry: { attempts: 0 } }
      )
      const end = yield* outcome(registry.ping)
      expect(end).toMatchObject({
        seconds: 120,
        result: { left: { _tag: "TransportFailure", reason: "Timeout" } }
      })
      expect(log.length).toBe(3)
    })
  )

  /** A body that comes a byte each ten seconds, and stops before its end where it is told to. */
  const dripping =
    (pieces: number, headers: Record<string, string> = {}, silentAfter = pieces) =>
    (request: HttpClientRequest.HttpClientRequest) =>
      Object.create(
        HttpClientResponse.fromWeb(
          request,
          new Response(null, { headers: { "content-type": m1Type, ...headers } })
        ),
        {
          stream: {
            value: Stream.range(1, pieces).pipe(
              Stream.mapEffect((n) =>
                Effect.as(
                  n > silentAfter ? Effect.never : Effect.sleep(Duration.seconds(10)),
                  utf8(`${n % 10}`)
                )
              )
            )
          }
        }
      )

  it.effect("is limited while its document drips (T6)", () =>
    Effect.gen(function* () {
      const client = HttpClient.make((request) => Effect.succeed(dripping(1000)(request)))
      const registry = yield* clientOver(client, { retry: { attempts: 0 } })
      const end = yield* outcome(registry.getManifest(repository, tag))
      expect(end).toMatchObject({
        seconds: 120,
        result: { left: { _tag: "TransportFailure", reason: "Stall" } }
      })
    })
  )

  it.effect("is limited while the body of a success drips of which only the status counts", () =>
    Effect.gen(function* () {
      const client = HttpClient.make((request) => Effect.succeed(dripping(1000)(request)))
      const within = (overall: Duration.DurationInput) =>
        Effect.flatMap(
          clientOver(client, { retry: { attempts: 0 }, timeouts: { overall } }),
          (registry) => outcome(registry.deleteTag(repository, tag))
        )
      expect(yield* within("2 seconds")).toMatchObject({ seconds: 2, result: { _tag: "Right" } })
      // Of what is not needed, nothing is waited for longer than that.
      expect(yield* within("2 minutes")).toMatchObject({
        seconds: Duration.toSeconds(hour) + 5,
        result: { _tag: "Right" }
      })
    })
  )

  const digits = (count: number) =>
    utf8(Array.from({ length: count }, (_, n) => `${(n + 1) % 10}`).join(""))

  it.effect.each([
    ["of a known length", { "content-length": "100" }],
    ["of a length that nobody said", {}]
  ] as ReadonlyArray<readonly [string, Record<string, string>]>)(
    "is not limited where a blob travels, %s, that keeps moving",
    ([, headers]) =>
      Effect.gen(function* () {
        const client = HttpClient.make((request) => Effect.succeed(dripping(100, headers)(request)))
        const registry = yield* clientOver(client)
        const bytes = digits(100)
        const end = yield* outcome(gather(registry.getBlob(repository, Digest.fromBytes(bytes))))
        expect(end).toMatchObject({ seconds: 1000, result: { right: bytes } })
      })
  )

  it.effect.each([
    [
      "a blob",
      160,
      (registry: Registry.Service) =>
        gather(registry.getBlob(repository, Digest.fromBytes(digits(100))))
    ],
    ["a manifest", 110, (registry: Registry.Service) => registry.getManifest(repository, tag)]
  ] as ReadonlyArray<
    readonly [string, number, (registry: Registry.Service) => Effect.Effect<unknown, unknown>]
  >)("ends a minute after the last byte of %s that stops", ([what, seconds, read]) =>
    Effect.gen(function* () {
      const client = HttpClient.make((request) =>
        Effect.succeed(
          dripping(100, { "content-length": "100" }, what === "a blob" ? 10 : 5)(request)
        )
      )
      const registry = yield* clientOver(client, { retry: { attempts: 0 } })
      expect(yield* outcome(read(registry))).toMatchObject({
        seconds,
        result: { left: { _tag: "TransportFailure", reason: "Stall", status: 200 } }
      })
    })
  )

  it.scopedLive.each([40, 64 * 1024, 64 * 1024 + 40])(
    "lets a blob of %d bytes move slowly over a socket, in forty pieces",
    (size) =>
      Effect.gen(function* () {
        const bytes = new Uint8Array(size).fill(7)
        const step = Math.ceil(bytes.length / 40)
        const { registry } = yield* registryAt(
          (_, response) => {
            response.writeHead(200, { "content-length": bytes.length })
            let at = 0
            const timer = setInterval(() => {
              response.write(bytes.subarray(at, at + step))
              at += step
              if (at < bytes.length) return
              response.end()
              clearInterval(timer)
            }, 50)
          },
          { timeouts: { response: "1 second" }, retry: { attempts: 0 } }
        )
        expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(bytes)))).toHaveLength(
          bytes.length
        )
      }),
    { concurrent: true }
  )
})

describe("sizes (T6)", () => {
  const long = (size: number) => "x".repeat(size)

  it.effect.each([
    ["a manifest", { limits: { manifest: 100 } }, "limits.manifest"],
    ["a page of tags", { limits: { page: 100 } }, "limits.page"]
  ] as const)(
    "%s over its limit is an error, not cut, whatever length was announced",
    ([what, options, option]) =>
      Effect.gen(function* () {
        const headers = { "content-type": m1Type, "content-length": "3" }
        const { registry } = yield* world(
          { [registryUrl]: () => status(200, `{"tags":["${long(87)}"]}`, headers) },
          options
        )
        const list: Effect.Effect<unknown, unknown> =
          what === "a manifest"
            ? registry.getManifest(repository, tag)
            : Stream.runDrain(registry.tags(repository))
        expect(yield* Effect.exit(list)).toMatchObject({ _tag: "Success" })
        const over = yield* world(
          { [registryUrl]: () => status(200, `{"tags":["${long(88)}"]}`, headers) },
          options
        )
        const failing: Effect.Effect<unknown, unknown> =
          what === "a manifest"
            ? over.registry.getManifest(repository, tag)
            : Stream.runDrain(over.registry.tags(repository))
        expect(yield* Effect.flip(failing)).toMatchObject({
          _tag: "LimitExceeded",
          limit: 100,
          option,
          status: 200
        })
        expect(over.log.length).toBe(1)
      })
  )

  it.effect("an endless document is left after its limit", () =>
    Effect.gen(function* () {
      let pulled = 0
      let cancelled = false
      const endless = () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              pulled++
              controller.enqueue(new Uint8Array(64 * 1024))
            },
            cancel: () => {
              cancelled = true
            }
          })
        )
      const { registry } = yield* world({ [registryUrl]: endless })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 8_388_608
      })
      expect(pulled).toBeLessThan(140)
      expect(cancelled).toBe(true)
    })
  )

  it.effect("the body of a refusal is read up to 64 KiB, and no further", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = () =>
        new Response(
          new ReadableStream({
            pull: (controller) => {
              pulled++
              controller.enqueue(utf8("\u0000é<b>".repeat(1024)))
            }
          }),
          { status: 418 }
        )
      const { registry } = yield* world({ [registryUrl]: endless })
      const error = yield* Effect.flip(registry.getManifest(repository, tag))
      expect(error).toMatchObject({ _tag: "RegistryFailure", status: 418 })
      expect(error.message.length).toBeLessThan(1024)
      expect(error.message).not.toMatch(/\p{Cc}/u)
      expect(pulled).toBeLessThan(20)
    })
  )

  it.effect("that the body of a refusal breaks off changes nothing", () =>
    Effect.gen(function* () {
      const broken = () =>
        new ReadableStream({ pull: (controller) => controller.error(new Error("cut")) })
      const { log, registry } = yield* world({
        [registryUrl]: () =>
          new Response(broken(), { status: 400, headers: { "content-length": "100" } })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        status: 400
      })
      expect(log.length).toBe(1)
    })
  )

  it.effect("the body of a refusal that does not end is waited for 5 seconds", () =>
    Effect.gen(function* () {
      let left = false
      const silent = () =>
        new ReadableStream({
          cancel: () => {
            left = true
          }
        })
      const { registry } = yield* world({
        [registryUrl]: () => new Response(silent(), { status: 400 })
      })
      const end = yield* outcome(registry.getManifest(repository, tag))
      expect(end).toMatchObject({ seconds: 5, result: { left: { _tag: "RegistryFailure" } } })
      expect(left).toBe(true)
    })
  )

  it.effect(
    "the header section is limited, and the body after it read or left: no connection is held",
    () =>
      Effect.gen(function* () {
        let read = false
        const body = () =>
          new ReadableStream(
            {
              pull: (controller) => {
                read = true
                controller.close()
              }
            },
            { highWaterMark: 0 }
          )
        const { registry } = yield* world({
          [registryUrl]: () =>
            new Response(body(), { headers: { "content-type": m1Type, "x-long": long(65_536) } })
        })
        expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
          _tag: "LimitExceeded",
          limit: 65_536,
          option: "limits.headers"
        })
        expect(read).toBe(true)
        const { registry: modest } = yield* world({
          [registryUrl]: () => status(200, m1, { "content-type": m1Type, "x-long": long(65_000) })
        })
        expect(yield* Effect.exit(modest.getManifest(repository, tag))).toMatchObject({
          _tag: "Success"
        })
      })
  )
})

describe("failures of the HTTP client", () => {
  it.effect("a proxy that wants a password for plain http refuses, whatever its page says", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({ [registryUrl]: () => status(407, "<html>") })
      expect(yield* Effect.flip(registry.ping)).toMatchObject({
        _tag: "TransportFailure",
        reason: "Proxy",
        status: 407,
        message: expect.stringContaining("check which proxy is used")
      })
      expect(log.length).toBe(1)
    })
  )

  /** A TCP server that treats each connection so. */
  const tcp = (accept: (socket: Socket) => void) =>
    Effect.acquireRelease(
      Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
        const sockets = new Set<Socket>()
        const server = createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => undefined)
          accept(socket)
        }).listen(0, "127.0.0.1", () => {
          const address = server.address()
          const close = () => {
            server.close()
            for (const socket of sockets) socket.destroy()
          }
          resume(
            Effect.succeed({
              port: typeof address === "object" && address !== null ? address.port : 0,
              close
            })
          )
        })
      }),
      ({ close }) => Effect.sync(close)
    )

  const answering = (text: string, then: (socket: Socket) => void = () => undefined) =>
    tcp((socket) =>
      socket.once("data", () => {
        socket.write(text, () => then(socket))
      })
    )

  const pinged = (url: string) =>
    Effect.flatMap(HttpClient.HttpClient, (client) =>
      Effect.flip(
        Effect.flatMap(
          clientOver(client, {
            url,
            retry: { attempts: 0 },
            timeouts: { response: 300, overall: 300 }
          }),
          (registry) => registry.getManifest(repository, tag)
        )
      )
    )

  it.scopedLive(
    "over sockets: refused, broken before and within the response, silent, stalled, no TLS",
    () =>
      Effect.gen(function* () {
        const closed = yield* tcp(() => undefined)
        closed.close()
        const reset = yield* tcp((socket) => {
          socket.once("data", () => socket.destroy())
        })
        const cut = yield* answering(
          "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
          (socket) => socket.destroy()
        )
        const silent = yield* tcp(() => undefined)
        const stalled = yield* answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        const headers = yield* answering(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`)
        const plain = yield* answering("HTTP/1.1 400 Bad Request\r\n\r\n")
        const cases = [
          [`http://127.0.0.1:${closed.port}`, { _tag: "TransportFailure", reason: "Connect" }],
          [`http://127.0.0.1:${reset.port}`, { _tag: "TransportFailure", reason: "Reset" }],
          [
            `http://127.0.0.1:${cut.port}`,
            { _tag: "TransportFailure", reason: "Reset", status: 200 }
          ],
          [`http://127.0.0.1:${silent.port}`, { _tag: "TransportFailure", reason: "Timeout" }],
          [
            `http://127.0.0.1:${stalled.port}`,
            { _tag: "TransportFailure", reason: "Stall", status: 200 }
          ],
          [`http://127.0.0.1:${headers.port}`, { _tag: "LimitExceeded", option: "limits.headers" }],
          [`https://127.0.0.1:${plain.port}`, { _tag: "TransportFailure", reason: "Tls" }]
        ] as const
        for (const [url, error] of cases) expect(yield* pinged(url)).toMatchObject(error)
      }).pipe(Effect.provide(NodeHttp.layer()))
  )

  it.scopedLive(
    "over sockets: a connection that is never secured is the agent's connect timeout",
    () =>
      Effect.gen(function* () {
        const silent = yield* tcp(() => undefined)
        const agent = Layer.scoped(
          Dispatcher,
          Effect.acquireRelease(
            Effect.sync(() => new Agent({ connect: { timeout: 100 } })),
            (agent) => Effect.promise(() => agent.destroy())
          )
        )
        const error = yield* Effect.flatMap(HttpClient.HttpClient, (client) =>
          Effect.flip(
            Effect.flatMap(
              clientOver(client, {
                url: `https://127.0.0.1:${silent.port}`,
                retry: { attempts: 0 }
              }),
              (registry) => registry.ping
            )
          )
        ).pipe(Effect.provide(Layer.provide(NodeHttp.layerHttpClientWithoutDispatcher, agent)))
        expect(error).toMatchObject({ _tag: "TransportFailure", reason: "Connect" })
      })
  )
})

describe("a watchdog", () => {
  it.effect("leaves no fiber behind", () =>
    Effect.gen(function* () {
      const watchdog = Watchdog.make(Duration.minutes(1))
      const client = Transport.bounded(bounds({ watchdog }))(slow(Duration.seconds(5)))
      const fiber = yield* Effect.fork(
        Effect.all([client.execute(get), client.execute(get)], { concurrency: 2 })
      )
      yield* TestClock.adjust(0)
      const patrol = watchdog.patrol
      expect(watchdog.watched.size).toBe(2)
      yield* TestClock.adjust(Duration.seconds(5))
      yield* Fiber.join(fiber)
      expect([watchdog.watched.size, watchdog.patrol]).toEqual([0, undefined])
      expect(patrol === undefined ? undefined : yield* Fiber.await(patrol)).toMatchObject({
        _tag: "Failure"
      })
    })
  )

  it.effect("goes on for those who are still under way when one has ended", () =>
    Effect.gen(function* () {
      const watchdog = Watchdog.make(Duration.minutes(1))
      const within = (duration: Duration.DurationInput) =>
        Transport.bounded(bounds({ watchdog }))(slow(duration)).execute(get)
      const end = yield* outcome(
        Effect.all([within(Duration.seconds(5)), within(hour)], { concurrency: 2 })
      )
      expect(end).toMatchObject({ seconds: 60, result: { left: { reason: "Timeout" } } })
    })
  )

  it.effect("is left by an interrupted request", () =>
    Effect.gen(function* () {
      const watchdog = Watchdog.make(Duration.minutes(1))
      const fiber = yield* Effect.fork(
        Transport.bounded(bounds({ watchdog }))(slow(hour)).execute(get)
      )
      yield* TestClock.adjust(0)
      expect(watchdog.watched.size).toBe(1)
      yield* Fiber.interrupt(fiber)
      expect([watchdog.watched.size, watchdog.patrol]).toEqual([0, undefined])
    })
  )
})
