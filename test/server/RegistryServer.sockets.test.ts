import * as Net from "node:net"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { turn } from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"
import { sha256 } from "./wire.js"

/**
 * Sends exactly these bytes and answers exactly what comes back, until the server closes the
 * connection as it was asked to.
 */
const exchange = (request: string) =>
  Effect.flatMap(ServerUrl, (url) =>
    Effect.async<string>((resume) => {
      const socket = Net.connect(Number(new URL(url).port), "127.0.0.1", () =>
        socket.write(request)
      )
      let received = ""
      socket.setEncoding("latin1")
      socket.on("data", (text) => {
        received += text
      })
      socket.on("close", () => resume(Effect.succeed(received)))
      socket.on("error", (error) => resume(Effect.die(error)))
    })
  )

const request = (line: string, headers: ReadonlyArray<string> = [], body = "") =>
  exchange(
    [`${line} HTTP/1.1`, "Host: registry.test", "Connection: close", ...headers, "", body].join(
      "\r\n"
    )
  )

/** Without the fields that Node and the server add to every answer. */
const lines = (answer: string): ReadonlyArray<string> => {
  const all = answer.split("\r\n")
  expect(all).toContain("docker-distribution-api-version: registry/2.0")
  return all.filter(
    (line) => !/^(Date|Connection|Keep-Alive|docker-distribution-api-version): /.test(line)
  )
}

const hello = sha256("hello")
const config = sha256("{}")
const manifest = `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${config}","size":2},"layers":[]}`
const manifestType = "application/vnd.oci.image.manifest.v1+json"

const push = (repository: string, content: string) =>
  request(
    `POST /v2/${repository}/blobs/uploads/?digest=${sha256(content)}`,
    [`Content-Length: ${content.length}`],
    content
  )

const openUpload = (repository: string, at = "") =>
  Effect.map(
    request(`POST ${at}/v2/${repository}/blobs/uploads/`, ["Content-Length: 0"]),
    (answer) => /^location: (.*)$/m.exec(answer)?.[1] ?? ""
  )

const overMemory = layerSocketServer().pipe(Layer.provideMerge(MemoryRegistry.layer()))

layer(overMemory)("on the wire (trap 75)", (it) => {
  it.effect("documents have their exact length, and are not chunked", () =>
    Effect.gen(function* () {
      expect(lines(yield* request("GET /v2/"))).toEqual([
        "HTTP/1.1 200 OK",
        "content-type: application/json",
        "content-length: 2",
        "",
        "{}"
      ])
      const body = '{"errors":[{"code":"NAME_UNKNOWN","message":"Repository nowhere is unknown"}]}'
      expect(lines(yield* request("GET /v2/nowhere/tags/list"))).toEqual([
        "HTTP/1.1 404 Not Found",
        "content-type: application/json",
        `content-length: ${body.length}`,
        "",
        body
      ])
    })
  )

  it.effect("manifests and blobs too; to HEAD the same without a body (R10)", () =>
    Effect.gen(function* () {
      yield* push("a", "{}")
      yield* push("a", "hello")
      expect(
        lines(
          yield* request(
            "PUT /v2/a/manifests/v1",
            [`Content-Type: ${manifestType}`, `Content-Length: ${manifest.length}`],
            manifest
          )
        )
      ).toEqual([
        "HTTP/1.1 201 Created",
        `location: /v2/a/manifests/${sha256(manifest)}`,
        `docker-content-digest: ${sha256(manifest)}`,
        "content-length: 0",
        "",
        ""
      ])
      for (const [method, body] of [
        ["GET", manifest],
        ["HEAD", ""]
      ]) {
        expect(lines(yield* request(`${method} /v2/a/manifests/v1`))).toEqual([
          "HTTP/1.1 200 OK",
          `docker-content-digest: ${sha256(manifest)}`,
          `etag: "${sha256(manifest)}"`,
          `content-type: ${manifestType}`,
          `content-length: ${manifest.length}`,
          "",
          body
        ])
      }
      for (const method of ["GET", "HEAD"])
        expect(
          lines(
            yield* request(`${method} /v2/a/manifests/v1`, [`If-None-Match: "${sha256(manifest)}"`])
          )
        ).toEqual([
          "HTTP/1.1 304 Not Modified",
          `docker-content-digest: ${sha256(manifest)}`,
          `etag: "${sha256(manifest)}"`,
          "",
          ""
        ])
      for (const [method, body] of [
        ["GET", "hello"],
        ["HEAD", ""]
      ]) {
        const answer = lines(yield* request(`${method} /v2/a/blobs/${hello}`))
        expect([...answer].sort()).toEqual(
          [
            "HTTP/1.1 200 OK",
            `docker-content-digest: ${hello}`,
            `etag: "${hello}"`,
            "accept-ranges: bytes",
            "content-type: application/octet-stream",
            "content-length: 5",
            "",
            body
          ].sort()
        )
      }
    })
  )

  it.effect("a HEAD that fails has no body either", () =>
    Effect.gen(function* () {
      const answer = yield* request("HEAD /v2/a/manifests/nowhere")
      expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
      expect(answer).not.toMatch(/transfer-encoding/i)
      expect(answer.endsWith("\r\n\r\n")).toBe(true)
    })
  )

  it.effect(
    "answers without a body say Content-Length: 0; a 204 says nothing (RFC 9110 section 8.6)",
    () =>
      Effect.gen(function* () {
        const location = yield* openUpload("a")
        const patch = ["Transfer-Encoding: chunked", "Content-Type: application/octet-stream"]
        expect(
          lines(yield* request(`PATCH ${location}`, patch, "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"))
        ).toEqual([
          "HTTP/1.1 202 Accepted",
          `location: ${location}`,
          "range: 0-4",
          "content-length: 0",
          "",
          ""
        ])
        expect(lines(yield* request(`GET ${location}`))).toEqual([
          "HTTP/1.1 204 No Content",
          `location: ${location}`,
          "range: 0-4",
          "",
          ""
        ])
        expect(lines(yield* request(`PUT ${location}?digest=${hello}`))).toEqual([
          "HTTP/1.1 201 Created",
          `location: /v2/a/blobs/${hello}`,
          `docker-content-digest: ${hello}`,
          "content-length: 0",
          "",
          ""
        ])
        expect(lines(yield* request(`DELETE /v2/a/blobs/${hello}`))).toEqual([
          "HTTP/1.1 202 Accepted",
          "content-length: 0",
          "",
          ""
        ])
      })
  )

  it.effect.each([
    ["fewer bytes", "2\r\nhe\r\n0\r\n\r\n"],
    ["no bytes", "0\r\n\r\n"],
    ["more bytes", "7\r\nhello!!\r\n0\r\n\r\n"]
  ] as const)("a chunk without a length that has %s than its range is a 400", ([, body]) =>
    Effect.gen(function* () {
      const location = yield* openUpload("a")
      const chunk = ["Transfer-Encoding: chunked", "Content-Range: 0-4"]
      const refused = yield* request(`PATCH ${location}`, chunk, body)
      expect(refused).toMatch(/^HTTP\/1\.1 400 /)
      expect(refused).toContain('"SIZE_INVALID"')
      expect(yield* request(`GET ${location}`)).toMatch(/^HTTP\/1\.1 204 /)
    })
  )

  it.effect("an empty blob is Content-Length: 0, not chunked (trap 15)", () =>
    Effect.gen(function* () {
      yield* push("a", "")
      const answer = yield* request(`GET /v2/a/blobs/${sha256("")}`)
      expect(answer).toContain("\r\ncontent-length: 0\r\n")
      expect(answer).not.toMatch(/transfer-encoding/i)
    })
  )

  it.effect.each([
    ["http://elsewhere.example/v2/", 200],
    ["HTTP://user@elsewhere.example:5000/v2/?a=b", 200],
    ["https://elsewhere.example/v2/nowhere/tags/list", 404],
    ["http://elsewhere.example", 404],
    ["http://elsewhere.example?/v2/", 404]
  ] as const)("a target may be a whole URL: %s (RFC 9112 section 3.2.2)", ([target, status]) =>
    Effect.gen(function* () {
      for (const method of ["GET", "HEAD"])
        expect(yield* request(`${method} ${target}`)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    })
  )

  it.effect("an upload whose targets are whole URLs has a Location as any other", () =>
    Effect.gen(function* () {
      const at = "http://elsewhere.example"
      const location = yield* openUpload("absolute", at)
      expect(location).toMatch(/^\/v2\/absolute\/blobs\/uploads\//)
      expect(
        lines(yield* request(`PATCH ${at}${location}`, ["Content-Length: 5"], "hello"))
      ).toContain(`location: ${location}`)
      expect(
        lines(yield* request(`PUT ${at}${location}?digest=${hello}`, ["Content-Length: 0"]))
      ).toContain(`location: /v2/absolute/blobs/${hello}`)
    })
  )

  it.effect("a client that goes away in the middle of a PATCH finds its bytes again (C52)", () =>
    Effect.gen(function* () {
      const registry = yield* MemoryRegistry.MemoryRegistry
      const url = yield* ServerUrl
      const location = yield* openUpload("gone")
      const received = Effect.map(
        registry.uploads,
        (uploads) => uploads.find(({ repository }) => repository === "gone")?.offset
      )
      const socket = Net.connect(Number(new URL(url).port), "127.0.0.1")
      socket.write(
        [
          `PATCH ${location} HTTP/1.1`,
          "Host: a",
          "Content-Length: 5",
          "Content-Range: 0-4",
          "",
          "hel"
        ].join("\r\n")
      )
      yield* Effect.repeat(Effect.zipRight(turn, received), { until: (offset) => offset === 3 })
      socket.destroy()
      expect(lines(yield* request(`GET ${location}`))).toContain("range: 0-2")
      yield* request(`PATCH ${location}`, ["Content-Length: 2", "Content-Range: 3-4"], "lo")
      expect(yield* request(`PUT ${location}?digest=${hello}`)).toMatch(/^HTTP\/1\.1 201 /)
    })
  )
})

const withTokens = Layer.unwrapEffect(
  Effect.map(
    ServerAuthorization.token({ users: { alice: Redacted.make("secret") } }),
    (authorization) => layerSocketServer({ authorization })
  )
).pipe(Layer.provide(MemoryRegistry.layer()))

layer(withTokens)("the realm (A2)", (it) => {
  it.effect.each([
    ["the Host", ["Host: registry.example:5000"], "http://registry.example:5000/token"],
    [
      "no headers that anybody can send (V14)",
      ["Host: a.example", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"],
      "http://a.example/token"
    ],
    ["a Host with quotes, escaped", ['Host: a",service="b'], 'http://a\\",service=\\"b/token'],
    [
      "the Host of a target that is a whole URL",
      ["Host: a"],
      "http://b.example/token",
      "http://b.example"
    ],
    ["no Host that cannot be one", ["Host: a b"], "http://localhost/token"]
  ] as const)("follows %s", ([, headers, realm, at = ""]) =>
    Effect.gen(function* () {
      const answer = yield* exchange(
        [`GET ${at}/v2/ HTTP/1.1`, "Connection: close", ...headers, "", ""].join("\r\n")
      )
      expect(lines(answer)).toContain(
        `www-authenticate: Bearer realm="${realm}",service="effect-oci"`
      )
    })
  )
})
