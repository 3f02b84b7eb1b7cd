/**
 * Whether a blob or a manifest is there, and how long it is: against registries, proxies, storage
 * whose responses to a HEAD say little.
 */
import type { RequestListener } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import { utf8 } from "../support/fixtures.js"
import { clientOf, origin, registryAt, reply } from "../support/listeners.js"
import { until } from "../support/serve.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const v1 = Effect.runSync(Reference.parseTag("v1"))
const b1 = utf8("b1 is some blob")
const b1Digest = Digest.fromBytes(b1)
const nothing = Digest.fromBytes(new Uint8Array())
const blob = (digest: Digest.Digest) => `/v2/a/blobs/${digest}`
const m1 = Manifest.index({ manifests: [] })
const page = "<html><body>Sign in</body></html>"
const html = { "content-type": "text/html; charset=utf-8" }

/** A registry with `b1`, whose responses to HEAD are as a test wants them. */
const registryWith =
  (head: RequestListener, get?: RequestListener): RequestListener =>
  (request, response) => {
    if (request.method === "HEAD") return head(request, response)
    if (request.method !== "GET") return reply(response, 404)
    if (get !== undefined) return get(request, response)
    const { range } = request.headers
    return range === undefined
      ? reply(response, 200, { "content-length": String(b1.length) }, b1)
      : reply(response, 206, { "content-range": `bytes 0-0/${b1.length}` }, b1.slice(0, 1))
  }

const head =
  (status: number, headers: Record<string, string> = {}): RequestListener =>
  (_, response) => {
    // Node's server would send a length of its own.
    response.useChunkedEncodingByDefault = false
    response.removeHeader("transfer-encoding")
    reply(response, status, headers)
  }

const size = (value: number) =>
  Either.right(
    Option.some({ mediaType: "application/octet-stream", digest: b1Digest, size: value })
  )

describe("the size of a blob", () => {
  const measured = [`HEAD ${blob(b1Digest)}`, `GET ${blob(b1Digest)} bytes=0-0`]

  it.scopedLive.each([
    ["says that it is 0", head(200, { "content-length": "0" })],
    ["does not say it", head(200)],
    [
      "says it of the blob in another form",
      head(200, { "content-length": "9", "content-encoding": "gzip" })
    ],
    ["is 405", head(405)],
    ["is 501", head(501)]
  ] as ReadonlyArray<readonly [string, RequestListener]>)(
    "is asked for with GET where the response to HEAD %s, and the connection survives",
    ([, listener]) =>
      Effect.gen(function* () {
        const ports: Array<number | undefined> = []
        const respond = registryWith(listener)
        const { log, registry } = yield* registryAt((request, response) => {
          if (request.method === "GET") ports.push(request.socket.remotePort)
          respond(request, response)
        })
        for (const _ of [1, 2])
          expect(yield* Effect.either(registry.headBlob(repository, b1Digest))).toEqual(
            size(b1.length)
          )
        expect(log).toEqual([...measured, ...measured])
        expect(ports[1]).toBe(ports[0])
      })
  )

  it.scopedLive("is that of a HEAD that says it, and nothing else is asked", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt(
        registryWith(head(200, { "content-length": "15" }))
      )
      expect(yield* Effect.either(registry.headBlob(repository, b1Digest))).toEqual(size(15))
      expect(log).toEqual(measured.slice(0, 1))
    })
  )

  it.scopedLive("is 0 for the blob of no bytes, which a HEAD may say", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt(
        registryWith(head(200, { "content-length": "0" }))
      )
      expect(yield* registry.headBlob(repository, nothing)).toMatchObject({ value: { size: 0 } })
      expect(log).toEqual([`HEAD ${blob(nothing)}`])
    })
  )

  it.scopedLive("is 0 where the range is refused for the blob of no bytes", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt(
        registryWith(head(405), (_, response) =>
          reply(response, 416, { "content-range": "bytes */0" })
        )
      )
      expect(yield* registry.headBlob(repository, nothing)).toMatchObject({ value: { size: 0 } })
      expect(log).toEqual([`HEAD ${blob(nothing)}`, `GET ${blob(nothing)} bytes=0-0`])
    })
  )

  it.scopedLive("is not 0 for a blob of some bytes, whoever says so", () =>
    Effect.gen(function* () {
      const { registry } = yield* registryAt(
        registryWith(head(200, { "content-length": "0" }), (_, response) =>
          reply(response, 416, { "content-range": "bytes */0" })
        )
      )
      expect(yield* Effect.flip(registry.headBlob(repository, b1Digest))).toMatchObject({
        _tag: "ProtocolViolation",
        method: "GET",
        status: 416
      })
    })
  )

  it.scopedLive("is that of a whole blob whose registry ignores the range, and gives it up", () =>
    Effect.gen(function* () {
      const length = 50_000_000
      let sent = 0
      const { counted, log, registry } = yield* registryAt(
        registryWith(head(405), (_, response) => {
          response.writeHead(200, { "content-length": length })
          const more = (): void => {
            while (sent < length && response.write(new Uint8Array(65_536))) sent += 65_536
          }
          response.on("drain", more)
          more()
        })
      )
      expect(yield* Effect.either(registry.headBlob(repository, b1Digest))).toEqual(size(length))
      expect(log).toEqual(measured)
      yield* until(() => counted.open < counted.made)
      expect(sent).toBeLessThan(length)
    })
  )

  it.scopedLive.each([
    ["no total", { "content-range": "bytes 0-0/*" }],
    ["a blank range", { "content-range": " " }],
    ["two ranges", { "content-range": "bytes 0-0/15, bytes 0-0/15" }],
    ["no range", {}]
  ] as ReadonlyArray<readonly [string, Record<string, string>]>)(
    "that nobody tells (%s) is no size",
    ([, headers]) =>
      Effect.gen(function* () {
        const { registry } = yield* registryAt(
          registryWith(head(405), (_, response) => reply(response, 206, headers, "b"))
        )
        expect(yield* Effect.flip(registry.headBlob(repository, b1Digest))).toMatchObject({
          _tag: "ProtocolViolation",
          status: 206
        })
      })
  )
})

describe("a blob that is not there", () => {
  it.scopedLive.each([
    ["by HEAD", head(404), ["HEAD"]],
    ["by GET, where HEAD is not taken", head(405), ["HEAD", "GET"]],
    ["by GET, where HEAD says no size", head(200), ["HEAD", "GET"]]
  ] as ReadonlyArray<readonly [string, RequestListener, ReadonlyArray<string>]>)(
    "is absent %s",
    ([, listener, methods]) =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryAt(
          registryWith(listener, (_, response) => reply(response, 404))
        )
        expect(yield* registry.headBlob(repository, b1Digest)).toEqual(Option.none())
        expect(log.map((line) => line.split(" ", 1).join())).toEqual(methods)
      })
  )
})

describe("storage that refuses a HEAD", () => {
  const behind = (refusal: number, get: RequestListener) =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const storage = yield* origin(
        log,
        (request, response) =>
          request.method === "HEAD" ? reply(response, refusal) : get(request, response),
        "storage"
      )
      const registry = yield* origin(log, (request, response) => {
        const { method, url = "" } = request
        if (method === "POST") return reply(response, 202, { location: `${url}1` })
        if (method === "PUT" || method === "PATCH") return response.destroy()
        return reply(response, 307, {
          location: `${storage.url}${url.replace("/v2/a", "")}?signed-for=GET`
        })
      })
      return {
        log,
        registry: yield* clientOf(registry.url, {
          trust: { allowStorage: [new URL(storage.url).host] }
        })
      }
    })
  const byte: RequestListener = (_, response) =>
    reply(response, 206, { "content-range": `bytes 0-0/${b1.length}` }, "b")

  it.scopedLive.each([400, 401, 403, 405, 501])(
    "with %d says nothing of a blob: GET decides",
    (status) =>
      Effect.gen(function* () {
        const { log, registry } = yield* behind(status, byte)
        expect(yield* Effect.either(registry.headBlob(repository, b1Digest))).toEqual(
          size(b1.length)
        )
        expect(log).toEqual([
          `HEAD ${blob(b1Digest)}`,
          `storage: HEAD /blobs/${b1Digest}?signed-for=GET`,
          `GET ${blob(b1Digest)} bytes=0-0`,
          `storage: GET /blobs/${b1Digest}?signed-for=GET bytes=0-0`
        ])
      })
  )

  it.scopedLive.each([400, 403])("with %d says nothing of a manifest: GET decides", (status) =>
    Effect.gen(function* () {
      const { log, registry } = yield* behind(status, (_, response) =>
        reply(response, 200, { "content-type": m1.descriptor.mediaType }, m1.bytes)
      )
      expect(yield* registry.headManifest(repository, v1)).toEqual(Option.some(m1.descriptor))
      expect(log).toEqual([
        "HEAD /v2/a/manifests/v1",
        "storage: HEAD /manifests/v1?signed-for=GET",
        "GET /v2/a/manifests/v1",
        "storage: GET /manifests/v1?signed-for=GET"
      ])
    })
  )

  it.scopedLive.each([400, 403])(
    "with %d at a path of the registry's own origin: GET decides",
    (status) =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryAt((request, response) => {
          const { method, url = "" } = request
          if (url.startsWith("/v2/"))
            return reply(response, 307, { location: "/s3/b1?signed-for=GET" })
          return method === "HEAD" ? reply(response, status) : byte(request, response)
        })
        expect(yield* Effect.either(registry.headBlob(repository, b1Digest))).toEqual(
          size(b1.length)
        )
        expect(log).toEqual([
          `HEAD ${blob(b1Digest)}`,
          "HEAD /s3/b1?signed-for=GET",
          `GET ${blob(b1Digest)} bytes=0-0`,
          "GET /s3/b1?signed-for=GET bytes=0-0"
        ])
      })
  )

  it.scopedLive("and the GET as well has no blob to tell of", () =>
    Effect.gen(function* () {
      const { registry } = yield* behind(403, (_, response) => reply(response, 403))
      expect(yield* Effect.flip(registry.headBlob(repository, b1Digest))).toMatchObject({
        _tag: "RegistryFailure",
        method: "GET",
        status: 403
      })
    })
  )

  it.scopedLive("does not hide that an upload has arrived", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* behind(403, byte)
      const stored = yield* registry.putBlob(repository, BlobSource.fromBytes(b1), {
        strategy: "put"
      })
      expect(stored).toMatchObject({ digest: b1Digest, size: b1.length })
      expect(log.filter((line) => line.startsWith("PUT"))).toHaveLength(1)
      expect(log.filter((line) => !line.includes("DELETE")).at(-1)).toMatch(
        /^storage: GET .* bytes=0-0$/
      )
    })
  )

  it.scopedLive("and the registry's own refusal of a HEAD is one", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt(registryWith(head(403)))
      expect(yield* Effect.flip(registry.headBlob(repository, b1Digest))).toMatchObject({
        _tag: "Denied"
      })
      expect(log).toHaveLength(1)
    })
  )
})

describe("an upload of a blob that is there", () => {
  it.scopedLive.each([
    ["says that it has 0 bytes", head(200, { "content-length": "0" })],
    ["does not say how long it is", head(200)]
  ] as ReadonlyArray<readonly [string, RequestListener]>)(
    "is not made, and has its size, where the registry %s",
    ([, listener]) =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryAt(registryWith(listener))
        const source = BlobSource.fromBytes(b1)
        expect(yield* registry.putBlob(repository, source)).toMatchObject({
          digest: b1Digest,
          size: b1.length
        })
        expect(log).toEqual([`HEAD ${blob(b1Digest)}`])
      })
  )

  it.scopedLive("is made where the response to a HEAD is a page to log in", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt(
        registryWith(head(200, { ...html, "content-length": String(b1.length) }), (_, response) =>
          reply(response, 200, html, page)
        )
      )
      const source = BlobSource.fromBytes(b1)
      expect(yield* Effect.flip(registry.putBlob(repository, source))).toMatchObject({
        status: 404
      })
      expect(log.some((line) => line.startsWith("POST"))).toBe(true)
    })
  )
})

describe("the size of a manifest", () => {
  it.scopedLive.each([
    ["0", { "content-length": "0" }],
    ["nothing", {}]
  ] as ReadonlyArray<readonly [string, Record<string, string>]>)(
    "is that of the manifest where a HEAD says %s",
    ([, headers]) =>
      Effect.gen(function* () {
        const type = { "content-type": m1.descriptor.mediaType }
        const { log, registry } = yield* registryAt(
          registryWith(
            head(200, { ...type, ...headers, "docker-content-digest": m1.descriptor.digest }),
            (_, response) => reply(response, 200, type, m1.bytes)
          )
        )
        for (const reference of [v1, m1.descriptor.digest])
          expect(yield* registry.headManifest(repository, reference)).toEqual(
            Option.some(m1.descriptor)
          )
        expect(log).toEqual([
          "HEAD /v2/a/manifests/v1",
          "GET /v2/a/manifests/v1",
          `HEAD /v2/a/manifests/${m1.descriptor.digest}`,
          `GET /v2/a/manifests/${m1.descriptor.digest}`
        ])
      })
  )
})
