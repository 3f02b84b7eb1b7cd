/** The client over Node's own `fetch`, as far as that can stand for others. */
import type { IncomingHttpHeaders, RequestListener } from "node:http"
import { text } from "node:stream/consumers"
import { gzipSync } from "node:zlib"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Operation from "../../src/protocol/Operation.js"
import { type PutBlobOptions, Registry } from "../../src/Registry.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite } from "../suites/registry.js"
import { freshRepository, utf8 } from "../support/fixtures.js"
import { serve as serving } from "../support/serve.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const alice = (url: string) =>
  Credentials.layerBasic({
    host: new URL(url).host,
    username: "alice",
    password: Redacted.make("wonderland")
  })

const client = <E>(url: string, credentials: Layer.Layer<Credentials.Credentials, E>) =>
  RegistryClient.layer({ url, retry: { attempts: 0 } }).pipe(
    Layer.provide([TokenCache.layerMemory, credentials, RegistryClient.layerFetch])
  )

registrySuite("client over the embedded server, with fetch, with token authentication", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, (url) => client(url, alice(url)))).pipe(
    Layer.provide(
      Layer.unwrapEffect(
        Effect.map(
          ServerAuthorization.token({ users: { alice: Redacted.make("wonderland") } }),
          (authorization) => layerSocketServer({ authorization })
        )
      )
    ),
    Layer.provide(MemoryRegistry.layer())
  )
})

const serve = (listener: RequestListener) =>
  Effect.map(serving(listener), ({ url }) => new URL(url).origin)

const blob = Digest.fromBytes(utf8("b1"))

const pull = Effect.gen(function* () {
  const registry = yield* Registry
  return yield* Stream.runCollect(Stream.decodeText(registry.getBlob(yield* freshRepository, blob)))
}).pipe(Effect.map((parts) => [...parts].join("")))

const pullFrom = (
  url: string,
  credentials: Layer.Layer<Credentials.Credentials> = Credentials.layerAnonymous
) => Effect.provide(pull, client(url, credentials))

describe("layerFetch", () => {
  it.live("brings answers to execute that can be read in every way", () =>
    Effect.gen(function* () {
      const url = yield* serve((_, response) => {
        response
          .writeHead(200, {
            "content-type": "application/x-www-form-urlencoded",
            "content-length": 1
          })
          .end("1")
      })
      const to = yield* RegistryClient.endpoint({ url })
      const answer = RegistryClient.execute(to, Operation.Ping())
      expect(yield* (yield* answer).text).toBe("1")
      expect(yield* (yield* answer).json).toBe(1)
      expect(yield* (yield* answer).urlParamsBody).toEqual([["1", ""]])
      expect([...(yield* (yield* answer).formData).keys()]).toEqual(["1"])
      expect(new Uint8Array(yield* (yield* answer).arrayBuffer)).toEqual(utf8("1"))
    }).pipe(
      Effect.provide([
        RegistryClient.layerFetch,
        Credentials.layerAnonymous,
        TokenCache.layerMemory
      ]),
      Effect.scoped
    )
  )

  it.live("leaves redirects to the client, which takes no credentials along (T1)", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const storage = yield* serve((request, response) => {
        log.push(`storage ${request.headers.authorization ?? "-"}`)
        response.end("b1")
      })
      const registry = yield* serve((request, response) => {
        log.push(`registry ${request.headers.authorization ?? "-"}`)
        if (request.headers.authorization === undefined)
          response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end()
        else response.writeHead(307, { location: `${storage}/signed?X=%2F` }).end()
      })
      expect(yield* pullFrom(registry, Layer.orDie(alice(registry)))).toBe("b1")
      const basic = "Basic YWxpY2U6d29uZGVybGFuZA=="
      expect(log).toEqual(["registry -", `registry ${basic}`, "storage -"])
    }).pipe(Effect.scoped)
  )

  it.live("takes nothing from what the application has for requests of its own (T1)", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const storage = yield* serve(({ headers }, response) => {
        log.push(`storage ${headers["x-api-key"] ?? "-"}`)
        response.end("b1")
      })
      const registry = yield* serve(({ headers }, response) => {
        log.push(`registry ${headers["x-api-key"] ?? "-"}`)
        response.writeHead(307, { location: `${storage}/signed` }).end()
      })
      const init = { headers: { "x-api-key": "of-the-application" }, redirect: "error" } as const
      const own = Effect.provideService(FetchHttpClient.RequestInit, init)
      expect(yield* own(pullFrom(registry))).toBe("b1")
      expect(log).toEqual(["registry -", "storage -"])
    }).pipe(Effect.scoped)
  )

  it.live(
    "takes what the runtime has for connections, but no headers, from the environment of the layer",
    () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const own = Layer.merge(
          Layer.succeed(FetchHttpClient.Fetch, async (input, init) => {
            seen.push(
              `${input}`,
              init?.redirect,
              init?.keepalive,
              new Headers(init?.headers).has("x-api-key")
            )
            return new Response("b1")
          }),
          Layer.succeed(FetchHttpClient.RequestInit, {
            keepalive: true,
            redirect: "follow",
            headers: { "x-api-key": "a" }
          })
        )
        yield* Effect.provide(
          HttpClient.get("https://registry.test/v2/"),
          Layer.provide(RegistryClient.layerFetch, own)
        )
        expect(seen).toEqual(["https://registry.test/v2/", "manual", true, false])
      })
  )

  it.live(
    "takes an answer that came compressed, whether the runtime has decompressed it or not",
    () =>
      Effect.gen(function* () {
        const gzip = { "content-encoding": "gzip", "content-length": gzipSync("b1").length }
        const url = yield* serve((_, response) => response.writeHead(200, gzip).end(gzipSync("b1")))
        expect(yield* pullFrom(url)).toBe("b1")
        // As Deno leaves it, for whoever wants no coding.
        const own = Layer.succeed(
          FetchHttpClient.Fetch,
          async () => new Response(gzipSync("b1"), { headers: { "content-encoding": "gzip" } })
        )
        const layer = RegistryClient.layer({ url }).pipe(
          Layer.provide([
            TokenCache.layerMemory,
            Credentials.layerAnonymous,
            Layer.provide(RegistryClient.layerFetch, own)
          ])
        )
        expect(yield* Effect.provide(pull, layer)).toBe("b1")
      }).pipe(Effect.scoped)
  )

  it.live("fails with what is decompressed and was not meant to be, and says so (trap 26)", () =>
    Effect.gen(function* () {
      const layer = gzipSync("b1")
      const url = yield* serve((_, response) =>
        response.writeHead(200, { "content-encoding": "x-gzip" }).end(layer)
      )
      const get = Effect.flatMap(Effect.zip(Registry, freshRepository), ([registry, repository]) =>
        Stream.runDrain(registry.getBlob(repository, Digest.fromBytes(layer)))
      )
      const failure = yield* Effect.flip(
        Effect.provide(get, client(url, Credentials.layerAnonymous))
      )
      expect(failure._tag).toBe("ProtocolViolation")
      expect(failure.message).toContain(
        "The blob came with Content-Encoding: x-gzip, which was not asked for"
      )
    }).pipe(Effect.scoped)
  )

  it.live("sends a stream as fast as it is taken", () =>
    Effect.gen(function* () {
      const size = 256 * 1024 * 1024
      let [pulled, received] = [0, 0]
      let read = () => {}
      const url = yield* serve((request, response) => {
        read = () =>
          request.on("data", (bytes: Uint8Array) => {
            received += bytes.length
          })
        request.on("end", () => response.end())
      })
      const chunk = new Uint8Array(65_536)
      const stream = Stream.repeatEffect(
        Effect.sync(() => {
          pulled += chunk.length
          return chunk
        })
      ).pipe(Stream.take(size / chunk.length))
      const sending = yield* Effect.fork(HttpClient.put(url, { body: HttpBody.stream(stream) }))
      // Until it stands still.
      let last = -1
      yield* Effect.repeat(Effect.sleep("100 millis"), {
        until: () => {
          const still = pulled > 0 && pulled === last
          last = pulled
          return still
        }
      })
      expect(pulled).toBeLessThan(size / 4)
      read()
      yield* sending
      expect(received).toBe(size)
    }).pipe(Effect.provide(RegistryClient.layerFetch), Effect.scoped)
  )

  it.live("sends the length of an array, and of a stream none, though declared", () =>
    Effect.gen(function* () {
      const seen: Array<IncomingHttpHeaders> = []
      const url = yield* serve(async (request, response) => {
        seen.push(request.headers)
        response.end(await text(request))
      })
      const stream = HttpBody.stream(Stream.make(utf8("b1")), "application/octet-stream", 2)
      for (const body of [HttpBody.uint8Array(utf8("b1")), stream]) {
        expect(yield* Effect.flatMap(HttpClient.put(url, { body }), (answer) => answer.text)).toBe(
          "b1"
        )
      }
      expect(
        seen.map((headers) => [headers["content-length"], headers["transfer-encoding"]])
      ).toEqual([
        ["2", undefined],
        [undefined, "chunked"]
      ])
    }).pipe(Effect.provide(RegistryClient.layerFetch), Effect.scoped)
  )

  it.live("tells a missing connection from a broken one", () =>
    Effect.gen(function* () {
      const url = yield* serve((request) => request.socket.destroy())
      const short = yield* serve((_, response) => {
        response.writeHead(200, { "content-length": 2 }).write("b")
        setTimeout(() => response.destroy(), 20)
      })
      const gone = yield* Effect.scoped(serve((request) => request.socket.destroy()))
      const refused = yield* Effect.flip(pullFrom(gone))
      expect(refused).toMatchObject({ _tag: "TransportFailure", reason: "Connect" })
      for (const broken of [url, short]) {
        expect(yield* Effect.flip(pullFrom(broken))).toMatchObject({
          _tag: "TransportFailure",
          reason: "Reset"
        })
      }
    }).pipe(Effect.scoped)
  )
})

describe("the length of what is uploaded", () => {
  const size = 9 * 1024 * 1024
  const content = new Uint8Array(size).map((_, at) => (at >> 10) & 0xff)
  const digest = Digest.fromBytes(content)
  const pieces = (offset: number) =>
    Stream.suspend(() => {
      const all: Array<Uint8Array> = []
      for (let at = offset; at < size; at += 100_000) all.push(content.subarray(at, at + 100_000))
      return Stream.fromIterable(all)
    })

  /** A registry that wants the length of each body, or takes it as it comes. */
  const world = Effect.fnUntraced(function* (
    isDemanding: boolean,
    http: Layer.Layer<HttpClient.HttpClient> = RegistryClient.layerFetch
  ) {
    const log: Array<string> = []
    let stored = Buffer.alloc(0)
    const url = yield* serve((request, response) => {
      const parts: Array<Buffer> = []
      const length = request.headers["content-length"]
      const isBody = request.method === "PATCH" || request.method === "PUT"
      request.on("data", (part: Buffer) => void parts.push(part))
      request.on("end", () => {
        const range = request.headers["content-range"]
        log.push(
          [request.method, range, length === undefined ? "chunked" : `[${length}]`]
            .filter((word) => word !== undefined)
            .join(" ")
        )
        if (isBody && isDemanding && length === undefined) return void response.writeHead(411).end()
        stored = Buffer.concat([stored, ...parts])
        const status = { HEAD: 404, POST: 202, PATCH: 202, PUT: 201 }[request.method ?? ""] ?? 204
        response.writeHead(status, { location: "/u/1" }).end()
      })
    })
    const services = yield* Layer.build(
      Layer.mergeAll(http, TokenCache.layerMemory, Credentials.layerAnonymous)
    )
    const registry = yield* Effect.provide(
      RegistryClient.make({ url, retry: { attempts: 0 } }),
      services
    )
    return { log, registry, stored: () => Digest.fromBytes(stored) }
  })

  const replayable = BlobSource.make(pieces, { size })
  const bodies = (log: ReadonlyArray<string>) =>
    log.filter((line) => /^(PATCH|PUT)/.test(line) && !line.endsWith("[0]"))

  it.scopedLive.each([
    [
      "chunks of a source that can be opened again",
      replayable,
      { chunkSize: 5_000_000 },
      ["PATCH 0-4999999 [5000000]", "PATCH 5000000-9437183 [4437184]"]
    ],
    ["chunks of any size", replayable, { chunkSize: size }, ["PATCH 0-9437183 [9437184]"]],
    ["bytes in memory, in the closing PUT", BlobSource.fromBytes(content), {}, ["PUT [9437184]"]],
    [
      "bytes in memory, at their own path",
      BlobSource.fromBytes(content),
      { strategy: "direct" },
      ["PUT [9437184]"]
    ],
    [
      "bytes in memory, by PATCH",
      BlobSource.fromBytes(content),
      { strategy: "patch" },
      ["PATCH 0-8388607 [8388608]", "PATCH 8388608-9437183 [1048576]"]
    ]
  ] as ReadonlyArray<
    readonly [string, BlobSource.BlobSource, PutBlobOptions, ReadonlyArray<string>]
  >)("is said of %s (C37, C47)", ([, source, options, expected]) =>
    Effect.gen(function* () {
      const { log, registry, stored } = yield* world(false)
      yield* registry.putBlob(yield* freshRepository, source, options)
      expect(bodies(log)).toEqual(expected)
      expect(stored()).toBe(digest)
    })
  )

  /** A client of the application's own making, which may be anything to us. */
  const wrapped = Layer.map(RegistryClient.layerFetch, (context) =>
    Context.make(
      HttpClient.HttpClient,
      HttpClient.mapRequest(Context.get(context, HttpClient.HttpClient), (request) => request)
    )
  )

  it.scopedLive.each([
    ["a source of known size", replayable, RegistryClient.layerFetch],
    [
      "a source of known digest",
      BlobSource.make(pieces, { size, digest }),
      RegistryClient.layerFetch
    ],
    ["a source of unknown size", BlobSource.make(pieces), RegistryClient.layerFetch],
    ["bytes in memory", BlobSource.fromBytes(content), RegistryClient.layerFetch],
    ["a source, by a client that is not known to leave it out", replayable, wrapped],
    ["bytes in memory, by such a client", BlobSource.fromBytes(content), wrapped]
  ] as const)("is said where a registry wants it (411): %s", ([, source, http]) =>
    Effect.gen(function* () {
      const { log, registry, stored } = yield* world(true, http)
      const repository = yield* freshRepository
      expect(yield* registry.putBlob(repository, source)).toMatchObject({ digest, size })
      expect(stored()).toBe(digest)
      // What was refused once is not tried again.
      log.length = 0
      yield* registry.putBlob(repository, source)
      expect(bodies(log).filter((line) => line.endsWith("chunked"))).toEqual([])
    })
  )
})
