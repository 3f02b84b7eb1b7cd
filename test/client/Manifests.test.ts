import { deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ContentDecoding from "../../src/internal/ContentDecoding.js"
import * as Digest from "../../src/spec/Digest.js"
import type { Seen } from "../support/fake/Handler.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import {
  knownManifest,
  m1,
  m1Digest,
  m1Type,
  manifestAnswer,
  registryUrl,
  repository,
  status,
  tag,
  world
} from "./world.js"

const methods = (log: ReadonlyArray<string>) => log.map((line) => line.split(" ", 1).join())
const other = Digest.fromBytes(utf8("other"))

describe("headManifest", () => {
  const headed = (headers: Record<string, string>, code = 200) =>
    world({
      [registryUrl]: ({ method }) =>
        method === "HEAD" ? status(code, null, headers) : manifestAnswer()
    })
  const size = String(m1.length)
  const full = { "content-type": m1Type, "content-length": size, "docker-content-digest": m1Digest }
  const found = Option.some({ mediaType: m1Type, digest: m1Digest, size: m1.length })

  it.effect("needs one request where the registry says everything, and no body", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* headed(full)
      expect(yield* registry.headManifest(repository, tag)).toEqual(found)
      expect(methods(log)).toEqual(["HEAD"])
    })
  )

  const { "content-length": _, ...unsized } = full
  it.effect.each([
    ["a digest that is none (T8)", { ...full, "docker-content-digest": "sha256:../../x" }, 200],
    ["no length", unsized, 200],
    ["a length that is no number", { ...full, "content-length": "None" }, 200],
    ["a media type that is none", { ...full, "content-type": "yes" }, 200]
  ] as const)("asks with GET and hashes after a HEAD with %s", ([, headers, code]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* headed({ ...headers }, code)
      expect(yield* registry.headManifest(repository, tag)).toEqual(found)
      expect(methods(log)).toEqual(["HEAD", "GET"])
    })
  )

  it.effect("finds nothing with 404, whatever its page, when a ping asks for nothing either", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* headed({ "content-type": "text/html" }, 404)
      expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
      expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
      expect(methods(log)).toEqual(["HEAD", "GET", "HEAD"])
    })
  )

  it.effect("rejects another digest of the same algorithm than it asked for (T7)", () =>
    Effect.gen(function* () {
      const { registry } = yield* headed({ ...full, "docker-content-digest": other })
      expect(yield* Effect.flip(registry.headManifest(repository, m1Digest))).toMatchObject({
        _tag: "DigestMismatch"
      })
    })
  )
})

describe("getManifest", () => {
  it.effect("fails where other bytes come than were asked for (T7)", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({ [registryUrl]: manifestAnswer })
      expect(yield* Effect.flip(registry.getManifest(repository, other))).toMatchObject({
        _tag: "DigestMismatch",
        expected: other,
        actual: m1Digest
      })
    })
  )
})

describe("content that comes encoded all the same (rule 20, trap 26)", () => {
  const gzipped = new Uint8Array(gzipSync(utf8(m1)))
  const encodings: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["gzip", gzipped],
    ["x-gzip", gzipped],
    ["GZIP", gzipped],
    ["deflate", new Uint8Array(deflateSync(utf8(m1)))],
    ["deflate", new Uint8Array(deflateRawSync(utf8(m1)))],
    ["gzip, identity, deflate", new Uint8Array(deflateSync(gzipped))],
    ["identity", utf8(m1)],
    ["gzip", utf8(m1)],
    ["br", utf8(m1)]
  ]

  it.effect.each(encodings)(
    "a manifest as %s is what it was before, by tag and by digest",
    ([encoding, body]) =>
      Effect.gen(function* () {
        const { registry } = yield* world({
          [registryUrl]: () =>
            status(200, body, { "content-type": m1Type, "content-encoding": encoding })
        })
        expect((yield* registry.getManifest(repository, tag)).bytes).toEqual(utf8(m1))
        expect((yield* registry.getManifest(repository, m1Digest)).bytes).toEqual(utf8(m1))
      })
  )

  it.effect.each(encodings)("a small blob as %s is what its digest says", ([encoding, body]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, body, { "content-length": String(body.length), "content-encoding": encoding })
      })
      expect(yield* gather(registry.getBlob(repository, m1Digest))).toEqual(utf8(m1))
      expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(body)))).toEqual(body)
    })
  )

  it.effect("a page of tags is read", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, new Uint8Array(gzipSync('{"tags":["a"]}')), { "content-encoding": "gzip" })
      })
      expect(yield* items(registry.tags(repository))).toEqual(["a"])
    })
  )

  const large = new Uint8Array(3 * 1024 * 1024).map((_, n) => (n * 2_654_435_761) >>> 24)
  const largeZipped = new Uint8Array(gzipSync(large, { level: 1 }))

  it.effect("a large blob is taken as it came, which is right for a mislabelled one", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, large, { "content-encoding": "gzip" })
      })
      const digest = Digest.fromBytes(large)
      expect(Digest.fromBytes(yield* gather(registry.getBlob(repository, digest)))).toBe(digest)
    })
  )

  it.effect("and otherwise the failure says what may have happened", () =>
    Effect.gen(function* () {
      const noise = new Uint8Array(gzipSync(crypto.getRandomValues(new Uint8Array(65_536))))
      const blob = new Uint8Array(Array.from({ length: 40 }, () => [...noise]).flat())
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, new Uint8Array(gzipSync(blob, { level: 0 })), { "content-encoding": "gzip" })
      })
      const descriptor = { mediaType: "a/b", digest: Digest.fromBytes(blob), size: blob.length }
      for (const asked of [descriptor, descriptor.digest]) {
        const error = yield* Effect.flip(gather(registry.getBlob(repository, asked)))
        expect(error).toMatchObject({ _tag: "ProtocolViolation" })
        expect(error.message).toContain("Content-Encoding: gzip")
      }
      expect(largeZipped.length).toBeLessThan(large.length)
    })
  )

  it.effect("bytes that are neither fail as any others (T7)", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, gzipped, { "content-type": m1Type, "content-encoding": "gzip" })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, other))).toMatchObject({
        _tag: "DigestMismatch"
      })
    })
  )

  it.effect("a bomb is an error, at the limit of the document (T10)", () =>
    Effect.gen(function* () {
      const bomb = new Uint8Array(gzipSync(new Uint8Array(64 * 1024 * 1024)))
      expect(bomb.length).toBeLessThan(100_000)
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, bomb, { "content-type": m1Type, "content-encoding": "gzip" })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 8_388_608,
        option: "limits.manifest"
      })
      expect(yield* Effect.flip(gather(registry.getBlob(repository, m1Digest)))).toMatchObject({
        _tag: "ProtocolViolation"
      })
    })
  )

  it.effect("a chain of codings is an error beyond five (T10)", () =>
    Effect.gen(function* () {
      const nested = (depth: number): Uint8Array =>
        depth === 0 ? utf8(m1) : new Uint8Array(gzipSync(nested(depth - 1)))
      const answer = (depth: number) => ({
        [registryUrl]: () =>
          status(200, nested(depth), {
            "content-type": m1Type,
            "content-encoding": Array(depth).fill("gzip").join(", ")
          })
      })
      const five = yield* world(answer(5))
      expect((yield* five.registry.getManifest(repository, tag)).bytes).toEqual(utf8(m1))
      const six = yield* world(answer(6))
      expect(yield* Effect.flip(six.registry.getManifest(repository, tag))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 5
      })
    })
  )

  it("a field of nothing but commas names no coding", () =>
    expect(ContentDecoding.parse(" , identity,, ")).toEqual([]))
})

describe("referrers", () => {
  const index = (...digests: ReadonlyArray<string>) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: digests.map((digest) => ({ mediaType: m1Type, digest, size: 1 }))
    })
  const indexType = { "content-type": "application/vnd.oci.image.index.v1+json" }
  const byTag = `sha256-${Digest.encoded(m1Digest)}`

  it.effect.each([401, 403, 429, 500])(
    "are not read by tag after %i, which says nothing of support (trap 43)",
    (code) =>
      Effect.gen(function* () {
        const { log, registry } = yield* world(
          { [registryUrl]: () => status(code) },
          { retry: { attempts: 0 } }
        )
        yield* Effect.flip(items(registry.referrers(repository, m1Digest)))
        expect(log.join()).not.toContain(byTag)
      })
  )

  it.effect("are none where the registry lists none, and the tag is not asked", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: () => status(200, index(), indexType)
      })
      expect(yield* items(registry.referrers(repository, m1Digest))).toEqual([])
      expect(log.length).toBe(1)
    })
  )
})

describe("deleteManifest", () => {
  const imageType = "application/vnd.oci.image.manifest.v1+json"
  const empty = {
    mediaType: "application/vnd.oci.empty.v1+json",
    digest: Digest.fromBytes(utf8("{}")),
    size: 2
  }
  const referrer = JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    artifactType: "application/vnd.example",
    config: empty,
    layers: [empty],
    subject: { mediaType: m1Type, digest: m1Digest, size: m1.length }
  })
  const digest = Digest.fromBytes(utf8(referrer))
  const manifest = `/v2/team/app/manifests/${digest}`
  const list = `/v2/team/app/referrers/${m1Digest}`
  const indexType = { "content-type": "application/vnd.oci.image.index.v1+json" }

  const registryWithList = ({ method, url }: Seen) =>
    method === "DELETE"
      ? status(202)
      : url.pathname === list
        ? status(200, '{"schemaVersion":2,"manifests":[]}', indexType)
        : status(200, referrer, { "content-type": imageType })
  const requests = (seen: ReadonlyArray<Seen>) =>
    seen.map(({ method, url }) => `${method} ${url.pathname}`)

  it.effect(
    "reads what it deletes, for its subject, until the registry lists referrers (C97, trap 51)",
    () =>
      Effect.gen(function* () {
        const { registry, seen } = yield* world({ [registryUrl]: registryWithList })
        yield* registry.deleteManifest(repository, digest)
        expect(requests(seen)).toEqual([`GET ${manifest}`, `GET ${list}`, `DELETE ${manifest}`])
        yield* registry.deleteManifest(repository, digest)
        expect(requests(seen.slice(3))).toEqual([`DELETE ${manifest}`])
      })
  )

  it.effect("reads nothing where referrers were listed before", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: registryWithList })
      yield* items(registry.referrers(repository, m1Digest))
      yield* registry.deleteManifest(repository, digest)
      expect(requests(seen)).toEqual([`GET ${list}`, `DELETE ${manifest}`])
    })
  )
})

describe("putManifest", () => {
  it.effect("sends the exact bytes and type", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: () => status(201) })
      yield* registry.putManifest(repository, yield* knownManifest, { tags: [tag] })
      expect(
        seen.map(({ body, headers, method, url }) => [
          method,
          url.pathname,
          headers["content-type"],
          body
        ])
      ).toEqual([["PUT", "/v2/team/app/manifests/v1", m1Type, m1]])
    })
  )

  it.effect("puts a tag that is named twice once", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: () => status(201) })
      yield* registry.putManifest(repository, yield* knownManifest, { tags: [tag, tag] })
      expect(seen.map(({ line }) => line)).toEqual(["PUT /v2/team/app/manifests/v1"])
    })
  )
})
