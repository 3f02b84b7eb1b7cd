/** The pages for those who come from other clients: what they show runs, and is what they show. */
import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as docker from "../examples/migration/docker-registry-client.js"
import * as epoch from "../examples/migration/epoch.js"
import * as ggcr from "../examples/migration/go-containerregistry.js"
import * as oras from "../examples/migration/oras-go.js"
import * as reggie from "../examples/migration/reggie.js"
import * as sigstore from "../examples/migration/sigstore-oci.js"
import * as sonar from "../examples/migration/sonar.js"
import * as Registries from "../src/Registries.js"
import { Registry } from "../src/Registry.js"
import * as Digest from "../src/spec/Digest.js"
import * as Manifest from "../src/spec/Manifest.js"
import * as Reference from "../src/spec/Reference.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { authority } from "./support/certificates.js"
import type { Seen } from "./support/fake/Handler.js"
import { origin } from "./support/fake/Sockets.js"
import { utf8 } from "./support/fixtures.js"
import { layerSocketServer, ServerUrl } from "./support/server.js"

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
const listing = (path: string) => readdirSync(new URL(`../${path}`, import.meta.url))

describe("docs/migration", () => {
  it("has a page for each example, and an example on each page", () => {
    expect(listing("docs/migration").map((name) => name.replace(/md$/, "ts"))).toEqual(
      listing("examples/migration")
    )
  })

  for (const page of listing("docs/migration"))
    it(`${page} shows its example as it is, and is named in the README`, () => {
      const path = `examples/migration/${page.replace(/md$/, "ts")}`
      expect(read(`docs/migration/${page}`)).toContain(
        `<!-- ${path} -->\n\`\`\`ts\n${read(path)}\`\`\`\n`
      )
      expect(read("README.md")).toContain(`docs/migration/${page}`)
    })
})

const repository = Reference.unsafeParseRepositoryName("owner/name")
const tag = Reference.unsafeParseTag("latest")
const empty = Manifest.index({ manifests: [] })

layer(layerSocketServer().pipe(Layer.provideMerge(MemoryRegistry.layer())), {
  excludeTestServices: true
})("over the embedded registry", (it) => {
  it.effect("reggie's calls have theirs", () =>
    Effect.gen(function* () {
      const url = yield* ServerUrl
      const client = reggie.client(url, "alice", Redacted.make("hunter2"))
      expect(yield* Effect.provide(reggie.statusOf("none"), client)).toMatchObject({ status: 404 })
      expect(yield* Effect.provide(reggie.uploadAndCancel, client)).toBe(204)
    })
  )

  it.effect("sonar's calls have theirs", () =>
    Effect.gen(function* () {
      const client = sonar.client(`${yield* ServerUrl}/v2`)
      expect(yield* Effect.provide(sonar.check, client)).toBe(200)
      yield* (yield* Registry).putManifest(repository, empty, { tags: [tag] })
      expect(yield* Effect.provide(sonar.walk, client)).toMatchObject({
        descriptor: empty.descriptor
      })
    })
  )
})

layer(MemoryRegistry.layer())("over a registry in memory", (it) => {
  it.effect("docker-registry-client's calls have theirs", () =>
    Effect.gen(function* () {
      const { found, size } = yield* docker.blobs(repository, utf8("hello"))
      expect([Option.isSome(found), size]).toEqual([true, 5])
      yield* (yield* Registry).putManifest(repository, empty, { tags: [tag] })
      expect([...(yield* docker.repositories)]).toEqual([repository])
      expect([...(yield* docker.tags(repository))]).toEqual([tag])
      yield* docker.remove(repository, tag)
      expect([...(yield* docker.tags(repository))]).toEqual([])
      yield* Effect.scoped(Layer.build(docker.pinged(MemoryRegistry.layer())))
      const content = {
        schemaVersion: 1,
        name: repository,
        tag,
        architecture: "amd64",
        fsLayers: [{ blobSum: Digest.fromBytes(utf8("hello")) }],
        history: [{ v1Compatibility: "{}" }]
      } as const
      const { key } = yield* authority("signer")
      yield* docker.sign(repository, tag, content, Redacted.make(key))
      expect(yield* docker.signed(repository, tag)).toMatchObject({
        ...content,
        signers: [{ algorithm: "ES256" }]
      })
    })
  )
})

it.scopedLive("epoch's calls have theirs", () =>
  Effect.gen(function* () {
    const seen: Array<Seen> = []
    const { url } = yield* origin((request) => {
      seen.push(request)
      return { status: 201 }
    })
    const digest = Digest.fromBytes(utf8("hello"))
    const status = yield* epoch.putBlob("owner/name", digest, Stream.make(utf8("hello")), 5).pipe(
      Effect.provide(epoch.client),
      Effect.withConfigProvider(
        ConfigProvider.fromMap(
          new Map([
            ["EPOCH_URL", url],
            ["EPOCH_TOKEN", "static"]
          ])
        )
      )
    )
    expect(status).toBe(201)
    expect(seen).toMatchObject([
      {
        line: `PUT /v2/owner/name/blobs/${digest}`,
        authorization: "Bearer static",
        body: "hello",
        headers: { "content-length": "5" }
      }
    ])
  })
)

layer(MemoryRegistry.layerRegistries())("over registries in memory", (it) => {
  const reference = "registry.example.com/owner/name:latest"

  it.effect("the calls of oras-go, go-containerregistry and @sigstore/oci have theirs", () =>
    Effect.gen(function* () {
      yield* oras.push(reference, "a.txt", utf8("hello"))
      expect(yield* oras.names(reference)).toEqual([Option.some("a.txt")])
      yield* oras.promote(reference)
      yield* ggcr.tag(reference)
      const { descriptor } = yield* Registries.resolve(reference)
      expect(yield* ggcr.digest(reference)).toBe(descriptor.digest)
      expect(Digest.fromBytes(yield* ggcr.manifest(reference))).toBe(descriptor.digest)
      expect([...(yield* ggcr.tags("registry.example.com/owner/name"))]).toEqual([
        "latest",
        "stable"
      ])
      yield* sigstore.attach(reference, utf8("{}"))
      expect(yield* sigstore.digest(reference)).toBe(descriptor.digest)
      expect([...(yield* sigstore.bundles(reference))]).toHaveLength(1)
    })
  )
})
