/** The server on a port: what becomes of connections that are slow, idle, broken, or last. */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { Agent, type IncomingMessage, request } from "node:http"
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as NodeRegistryServer from "../../src/node/NodeRegistryServer.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { sha256 } from "../server/wire.js"
import { until } from "../support/serve.js"

/** A server over a registry in memory, or over what is made of it, until the Scope closes. */
const serving = (
  options: Partial<NodeRegistryServer.Options> = {},
  change: (memory: MemoryRegistry.MemoryRegistry.Service) => Partial<Registry.Service> = () => ({})
) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const context = yield* Layer.build(
      NodeRegistryServer.layer({ port: 0, ...options }).pipe(
        Layer.provide(Layer.succeed(Registry, { ...memory, ...change(memory) }))
      )
    )
    const server = Context.get(context, RegistryServer.RegistryServer)
    return { ...server, memory, port: Number(new URL(server.url).port) }
  })

/** A connection: what was received, and how it ended. */
const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.async<{
      readonly socket: Net.Socket
      readonly seen: { text: string; ended: boolean; closed: boolean; error: Error | undefined }
    }>((resume) => {
      const seen = { text: "", ended: false, closed: false, error: undefined as Error | undefined }
      const socket = Net.connect(port, "127.0.0.1", () => resume(Effect.succeed({ socket, seen })))
      socket.setEncoding("latin1")
      socket.on("data", (text) => {
        seen.text += text
      })
      socket.on("end", () => {
        seen.ended = true
      })
      socket.on("close", () => {
        seen.closed = true
      })
      socket.on("error", (error) => {
        seen.error = error
      })
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const head = (line: string, ...headers: ReadonlyArray<string>) =>
  [`${line} HTTP/1.1`, "Host: registry.test", ...headers, "", ""].join("\r\n")

const statuses = (text: string) =>
  Array.from(text.matchAll(/HTTP\/1\.1 (\d{3}) /g), ([, status]) => Number(status))

describe("port 0 (V38)", () => {
  it.scopedLive("is a port of 127.0.0.1, which the URL names; many servers never meet", () =>
    Effect.gen(function* () {
      const servers = yield* Effect.all(
        Array.from({ length: 50 }, () => serving({ quietPeriod: 0 })),
        { concurrency: "unbounded" }
      )
      expect(new Set(servers.map(({ url }) => url)).size).toBe(50)
      for (const { url } of servers) expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      for (const { memory, url } of servers) {
        const { status } = yield* Effect.promise(() =>
          fetch(`${url}/v2/own/blobs/uploads/`, { method: "POST" })
        )
        expect([status, (yield* memory.uploads).length]).toEqual([202, 1])
      }
    })
  )

  it.scopedLive("a port that is taken is a ServeError", () =>
    Effect.gen(function* () {
      const { port } = yield* serving()
      const failure = yield* Effect.flip(
        Layer.build(Layer.provide(NodeRegistryServer.layer({ port }), MemoryRegistry.layer()))
      )
      expect(failure).toMatchObject({ _tag: "ServeError", cause: { code: "EADDRINUSE" } })
    })
  )
})

describe("idleness (V9)", () => {
  it.scopedLive("an upload that keeps moving may take longer than any limit on idleness", () =>
    Effect.gen(function* () {
      const { port } = yield* serving({ idleTimeout: 200 })
      const { seen, socket } = yield* connect(port)
      const content = "x".repeat(20)
      socket.write(
        head(`POST /v2/a/blobs/uploads/?digest=${sha256(content)}`, "Content-Length: 20")
      )
      yield* Effect.forEach(content, (byte) =>
        Effect.zipRight(
          Effect.sleep(40),
          Effect.sync(() => socket.write(byte))
        )
      )
      yield* until(() => seen.text !== "")
      expect(statuses(seen.text)).toEqual([201])
    })
  )

  it.scopedLive("an upload that stands still is ended, and its session can go on", () =>
    Effect.gen(function* () {
      const { port, uploads, url } = yield* serving({ idleTimeout: 100 })
      const location =
        (yield* Effect.promise(() =>
          fetch(`${url}/v2/a/blobs/uploads/`, { method: "POST" })
        )).headers.get("location") ?? ""
      const { seen, socket } = yield* connect(port)
      socket.write(`${head(`PATCH ${location}`, "Content-Length: 5")}hel`)
      yield* until(() => seen.closed)
      yield* Effect.repeat(uploads, { until: ([upload]) => upload?.offset === 3 })
    })
  )

  it.scopedLive("a client that does not read its response is left", () =>
    Effect.gen(function* () {
      const big = Buffer.alloc(64 * 1024 * 1024)
      const { memory, port, url } = yield* serving({ idleTimeout: 200 })
      const digest = sha256(big)
      yield* memory.restore({ a: { tags: {}, manifests: {}, blobs: { [digest]: big } } })
      const { seen, socket } = yield* connect(port)
      socket.pause()
      socket.write(head(`GET /v2/a/blobs/${digest}`))
      yield* Effect.sleep(600)
      socket.resume()
      yield* until(() => seen.closed)
      expect(seen.text.length).toBeLessThan(big.length)
      expect((yield* Effect.promise(() => fetch(`${url}/v2/`))).status).toBe(200)
    })
  )

  it.scopedLive("a server that is at work is waited for", () =>
    Effect.gen(function* () {
      const { port } = yield* serving({ idleTimeout: 50 }, (memory) => ({
        ping: Effect.delay(memory.ping, 400)
      }))
      const { seen, socket } = yield* connect(port)
      socket.write(head("GET /v2/"))
      yield* until(() => seen.text !== "" || seen.closed)
      expect(statuses(seen.text)).toEqual([200])
    })
  )

  it.scopedLive("a store that is slow to take a body is waited for", () =>
    Effect.gen(function* () {
      const { port } = yield* serving({ idleTimeout: 250 }, (memory) => ({
        putBlob: (repository, source, options) =>
          memory.putBlob(
            repository,
            { ...source, open: (at) => Stream.tap(source.open(at), () => Effect.sleep(400)) },
            options
          )
      }))
      const { seen, socket } = yield* connect(port)
      const content = "x".repeat(150_000)
      socket.write(
        head(`POST /v2/a/blobs/uploads/?digest=${sha256(content)}`, "Content-Length: 150000") +
          content
      )
      yield* until(() => seen.text !== "" || seen.closed)
      expect(statuses(seen.text)).toEqual([201])
    })
  )
})

describe("clients that stop reading and vanish (V11)", () => {
  /** A server that looks for manifests by an effect; and how many of its handlers there are. */
  const counting = (look: (tag: string) => Effect.Effect<void>) =>
    Effect.gen(function* () {
      const open = { begun: 0, handlers: 0 }
      const found = (tag: string) =>
        Effect.gen(function* () {
          const scope = Option.getOrThrow(yield* Effect.serviceOption(Scope.Scope))
          yield* Scope.addFinalizer(
            scope,
            Effect.sync(() => open.handlers--)
          )
          open.handlers++
          open.begun++
          yield* look(tag)
        })
      const { memory, port } = yield* serving({}, (memory) => ({
        headManifest: (repository, tag) =>
          Effect.zipRight(found(tag), memory.headManifest(repository, tag)),
        getManifest: (repository, tag) =>
          Effect.zipRight(found(tag), memory.getManifest(repository, tag))
      }))
      return { open, memory, port }
    })

  it.scopedLive.each(["can", "cannot"])(
    "leave no handler of a HEAD that %s be interrupted before its response",
    (can) =>
      Effect.gen(function* () {
        const { open, port } = yield* counting(() =>
          Effect.sleep("100 millis").pipe(
            can === "can" ? Effect.interruptible : Effect.uninterruptible
          )
        )
        const socket = Net.connect(port, "127.0.0.1", () => {
          socket.write(head("HEAD /v2/a/manifests/v1"))
        })
        yield* until(() => open.begun === 1)
        socket.destroy()
        yield* until(() => open.handlers === 0)
      })
  )

  it.scopedLive.each(["HEAD", "GET"])(
    "leave no handler of a %s that is answered between the end of what they send and the close",
    (method) =>
      Effect.gen(function* () {
        const seen = { end: false, close: false }
        const { open, port } = yield* counting(() =>
          Effect.async<void>((resume) => {
            // Node ends its side of the connection in the same turn, and closes it in a later one.
            accepted[0]?.once("end", () => {
              seen.end = true
              resume(Effect.sync(() => expect(seen).toEqual({ end: true, close: false })))
            })
          }).pipe(Effect.uninterruptible)
        )
        const accepted: Array<Net.Socket> = []
        const onSocket = (message: unknown) => {
          const { socket } = message as { socket: Net.Socket }
          socket.once("close", () => {
            seen.close = true
          })
          accepted.push(socket)
        }
        subscribe("net.server.socket", onSocket)
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => unsubscribe("net.server.socket", onSocket))
        )
        const { socket } = yield* connect(port)
        socket.write(head(`${method} /v2/a/manifests/v1`))
        yield* until(() => open.begun === 1)
        socket.end()
        yield* until(() => open.handlers === 0)
      })
  )

  it.scopedLive.each(["HEAD", "GET"])(
    "leave no handler of a %s whose response is behind another one",
    (method) =>
      Effect.gen(function* () {
        const { open, port } = yield* counting((tag) =>
          tag === "first" ? Effect.interruptible(Effect.never) : Effect.void
        )
        const { seen, socket } = yield* connect(port)
        const behind = Array.from({ length: 20 }, () => head(`${method} /v2/a/manifests/v1`))
        socket.write([head("GET /v2/a/manifests/first"), ...behind].join(""))
        yield* until(() => open.begun === 21)
        yield* Effect.sleep(50)
        expect([open.handlers, seen.text]).toEqual([21, ""])
        socket.destroy()
        yield* until(() => open.handlers === 0)
      })
  )

  it.scopedLive("a response behind another one is sent after it", () =>
    Effect.gen(function* () {
      const gate = yield* Effect.makeLatch()
      const { open, port } = yield* counting((tag) => (tag === "first" ? gate.await : Effect.void))
      const { seen, socket } = yield* connect(port)
      socket.write(head("GET /v2/a/manifests/first"))
      socket.write(head("HEAD /v2/a/manifests/v1").repeat(2))
      socket.write(head("GET /v2/"))
      yield* until(() => open.begun === 3)
      yield* gate.open
      yield* until(() => seen.text.endsWith("{}"))
      expect(statuses(seen.text)).toEqual([404, 404, 404, 200])
      expect(open.handlers).toBe(0)
    })
  )

  it.scopedLive("leave no handler, no stream and no connection", () =>
    Effect.gen(function* () {
      const open = { streams: 0, handlers: 0, begun: 0 }
      const big = Buffer.alloc(8 * 1024 * 1024)
      const digest = sha256(big)
      const manifest = Buffer.alloc(1024 * 1024, " ")
      const { memory, port } = yield* serving({ idleTimeout: "1 minute" }, (memory) => ({
        getBlob: (repository, blob) =>
          Stream.unwrapScoped(
            Effect.as(
              Effect.acquireRelease(
                Effect.sync(() => {
                  open.streams++
                  open.begun++
                }),
                () => Effect.sync(() => open.streams--)
              ),
              memory.getBlob(repository, blob)
            )
          ),
        // The Scope of the request closes when its handler ends.
        getManifest: (repository, reference) =>
          Effect.serviceOption(Scope.Scope).pipe(
            Effect.flatMap((scope) =>
              Option.isNone(scope)
                ? Effect.dieMessage("no scope")
                : Effect.acquireRelease(
                    Effect.sync(() => {
                      open.handlers++
                      open.begun++
                    }),
                    () => Effect.sync(() => open.handlers--)
                  ).pipe(Scope.extend(scope.value))
            ),
            Effect.zipRight(memory.getManifest(repository, reference))
          )
      }))
      yield* memory.restore({ a: { tags: {}, manifests: {}, blobs: { [digest]: big } } })
      yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/v2/a/manifests/v1`, {
          method: "PUT",
          body: manifest,
          headers: { "content-type": "application/vnd.example" }
        })
      )
      const vanish = (index: number) =>
        Effect.async<void>((resume) => {
          const path = index % 2 === 0 ? `blobs/${digest}` : "manifests/v1"
          const socket = Net.connect(port, "127.0.0.1", () => {
            socket.write(head(`GET /v2/a/${path}`))
          })
          const bytes = (index * 7919) % 300_000
          let read = 0
          socket.on("data", (chunk) => {
            read += chunk.length
            if (read >= bytes && !socket.isPaused()) {
              socket.pause()
              setTimeout(() => socket.resetAndDestroy(), index % 5)
            }
          })
          socket.on("close", () => resume(Effect.void)).on("error", () => undefined)
        })
      yield* Effect.forEach(Array.from({ length: 120 }), (_, index) => vanish(index), {
        concurrency: 50,
        discard: true
      })
      expect(open.begun).toBeGreaterThan(90)
      yield* until(() => open.streams === 0 && open.handlers === 0)
    })
  )
})

describe("a stop (V10)", () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 10 })

  /** A request over the agent's connections: its status, or the code of its error. */
  const get = (url: string) =>
    Effect.async<number | string>((resume) => {
      request(`${url}/v2/`, { agent }, (response: IncomingMessage) => {
        response.resume().on("end", () => resume(Effect.succeed(response.statusCode ?? 0)))
      })
        .on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "")))
        .end()
    })

  it.live("resets none of 1,000 requests: they are answered, or not taken", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { url } = yield* Scope.extend(serving({ quietPeriod: 300 }), scope)
      let sent = 0
      const client = Effect.gen(function* () {
        const results: Array<number | string> = []
        while (sent < 1000) {
          sent++
          if (sent === 500) yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
          results.push(yield* get(url))
        }
        return results
      })
      const results = (yield* Effect.all(
        Array.from({ length: 10 }, () => client),
        { concurrency: "unbounded" }
      )).flat()
      const codes = new Set(results)
      expect(results.filter((result) => result === 200).length).toBeGreaterThanOrEqual(500)
      codes.delete(200)
      expect([...codes]).toEqual(["ECONNREFUSED"])
    })
  )

  it.live("lets an upload finish", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { memory, port } = yield* Scope.extend(serving({ quietPeriod: 10 }), scope)
      const { seen, socket } = yield* connect(port)
      socket.write(
        `${head(`POST /v2/a/blobs/uploads/?digest=${sha256("hello")}`, "Content-Length: 5")}he`
      )
      yield* Effect.repeat(Effect.zipRight(Effect.sleep(1), memory.uploads), {
        until: (uploads) => uploads.length === 1
      })
      const stopping = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.sleep(100)
      socket.write("llo")
      yield* stopping
      yield* until(() => seen.closed)
      expect(statuses(seen.text)).toEqual([201])
      expect(seen.text).toMatch(/^connection: close\r$/im)
    }).pipe(Effect.scoped)
  )

  it.live("waits for no upload that does not end in time", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { memory, port } = yield* Scope.extend(
        serving({ quietPeriod: 10, shutdownTimeout: 100 }),
        scope
      )
      const { seen, socket } = yield* connect(port)
      socket.write(
        `${head(`POST /v2/a/blobs/uploads/?digest=${sha256("hello")}`, "Content-Length: 5")}he`
      )
      yield* Effect.repeat(Effect.zipRight(Effect.sleep(1), memory.uploads), {
        until: (uploads) => uploads.length === 1
      })
      yield* Scope.close(scope, Exit.void)
      yield* until(() => seen.closed)
      expect(yield* memory.uploads).toEqual([])
    }).pipe(Effect.scoped)
  )
})

describe("a client that waits for a 100 before it sends (RFC 9110 section 10.1.1)", () => {
  const expecting = (line: string, ...headers: ReadonlyArray<string>) =>
    head(line, "Expect: 100-continue", ...headers)

  it.scopedLive("gets it when its body is read, and the connection goes on", () =>
    Effect.gen(function* () {
      const { port } = yield* serving()
      const { seen, socket } = yield* connect(port)
      socket.write(
        expecting(`POST /v2/a/blobs/uploads/?digest=${sha256("hello")}`, "Content-Length: 5")
      )
      yield* until(() => seen.text !== "")
      expect(seen.text).toBe("HTTP/1.1 100 Continue\r\n\r\n")
      socket.write("hello")
      yield* until(() => statuses(seen.text).length === 2)
      // One without a body need not wait.
      socket.write(expecting(`GET /v2/a/blobs/${sha256("hello")}`))
      yield* until(() => seen.text.endsWith("hello"))
      expect(statuses(seen.text)).toEqual([100, 201, 100, 200])
      expect(seen.text).not.toMatch(/connection: close/i)
    })
  )

  it.scopedLive("gets a refusal instead, with which the connection ends", () =>
    Effect.gen(function* () {
      const { port } = yield* serving()
      for (const length of [5, 10_000_000]) {
        const { seen, socket } = yield* connect(port)
        socket.write(
          expecting(
            `PUT /v2/a/blobs/uploads/none?digest=${sha256("hello")}`,
            `Content-Length: ${length}`
          )
        )
        yield* until(() => seen.text.endsWith("}]}"))
        expect(statuses(seen.text)).toEqual([404])
        expect(seen.text).toMatch(/connection: close/i)
        socket.end()
        yield* until(() => seen.closed)
        expect(seen.error).toBe(undefined)
      }
    })
  )
})

describe("what is not HTTP", () => {
  it.scopedLive.each([
    ["a line of nonsense", "nonsense\r\n\r\n", 400],
    ["two lengths", head("PUT /v2/", "Content-Length: 1", "Content-Length: 2"), 400],
    [
      "a length and chunks",
      head("PUT /v2/", "Content-Length: 1", "Transfer-Encoding: chunked"),
      400
    ],
    ["a head that is too large", head("GET /v2/", `X-Large: ${"x".repeat(40_000)}`), 431],
    ["a proxy's request", head("CONNECT registry.test:443"), 405],
    [
      "a chunk that is none",
      `${head("PUT /v2/a/manifests/v1", "Transfer-Encoding: chunked")}zz\r\n`,
      400
    ]
  ] as const)("%s is answered with an error of the specification", ([, text, status]) =>
    Effect.gen(function* () {
      const { port } = yield* serving()
      const { seen, socket } = yield* connect(port)
      socket.write(text)
      yield* until(() => seen.closed)
      expect([statuses(seen.text), seen.error]).toEqual([[status], undefined])
      const [, length] = /^content-length: (\d+)\r$/im.exec(seen.text) ?? []
      const body = seen.text.slice(seen.text.indexOf("\r\n\r\n") + 4)
      expect(body).toHaveLength(Number(length))
      expect(JSON.parse(body)).toEqual({
        errors: [{ code: expect.any(String), message: expect.any(String) }]
      })
    })
  )
})
