import { createRequire } from "node:module"
import type * as Net from "node:net"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { validatesIdleConnections } from "../../src/node/internal/UndiciDispatcher.js"
import * as Digest from "../../src/spec/Digest.js"
import { freshRepository, tag, utf8 } from "../support/fixtures.js"
import { liveOverHttps as live } from "../support/https.js"
import { until } from "../support/serve.js"
import { wireServer } from "../support/wireServer.js"

const request = (method: "GET" | "HEAD" | "DELETE", url: string) =>
  Effect.flatMap(HttpClient.execute(HttpClientRequest.make(method)(url)), (response) =>
    Effect.map(response.text, (text) => `${response.status} ${text}`)
  ).pipe(Effect.scoped)

const ok = (body: string) =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: keep-alive\r\n\r\n${body}`

const forged = ok("forged")

const send = (socket: Net.Socket, bytes: string, delay: number) =>
  delay === 0 ? socket.write(bytes) : setTimeout(() => socket.write(bytes), delay)

/** Lets what a server has sent come in. */
const settled = Effect.sleep("30 millis")

describe.each([
  ["http", false],
  ["https", true]
])("over %s", (_, secure) => {
  for (const delay of [0, 1, 5]) {
    live(`a response that comes ${delay} ms after a HEAD is nobody's`, () =>
      Effect.gen(function* () {
        const { log, url } = yield* wireServer(
          ({ line, socket }) => {
            if (line.startsWith("GET")) return void socket.write(ok("true"))
            socket.write(
              `HTTP/1.1 200 OK\r\ncontent-length: ${forged.length}\r\nconnection: keep-alive\r\n\r\n`
            )
            send(socket, forged, delay)
          },
          { secure }
        )
        expect(yield* request("HEAD", `${url}/h`)).toBe("200 ")
        expect(yield* request("GET", `${url}/1`)).toBe("200 true")
        yield* settled
        expect(yield* request("GET", `${url}/2`)).toBe("200 true")
        expect(log).toEqual(["1 HEAD /h", "2 GET /1", "2 GET /2"])
      })
    )
  }

  live("bytes that nobody asked for close the connection, and cost the origin's HEADs theirs", () =>
    Effect.gen(function* () {
      const heads: Array<string> = []
      const { log, open, url } = yield* wireServer(
        ({ connection, head, line, socket }) => {
          if (line.startsWith("HEAD")) heads.push(/^connection: (.*)$/im.exec(head)?.[1] ?? "")
          socket.write(
            line.startsWith("HEAD")
              ? "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nconnection: keep-alive\r\n\r\n"
              : ok("true")
          )
          if (line === "HEAD /2") setTimeout(() => socket.write(forged), 5)
          if (connection === 3) socket.end()
        },
        { secure }
      )
      expect(yield* request("HEAD", `${url}/1`)).toBe("404 ")
      expect(yield* request("HEAD", `${url}/2`)).toBe("404 ")
      yield* until(() => !open.has(1))
      expect(yield* request("HEAD", `${url}/3`)).toBe("404 ")
      expect(yield* request("HEAD", `${url}/4`)).toBe("404 ")
      expect(yield* request("GET", `${url}/5`)).toBe("200 true")
      expect(yield* request("GET", `${url}/6`)).toBe("200 true")
      expect(log.slice(0, 4)).toEqual(["1 HEAD /1", "1 HEAD /2", "2 HEAD /3", "3 HEAD /4"])
      expect(log.slice(4)).toEqual(["4 GET /5", "4 GET /6"])
      expect(heads).toEqual(["keep-alive", "keep-alive", "close", "close"])
    })
  )

  live("after a GET they close the connection as well", () =>
    Effect.gen(function* () {
      const { log, open, url } = yield* wireServer(
        ({ line, socket }) => {
          socket.write(ok("true"))
          if (line === "GET /1") setTimeout(() => socket.write(forged), 5)
        },
        { secure }
      )
      expect(yield* request("GET", `${url}/1`)).toBe("200 true")
      yield* until(() => !open.has(1))
      expect(yield* request("GET", `${url}/2`)).toBe("200 true")
      expect(log).toEqual(["1 GET /1", "2 GET /2"])
    })
  )
})

describe("a status that has no body (RFC 9110 section 6.4.1)", () => {
  for (const [status, announced] of [
    ["204 No Content", "content-length: 6"],
    ["204 No Content", "transfer-encoding: chunked"],
    ["304 Not Modified", "content-length: 6"]
  ] as const) {
    live(`${status} with ${announced} ends its connection`, () =>
      Effect.gen(function* () {
        const { log, url } = yield* wireServer(({ line, socket }) => {
          if (line.startsWith("GET")) return void socket.write(ok("true"))
          socket.write(`HTTP/1.1 ${status}\r\n${announced}\r\nconnection: keep-alive\r\n\r\n`)
          setTimeout(() => socket.write(forged), 5)
        })
        expect(yield* request("DELETE", `${url}/d`)).toBe(`${status.slice(0, 3)} `)
        expect(yield* request("GET", `${url}/1`)).toBe("200 true")
        // undici may have opened one in between that nothing was sent on.
        expect(log).toEqual(["1 DELETE /d", expect.stringMatching(/^[23] GET \/1$/)])
      })
    )
  }

  live("without one it does not", () =>
    Effect.gen(function* () {
      const { log, url } = yield* wireServer(({ line, socket }) => {
        if (line.startsWith("GET")) return void socket.write(ok("true"))
        socket.write("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")
      })
      expect(yield* request("DELETE", `${url}/d`)).toBe("204 ")
      expect(yield* request("GET", `${url}/1`)).toBe("200 true")
      expect(log).toEqual(["1 DELETE /d", "1 GET /1"])
    })
  )
})

live("headBlob and getManifest of a tag meet no manifest but the registry's own", () =>
  Effect.gen(function* () {
    const mediaType = "application/vnd.oci.image.index.v1+json"
    const manifest = (name: string) =>
      `{"schemaVersion":2,"mediaType":"${mediaType}","manifests":[],"annotations":{"a":"${name}"}}`
    const served = (name: string) => {
      const body = manifest(name)
      return `HTTP/1.1 200 OK\r\ncontent-type: ${mediaType}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    }
    const { url } = yield* wireServer(({ line, socket }) => {
      if (line.startsWith("GET")) return void socket.write(served("registry"))
      const late = served("attacker")
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${late.length}\r\n\r\n`)
      setTimeout(() => socket.write(late), 2)
    })
    const registry = yield* RegistryClient.make({ url }).pipe(
      Effect.provide(Layer.merge(Credentials.layerAnonymous, TokenCache.layerMemory))
    )
    const repository = yield* freshRepository
    yield* registry.headBlob(repository, Digest.fromBytes(utf8("blob")))
    const found = yield* registry.getManifest(repository, yield* tag("v1"))
    expect(new TextDecoder().decode(found.bytes)).toBe(manifest("registry"))
  })
)

describe("undici", () => {
  it.live("is recognised as one that looks at idle connections", () =>
    Effect.map(validatesIdleConnections, (validates) => expect(validates).toBe(true))
  )

  it("is at the version from which on it does", () => {
    const platform = createRequire(
      createRequire(import.meta.url).resolve("@effect/platform-node/package.json")
    )
    const { version } = platform("undici/package.json")
    expect(version.localeCompare("7.28.0", "en", { numeric: true })).toBeGreaterThanOrEqual(0)
  })
})
