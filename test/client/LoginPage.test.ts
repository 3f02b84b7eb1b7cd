/** Pages to log in or to apologise, where the response of a registry should be. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import { utf8 } from "../support/fixtures.js"
import { clientOf, origin, registryAt, reply } from "../support/listeners.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const v1 = Effect.runSync(Reference.parseTag("v1"))
const b1 = utf8("b1")
const digest = Digest.fromBytes(b1)

const page = "<!doctype html>\n<html><body>Sign in</body></html>"
const html = { "content-type": "text/html; charset=utf-8" }

type Headers = Record<string, string>

describe("a ping", () => {
  it.scopedLive.each([
    ["a page", html, page],
    ["a page of another type", { "content-type": "Application/XHTML+XML" }, page],
    ["a page that is called text", { "content-type": "text/plain" }, page],
    ["a page without a type", {}, `  ${page}`],
    ["a page of nothing", html, ""]
  ] as ReadonlyArray<readonly [string, Headers, string]>)(
    "that is answered by %s has found no registry",
    ([, headers, body]) =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryAt((_, response) =>
          reply(response, 200, headers, body)
        )
        expect(yield* Effect.flip(registry.ping)).toMatchObject({
          _tag: "Unsupported",
          method: "GET",
          status: 200
        })
        expect(log).toEqual(["GET /v2/"])
      })
  )

  it.scopedLive.each([
    ["nothing", {}, ""],
    ["an object", { "content-type": "application/json" }, "{}"],
    ["text", { "content-type": "text/plain" }, "ok"],
    ["true as text/html (Quay)", html, "true"],
    ["an object as text/html", html, '{"name":"registry"}\n'],
    [
      "anything, with Docker's header",
      { ...html, "docker-distribution-api-version": "registry/2.0" },
      page
    ]
  ] as ReadonlyArray<readonly [string, Headers, string]>)(
    "that is answered by %s has found one",
    ([, headers, body]) =>
      Effect.gen(function* () {
        const { registry } = yield* registryAt((_, response) => reply(response, 200, headers, body))
        yield* registry.ping
      })
  )

  it.scopedLive("that is sent on to a page elsewhere has found none", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const login = yield* origin(log, (_, response) => reply(response, 200, html, page), "login")
      const { url } = yield* origin(log, (_, response) =>
        reply(response, 302, { location: `${login.url}/sso?next=1` })
      )
      const registry = yield* clientOf(url, { trust: { allowStorage: [new URL(login.url).host] } })
      expect(yield* Effect.flip(registry.ping)).toMatchObject({ _tag: "Unsupported" })
      expect(log).toEqual(["GET /v2/", "login: GET /sso?next=1"])
    })
  )
})

const deletions: ReadonlyArray<
  readonly [string, (registry: Registry.Service) => Effect.Effect<void, { _tag: string }>, string]
> = [
  ["a tag", (registry) => registry.deleteTag(repository, v1), "/v2/a/manifests/v1"],
  ["a blob", (registry) => registry.deleteBlob(repository, digest), `/v2/a/blobs/${digest}`],
  [
    "a manifest",
    (registry) => registry.deleteManifest(repository, digest),
    `/v2/a/manifests/${digest}`
  ]
]

describe.each(deletions)("the deletion of %s", (_, run, path) => {
  const deleted = (status: number, headers: Headers, body: string) =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt((request, response) =>
        request.method === "DELETE" ? reply(response, status, headers, body) : reply(response, 404)
      )
      const result = yield* Effect.either(run(registry))
      expect(log.filter((line) => line.startsWith("DELETE"))).toEqual([`DELETE ${path}`])
      return result
    })

  it.scopedLive.each([
    html,
    { "content-type": "application/xhtml+xml" },
    { "content-type": "text/plain" },
    {}
  ] as ReadonlyArray<Headers>)("is not what a page with 200 says: %o", (headers) =>
    Effect.gen(function* () {
      expect(yield* deleted(200, headers, page)).toMatchObject({
        left: { _tag: "ProtocolViolation", method: "DELETE", status: 200 }
      })
    })
  )

  it.scopedLive("is not what a list of errors with 200 says", () =>
    Effect.gen(function* () {
      const errors = '{"errors":[{"code":"DENIED","message":"no"}]}'
      expect(yield* deleted(200, {}, errors)).toMatchObject({
        left: { _tag: "ProtocolViolation", status: 200, errors: [{ code: "DENIED" }] }
      })
    })
  )

  it.scopedLive.each([
    [202, html, page],
    [202, html, ""],
    [204, {}, ""],
    [200, {}, ""],
    [200, html, ""],
    [200, { "content-type": "application/json" }, "{}"],
    [200, { "content-type": "application/json" }, '{"message":"deleted","errors":[]}']
  ] as ReadonlyArray<readonly [number, Headers, string]>)(
    "is what %d says, with %o and %j",
    ([status, headers, body]) =>
      Effect.gen(function* () {
        expect(yield* deleted(status, headers, body)).toMatchObject({ _tag: "Right" })
      })
  )
})

describe("other writes", () => {
  it.scopedLive(
    "a blob that is put at its own path is not stored where a page comes with 200",
    () =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryAt((request, response) =>
          request.method === "HEAD" ? reply(response, 404) : reply(response, 200, html, page)
        )
        const put = registry.putBlob(repository, BlobSource.fromBytes(b1), { strategy: "direct" })
        expect(yield* Effect.flip(put)).toMatchObject({ _tag: "ProtocolViolation", method: "PUT" })
        expect(log).toEqual([`HEAD /v2/a/blobs/${digest}`, `PUT /v2/a/blobs/${digest}`])
      })
  )

  it.scopedLive("nor where a 303 makes a GET of it", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt((request, response) =>
        request.method === "HEAD"
          ? reply(response, 404)
          : request.method === "PUT"
            ? reply(response, 303, { location: "/login" })
            : reply(response, 200, {}, "hello")
      )
      const put = registry.putBlob(repository, BlobSource.fromBytes(b1), { strategy: "direct" })
      expect(yield* Effect.flip(put)).toMatchObject({ _tag: "RegistryFailure", status: 200 })
      expect(log.at(-1)).toBe("GET /login")
    })
  )

  const m1 = Manifest.index({ manifests: [] })
  it.scopedLive.each([
    ["a manifest", (registry) => registry.putManifest(repository, m1, { tags: [v1] })],
    ["a mount", (registry) => registry.mountBlob(repository, digest)],
    ["a blob", (registry) => registry.putBlob(repository, BlobSource.fromBytes(b1))],
    ["a session", (registry) => Effect.scoped(registry.startUpload(repository))]
  ] as ReadonlyArray<
    readonly [string, (registry: Registry.Service) => Effect.Effect<unknown, Registry.PutBlobError>]
  >)("%s is not what a 303 leads to, whatever that says", ([, run]) =>
    Effect.gen(function* () {
      for (const status of [201, 202]) {
        const { log, registry } = yield* registryAt((request, response) =>
          request.method === "HEAD"
            ? reply(response, 404)
            : request.method === "GET"
              ? reply(response, status, { location: "/u/1" })
              : reply(response, 303, { location: "/elsewhere" })
        )
        expect(yield* Effect.flip(run(registry))).toMatchObject({ _tag: "RegistryFailure", status })
        expect(log.at(-1)).toBe("GET /elsewhere")
      }
    })
  )

  it.scopedLive("a session whose status is a page cannot be resumed", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* registryAt((_, response) => reply(response, 200, html, page))
      const resumed = registry.resumeUpload({
        repository,
        location: "/v2/a/blobs/uploads/1",
        offset: 5
      })
      expect(yield* Effect.flip(Effect.scoped(resumed))).toMatchObject({
        _tag: "ProtocolViolation",
        method: "GET"
      })
      expect(log).toEqual(["GET /v2/a/blobs/uploads/1"])
    })
  )
})
