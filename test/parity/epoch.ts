/** epoch's registryclient (cocoonstack/epoch): its rows, and its limits. */
import * as HttpBody from "@effect/platform/HttpBody"
import { expect } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as TlsSettings from "../../src/node/TlsSettings.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import type { Handler } from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { environment, folder } from "../support/machine.js"
import { embedded, type Row, repository, tag, url, world } from "./world.js"

const ok: Handler = () => ({ status: 200 })
const digest = Digest.fromBytes(utf8("hello"))

/** A list that a registry answers as a whole. */
const list =
  (body: object): Handler =>
  () => ({ status: 200, body: JSON.stringify(body) })

const configured = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  values: Readonly<Record<string, string>>
) => Effect.withConfigProvider(effect, ConfigProvider.fromMap(new Map(Object.entries(values))))

const missing: Handler = () => ({ status: 404, body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' })

export const rows: Readonly<Record<string, Row>> = {
  EP1: Effect.gen(function* () {
    expect(yield* RegistryClient.endpoint({ url: " https://r.example// " })).toMatchObject({
      base: "https://r.example"
    })
    const url = Config.withDefault(Config.string("REGISTRY"), "http://127.0.0.1:8080")
    expect(yield* configured(url, {})).toBe("http://127.0.0.1:8080")
  }),
  EP2: Effect.gen(function* () {
    const root = yield* folder({ "ca.pem": "-----BEGIN CERTIFICATE-----" })
    const ca = TlsSettings.configCa("EPOCH_CA_CERT")
    expect(yield* configured(ca, { EPOCH_CA_CERT: `${root}/ca.pem` })).toHaveLength(1)
    expect(yield* configured(ca, {})).toEqual([])
  }),
  EP3: Effect.gen(function* () {
    const root = yield* folder({ "empty.pem": "" })
    const problem = (path: string) =>
      Effect.map(
        Effect.flip(configured(TlsSettings.configCa("CA"), { CA: `${root}/${path}` })),
        String
      )
    expect(yield* problem("empty.pem")).toMatch(/no certificate in .*empty\.pem/)
    expect(yield* problem("none.pem")).toMatch(/Cannot read certificates/)
  }),
  EP4: Effect.gen(function* () {
    const { client } = yield* world(ok)
    expect(client.endpoint.base).toBe(url)
  }),
  EP5: Effect.gen(function* () {
    const { registry, seen } = yield* world(missing)
    const error = yield* Effect.flip(registry.getManifest(repository, tag))
    expect(error).toMatchObject({ _tag: "ManifestUnknown", method: "GET" })
    for (const type of [
      MediaType.imageManifest,
      MediaType.imageIndex,
      MediaType.dockerManifest,
      MediaType.dockerManifestList
    ])
      expect(seen[0]?.headers["accept"]).toContain(type)
  }),
  EP6: Effect.gen(function* () {
    const { registry } = yield* world(missing)
    expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
    const broken = yield* world(() => ({ status: 500 }), { retry: { attempts: 0 } })
    expect((yield* Effect.exit(broken.registry.headManifest(repository, tag)))._tag).toBe("Failure")
  }),
  EP7: Effect.gen(function* () {
    const { registry, seen } = yield* world(() => ({ status: 201 }))
    const manifest = Manifest.index({ manifests: [] })
    yield* registry.putManifest(repository, manifest, { tags: [tag] })
    expect(seen[0]?.headers["content-type"]).toBe(MediaType.imageIndex)
  }),
  EP8: Effect.gen(function* () {
    const { registry } = yield* world(() => ({ status: 404 }))
    expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
  }),
  EP9: Effect.gen(function* () {
    const { registry } = yield* embedded()
    const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("hello")))
    expect(yield* gather(registry.getBlob(repository, blob.digest))).toEqual(utf8("hello"))
  }),
  EP10: Effect.gen(function* () {
    const { client, seen } = yield* world(() => ({ status: 201 }))
    yield* client.execute(
      Request.put("/v2/<name>/blobs/<digest>", { name: "a", digest }).pipe(
        Request.setBody(HttpBody.stream(Stream.make(utf8("hello")), "application/octet-stream", 5))
      )
    )
    expect(seen).toMatchObject([
      {
        line: `PUT /v2/a/blobs/${digest}`,
        body: "hello",
        headers: { "content-length": "5", "content-type": "application/octet-stream" }
      }
    ])
  }),
  EP11: Effect.gen(function* () {
    const { registry, seen } = yield* world(list({ name: "owner/name", tags: ["a", "b"] }))
    expect(yield* items(Stream.take(registry.tags(repository, { pageSize: 2 }), 1))).toEqual(["a"])
    expect(seen).toHaveLength(1)
  }),
  // What is not there is an error that says so, and `isAbsent` tells it from others.
  EP12: Effect.gen(function* () {
    const { registry } = yield* world(() => ({ status: 202 }))
    yield* registry.deleteManifest(repository, digest)
    yield* registry.deleteTag(repository, tag)
    const absent = yield* world(missing)
    expect(yield* Effect.flip(absent.registry.deleteManifest(repository, digest))).toMatchObject({
      _tag: "ManifestUnknown"
    })
  }),
  EP13: Effect.gen(function* () {
    const { registry } = yield* world(() => ({ status: 418, body: `  teapot ${"x".repeat(5000)}` }))
    const { message } = yield* Effect.flip(registry.ping)
    expect(message).toMatch(/teapot.*GET http:\/\/registry\.test\/v2\/.*418/s)
    expect(message.length).toBeLessThan(1024)
  }),
  EP14: Effect.gen(function* () {
    const { client, log } = yield* world(ok, { headers: { authorization: "Bearer static" } })
    yield* client.execute(Request.get("/x"))
    expect(log).toEqual([`GET ${url}/x Bearer static`])
  }),
  EP15: Effect.gen(function* () {
    const { client } = yield* world(() => Effect.never)
    // Interruption is everywhere, without an argument.
    expect(yield* Effect.timeoutOption(client.execute(Request.get("/x")), "20 millis")).toEqual(
      Option.none()
    )
  }),
  EP16: Effect.gen(function* () {
    const { registry } = yield* embedded()
    const config = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("{}")), {
      mediaType: "application/vnd.example.config"
    })
    const manifest = Manifest.image({ config, layers: [] })
    expect(Manifest.artifactType(manifest)).toEqual(Option.some("application/vnd.example.config"))
    expect(Annotations.getTitle({ [Annotations.title]: "a.txt" })).toEqual(Option.some("a.txt"))
    yield* registry.putManifest(repository, manifest, { tags: [tag] })
    const read = yield* registry.getManifest(repository, tag)
    const other = Reference.unsafeParseTag("other")
    yield* registry.putManifest(repository, read, { tags: [other] })
    expect(yield* registry.headManifest(repository, other)).toMatchObject(
      Option.some({ digest: manifest.descriptor.digest })
    )
    expect(Reference.unsafeParse("localhost:5000/name")).toMatchObject({ host: "localhost:5000" })
    expect(Option.isSome(Reference.unsafeParse(`r.example/a@${digest}`).digest)).toBe(true)
  }),
  "EP defect 1": Effect.gen(function* () {
    const { registry } = yield* world(({ url: { searchParams } }) =>
      searchParams.has("last")
        ? { status: 200, body: '{"repositories":["b"]}' }
        : {
            status: 200,
            headers: { link: '</v2/_catalog?last=a>; rel="next"' },
            body: '{"repositories":["a"]}'
          }
    )
    expect(yield* items(registry.repositories())).toEqual(["a", "b"])
  }),
  "EP defect 2": Effect.gen(function* () {
    const { log, registry } = yield* world(
      ({ authorization, url: { pathname } }) =>
        pathname === "/token"
          ? { status: 200, body: '{"token":"t"}' }
          : authorization === "Bearer t"
            ? { status: 200 }
            : { status: 401, headers: { "www-authenticate": `Bearer realm="${url}/token"` } },
      { login: true }
    )
    yield* registry.ping
    expect(log.map((line) => line.split(" ")[2])).toEqual(["-", expect.any(String), "Bearer"])
  }),
  "EP defect 3": Effect.gen(function* () {
    const { registry } = yield* world(() => ({
      status: 200,
      headers: { "content-type": MediaType.imageIndex },
      body: Manifest.index({ manifests: [] }).bytes
    }))
    for (const asked of [
      registry.getManifest(repository, digest),
      gather(registry.getBlob(repository, digest))
    ])
      expect(yield* Effect.flip<unknown, unknown, never>(asked)).toMatchObject({
        _tag: "DigestMismatch"
      })
  }),
  "EP defect 4": Effect.gen(function* () {
    const { registry, seen } = yield* world(() => ({ status: 201 }))
    const from = Reference.unsafeParseRepositoryName("other")
    expect(yield* registry.mountBlob(repository, digest, from)).toBe(true)
    expect(seen.map(({ line }) => decodeURIComponent(line))).toEqual([
      `POST /v2/owner/name/blobs/uploads/?mount=${digest}&from=other`
    ])
  }),
  "EP defect 5": Effect.gen(function* () {
    const { registry } = yield* embedded()
    const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("hello")), {
      strategy: "chunked",
      chunkSize: 2
    })
    expect(yield* gather(registry.getBlob(repository, blob.digest))).toEqual(utf8("hello"))
  }),
  "EP defect 6": Effect.gen(function* () {
    const { registry } = yield* embedded()
    const state = yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* registry.startUpload(repository)
        yield* session.write(utf8("hel"))
        return yield* session.detach
      })
    )
    const session = yield* registry.resumeUpload(state)
    yield* session.write(utf8("lo"))
    expect(yield* session.commit(digest)).toMatchObject({ digest, size: 5 })
  }),
  "EP defect 7": Effect.gen(function* () {
    const { registry, seen } = yield* world(missing)
    yield* registry.headManifest(repository, tag)
    expect(seen.map(({ method }) => method)).toEqual(["HEAD"])
  }),
  "EP defect 8": Effect.gen(function* () {
    const seen: Array<string> = []
    const proxy = yield* origin(({ line }) => {
      seen.push(line)
      return { status: 200 }
    })
    yield* environment("http_proxy", proxy.url)
    yield* RegistryClient.RegistryClient.pipe(
      Effect.flatMap(({ execute }) => execute(Request.get("/v2/"))),
      Effect.provide(NodeRegistry.layer({ url: "http://registry.example" })),
      Effect.provide(Credentials.layerAnonymous)
    )
    expect(seen).toEqual(["GET http://registry.example/v2/"])
  }),
  "EP defect 9": Effect.gen(function* () {
    const hangs = () => Effect.never
    const nothing = () => new ReadableStream<Uint8Array>()
    for (const [handler, timeouts] of [
      [hangs, { response: "20 millis" }],
      [hangs, { overall: "20 millis" }],
      [() => ({ status: 200, body: nothing }), { overall: "20 millis" }]
    ] as const) {
      const { registry } = yield* world(handler, { timeouts, retry: { attempts: 0 } })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "TransportFailure"
      })
    }
  }),
  "EP defect 10": Effect.gen(function* () {
    const { registry } = yield* world(
      () => ({
        status: 200,
        headers: { "content-type": MediaType.imageManifest },
        body: "x".repeat(100)
      }),
      { limits: { manifest: 10 } }
    )
    expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
      _tag: "LimitExceeded"
    })
  }),
  "EP defect 11": Effect.gen(function* () {
    expect(yield* Reference.parse("localhost:5000/owner/name")).toMatchObject({
      host: "localhost:5000",
      repository: "owner/name",
      tag: Option.none()
    })
    expect(yield* Reference.parse(`r.example:5000/a:b@${digest}`)).toMatchObject({
      host: "r.example:5000",
      repository: "a",
      tag: Option.some("b"),
      digest: Option.some(digest)
    })
  })
}
