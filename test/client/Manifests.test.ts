import { deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ContentCoding from "../../src/client/ContentCoding.js"
import * as Digest from "../../src/spec/Digest.js"
import type { Seen } from "../auth/origins.js"
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
      [registryUrl]: ({ method }) => (method === "HEAD" ? status(code, null, headers) : manifestAnswer())
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
  const { "docker-content-digest": __, ...undigested } = full
  it.effect.each([
    ["no digest (ECR, static registries; trap 28)", undigested, 200],
    ["a digest that is none (T8)", { ...full, "docker-content-digest": "sha256:../../x" }, 200],
    ["no length", unsized, 200],
    ["a length that is no number (Cloudflare)", { ...full, "content-length": "None" }, 200],
    ["a media type that is none", { ...full, "content-type": "yes" }, 200],
    ["405", {}, 405]
  ] as const)("asks with GET and hashes after a HEAD with %s", ([, headers, code]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* headed({ ...headers }, code)
      expect(yield* registry.headManifest(repository, tag)).toEqual(found)
      expect(methods(log)).toEqual(["HEAD", "GET"])
    })
  )

  it.effect("finds nothing with 404, whatever its page", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* headed({ "content-type": "text/html" }, 404)
      expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
      expect(methods(log)).toEqual(["HEAD"])
    })
  )

  it.effect("rejects another digest of the same algorithm than it asked for (T7)", () =>
    Effect.gen(function* () {
      const { registry } = yield* headed({ ...full, "docker-content-digest": other })
      expect(yield* Effect.flip(registry.headManifest(repository, m1Digest))).toMatchObject({ _tag: "DigestMismatch" })
    })
  )
})

describe("getManifest", () => {
  it.effect("takes the bytes for the truth, not a digest header (rule 7)", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, m1, { "content-type": m1Type, "docker-content-digest": other })
      })
      expect((yield* registry.getManifest(repository, m1Digest)).bytes).toEqual(utf8(m1))
      expect((yield* registry.getManifest(repository, tag)).descriptor.digest).toBe(m1Digest)
    })
  )

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

  it.effect("is not deceived by a page with 200 (GCR, portals)", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, "<html>", { "content-type": "text/html; charset=utf-8" })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({ _tag: "ProtocolViolation" })
    })
  )

  it.effect("says what it takes, and asks for no coding (rules 6 and 20)", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: manifestAnswer })
      yield* registry.getManifest(repository, tag)
      expect(seen[0]?.headers["accept-encoding"]).toBe("identity")
      for (const type of [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json"
      ]) {
        expect(seen[0]?.headers["accept"]).toContain(type)
      }
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

  it.effect.each(encodings)("a manifest as %s is what it was before, by tag and by digest", ([encoding, body]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, body, { "content-type": m1Type, "content-encoding": encoding })
      })
      expect((yield* registry.getManifest(repository, tag)).bytes).toEqual(utf8(m1))
      expect((yield* registry.getManifest(repository, m1Digest)).bytes).toEqual(utf8(m1))
    })
  )

  it.effect.each(encodings)("a small blob as %s is what its digest says", ([encoding, body]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, body, { "content-length": String(body.length), "content-encoding": encoding })
      })
      expect(yield* gather(registry.getBlob(repository, m1Digest))).toEqual(utf8(m1))
      expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(body)))).toEqual(body)
    })
  )

  it.effect("a page of tags is read", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(200, new Uint8Array(gzipSync('{"tags":["a"]}')), { "content-encoding": "gzip" })
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
      expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(large)))).toEqual(large)
    })
  )

  it.effect("and otherwise the failure says what may have happened", () =>
    Effect.gen(function* () {
      const noise = new Uint8Array(gzipSync(crypto.getRandomValues(new Uint8Array(65_536))))
      const blob = new Uint8Array(Array.from({ length: 40 }, () => [...noise]).flat())
      const { registry } = yield* world({
        [registryUrl]: () => status(200, new Uint8Array(gzipSync(blob, { level: 0 })), { "content-encoding": "gzip" })
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
        [registryUrl]: () => status(200, gzipped, { "content-type": m1Type, "content-encoding": "gzip" })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, other))).toMatchObject({ _tag: "DigestMismatch" })
    })
  )

  it.effect("a bomb is an error, at the limit of the document (T10)", () =>
    Effect.gen(function* () {
      const bomb = new Uint8Array(gzipSync(new Uint8Array(64 * 1024 * 1024)))
      expect(bomb.length).toBeLessThan(100_000)
      const { registry } = yield* world({
        [registryUrl]: () => status(200, bomb, { "content-type": m1Type, "content-encoding": "gzip" })
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

  it("a field of nothing but commas names no coding", () => expect(ContentCoding.parse(" , identity,, ")).toEqual([]))
})

describe("referrers", () => {
  const index = (...digests: ReadonlyArray<string>) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: digests.map((digest) => ({ mediaType: m1Type, digest, size: 1 }))
    })
  const indexType = { "content-type": "application/vnd.oci.image.index.v1+json" }
  const [d1, d2] = [Digest.fromBytes(utf8("d1")), Digest.fromBytes(utf8("d2"))]
  const byTag = `sha256-${Digest.encoded(m1Digest)}`

  const fallbacks: Readonly<Record<string, () => Response>> = {
    "404 (Docker Hub, distribution)": () => status(404, "404 page not found\n"),
    "404 with the registry's own error": () => status(404, '{"errors":[{"code":"NAME_UNKNOWN"}]}'),
    "400 MANIFEST_INVALID (Quay)": () => status(400, '{"errors":[{"code":"MANIFEST_INVALID"}]}'),
    "405": () => status(405),
    "406 (GCR)": () => status(406),
    "501": () => status(501),
    "200 and HTML (trap 45)": () => status(200, "<html>", { "content-type": "text/html" }),
    "200 and JSON of another kind": () => status(200, "{}", { "content-type": "application/json" }),
    "303 to a page that is not found (GHCR)": () => status(303, null, { location: "https://github.example/404" }),
    "303 to a page that is busy (GHCR)": () => status(303, null, { location: "https://github.example/429" }),
    "303 to a page (GHCR)": () => status(303, null, { location: "https://github.example/200" })
  }
  const github = ({ url }: Seen) => status(Number(url.pathname.slice(1)), "<html>", { "content-type": "text/html" })

  it.effect.each(Object.entries(fallbacks))("are read by tag after %s (rule 16)", ([, answer]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: ({ url }) =>
          url.pathname.includes("/referrers/") ? answer() : status(200, index(d1), indexType),
        "https://github.example": github
      })
      expect((yield* items(registry.referrers(repository, m1Digest))).map(({ digest }) => digest)).toEqual([d1])
      expect(log.at(-1)).toBe(`GET ${registryUrl}/v2/team/app/manifests/${byTag} -`)
      expect(log.length).toBeLessThanOrEqual(3)
    })
  )

  it.effect.each([401, 403, 429, 500])(
    "are not read by tag after %i, which says nothing of support (trap 43)",
    (code) =>
      Effect.gen(function* () {
        const { log, registry } = yield* world({ [registryUrl]: () => status(code) }, { retry: { attempts: 0 } })
        yield* Effect.flip(items(registry.referrers(repository, m1Digest)))
        expect(log.join()).not.toContain(byTag)
      })
  )

  it.effect("are collected from all pages (Harbor: prev and next in one field)", () =>
    Effect.gen(function* () {
      const path = `/v2/team/app/referrers/${m1Digest}`
      const { registry } = yield* world({
        [registryUrl]: ({ url }) =>
          url.search === ""
            ? status(200, index(d1), {
                ...indexType,
                link: `<${path}?page=0>; rel="prev" , <${path}?page=2>; rel="next"`
              })
            : status(200, index(d2), indexType)
      })
      expect((yield* items(registry.referrers(repository, m1Digest))).map(({ digest }) => digest)).toEqual([d1, d2])
    })
  )

  it.effect("are none where the registry lists none, and the tag is not asked", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({ [registryUrl]: () => status(200, index(), indexType) })
      expect(yield* items(registry.referrers(repository, m1Digest))).toEqual([])
      expect(log.length).toBe(1)
    })
  )
})

describe("deletion", () => {
  const unsupported = '{"errors":[{"code":"UNSUPPORTED"}]}'
  it.effect.each([
    ["405 UNSUPPORTED (GHCR, distribution)", 405, unsupported],
    ["400 UNSUPPORTED (Harbor, of tags)", 400, unsupported],
    ["404 page not found (ECR)", 404, "404 page not found"],
    ["400 without a word", 400, ""],
    ["501", 501, ""],
    ["METHOD NOT ALLOWED (Quay)", 405, '{"errors":[{"code":"METHOD NOT ALLOWED"}]}']
  ] as const)("is unsupported where the registry answers %s (rule 13)", ([, code, body]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({ [registryUrl]: () => status(code, body) })
      expect(yield* Effect.flip(registry.deleteTag(repository, tag))).toMatchObject({ _tag: "Unsupported" })
      // Deleting by digest instead would delete the other tags (trap 60).
      expect(methods(log)).toEqual(["DELETE"])
      expect(yield* Effect.flip(registry.deleteBlob(repository, m1Digest))).toMatchObject({ _tag: "Unsupported" })
    })
  )

  it.effect.each([
    [200, null],
    [202, "None"],
    [204, null]
  ] as const)("is success with %i, Content-Length: %s (Cloudflare)", ([code, length]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(code, null, length === null ? {} : { "content-length": length })
      })
      yield* registry.deleteTag(repository, tag)
      yield* registry.deleteBlob(repository, m1Digest)
    })
  )

  it.effect.each([
    ["403, for what is still tagged (Docker Hub)", 403, "", "Denied"],
    [
      "400 GOOGLE_MANIFEST_DANGLING_TAG (GAR)",
      400,
      '{"errors":[{"code":"GOOGLE_MANIFEST_DANGLING_TAG"}]}',
      "RegistryFailure"
    ],
    ["412 PROJECTPOLICYVIOLATION (Harbor)", 412, '{"errors":[{"code":"PROJECTPOLICYVIOLATION"}]}', "RegistryFailure"]
  ] as const)("by digest fails with its reason: %s", ([, code, body, expected]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: ({ method }) => (method === "DELETE" ? status(code, body) : manifestAnswer())
      })
      const error = yield* Effect.flip(registry.deleteManifest(repository, m1Digest))
      expect(error).toMatchObject({ _tag: expected, status: code, errors: body === "" ? [] : JSON.parse(body).errors })
    })
  )
})

describe("putManifest", () => {
  it.effect("sends the exact bytes and type, and no Location is needed (ECR)", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: () => status(201) })
      yield* registry.putManifest(repository, yield* knownManifest, { tags: [tag] })
      expect(
        seen.map(({ body, headers, method, url }) => [method, url.pathname, headers["content-type"], body])
      ).toEqual([["PUT", "/v2/team/app/manifests/v1", m1Type, m1]])
    })
  )
})
