import { createHash } from "node:crypto"
import type { ServerResponse } from "node:http"
import * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as UrlParams from "@effect/platform/UrlParams"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as AbortableClient from "../../src/client/http/AbortableClient.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { serve, until } from "../support/serve.js"
import { wireServer } from "../support/wireServer.js"

const MiB = 1024 * 1024

const live = <A, E>(
  name: string,
  test: () => Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>
) => it.live(name, () => test().pipe(Effect.provide(NodeHttp.layer()), Effect.scoped))

/** Writes as fast as the connection takes it, until `limit` bytes or its end. */
const pour = (response: ServerResponse, limit: number, sent = { bytes: 0 }) => {
  const block = Buffer.alloc(MiB, "x")
  const write = (): void => {
    while (sent.bytes < limit && !response.destroyed) {
      sent.bytes += block.length
      if (!response.write(block)) return void response.once("drain", write)
    }
    response.end()
  }
  write()
  return sent
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe("a body", () => {
  live("comes whole, several chunks at a time", () =>
    Effect.gen(function* () {
      const { url } = yield* serve((_, response) => void pour(response, 64 * MiB))
      const hash = createHash("sha256")
      let chunks = 0
      let arrays = 0
      const response = yield* HttpClient.get(url)
      yield* Stream.runForEachChunk(response.stream, (chunk) =>
        Effect.sync(() => {
          chunks++
          arrays += Chunk.size(chunk)
          for (const bytes of chunk) {
            expect(bytes.constructor).toBe(Uint8Array)
            hash.update(bytes)
          }
        })
      )
      expect(hash.digest("hex")).toBe(
        createHash("sha256")
          .update(Buffer.alloc(64 * MiB, "x"))
          .digest("hex")
      )
      expect(arrays).toBeGreaterThan(chunks)
    })
  )

  live("is not read ahead of who reads it, but for a mebibyte and what sockets hold", () =>
    Effect.gen(function* () {
      const sent = { bytes: 0 }
      const { url } = yield* serve((_, response) => void pour(response, 2048 * MiB, sent))
      const response = yield* HttpClient.get(url)
      yield* Stream.runForEach(Stream.take(response.stream, 1), () =>
        Effect.gen(function* () {
          let before = -1
          while (before !== sent.bytes) {
            before = sent.bytes
            yield* Effect.sleep("300 millis")
          }
        })
      )
      // Linux lets a loopback socket take tens of MiB (tcp_rmem, tcp_wmem).
      expect(sent.bytes).toBeLessThan(128 * MiB)
    })
  )

  live("that nobody wants the rest of closes its connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((_, response) => void pour(response, 1024 * MiB))
      const response = yield* HttpClient.get(url)
      yield* Stream.runDrain(Stream.take(response.stream, 1))
      yield* until(() => counted.open === 0)
    })
  )

  live("whose gathering is interrupted closes its connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((_, response) => void response.write("begun"))
      const response = yield* HttpClient.get(url)
      const gathering = yield* Effect.fork(response.arrayBuffer)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gathering)
      yield* until(() => counted.open === 0)
    })
  )

  live("that nobody holds any more closes its connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((_, response) => void response.write("begun"))
      setFlagsFromString("--expose-gc")
      const collect: () => void = runInNewContext("gc")
      yield* Effect.asVoid(HttpClient.get(url))
      yield* until(() => {
        collect()
        return counted.open === 0
      })
    })
  )

  live("that breaks off fails, whole or as a stream, with undici's cause", () =>
    Effect.gen(function* () {
      const { url } = yield* serve((_, response) => {
        response.writeHead(200, { "content-length": 10 })
        response.write("half", () => setTimeout(() => response.destroy(), 20))
      })
      const failure = { _tag: "ResponseError", reason: "Decode", cause: { code: "UND_ERR_SOCKET" } }
      expect(yield* Effect.flip((yield* HttpClient.get(url)).arrayBuffer)).toMatchObject(failure)
      const received: Array<string> = []
      const streamed = Stream.runForEach((yield* HttpClient.get(url)).stream, (bytes) =>
        Effect.sync(() => received.push(text(bytes)))
      )
      expect(yield* Effect.flip(streamed)).toMatchObject(failure)
      expect(received).toEqual(["half"])
    })
  )

  live("can be had in every form that Effect knows", () =>
    Effect.gen(function* () {
      const { url } = yield* serve((request, response) => {
        const form = request.url === "/form"
        response.writeHead(200, {
          "content-type": form ? "application/x-www-form-urlencoded" : "application/json",
          "set-cookie": "a=b"
        })
        response.end(form ? "c=d&e=f" : '{"g":1}')
      })
      const json = yield* HttpClient.get(url)
      expect(yield* json.json).toEqual({ g: 1 })
      expect(yield* json.text).toBe('{"g":1}')
      expect(text(new Uint8Array(yield* json.arrayBuffer))).toBe('{"g":1}')
      expect(json.remoteAddress).toEqual(Option.none())
      expect(json.cookies.cookies["a"]?.value).toBe("b")
      const form = yield* HttpClient.get(`${url}form`)
      expect(UrlParams.toRecord(yield* form.urlParamsBody)).toEqual({ c: "d", e: "f" })
      expect([...(yield* form.formData).entries()]).toEqual([
        ["c", "d"],
        ["e", "f"]
      ])
      const empty = yield* HttpClient.get(`${url}form`)
      expect(yield* Effect.flip(empty.json)).toMatchObject({
        _tag: "ResponseError",
        reason: "Decode"
      })
    })
  )
})

describe("a request", () => {
  live("has its parameters, and no fragment", () =>
    Effect.gen(function* () {
      const urls: Array<string | undefined> = []
      const { url } = yield* serve((request, response) => {
        urls.push(request.url)
        response.end()
      })
      yield* HttpClient.execute(
        HttpClientRequest.get(`${url}p?a=1#f`).pipe(HttpClientRequest.setUrlParam("b", "2"))
      )
      yield* HttpClient.execute(
        HttpClientRequest.get(`${url}p`).pipe(HttpClientRequest.setHash("f"))
      )
      expect(urls).toEqual(["/p?a=1&b=2", "/p"])
    })
  )

  live("that cannot be sent fails before anything is", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(HttpClient.get("http://[broken"))).toMatchObject({
        reason: "InvalidUrl"
      })
      const header = HttpClientRequest.get("http://127.0.0.1:9/").pipe(
        HttpClientRequest.setHeader("a", "b\r\nc: d")
      )
      expect(yield* Effect.flip(HttpClient.execute(header))).toMatchObject({ reason: "Transport" })
    })
  )

  it.live("through a client whose layer has ended says so", () =>
    Effect.gen(function* () {
      const client = yield* Effect.provide(HttpClient.HttpClient, NodeHttp.layer())
      const exit = yield* Effect.exit(client.get("http://127.0.0.1:9/"))
      expect(exit).toMatchObject({
        cause: { _tag: "Die", defect: { message: expect.stringContaining("Scope") } }
      })
    })
  )

  live("that is interrupted before its answer closes its connection", () =>
    Effect.gen(function* () {
      let arrived = false
      const { counted, url } = yield* serve(() => {
        arrived = true
      })
      const waiting = yield* Effect.fork(HttpClient.get(url))
      yield* until(() => arrived)
      yield* Fiber.interrupt(waiting)
      yield* until(() => counted.open === 0)
    })
  )

  live("that is interrupted while it waits for a connection is never sent", () =>
    Effect.gen(function* () {
      const answers: Array<() => void> = []
      const urls: Array<string | undefined> = []
      const { url } = yield* serve((request, response) => {
        urls.push(request.url)
        answers.push(() => response.end())
      })
      const all = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: 128 }, (_, n) => n),
          (n) => HttpClient.get(`${url}${n}`),
          { concurrency: "unbounded" }
        )
      )
      yield* until(() => answers.length === 128)
      const waiting = yield* Effect.fork(HttpClient.get(`${url}late`))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(waiting)
      for (const answer of answers) answer()
      yield* Fiber.join(all)
      yield* HttpClient.get(`${url}after`).pipe(Effect.fork)
      yield* until(() => answers.length === 129)
      expect(urls.slice(128)).toEqual(["/after"])
      answers[128]?.()
    })
  )
})

describe("what aborts a request", () => {
  /** Starts a request, and returns what aborts it with its result. */
  const started = (url: string) =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      if (!AbortableClient.isAbortable(client)) return yield* Effect.dieMessage("not abortable")
      let abort = () => {}
      const state = { isReading: false }
      const result = yield* Effect.fork(
        Effect.flatMap(
          client[AbortableClient.executeAbortable](HttpClientRequest.get(url), url, (given) => {
            abort = given
          }),
          (response) => {
            state.isReading = true
            return response.arrayBuffer
          }
        )
      )
      yield* Effect.yieldNow()
      return { abort: () => abort(), failure: Effect.flip(Fiber.join(result)), state }
    })

  live("before it is sent fails it, and makes no connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((_, response) => void response.end())
      const { abort, failure } = yield* started(url)
      abort()
      expect(yield* failure).toMatchObject({ _tag: "RequestError", reason: "Transport" })
      yield* Effect.yieldNow()
      expect(counted.made).toBe(0)
    })
  )

  live("while the response is awaited fails it, and closes its connection", () =>
    Effect.gen(function* () {
      let isAsked = false
      const { counted, url } = yield* serve(() => {
        isAsked = true
      })
      const { abort, failure } = yield* started(url)
      yield* until(() => isAsked)
      abort()
      abort()
      expect(yield* failure).toMatchObject({ _tag: "RequestError", reason: "Transport" })
      yield* until(() => counted.open === 0)
    })
  )

  live("while its body arrives fails the reading of that, and closes its connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((_, response) => void response.write("begun"))
      const { abort, failure, state } = yield* started(url)
      yield* until(() => state.isReading)
      abort()
      expect(yield* failure).toMatchObject({ _tag: "ResponseError", reason: "Decode" })
      yield* until(() => counted.open === 0)
    })
  )
})

describe("a body to send", () => {
  /** A stream that says what becomes of it. */
  const watched = (content: Stream.Stream<Uint8Array, string>) => {
    const seen = { started: 0, ended: 0, reused: false }
    const stream = Stream.unwrapScoped(
      Effect.gen(function* () {
        seen.started++
        seen.reused = yield* ByteStream.BuffersReused
        yield* Effect.addFinalizer(() => Effect.sync(() => seen.ended++))
        return content
      })
    )
    return {
      seen,
      put: (url: string) =>
        HttpClientRequest.setBody(HttpClientRequest.put(url), HttpBody.stream(stream))
    }
  }

  live("goes out in order, whatever its chunking, and its arrays may be reused", () =>
    Effect.gen(function* () {
      const received: Array<Buffer> = []
      const { url } = yield* serve((request, response) => {
        request.on("data", (bytes) => received.push(bytes))
        request.on("end", () => response.end())
      })
      const parts = ["a", "", "bc", "x".repeat(200_000), "d", "y".repeat(3 * MiB), "", "e"]
      const chunks = [
        Chunk.unsafeFromArray(parts.slice(0, 4)),
        Chunk.empty<string>(),
        Chunk.unsafeFromArray(parts.slice(4))
      ]
      const { put, seen } = watched(
        Stream.map(Stream.fromChunks(...chunks), (part) => new TextEncoder().encode(part))
      )
      expect((yield* HttpClient.execute(put(url))).status).toBe(200)
      expect(Buffer.concat(received).toString()).toBe(parts.join(""))
      expect(seen).toEqual({ started: 1, ended: 1, reused: true })
    })
  )

  live("is not begun before its connection stands", () =>
    Effect.gen(function* () {
      const free = yield* Effect.async<number>((resume) => {
        const server = Net.createServer().listen(0, "127.0.0.1", () => {
          const address = server.address()
          server.close(() =>
            resume(Effect.succeed(typeof address === "object" ? (address?.port ?? 0) : 0))
          )
        })
      })
      const { put, seen } = watched(Stream.make(new Uint8Array(1)))
      const error = yield* Effect.flip(HttpClient.execute(put(`http://127.0.0.1:${free}/`)))
      expect(error).toMatchObject({ _tag: "RequestError", cause: { code: "ECONNREFUSED" } })
      expect(seen.started).toBe(0)
    })
  )

  live("whose source fails ends the request with that failure, and the connection", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((request) => void request.resume())
      const { put, seen } = watched(
        Stream.concat(Stream.make(new Uint8Array(9)), Stream.fail("the disk is gone"))
      )
      expect(yield* Effect.flip(HttpClient.execute(put(url)))).toMatchObject({
        cause: "the disk is gone"
      })
      expect(seen.ended).toBe(1)
      yield* until(() => counted.open === 0)
    })
  )

  live("is given up when the answer comes before it was sent", () =>
    Effect.gen(function* () {
      const { url } = yield* serve(
        (_, response) => void response.writeHead(401, { "content-length": 0 }).end()
      )
      const { put, seen } = watched(Stream.concat(Stream.make(new Uint8Array(9)), Stream.never))
      expect((yield* HttpClient.execute(put(url))).status).toBe(401)
      yield* until(() => seen.ended === 1)
    })
  )

  live("has ended when its interrupted request has", () =>
    Effect.gen(function* () {
      const { counted, url } = yield* serve((request) => void request.resume())
      const { put, seen } = watched(Stream.concat(Stream.make(new Uint8Array(9)), Stream.never))
      const sending = yield* Effect.fork(HttpClient.execute(put(url)))
      yield* until(() => seen.started === 1)
      yield* Fiber.interrupt(sending)
      expect(seen.ended).toBe(1)
      yield* until(() => counted.open === 0)
    })
  )

  live("is read one chunk ahead of the connection, and no further", () =>
    Effect.gen(function* () {
      const { url } = yield* serve(() => undefined)
      let made = 0
      const endless = Stream.repeatEffect(
        Effect.sync(() => {
          made++
          return new Uint8Array(MiB)
        })
      )
      const { put } = watched(endless)
      yield* Effect.fork(HttpClient.execute(put(url)))
      let before = -1
      while (before !== made) {
        before = made
        yield* Effect.sleep("300 millis")
      }
      expect(made).toBeLessThan(128)
    })
  )
})

describe("an informational response that nobody asked for (RFC 9110 section 15.2)", () => {
  const informed = (status: string) =>
    wireServer(({ socket }) => {
      socket.write(`HTTP/1.1 ${status}\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}`)
    })

  for (const status of ["102 Processing", "103 Early Hints"]) {
    live(`${status} is ignored`, () =>
      Effect.gen(function* () {
        const { log, url } = yield* informed(status)
        const response = yield* HttpClient.get(url)
        expect([response.status, yield* response.text]).toEqual([200, "{}"])
        yield* Effect.flatMap(HttpClient.get(url), (response) => response.text)
        expect(log).toEqual(["1 GET /", "1 GET /"])
      })
    )
  }

  live("100 Continue is a transport failure, since undici closes the connection", () =>
    Effect.gen(function* () {
      const { log, open, url } = yield* informed("100 Continue")
      expect(yield* Effect.flip(HttpClient.get(url))).toMatchObject({
        _tag: "RequestError",
        reason: "Transport",
        cause: { code: "UND_ERR_SOCKET", message: "bad response" }
      })
      yield* until(() => open.size === 0)
      log.length = 0
      const registry = yield* RegistryClient.make({ url, retry: { attempts: 1 } }).pipe(
        Effect.provide(Layer.merge(Credentials.layerAnonymous, TokenCache.layerMemory))
      )
      const failure = yield* Effect.flip(registry.ping)
      expect(failure._tag).toBe("TransportFailure")
      expect(failure.message).toContain(`${url}/v2/`)
      expect(log).toEqual(["2 GET /v2/", "3 GET /v2/"])
    })
  )
})
