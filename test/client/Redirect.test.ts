import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BlobSource from "../../src/BlobSource.js"
import { defaultLimits } from "../../src/client/http/Limits.js"
import { followed } from "../../src/client/http/Redirect.js"
import * as Trust from "../../src/protocol/Trust.js"
import * as Digest from "../../src/spec/Digest.js"
import { internet } from "../support/fake/Internet.js"
import { gather, generated, utf8 } from "../support/fixtures.js"
import {
  basic,
  cdn,
  guarded,
  knownManifest,
  m1,
  manifestAnswer,
  redirect,
  registryUrl,
  repository,
  status,
  tag,
  world
} from "./world.js"

const b1 = utf8("b1")
const b1Digest = Digest.fromBytes(b1)
const manifestUrl = `${registryUrl}/v2/team/app/manifests/v1`
const blobUrl = `${registryUrl}/v2/team/app/blobs/${b1Digest}`

describe("a redirect to another origin (T1)", () => {
  it.effect("gets a blob without credentials, its signed query as sent", () =>
    Effect.gen(function* () {
      const signed = `${cdn}/b?X-Sig=a+b~c%20d*!'()&x=%2f`
      const { log, registry, seen } = yield* world({
        [registryUrl]: guarded(() => redirect(307, signed)),
        [cdn]: () => status(200, b1)
      })
      expect(yield* gather(registry.getBlob(repository, b1Digest))).toEqual(b1)
      expect(log).toEqual([`GET ${blobUrl} -`, `GET ${blobUrl} ${basic}`, `GET ${signed} -`])
      expect(Object.keys(seen[2]?.headers ?? {}).toSorted()).toEqual([
        "accept-encoding",
        "user-agent"
      ])
    })
  )

  it.effect("drops credentials for the rest of the chain, also where it comes back", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: ({ authorization, url }) =>
          url.pathname === "/back"
            ? manifestAnswer()
            : authorization === basic
              ? redirect(302, `${cdn}/there`)
              : status(401, null, { "www-authenticate": "Basic" }),
        [cdn]: () => redirect(302, `${registryUrl}/back`)
      })
      yield* registry.getManifest(repository, tag)
      expect(log).toEqual([
        `GET ${manifestUrl} -`,
        `GET ${manifestUrl} ${basic}`,
        `GET ${cdn}/there -`,
        `GET ${registryUrl}/back -`
      ])
    })
  )

  it.effect.each([
    ["another port", "https://r.example:444/x"],
    ["another host", "https://s.example/x"],
    ["a host with the registry's as its beginning", "https://r.example.evil/x"],
    ["a host below the registry's", "https://a.r.example/x"]
  ] as const)("is one to %s", ([, target]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: guarded(() => redirect(307, target)),
        [new URL(target).origin]: manifestAnswer
      })
      yield* registry.getManifest(repository, tag)
      expect(log.at(-1)).toBe(`GET ${target} -`)
    })
  )

  it.effect("leaves a 401 from there unanswered", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: guarded(() => redirect(307, `${cdn}/x`)),
        [cdn]: () => status(401, null, { "www-authenticate": 'Basic realm="give me"' })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        status: 401,
        url: `${cdn}/x`
      })
      expect(log).toEqual([`GET ${manifestUrl} -`, `GET ${manifestUrl} ${basic}`, `GET ${cdn}/x -`])
    })
  )

  it.effect("does not take content there, unless it is allowed storage", () =>
    Effect.gen(function* () {
      const origins = {
        [registryUrl]: guarded(({ method, url }) =>
          method === "HEAD"
            ? status(404)
            : method === "POST"
              ? status(202, null, { location: "/v2/team/app/blobs/uploads/1" })
              : method === "PUT"
                ? redirect(307, `${cdn}/put${url.search}`)
                : status(204)
        ),
        [cdn]: () => status(201)
      }
      const source = BlobSource.fromBytes(b1)
      const strict = yield* world(origins)
      expect(yield* Effect.flip(strict.registry.putBlob(repository, source))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Redirect",
        host: "cdn.example",
        option: "trust.allowStorage"
      })
      expect(strict.log.filter((line) => line.includes("cdn"))).toEqual([])
      const lenient = yield* world(origins, { trust: { allowStorage: ["cdn.example"] } })
      yield* lenient.registry.putBlob(repository, source)
      expect(lenient.log.filter((line) => line.includes("cdn"))).toEqual([
        `PUT ${cdn}/put?digest=${encodeURIComponent(b1Digest)} -`
      ])
    })
  )
})

describe("a redirect within the registry", () => {
  it.effect("keeps credentials, and resolves against the URL it answers", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: guarded(({ url }) =>
          url.pathname.endsWith("/v1") ? redirect(308, "latest#x") : manifestAnswer()
        )
      })
      yield* registry.getManifest(repository, tag)
      expect(log.slice(1)).toEqual([
        `GET ${manifestUrl} ${basic}`,
        `GET ${registryUrl}/v2/team/app/manifests/latest ${basic}`
      ])
    })
  )

  it.effect.each([301, 302, 307, 308])("repeats a PUT with its body on %i", (code) =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({
        [registryUrl]: ({ url }) =>
          url.pathname.startsWith("/v2") ? redirect(code, "/elsewhere") : status(201)
      })
      const manifest = yield* knownManifest
      yield* registry.putManifest(repository, manifest, { tags: [tag] })
      expect(
        seen.map(({ body, headers, method }) => [method, headers["content-type"], body])
      ).toEqual([
        ["PUT", manifest.descriptor.mediaType, m1],
        ["PUT", manifest.descriptor.mediaType, m1]
      ])
    })
  )

  it.effect("repeats a stream from its start", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({
        [registryUrl]: ({ method, url }) =>
          method === "HEAD"
            ? status(404)
            : method === "POST"
              ? status(202, null, { location: "/u/1" })
              : url.pathname === "/u/1"
                ? redirect(307, `/u/2${url.search}`)
                : status(201)
      })
      const bytes = yield* gather(generated(200_000))
      const known = { digest: Digest.fromBytes(bytes), size: bytes.length }
      yield* registry.putBlob(repository, BlobSource.fromStream(generated(200_000), known))
      expect(seen.slice(-2).map(({ bytes, method }) => [method, Digest.fromBytes(bytes)])).toEqual([
        ["PUT", known.digest],
        ["PUT", known.digest]
      ])
      const once = BlobSource.fromStreamOnce(generated(200_000), known)
      expect(yield* Effect.flip(registry.putBlob(repository, once))).toMatchObject({
        _tag: "BodyNotReplayable"
      })
    })
  )

  it.effect("asks with GET, and for nothing of a body, after a 303", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({
        [registryUrl]: ({ method }) =>
          method === "PUT" ? redirect(303, "/login") : status(200, "<html>")
      })
      const manifest = yield* knownManifest
      const error = yield* Effect.flip(registry.putManifest(repository, manifest, { tags: [tag] }))
      expect(error).toMatchObject({ _tag: "RegistryFailure", status: 200 })
      const sent = seen.map(({ body, headers, method }) => [method, headers["content-type"], body])
      expect(sent).toEqual([
        ["PUT", manifest.descriptor.mediaType, m1],
        ["GET", undefined, ""]
      ])
    })
  )

  it.effect("leaves no field of the body behind after a 303", () =>
    Effect.gen(function* () {
      const { client, seen } = internet({
        [registryUrl]: ({ method }) => (method === "PATCH" ? redirect(303, "/page") : status(200))
      })
      const patch = HttpClientRequest.setBody(
        HttpClientRequest.patch(`${registryUrl}/u`, {
          headers: { "content-range": "0-1", accept: "a/b" }
        }),
        HttpBody.uint8Array(b1)
      )
      yield* followed({ registry: registryUrl, trust: Trust.strict, limits: defaultLimits })(
        client
      ).execute(patch)
      expect(seen[1]?.headers["accept"]).toBe("a/b")
      expect(
        Object.keys(seen[1]?.headers ?? {}).filter((name) => name.startsWith("content-"))
      ).toEqual([])
    })
  )

  it.effect("does not take the page after a 303 for a deletion", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: ({ method }) =>
          method === "DELETE" ? redirect(303, "/login") : status(200, "<html>")
      })
      const error = yield* Effect.flip(registry.deleteTag(repository, tag))
      expect(error).toMatchObject({ _tag: "RegistryFailure", status: 200 })
      expect(log).toEqual([`DELETE ${manifestUrl} -`, `GET ${registryUrl}/login -`])
    })
  )

  it.effect("a 303 keeps a HEAD a HEAD", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: ({ url }) =>
          url.pathname.startsWith("/v2")
            ? redirect(303, "/m")
            : status(200, null, {
                "content-type": "a/b",
                "content-length": "2",
                "docker-content-digest": b1Digest
              })
      })
      yield* registry.headManifest(repository, tag)
      expect(log).toEqual([`HEAD ${manifestUrl} -`, `HEAD ${registryUrl}/m -`])
    })
  )
})

it.effect(
  "the body of a redirect is read, to use its connection again, but not an endless one (T6)",
  () =>
    Effect.gen(function* () {
      for (const [pieces, end] of [
        [3, "read"],
        [Number.POSITIVE_INFINITY, "cancelled"]
      ] as const) {
        let left = pieces
        let seen = "open"
        const body = new ReadableStream({
          pull: (controller) => {
            if (left-- > 0) controller.enqueue(new Uint8Array(16 * 1024))
            else {
              seen = "read"
              controller.close()
            }
          },
          cancel: () => {
            seen = "cancelled"
          }
        })
        const { registry } = yield* world({
          [registryUrl]: ({ url }) =>
            url.pathname === "/m"
              ? manifestAnswer()
              : new Response(body, { status: 307, headers: { location: "/m" } })
        })
        yield* registry.getManifest(repository, tag)
        expect(seen).toBe(end)
      }
    })
)

describe("no redirect", () => {
  it.effect.each([
    ["from https to http", "http://r.example/x"],
    ["to another scheme", "ftp://r.example/x"],
    ["with a user name", "https://a:b@r.example/x"],
    ["to a loopback address", "https://127.0.0.1/x"],
    ["to the cloud's metadata", "https://169.254.169.254/latest"],
    ["to a number that is an address", "https://2130706433/"],
    ["to a mapped IPv6 address", "https://[::ffff:10.0.0.1]/"]
  ] as const)("is followed %s (T1)", ([, target]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({ [registryUrl]: () => redirect(307, target) })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Redirect"
      })
      expect(log).toEqual([`GET ${manifestUrl} -`])
    })
  )

  it.effect("beyond the limit is followed, and a loop ends there", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        { [registryUrl]: () => redirect(307, "/again") },
        { limits: { redirects: 3 } }
      )
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 3,
        option: "limits.redirects"
      })
      expect(log.length).toBe(4)
    })
  )

  it.effect.each([300, 304, 305, 306])("is what status %i means", (code) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: () => status(code, null, { location: `${cdn}/x` })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        status: code
      })
      expect(log.length).toBe(1)
    })
  )

  it.effect("without a Location is one", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({ [registryUrl]: () => status(307) })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        status: 307
      })
    })
  )
})
