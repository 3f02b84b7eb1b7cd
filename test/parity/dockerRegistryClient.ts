/** heroku/docker-registry-client: its rows and its defects. */
import * as HttpBody from "@effect/platform/HttpBody"
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Request from "../../src/client/Request.js"
import * as Challenge from "../../src/protocol/Challenge.js"
import * as Link from "../../src/protocol/Link.js"
import { pinged, Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import { authority } from "../support/certificates.js"
import { basic, guarded, type Handler } from "../support/fake/Handler.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { uncheckedTls } from "./reggie.js"
import { debug, embedded, info, logged, type Row, repository, tag, url, world } from "./world.js"

const ok: Handler = () => ({ status: 200 })
const digest = Digest.fromBytes(utf8("hello"))

/** A manifest of schema 1, signed, whose layer is in the embedded registry. */
const signed = Effect.gen(function* () {
  const opened = yield* embedded()
  const layer = yield* opened.registry.putBlob(repository, BlobSource.fromBytes(utf8("layer")))
  const unsigned = SignedManifest.make({
    schemaVersion: 1,
    name: repository,
    tag,
    architecture: "amd64",
    fsLayers: [{ blobSum: layer.digest }],
    history: [{ v1Compatibility: '{"id":"1"}' }]
  })
  const { key } = yield* authority("signer")
  const manifest = yield* SignedManifest.sign(unsigned, { privateKey: Redacted.make(key) })
  yield* opened.registry.putManifest(repository, manifest.manifest, { tags: [tag] })
  return { ...opened, unsigned, manifest }
})

/** Pages of a list, each with its own `Link`. */
const paged =
  (key: string, link: string): Handler =>
  ({ url }) =>
    url.searchParams.has("last")
      ? { status: 200, body: JSON.stringify({ name: "owner/name", [key]: ["b"] }) }
      : {
          status: 200,
          headers: { link },
          body: JSON.stringify({ name: "owner/name", [key]: ["a"] })
        }

const listed = (key: "tags" | "repositories", link: string) =>
  Effect.gen(function* () {
    const { registry } = yield* world(paged(key, link))
    const found: ReadonlyArray<string> = yield* key === "tags"
      ? items(registry.tags(repository))
      : items(registry.repositories())
    expect(found).toEqual(["a", "b"])
  })

/** An image whose blobs are in the embedded registry. */
const pushed = Effect.gen(function* () {
  const opened = yield* embedded()
  const config = yield* opened.registry.putBlob(repository, BlobSource.fromBytes(utf8("{}")), {
    mediaType: MediaType.imageConfig
  })
  const manifest = Manifest.image({ config, layers: [] })
  yield* opened.registry.putManifest(repository, manifest, { tags: [tag] })
  return { ...opened, manifest, config }
})

const document = (mediaType: string) => JSON.stringify({ mediaType, schemaVersion: 2 })

export const rows: Readonly<Record<string, Row>> = {
  HK1: Effect.gen(function* () {
    const { registry } = yield* world(() => ({ status: 401 }))
    expect(
      yield* Effect.flip(Layer.build(pinged(Layer.succeed(Registry, registry))))
    ).toMatchObject({ _tag: "Unauthorized" })
  }),
  HK2: uncheckedTls,
  HK3: Effect.gen(function* () {
    const { log } = yield* world(ok)
    expect(log).toEqual([])
  }),
  // Errors, Basic and tokens are one pipeline here, over any `HttpClient` that is provided.
  HK4: Effect.gen(function* () {
    const { log, registry } = yield* world(
      guarded(() => ({ status: 404 })),
      { login: true }
    )
    expect(yield* Effect.flip(registry.ping)).toMatchObject({ _tag: "Unsupported" })
    expect(log).toEqual([`GET ${url}/v2/ -`, `GET ${url}/v2/ ${basic}`])
  }),
  HK5: Effect.gen(function* () {
    const { client } = yield* world(ok)
    expect(yield* logged(client.execute(Request.get("/v2/")), info)).toEqual([])
    expect(yield* logged(client.execute(Request.get("/v2/")), debug)).not.toEqual([])
  }),
  HK6: Effect.gen(function* () {
    const { registry } = yield* pushed
    const lines = (yield* logged(
      Effect.all([
        registry.ping,
        items(registry.repositories()),
        items(registry.tags(repository)),
        registry.getManifest(repository, tag),
        registry.headManifest(repository, tag),
        registry.headBlob(repository, digest)
      ]),
      debug
    )).join("\n")
    for (const path of [
      "/v2/",
      "/v2/_catalog",
      "/tags/list",
      "/manifests/latest",
      "/blobs/sha256:"
    ])
      expect(lines).toContain(path)
  }),
  HK7: Effect.gen(function* () {
    const { log, registry } = yield* world(ok)
    yield* registry.ping
    expect(log).toEqual([`GET ${url}/v2/ -`])
  }),
  HK8: listed("repositories", '</v2/_catalog?last=a>; rel="next"'),
  HK9: listed("tags", '</v2/owner/name/tags/list?last=a>; rel="next"'),
  HK10: Effect.gen(function* () {
    for (const link of [
      "/v2/_catalog?last=a; rel=next",
      "</v2/_catalog?last=a>; rel=next",
      '</v2/_catalog?last=a>; title="x"; rel="next"; foo=bar'
    ])
      yield* listed("repositories", link)
  }),
  HK11: Effect.gen(function* () {
    const { manifest, registry, unsigned } = yield* signed
    const found = yield* SignedManifest.fromManifest(yield* registry.getManifest(repository, tag))
    expect(found).toEqual(manifest)
    // An unsigned one too, whose digest is the same.
    yield* registry.putManifest(repository, unsigned.manifest, { tags: [tag] })
    const other = yield* SignedManifest.fromManifest(yield* registry.getManifest(repository, tag))
    expect(other).toEqual(unsigned)
    expect(other.manifest.descriptor.digest).toBe(found.manifest.descriptor.digest)
  }),
  HK12: Effect.gen(function* () {
    const body = document(MediaType.dockerManifest)
    const { registry, seen } = yield* world(() => ({
      status: 200,
      headers: { "content-type": MediaType.dockerManifest },
      body: JSON.stringify({
        ...JSON.parse(body),
        config: { mediaType: "a/b", digest, size: 5 },
        layers: []
      })
    }))
    expect(yield* registry.getManifest(repository, tag)).toMatchObject({
      descriptor: { mediaType: MediaType.dockerManifest }
    })
    expect(seen[0]?.headers["accept"]).toContain(MediaType.dockerManifest)
  }),
  HK13: Effect.gen(function* () {
    const { manifest, registry } = yield* pushed
    expect(yield* registry.headManifest(repository, tag)).toMatchObject(
      Option.some({ digest: manifest.descriptor.digest })
    )
  }),
  HK14: Effect.gen(function* () {
    const { manifest, registry } = yield* pushed
    yield* registry.deleteManifest(repository, manifest.descriptor.digest)
    expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
  }),
  HK15: Effect.gen(function* () {
    const { registry } = yield* embedded()
    const manifest = yield* Manifest.fromBytes(utf8(document("application/vnd.example+json")), {
      mediaType: "application/vnd.example+json"
    })
    yield* registry.putManifest(repository, manifest, { tags: [tag] })
    expect((yield* registry.getManifest(repository, tag)).descriptor).toEqual(manifest.descriptor)
  }),
  HK16: Effect.gen(function* () {
    const { config, registry } = yield* pushed
    expect(yield* gather(registry.getBlob(repository, config.digest))).toEqual(utf8("{}"))
  }),
  HK17: Effect.gen(function* () {
    const { log, registry } = yield* world(({ method }) =>
      method === "POST"
        ? { status: 202, headers: { location: "/u/1?state=%2f" } }
        : { status: 201, headers: { location: `/v2/owner/name/blobs/${digest}` } }
    )
    yield* registry.putBlob(
      repository,
      BlobSource.fromStream(Stream.make(utf8("hello")), { size: 5, digest })
    )
    expect(log.filter((line) => line.startsWith("PUT"))).toEqual([
      `PUT ${url}/u/1?state=%2f&digest=${encodeURIComponent(digest)} -`
    ])
  }),
  HK18: Effect.gen(function* () {
    const { config, registry } = yield* pushed
    expect(Option.isSome(yield* registry.headBlob(repository, config.digest))).toBe(true)
    expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
    const broken = yield* world(() => ({ status: 500 }), { retry: { attempts: 0 } })
    expect(yield* Effect.flip(broken.registry.headBlob(repository, digest))).toMatchObject({
      _tag: "RegistryFailure",
      status: 500
    })
  }),
  HK19: Effect.gen(function* () {
    const { config, registry } = yield* pushed
    expect(yield* registry.headBlob(repository, config.digest)).toMatchObject(
      Option.some({ digest: config.digest, size: 2 })
    )
  }),
  HK20: Effect.gen(function* () {
    const storage = "http://registry.test.evil"
    const { client, log } = yield* world(
      guarded(() => ({ status: 307, headers: { location: `${storage}/b` } })),
      { login: true, others: { [storage]: ok }, trust: { allowStorage: ["registry.test.evil"] } }
    )
    yield* client.execute(Request.get("/x"))
    expect(log.at(-1)).toBe(`GET ${storage}/b -`)
  }),
  HK21: Effect.gen(function* () {
    const { client, seen } = yield* world(({ authorization, url: { pathname } }) =>
      pathname === "/token"
        ? { status: 200, body: '{"token":"t"}' }
        : authorization === "Bearer t"
          ? { status: 200 }
          : {
              status: 401,
              headers: { "www-authenticate": `Bearer realm="${url}/token?own=1",service="s"` }
            }
    )
    expect((yield* client.execute(Request.get("/x"))).status).toBe(200)
    expect(seen[1]).toMatchObject({ authorization: undefined })
    expect(seen[1]?.url.searchParams.get("own")).toBe("1")
    expect(seen[1]?.url.searchParams.has("scope")).toBe(false)
  }),
  HK22: Effect.gen(function* () {
    const { registry } = yield* world(() => ({ status: 418, body: "short and stout" }))
    const error = yield* Effect.flip(registry.ping)
    expect(error).toMatchObject({ status: 418 })
    expect(error.message).toMatch(/short and stout.*418/s)
  }),
  HK23: Effect.sync(() =>
    expect(Challenge.parse('BEARER Realm="a b",SERVICE=s, Basic realm="c"')).toMatchObject([
      { scheme: "bearer", realm: "a b", service: "s" },
      { scheme: "basic" }
    ])
  ),
  HK24: Effect.gen(function* () {
    const { manifest, registry } = yield* signed
    expect(yield* SignedManifest.verify(manifest)).toMatchObject([{ algorithm: "ES256" }])
    yield* registry.deleteManifest(repository, manifest.manifest.descriptor.digest)
    expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
    const [layer] = manifest.content.fsLayers
    expect(Option.isSome(yield* registry.headBlob(repository, layer?.blobSum ?? digest))).toBe(true)
  }),
  "HK defect 1": listed("repositories", '</v2/_catalog?n=100&last=a>; rel="next"'),
  "HK defect 2": Effect.gen(function* () {
    const { client, log } = yield* world(({ method }) => ({
      status: 202,
      ...(method === "POST" && { headers: { location: "uploads/1" } })
    }))
    const opened = yield* client.execute(Request.post("/v2/a/blobs/"))
    yield* client.execute(Request.to(opened, "PUT"))
    expect(log[1]).toBe(`PUT ${url}/v2/a/blobs/uploads/1 -`)
  }),
  "HK defect 3": Effect.sync(() =>
    expect(Link.next('</prev>; rel="prev", </next>; rel="next"')).toEqual(Option.some("/next"))
  ),
  "HK defect 4": Effect.gen(function* () {
    const { registry } = yield* world(({ url }) =>
      url.searchParams.has("last")
        ? { status: 200, body: "{}" }
        : {
            status: 200,
            headers: { link: '</v2/owner/name/tags/list?last=a>; rel="next"' },
            body: '{"name":"owner/name","tags":["a"]}'
          }
    )
    // A page without its list is an error or empty, and never the page before.
    const found = yield* Effect.either(items(registry.tags(repository)))
    if (found._tag === "Right") expect(found.right).toEqual(["a"])
    else expect(found.left).toMatchObject({ _tag: "ProtocolViolation" })
    const circle = yield* world(() => ({
      status: 200,
      headers: { link: '</v2/owner/name/tags/list?last=a>; rel="next"' },
      body: '{"name":"owner/name","tags":["a"]}'
    }))
    expect((yield* Effect.exit(items(circle.registry.tags(repository))))._tag).toBeDefined()
    expect(circle.log.length).toBeLessThan(5)
  }),
  "HK defect 5": Effect.gen(function* () {
    const { client, log } = yield* world(({ url: { pathname } }) =>
      pathname === "/token"
        ? { status: 401 }
        : { status: 401, headers: { "www-authenticate": `Bearer realm="${url}/token"` } }
    )
    expect(yield* Effect.flip(client.execute(Request.get("/x")))).toMatchObject({
      _tag: "Unauthorized"
    })
    expect(log.filter((line) => line.includes("Bearer"))).toEqual([])
  }),
  "HK defect 6": Effect.gen(function* () {
    const { client, log } = yield* world(({ authorization, url: { pathname } }) =>
      pathname === "/token"
        ? { status: 200, body: '{"access_token":"t"}' }
        : authorization === "Bearer t"
          ? { status: 200 }
          : { status: 401, headers: { "www-authenticate": `Bearer realm="${url}/token"` } }
    )
    yield* client.execute(Request.get("/x"))
    expect(log.at(-1)).toBe(`GET ${url}/x Bearer t`)
  }),
  "HK defect 7": Effect.gen(function* () {
    let isRead = false
    const { client, seen } = yield* world(
      guarded(() => ({ status: 201 })),
      { login: true }
    )
    const once = Stream.suspend(() => {
      const stream = isRead ? Stream.empty : Stream.make(utf8("hello"))
      isRead = true
      return stream
    })
    expect(
      yield* Effect.flip(
        client.execute(Request.put("/x").pipe(Request.setBody(HttpBody.stream(once, "a/b"))))
      )
    ).toMatchObject({ _tag: "BodyNotReplayable" })
    expect(seen.filter(({ authorization }) => authorization === basic)).toEqual([])
  }),
  "HK defect 8": Effect.sync(() =>
    expect(
      Challenge.parse('Basic realm="r", Bearer realm="https://a/token"').map(({ scheme }) => scheme)
    ).toEqual(["basic", "bearer"])
  ),
  "HK defect 9": Effect.gen(function* () {
    const evil = "http://registry.test.evil"
    const { client, log } = yield* world(
      () => ({
        status: 202,
        headers: { location: `${evil}/u` }
      }),
      { login: true, others: { [evil]: ok } }
    )
    const opened = yield* client.execute(Request.post("/x"))
    expect(yield* Effect.flip(client.execute(Request.to(opened, "PUT")))).toMatchObject({
      _tag: "UntrustedLocation"
    })
    expect(log).toHaveLength(1)
  }),
  "HK defect 10": Effect.sync(() =>
    expect(Challenge.parse('Bearer realm="abcd\\"efghij",scope="",service="s"')).toMatchObject([
      { realm: 'abcd"efghij', service: "s", scopes: [] }
    ])
  ),
  "HK defect 11": Effect.gen(function* () {
    const { client, log } = yield* world(guarded(ok), { login: true })
    for (let n = 0; n < 3; n++) yield* client.execute(Request.get("/x"))
    expect(log.map((line) => line.endsWith("-"))).toEqual([true, false, false, false])
  }),
  "HK defect 12": Effect.gen(function* () {
    const bytes = utf8(document("application/vnd.example+json"))
    const { registry, seen } = yield* world(({ method }) => ({
      status: 200,
      headers: {
        "content-type": "application/vnd.example+json",
        "content-length": String(bytes.length)
      },
      ...(method === "GET" && { body: bytes })
    }))
    // Without the header the manifest itself is read.
    expect(yield* registry.headManifest(repository, tag)).toMatchObject(
      Option.some({ digest: Digest.fromBytes(bytes) })
    )
    expect(seen[0]?.headers["accept"]).toContain(MediaType.imageManifest)
  }),
  "HK defect 13": Effect.gen(function* () {
    const index = Manifest.index({ manifests: [] })
    const { registry } = yield* embedded()
    yield* registry.putManifest(repository, index, { tags: [tag] })
    expect((yield* registry.getManifest(repository, tag)).descriptor.mediaType).toBe(
      MediaType.imageIndex
    )
    const other = yield* world(() => ({
      status: 200,
      headers: { "content-type": MediaType.imageIndex },
      body: index.bytes
    }))
    expect(yield* Effect.flip(other.registry.getManifest(repository, digest))).toMatchObject({
      _tag: "DigestMismatch"
    })
  }),
  "HK defect 14": Effect.gen(function* () {
    const { log, registry } = yield* world(({ method }) =>
      method === "POST"
        ? { status: 202, headers: { location: "/u/1?z=1&a=%2F'" } }
        : { status: 204 }
    )
    // 204 does not close an upload.
    yield* Effect.exit(
      registry.putBlob(
        repository,
        BlobSource.fromStream(Stream.make(utf8("hello")), { size: 5, digest })
      )
    )
    expect(log.find((line) => line.startsWith("PUT"))).toContain(`${url}/u/1?z=1&a=%2F'&digest=`)
    const page = yield* world(() => ({ status: 302 }))
    expect((yield* Effect.exit(page.registry.ping))._tag).toBe("Failure")
  }),
  "HK defect 15": Effect.gen(function* () {
    expect(Reference.isRepositoryName("A")).toBe(false)
    const { registry } = yield* world(() => ({ status: 500, body: "x".repeat(1_000_000) }), {
      retry: { attempts: 0 }
    })
    expect((yield* Effect.flip(registry.ping)).message.length).toBeLessThan(2048)
  })
}
