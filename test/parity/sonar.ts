/** garrett-rh/sonar: its rows, and its defects. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import { basic, guarded, type Handler } from "../support/fake/Handler.js"
import { items, utf8 } from "../support/fixtures.js"
import { embedded, type Row, repository, tag, url, world } from "./world.js"

const ok: Handler = () => ({ status: 200 })
const digest = Digest.fromBytes(utf8("hello"))

/** A list that a registry answers as a whole. */
const list =
  (body: object): Handler =>
  () => ({ status: 200, body: JSON.stringify(body) })

export const rows: Readonly<Record<string, Row>> = {
  SN1: Effect.gen(function* () {
    expect(
      yield* RegistryClient.endpoint({
        url: "http://localhost/v2",
        timeouts: { overall: "5 seconds" }
      })
    ).toMatchObject({ base: "http://localhost" })
  }),
  SN2: Effect.gen(function* () {
    const { client } = yield* world(() => ({ status: 418 }))
    expect((yield* client.execute(Request.get("/v2/"))).status).toBe(418)
  }),
  SN3: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    yield* client.execute(Request.get("/v2/anything?at=all"))
    expect(seen[0]?.line).toBe("GET /v2/anything?at=all")
  }),
  SN4: Effect.gen(function* () {
    const { registry } = yield* world(list({ repositories: ["a", "b"] }))
    expect(yield* items(registry.repositories())).toEqual(["a", "b"])
  }),
  SN5: Effect.gen(function* () {
    const { registry, seen } = yield* world(list({ name: "owner/name", tags: ["latest"] }))
    expect(yield* items(registry.tags(repository))).toEqual(["latest"])
    expect(seen[0]?.line).toBe("GET /v2/owner/name/tags/list")
  }),
  SN6: Effect.gen(function* () {
    const content = {
      schemaVersion: 1,
      name: repository,
      tag,
      architecture: "amd64",
      fsLayers: [{ blobSum: digest }],
      history: [{ v1Compatibility: "{}" }]
    }
    const { registry } = yield* world(() => ({
      status: 200,
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify(content)
    }))
    const manifest = yield* registry.getManifest(repository, tag)
    expect((yield* SignedManifest.fromManifest(manifest)).content).toEqual(content)
  }),
  // The program: a check, the repositories, the tags of the first, its manifest.
  SN7: Effect.gen(function* () {
    const { registry } = yield* embedded()
    yield* registry.ping
    const manifest = Manifest.index({ manifests: [] })
    yield* registry.putManifest(repository, manifest, { tags: [tag] })
    const [first] = yield* items(registry.repositories())
    expect(first).toBe(repository)
    const [only] = yield* items(registry.tags(repository))
    expect(yield* registry.getManifest(repository, only ?? digest)).toMatchObject({
      descriptor: manifest.descriptor
    })
  }),
  // Errors are values: nothing ends the program, whatever fails.
  "SN defect 1": Effect.gen(function* () {
    for (const handler of [() => "cut", () => ({ status: 200, body: "{" })] satisfies Handler[]) {
      const { registry } = yield* world(handler, { retry: { attempts: 0 } })
      for (const asked of [
        items(registry.repositories()),
        items(registry.tags(repository)),
        registry.getManifest(repository, tag)
      ])
        expect(yield* Effect.either<unknown, unknown, never>(asked)).toSatisfy(Either.isLeft)
    }
    expect(yield* Effect.flip(RegistryClient.endpoint({ url: "ftp://x" }))).toMatchObject({
      _tag: "InvalidUrl"
    })
  }),
  // A body that nobody wants is not held open: neither that of a ping nor that of an error.
  "SN defect 2": Effect.gen(function* () {
    let closed = 0
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: () => void closed++
      })
    for (const status of [200, 404]) {
      closed = 0
      const { registry } = yield* world(() => ({ status, body: endless }))
      yield* Effect.exit(registry.ping)
      yield* Effect.exit(items(registry.tags(repository)))
      yield* Effect.exit(registry.getManifest(repository, tag))
      expect(closed).toBe(3)
    }
  }),
  "SN defect 3": Effect.gen(function* () {
    const body = '{"errors":[{"code":"UNKNOWN"}],"repositories":["a"],"tags":["a"]}'
    const { registry } = yield* world(() => ({ status: 500, body }), { retry: { attempts: 0 } })
    for (const asked of [
      registry.ping,
      items(registry.repositories()),
      items(registry.tags(repository)),
      registry.getManifest(repository, tag)
    ])
      expect(yield* Effect.flip<unknown, unknown, never>(asked)).toMatchObject({
        _tag: "RegistryFailure",
        status: 500
      })
  }),
  "SN defect 4": Effect.gen(function* () {
    for (const written of [url, `${url}/`, `${url}/v2`, `${url}/v2/`]) {
      const { registry, seen } = yield* world(ok, { url: written })
      yield* registry.ping
      expect(seen.map(({ line }) => line)).toEqual(["GET /v2/"])
    }
  }),
  "SN defect 5": Effect.gen(function* () {
    const { registry } = yield* world(({ url: { pathname, searchParams } }) => {
      const key = pathname.endsWith("_catalog") ? "repositories" : "tags"
      return searchParams.has("last")
        ? { status: 200, body: JSON.stringify({ name: repository, [key]: ["b"] }) }
        : {
            status: 200,
            headers: { link: `<${pathname}?last=a>; rel="next"` },
            body: JSON.stringify({ name: repository, [key]: ["a"] })
          }
    })
    expect(yield* items(registry.repositories())).toEqual(["a", "b"])
    expect(yield* items(registry.tags(repository))).toEqual(["a", "b"])
  }),
  "SN defect 6": Effect.gen(function* () {
    const { log, registry } = yield* world(guarded(list({ repositories: ["a"] })), { login: true })
    expect(yield* items(registry.repositories())).toEqual(["a"])
    expect(log.at(-1)).toBe(`GET ${url}/v2/_catalog ${basic}`)
  }),
  // A registry that converts what it is not told to leave alone, or has nothing else.
  "SN defect 7": Effect.gen(function* () {
    const manifest = Manifest.index({ manifests: [] })
    const { registry } = yield* world(({ headers }) =>
      headers["accept"]?.includes(MediaType.imageIndex) === true
        ? {
            status: 200,
            headers: { "content-type": MediaType.imageIndex },
            body: manifest.bytes
          }
        : { status: 404 }
    )
    expect(yield* registry.getManifest(repository, tag)).toMatchObject({
      descriptor: manifest.descriptor
    })
    // Another document than a manifest is an error, and not an empty one.
    const other = yield* world(list({ hello: "world" }))
    expect(yield* Effect.exit(other.registry.getManifest(repository, tag))).toMatchObject({
      _tag: "Failure"
    })
  }),
  "SN defect 8": Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    for (const name of ["a?b=c", "a/../b", "a b", "a%2fb"])
      expect(
        yield* Effect.flip(client.execute(Request.get("/v2/<name>/tags/list", { name })))
      ).toMatchObject({ _tag: "InvalidReference" })
    expect(seen).toEqual([])
    yield* client.execute(Request.get("/x").pipe(Request.setQuery("q", "a&b=c d")))
    expect(seen[0]?.line).toBe("GET /x?q=a%26b%3Dc%20d")
  }),
  "SN defect 9": Effect.gen(function* () {
    for (const body of [{ repositories: [] }, { repositories: null }]) {
      const { registry } = yield* world(list(body))
      expect(yield* items(registry.repositories())).toEqual([])
    }
    const { registry } = yield* world(list({ name: repository, tags: null }))
    expect(yield* items(registry.tags(repository))).toEqual([])
  })
}
