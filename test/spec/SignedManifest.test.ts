import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import { generate } from "selfsigned"
import * as Digest from "../../src/spec/Digest.js"
import * as JoseKey from "../../src/spec/internal/JoseKey.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"

const signedType = "application/vnd.docker.distribution.manifest.v1+prettyjws"
const unsignedType = "application/vnd.docker.distribution.manifest.v1+json"
const utf8 = (text: string) => new TextEncoder().encode(text)

// library/hello-world as Docker Hub had it in 2015.
const published = new Uint8Array(
  readFileSync(new URL("fixtures/hello-world.prettyjws", import.meta.url))
)
const publishedDigest = "sha256:02fee8c3220ba806531f606525eceb83f4feb654f62b207191b1c9209188dedd"
const publishedKey = "OIH7:HQFS:44FK:45VB:3B53:OIAG:TPL4:ATF5:6PNE:MGHN:NHQX:2GE4"

const read = (bytes: Uint8Array, mediaType: string) =>
  Effect.flatMap(Manifest.fromBytes(bytes, { mediaType }), SignedManifest.fromManifest)

const b1 = Digest.fromBytes(utf8("b1"))
const empty = Digest.unsafeParse(
  "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
)
const content: SignedManifest.Content = {
  schemaVersion: 1,
  name: "owner/größe",
  tag: "v<1>&2\u2028",
  architecture: "amd64",
  fsLayers: [{ blobSum: empty }, { blobSum: b1 }],
  history: [
    {
      v1Compatibility: `{"id":"2","parent":"1","throwaway":true,"created":"2016-01-02T00:00:00Z","author":"a","comment":"c","os":"linux","architecture":"arm64","config":{"Cmd":["/a"],"Labels":null,"OnBuild":[]},"container_config":{"Cmd":["CMD","/a"]},"docker_version":"1.7.1","Size":0}`
    },
    {
      v1Compatibility: `{"id":"1","created":"2016-01-01T00:00:00Z","container_config":{"Cmd":null}}`
    }
  ]
}

const generated = (algorithm: SignedManifest.SigningAlgorithm) =>
  Effect.promise(async () => {
    const { privateKey } = await jose.generateKeyPair(algorithm, { extractable: true })
    return Redacted.make(await jose.exportPKCS8(privateKey))
  })

// One for all three algorithms: it takes long to make.
const rsa = Effect.runSync(Effect.cached(generated("RS256")))

/** A private key in PEM. */
const privateKey = (algorithm: SignedManifest.SigningAlgorithm) =>
  algorithm.startsWith("R") ? rsa : generated(algorithm)

describe("a published manifest", () => {
  it.effect("is known by the digest of its payload, and verified by its key (trap 36)", () =>
    Effect.gen(function* () {
      const signed = yield* read(published, signedType)
      expect(signed.manifest).toEqual({
        bytes: published,
        descriptor: { mediaType: signedType, digest: publishedDigest, size: 3199 },
        content: { _tag: "UnknownManifest" }
      })
      expect(Digest.fromBytes(signed.payload)).toBe(publishedDigest)
      expect(signed.content).toMatchObject({ name: "library/hello-world", tag: "latest" })
      expect(yield* SignedManifest.verify(signed)).toEqual([
        { keyId: publishedKey, algorithm: "ES256", certificates: [] }
      ])
    })
  )

  it.effect("is written as it was before it was signed", () =>
    Effect.gen(function* () {
      const { content, payload } = yield* read(published, signedType)
      const unsigned = SignedManifest.make(content)
      expect(unsigned.manifest.bytes).toEqual(payload)
      expect(unsigned.manifest.descriptor).toEqual({
        mediaType: unsignedType,
        digest: publishedDigest,
        size: payload.length
      })
      expect(yield* read(payload, unsignedType)).toEqual(unsigned)
    })
  )

  it.effect("may come as application/json, as it did before schema 2", () =>
    Effect.gen(function* () {
      const sent = "application/json; charset=utf-8"
      expect((yield* read(published, sent)).manifest.descriptor).toMatchObject({
        mediaType: signedType,
        digest: publishedDigest
      })
      const { payload } = yield* read(published, signedType)
      expect((yield* read(payload, sent)).manifest.descriptor.mediaType).toBe(unsignedType)
    })
  )
})

describe("key ids", () => {
  it.effect.each([
    [
      "3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A",
      "t72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010",
      "OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4"
    ],
    [
      "ReC5c0J9tgXSdUL4_xzEt5RsD8kFt2wWSgJcpAcOQx8",
      "3sBGEqQ3ZMeqPKwQBAadN2toOUEASha18xa0WwsDF-M",
      "OZ45:U3IG:TDOI:PMBD:NGP2:LDIW:II2U:PSBI:MMCZ:YZUP:TUUO:XPZT"
    ]
  ] as const)("are those of libtrust: %s", ([x, y, expected]) =>
    Effect.promise(async () => {
      const key = await JoseKey.publicKeyOf(jose, { kty: "EC", crv: "P-256", x, y }, "ES256")
      expect(await JoseKey.fingerprint(jose, key)).toBe(expected)
    })
  )
})

describe("make", () => {
  it("writes the same bytes for the same content, escaped as Go does", () => {
    const { manifest } = SignedManifest.make({ ...content, fsLayers: [], history: [] })
    expect(new TextDecoder().decode(manifest.bytes)).toBe(`{
   "schemaVersion": 1,
   "name": "owner/größe",
   "tag": "v\\u003c1\\u003e\\u00262\\u2028",
   "architecture": "amd64",
   "fsLayers": [],
   "history": []
}`)
  })
})

describe("sign", () => {
  it.effect.each(["ES256", "ES384", "ES512", "RS256", "RS384", "RS512"] as const)(
    "with %s is verified, and keeps digest and payload",
    (algorithm) =>
      Effect.gen(function* () {
        const unsigned = SignedManifest.make(content)
        const signed = yield* SignedManifest.sign(unsigned, {
          privateKey: yield* privateKey(algorithm),
          algorithm
        })
        const { bytes, descriptor } = signed.manifest
        expect(descriptor).toEqual({ ...unsigned.manifest.descriptor, mediaType: signedType })
        // What is written is read as what it was.
        expect(yield* read(bytes, signedType)).toEqual(signed)
        const [signer, ...others] = yield* SignedManifest.verify(signed)
        expect(others).toEqual([])
        expect(signer).toMatchObject({ algorithm, certificates: [] })
        const [signature] = JSON.parse(new TextDecoder().decode(bytes)).signatures
        expect(Object.keys(signature)).toEqual(["header", "signature", "protected"])
        expect(signature.header.jwk.kid).toBe(signer?.keyId)
        expect(signer?.keyId).toMatch(/^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$/)
        expect(Object.keys(signature.header.jwk)).toEqual(
          algorithm.startsWith("E") ? ["crv", "kid", "kty", "x", "y"] : ["e", "kid", "kty", "n"]
        )
        const width = { ES256: 64, ES384: 96, ES512: 132, RS256: 256, RS384: 256, RS512: 256 }
        expect(Buffer.from(signature.signature, "base64url").length).toBe(width[algorithm])
      })
  )

  it.effect("with a certificate has it, and not the key", () =>
    Effect.gen(function* () {
      const { cert, private: key } = yield* Effect.promise(() =>
        generate([{ name: "commonName", value: "signer" }], { keyType: "ec", algorithm: "sha256" })
      )
      const signed = yield* SignedManifest.sign(SignedManifest.make(content), {
        privateKey: Redacted.make(key),
        certificates: cert
      })
      const body = cert.replace(/-----[^-]+-----|\s/g, "")
      expect(signed.signatures[0]?.header).toEqual({ alg: "ES256", x5c: [body] })
      expect(yield* SignedManifest.verify(signed)).toMatchObject([{ certificates: [body] }])
    })
  )

  it.effect("adds to the signatures that are there, whatever the white space is", () =>
    Effect.gen(function* () {
      for (const text of [
        new TextDecoder().decode(SignedManifest.make(content).payload),
        JSON.stringify(content),
        `${JSON.stringify(content, null, "\t")}\r\n`
      ]) {
        const unsigned = yield* read(utf8(text), unsignedType)
        const once = yield* SignedManifest.sign(unsigned, {
          privateKey: yield* privateKey("ES256")
        })
        const twice = yield* SignedManifest.sign(once, {
          privateKey: yield* privateKey("ES384"),
          algorithm: "ES384"
        })
        const got = yield* read(twice.manifest.bytes, signedType)
        expect(got.payload).toEqual(utf8(text))
        expect(yield* SignedManifest.verify(got)).toMatchObject([
          { algorithm: "ES256" },
          { algorithm: "ES384" }
        ])
      }
    })
  )

  it.effect("says what is wrong with a key, and nothing of it", () =>
    Effect.gen(function* () {
      const other = yield* Effect.promise(() =>
        generate([{ name: "commonName", value: "other" }], { keyType: "ec", algorithm: "sha256" })
      )
      for (const options of [
        { privateKey: Redacted.make("hunter2") },
        { privateKey: yield* rsa },
        { privateKey: yield* privateKey("ES256"), certificates: other.cert },
        { privateKey: yield* privateKey("ES256"), certificates: "hunter2" }
      ]) {
        const error = yield* Effect.flip(SignedManifest.sign(SignedManifest.make(content), options))
        expect(error).toMatchObject({ _tag: "InvalidSignature", reason: "Key" })
        expect(error.message).not.toMatch(/hunter2|BEGIN P/)
      }
    })
  )
})

describe("verify", () => {
  const text = new TextDecoder().decode(published)
  const changed = (from: string | RegExp, to: string) => {
    const bytes = utf8(text.replace(from, to))
    expect(bytes).not.toEqual(published)
    return Effect.flatMap(read(bytes, signedType), SignedManifest.verify)
  }

  it.effect("refuses what has no signature", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(SignedManifest.verify(SignedManifest.make(content)))).toMatchObject(
        {
          _tag: "InvalidSignature",
          reason: "Missing"
        }
      )
    })
  )

  it.effect.each([
    ["library/hello-world", "library/hello-w0rld", "Mismatch"],
    ["Y6xaFz9S", "Y6xaFz9T", "Mismatch"],
    ['"Y6xaFz9S', '"?', "Mismatch"],
    ['"ES256"', '"none"', "Algorithm"],
    ['"ES256"', '"HS256"', "Algorithm"],
    ['"ES256"', '"ES384"', "Key"],
    ['"ES256"', '"RS256"', "Key"],
    ['"kid": "OIH7', '"kid": "OIH8', "Key"],
    ['"x": "Cu_', '"x": "Cv_', "Key"],
    ['"jwk"', '"jwks"', "Key"],
    ['"jwk"', '"x5c": ["AAAA"], "jwk"', "Key"],
    // What is beside the payload is not what was signed.
    ['"kty": "EC"', '"kty": "oct", "k": "AAAA"', "Key"]
  ] as const)("refuses %s as %s: %s", ([from, to, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(changed(from, to))
      expect(error).toMatchObject({ _tag: "InvalidSignature", reason, path: "signatures[0]" })
    })
  )

  it.effect("does not need the id of the key, and takes null for what is absent", () =>
    Effect.gen(function* () {
      expect(yield* changed('"jwk"', '"x5c": null, "jwk"')).toMatchObject([{ keyId: publishedKey }])
      expect(yield* changed(/"kid": "[^"]*",/, "")).toMatchObject([{ keyId: publishedKey }])
    })
  )
})

describe("fromManifest", () => {
  const text = new TextDecoder().decode(published)
  const format = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const withFormat = (value: string) => text.replace(/("protected": )"[^"]*"/, `$1"${value}"`)
  const signature = `{"header":{"alg":"ES256","jwk":{}},"signature":"a","protected":"${format({ formatLength: 1, formatTail: "fQ" })}"}`
  const other = `{"header":{"alg":"ES256","jwk":{}},"signature":"a","protected":"${format({ formatLength: 2, formatTail: "fQ" })}"}`

  it.effect("reads what was signed, not what is beside it", () =>
    Effect.gen(function* () {
      const forged = text.replace('"signatures"', '"name": "evil", "signatures"')
      expect((yield* read(utf8(forged), signedType)).content.name).toBe("library/hello-world")
    })
  )

  it.effect("counts bytes, not characters", () =>
    Effect.gen(function* () {
      const signed = yield* SignedManifest.sign(SignedManifest.make(content), {
        privateKey: yield* privateKey("ES256")
      })
      const got = yield* read(signed.manifest.bytes, signedType)
      expect(got.content.name).toBe("owner/größe")
      expect(got.manifest.descriptor.digest).toBe(Digest.fromBytes(got.payload))
    })
  )

  it.effect.each([
    ["", "Json"],
    ["[]", "Json"],
    ['{"schemaVersion":1}', "Shape"],
    ['{"schemaVersion":1,"signatures":[]}', "Shape"],
    [withFormat("?"), "Shape"],
    [withFormat("e30"), "Shape"],
    [withFormat(format({ formatLength: -1, formatTail: "fQ" })), "Shape"],
    [withFormat(format({ formatLength: 1e9, formatTail: "fQ" })), "Shape"],
    [withFormat(format({ formatLength: 10, formatTail: "?" })), "Shape"],
    [withFormat(format({ formatLength: 10, formatTail: "fQ" })), "Json"],
    [`{"signatures":[${signature},${other}]}`, "Shape"],
    [`${"[".repeat(1000)}`, "Json"]
  ] as const)("refuses %s as %s", ([text, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(utf8(text), signedType))
      expect(error).toMatchObject({ _tag: "InvalidManifest", reason })
      expect(error.message.length).toBeLessThan(300)
    })
  )

  it.effect.each([
    { ...content, schemaVersion: 2 },
    { ...content, fsLayers: [{ blobSum: "sha256:../x" }, { blobSum: b1 }] },
    { ...content, history: content.history.slice(1) },
    { ...content, tag: 1 }
  ])("refuses fields that are wrong: %j", (document) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(utf8(JSON.stringify(document)), unsignedType))
      expect(error).toMatchObject({ _tag: "InvalidManifest", reason: "Shape" })
    })
  )

  it.effect("refuses a manifest of another type", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        SignedManifest.fromManifest(Manifest.index({ manifests: [] }))
      )
      expect(error).toMatchObject({ reason: "MediaType" })
      expect(error.message).toContain(MediaType.imageIndex)
    })
  )
})

describe("conversion (S32)", () => {
  const d1 = Digest.fromBytes(utf8("d1"))

  it.effect("gives layers from the base up, and empty ones for those to throw away", () =>
    Effect.gen(function* () {
      const signed = SignedManifest.make(content)
      const first = { created: "2016-01-01T00:00:00Z" }
      const second = {
        created: "2016-01-02T00:00:00Z",
        author: "a",
        comment: "c",
        created_by: "CMD /a",
        empty_layer: true
      }
      expect(yield* SignedManifest.layers(signed)).toEqual([
        { digest: b1, history: first },
        { digest: empty, history: second }
      ])
      expect(yield* SignedManifest.toImageConfig(signed, [d1])).toEqual({
        created: "2016-01-02T00:00:00Z",
        author: "a",
        comment: "c",
        os: "linux",
        architecture: "arm64",
        config: { Cmd: ["/a"], OnBuild: [] },
        container_config: { Cmd: ["CMD", "/a"] },
        docker_version: "1.7.1",
        rootfs: { type: "layers", diff_ids: [d1] },
        history: [first, second]
      })
    })
  )

  it.effect("needs a diff id for each layer that is not empty", () =>
    Effect.gen(function* () {
      for (const diffIds of [[], [d1, d1]])
        expect(
          yield* Effect.flip(SignedManifest.toImageConfig(SignedManifest.make(content), diffIds))
        ).toMatchObject({ _tag: "InvalidImageConfig", reason: "Layers" })
    })
  )

  it.effect.each(["", "[]", "{", '{"created":1}', '{"container_config":{"Cmd":"a"}}'])(
    "refuses the history %s",
    (v1Compatibility) =>
      Effect.gen(function* () {
        const signed = SignedManifest.make({
          ...content,
          fsLayers: [{ blobSum: b1 }],
          history: [{ v1Compatibility }]
        })
        for (const converted of [
          SignedManifest.layers(signed),
          SignedManifest.toImageConfig(signed, [d1])
        ]) {
          const error = yield* Effect.flip<unknown, Error, never>(converted)
          expect(error).toMatchObject({ _tag: "InvalidManifest" })
          expect(error.message).toContain("history[0].v1Compatibility")
        }
      })
  )
})
