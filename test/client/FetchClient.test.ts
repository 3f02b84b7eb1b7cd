/** The client over Node's own `fetch`, as far as that can stand for others. */
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http"
import { text } from "node:stream/consumers"
import { gzipSync } from "node:zlib"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite } from "../suites/registry.js"
import { freshRepository, utf8 } from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const alice = (url: string) =>
  Credentials.layerBasic({ host: new URL(url).host, username: "alice", password: Redacted.make("wonderland") })

const client = <E>(url: string, credentials: Layer.Layer<Credentials.Credentials, E>) =>
  RegistryClient.layer({ url, retry: { attempts: 0 } }).pipe(
    Layer.provide([TokenCache.layerMemory, credentials, RegistryClient.layerFetch])
  )

registrySuite("client over the embedded server, with fetch, with token authentication", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, (url) => client(url, alice(url)))).pipe(
    Layer.provide(
      Layer.unwrapEffect(
        Effect.map(ServerAuthorization.token({ users: { alice: Redacted.make("wonderland") } }), (authorization) =>
          layerSocketServer({ authorization })
        )
      )
    ),
    Layer.provide(MemoryRegistry.layer())
  )
})

const serve = (listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const starting = createServer(listener)
      starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
    }),
    (running) => Effect.sync(() => running.close().closeAllConnections())
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    })
  )

const blob = Digest.fromBytes(utf8("b1"))

const pull = Effect.gen(function* () {
  const registry = yield* Registry
  return yield* Stream.runCollect(Stream.decodeText(registry.getBlob(yield* freshRepository, blob)))
}).pipe(Effect.map((parts) => [...parts].join("")))

const pullFrom = (url: string, credentials: Layer.Layer<Credentials.Credentials> = Credentials.layerAnonymous) =>
  Effect.provide(pull, client(url, credentials))

describe("layerFetch", () => {
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

  it.live("has headers that describe the decompressed body", () =>
    Effect.gen(function* () {
      const body = gzipSync("b1")
      const url = yield* serve((request, response) => {
        const headers = { "content-encoding": "gzip", "content-length": body.length, etag: '"b1"' }
        response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : body)
      })
      const { headers } = yield* HttpClient.get(url)
      expect(headers).toMatchObject({ etag: '"b1"' })
      expect([headers["content-encoding"], headers["content-length"]]).toEqual([undefined, undefined])
      expect(yield* pullFrom(url)).toBe("b1")
      // A HEAD has no body to decompress.
      expect((yield* HttpClient.head(url)).headers).toMatchObject({ "content-encoding": "gzip" })
    }).pipe(Effect.provide(RegistryClient.layerFetch), Effect.scoped)
  )

  it.live("leaves the headers of a coding that the runtime does not know", () =>
    Effect.gen(function* () {
      const url = yield* serve((_, response) => response.writeHead(200, { "content-encoding": "secret" }).end("b1"))
      expect((yield* HttpClient.get(url)).headers).toMatchObject({ "content-encoding": "secret" })
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
        expect(yield* Effect.flatMap(HttpClient.put(url, { body }), (answer) => answer.text)).toBe("b1")
      }
      expect(seen.map((headers) => [headers["content-length"], headers["transfer-encoding"]])).toEqual([
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
        expect(yield* Effect.flip(pullFrom(broken))).toMatchObject({ _tag: "TransportFailure", reason: "Reset" })
      }
    }).pipe(Effect.scoped)
  )

  it.live("takes a fetch of the program's own", () =>
    Effect.gen(function* () {
      const urls: Array<unknown> = []
      const own = Layer.succeed(FetchHttpClient.Fetch, async (input, init) => {
        urls.push(`${init?.redirect} ${input}`)
        return new Response("b1")
      })
      yield* Effect.provide(HttpClient.get("https://registry.test/v2/"), Layer.provide(RegistryClient.layerFetch, own))
      expect(urls).toEqual(["manual https://registry.test/v2/"])
    })
  )
})
