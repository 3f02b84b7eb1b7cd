/**
 * Responses that are not HTTP: parsers put what they received into their errors, with the tokens
 * and signed URLs in it (T13).
 */
import { inspect } from "node:util"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { shown } from "../../src/internal/TransportCause.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import { isTransient } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { gather, utf8 } from "../support/fixtures.js"
import { type WireRequest, wireServer } from "../support/wireServer.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const digest = Digest.fromBytes(utf8("content"))
const secret = "t0ken-that-nobody-may-see"

const clients: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> = {
  undici: Layer.orDie(NodeHttp.layer()),
  "the fetch of Node": RegistryClient.layerFetch,
  "node:http": NodeHttpClient.layer
}

/** How a response fails to be one, with a secret in it. */
const malformed: Readonly<Record<string, string>> = {
  "a length that is none": `HTTP/1.1 200 OK\r\nContent-Length: None\r\n\r\n{"token":"${secret}"}`,
  "a header without a colon": `HTTP/1.1 200 OK\r\n${secret}\r\nContent-Length: 2\r\n\r\n{}`,
  "another protocol": `SSH-2.0-${secret}\r\n\r\n`,
  "a status that is none": `HTTP/1.1 OK ${secret}\r\n\r\n`,
  "a control character in a header": `HTTP/1.1 200 OK\r\nX-Token: ${secret}\x01\r\nContent-Length: 2\r\n\r\n{}`,
  "a redirect with a broken header": `HTTP/1.1 307 Moved\r\nLocation: https://s3.test/?X-Sig=${secret}\r\nContent-Length: -1\r\n\r\n`,
  "a chunk without a size": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${secret}\r\n`
}

const chunk = "a chunk without a size"

/** node:http does not tell a chunk that is none from a connection that breaks. */
const reasonOf = (client: string, form: string) =>
  client === "node:http" && form === chunk ? "Reset" : "Malformed"

const answer = ({ socket }: WireRequest, response: string) => socket.end(response, "latin1")

const run = (
  client: Layer.Layer<HttpClient.HttpClient>,
  onRequest: (request: WireRequest, url: () => string) => void,
  use: (registry: Registry.Service) => Effect.Effect<unknown, unknown>
) =>
  Effect.gen(function* () {
    let url = ""
    const wire = yield* wireServer((request) => onRequest(request, () => url))
    url = wire.url.replace(/\/$/, "")
    const credentials = Credentials.layerBasic({
      host: new URL(url).host,
      username: "alice",
      password: Redacted.make("hunter2-of-alice")
    })
    const error = yield* Effect.flip(
      Effect.provide(
        Effect.flatMap(Registry, use),
        RegistryClient.layer({ url, retry: { base: "1 millis" } }).pipe(
          Layer.provide([TokenCache.layerMemory, Layer.orDie(credentials), client])
        )
      )
    )
    return { error, log: wire.log.map((line) => line.replace(/^\d+ /, "")) }
  }).pipe(Effect.scoped)

const expectHidden = (error: unknown) => {
  const text = `${inspect(error, { depth: 20, showHidden: true })}${JSON.stringify(error)}`
  expect(text).not.toContain(secret)
  expect(text).not.toContain("hunter2-of-alice")
}

describe.each(Object.keys(clients))("over %s", (name) => {
  const client = clients[name] ?? Layer.die("no such client")

  it.live.each(Object.keys(malformed))("a registry answers with %s", (form) =>
    Effect.gen(function* () {
      const { error, log } = yield* run(
        client,
        (request) => answer(request, malformed[form] ?? ""),
        (registry) => registry.getManifest(repository, digest)
      )
      expectHidden(error)
      const reason = reasonOf(name, form)
      expect(error).toMatchObject({ _tag: "TransportFailure", reason })
      if (reason !== "Malformed") return
      expect(isTransient(error as { readonly _tag: string })).toBe(false)
      expect(log).toEqual([`GET /v2/a/manifests/${digest}`])
    })
  )

  it.live.each(Object.keys(malformed))("a token server answers with %s", (form) =>
    Effect.gen(function* () {
      const { error, log } = yield* run(
        client,
        (request, url) =>
          answer(
            request,
            request.line.startsWith("GET /token")
              ? (malformed[form] ?? "")
              : `HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="${url()}/token"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`
          ),
        (registry) => registry.getManifest(repository, digest)
      )
      expectHidden(error)
      expect(error).toMatchObject({ _tag: "TransportFailure", reason: reasonOf(name, form) })
      if (reasonOf(name, form) === "Malformed") expect(log.length).toBe(2)
    })
  )

  it.live("the body of a blob goes on as no chunk does", () =>
    Effect.gen(function* () {
      const { error, log } = yield* run(
        client,
        (request) =>
          answer(
            request,
            `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncon\r\n${secret}\r\n`
          ),
        (registry) => gather(registry.getBlob(repository, digest))
      )
      expectHidden(error)
      const reason = reasonOf(name, chunk)
      expect(error).toMatchObject({ _tag: "TransportFailure", reason })
      if (reason === "Malformed") expect(log.length).toBe(1)
    })
  )
})

describe("a cause", () => {
  const redact = (text: string) => text.replaceAll(secret, "REDACTED")
  const undici = (name: string, properties: object) =>
    Object.assign(new Error("failed"), { name, code: "UND_ERR", ...properties })

  it.each([
    ["what a parser received", undici("HTTPParserError", { data: `HTTP/1.1 200 ${secret}` })],
    ["what a parser of Node received", undici("Error", { rawPacket: Buffer.from(secret) })],
    [
      "the headers of a retry",
      undici("RequestRetryError", { headers: { location: secret }, data: { count: 1 } })
    ],
    ["a response", undici("ResponseError", { body: secret, headers: { "x-token": secret } })],
    ["a socket", undici("SocketError", { socket: { _httpMessage: { _header: secret } } })],
    ["a request", undici("Error", { request: { headers: new Map([["authorization", secret]]) } })],
    [
      "a property that is not enumerable",
      Object.defineProperty(new Error("x"), "options", { value: { token: secret } })
    ],
    ["a symbol", Object.assign(new Error("x"), { [Symbol("s")]: { secret } })],
    ["words", new Error(`cannot parse ${secret}`)],
    ["a name", Object.assign(new Error("x"), { name: secret })],
    ["words, as a text", `cannot parse ${secret}`],
    ["an object that is not an error", { message: secret, code: "ECONNRESET" }],
    ["what is beneath it", new TypeError("fetch failed", { cause: undici("X", { data: secret }) })],
    ["one of several", new AggregateError([undici("X", { data: secret }), new Error(secret)])],
    ["a function", Object.assign(new Error("x"), { retry: () => secret, secret })]
  ])("holds nothing of %s", (_, cause) => {
    const hidden = shown(cause, redact)
    expect(inspect(hidden, { depth: 20, showHidden: true })).not.toContain(secret)
  })

  it("stays the error that it is when it holds no more than the system says", () => {
    for (const cause of [
      Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), {
        code: "ECONNREFUSED",
        errno: -111,
        syscall: "connect",
        address: "127.0.0.1",
        port: 1
      }),
      new TypeError("fetch failed", { cause: new Error("socket hang up") }),
      new AggregateError([Object.assign(new Error("x"), { code: "ETIMEDOUT" })])
    ])
      expect(shown(cause, redact)).toBe(cause)
  })

  it("keeps its code, its name and where it happened without the rest", () => {
    const cause = Object.assign(new Error("read"), {
      name: "SystemError",
      code: "ECONNRESET",
      address: "10.0.0.1",
      port: 443,
      data: secret
    })
    expect(shown(cause, redact)).toMatchObject({
      name: "SystemError",
      message: "read",
      code: "ECONNRESET",
      address: "10.0.0.1",
      port: 443
    })
  })

  it("in a circle ends", () => {
    const cause = Object.assign(new Error("x"), { data: secret })
    cause.cause = cause
    expect(inspect(shown(cause, redact), { depth: 20 })).not.toContain(secret)
  })
})
