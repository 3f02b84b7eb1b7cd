import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as IndexEdit from "../../src/spec/internal/IndexEdit.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"

const ociManifest = "application/vnd.oci.image.manifest.v1+json"
const ociIndex = "application/vnd.oci.image.index.v1+json"
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

const c1 = "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"
const b1 = "sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"
const b2 = "sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b"
const m1 = "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270"

const imageJson = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "${c1}",
    "size": 7023
  },
  "layers": [
    { "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "${b1}", "size": 32654 },
    { "mediaType": "application/vnd.example.unknown", "digest": "${b2}", "size": 16724, "x": { "y": [] } }
  ],
  "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "${m1}", "size": 7682 },
  "annotations": { "com.example.key1": "value1", "__proto__": "kept" },
  "com.example.unknown": true
}
`

const indexJson = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "${m1}",
      "size": 7143,
      "platform": { "architecture": "ppc64le", "os": "linux" }
    },
    {
      "mediaType": "application/vnd.example.never-seen+json",
      "digest": "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
      "size": 1
    }
  ]
}`

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const read = (text: string, mediaType?: string) => Manifest.fromBytes(bytesOf(text), { mediaType })
const tagOf = (text: string, mediaType?: string) =>
  Effect.map(read(text, mediaType), ({ content }) => content._tag)

describe("fromBytes", () => {
  it.effect("decodes an image manifest, keeping what it does not know (I2, I3)", () =>
    Effect.gen(function* () {
      const manifest = yield* read(imageJson, ociManifest)
      expect(manifest.content).toMatchObject({
        _tag: "ImageManifest",
        schemaVersion: 2,
        mediaType: ociManifest,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: c1, size: 7023 },
        layers: [
          { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: b1, size: 32654 },
          { mediaType: "application/vnd.example.unknown", digest: b2, size: 16724 }
        ],
        subject: { mediaType: ociManifest, digest: m1, size: 7682 },
        annotations: { "com.example.key1": "value1" }
      })
      expect(manifest.content).toHaveProperty(["com.example.unknown"], true)
      expect(manifest.content).toHaveProperty("layers.1.x", { y: [] })
      expect(manifest.content).not.toHaveProperty("artifactType")
    })
  )

  it.effect(
    "decodes an index with types and algorithms that it does not know (I3, C17, trap 37)",
    () =>
      Effect.gen(function* () {
        const manifest = yield* read(indexJson, ociIndex)
        expect(manifest.content).toEqual({
          _tag: "ImageIndex",
          schemaVersion: 2,
          mediaType: ociIndex,
          manifests: [
            {
              mediaType: ociManifest,
              digest: m1,
              size: 7143,
              platform: { architecture: "ppc64le", os: "linux" }
            },
            {
              mediaType: "application/vnd.example.never-seen+json",
              digest: "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
              size: 1
            }
          ]
        })
      })
  )

  it.effect.each([
    [dockerManifest, imageJson.replace(ociManifest, dockerManifest), "ImageManifest"],
    [dockerList, indexJson.replace(ociIndex, dockerList), "ImageIndex"]
  ] as const)(
    "decodes Docker's %s to the same shape, and keeps its type",
    ([mediaType, json, tag]) =>
      Effect.gen(function* () {
        const manifest = yield* read(json, mediaType)
        expect(manifest.descriptor.mediaType).toBe(mediaType)
        expect(manifest.content).toMatchObject({ _tag: tag, mediaType })
      })
  )

  it.effect.each([
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${c1}","size":0}}`,
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${c1}","size":0},"layers":[]}`,
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${c1}","size":0},"layers":null}`,
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${c1}","size":0},"layers":[],"manifests":null}`
  ])("takes an image without layers: %s", (json) =>
    Effect.gen(function* () {
      expect((yield* read(json, ociManifest)).content).toMatchObject({
        _tag: "ImageManifest",
        layers: []
      })
    })
  )

  it.effect.each([
    `{"schemaVersion":2}`,
    `{"schemaVersion":2,"manifests":[]}`,
    `{"schemaVersion":2,"manifests":null}`,
    `{"schemaVersion":2,"manifests":[],"config":null,"layers":null}`
  ])("takes an index without manifests: %s", (json) =>
    Effect.gen(function* () {
      expect((yield* read(json, ociIndex)).content).toMatchObject({
        _tag: "ImageIndex",
        manifests: []
      })
    })
  )
})

describe("null, as Go and others write what they do not have", () => {
  const nothing = {
    mediaType: null,
    artifactType: null,
    subject: null,
    annotations: null
  }
  const bare = { mediaType: "a/b", digest: c1, size: 0 }
  const empty = { ...bare, urls: null, annotations: null, data: null, artifactType: null }
  const platform = { "os.version": null, "os.features": null, variant: null, features: null }

  it.effect("is absent in an image, its config and its layers", () =>
    Effect.gen(function* () {
      const json = JSON.stringify({
        schemaVersion: 2,
        ...nothing,
        config: { ...empty, platform: null },
        layers: [{ ...empty, platform: { architecture: "a", os: "o", ...platform } }],
        manifests: null
      })
      const { bytes, content } = yield* read(json, ociManifest)
      expect(content).toStrictEqual({
        _tag: "ImageManifest",
        schemaVersion: 2,
        config: bare,
        layers: [{ ...bare, platform: { architecture: "a", os: "o" } }]
      })
      expect(bytes).toEqual(bytesOf(json))
    })
  )

  it.effect("is absent in an index and its entries", () =>
    Effect.gen(function* () {
      const json = JSON.stringify({
        schemaVersion: 2,
        ...nothing,
        config: null,
        layers: null,
        manifests: [{ ...empty, platform: null }]
      })
      expect((yield* read(json, ociIndex)).content).toStrictEqual({
        _tag: "ImageIndex",
        schemaVersion: 2,
        manifests: [bare]
      })
    })
  )

  it.effect("leaves the type to the caller, and the other type out", () =>
    Effect.gen(function* () {
      const untyped = `{"schemaVersion":2,"mediaType":null,"manifests":[]}`
      expect((yield* read(untyped, ociIndex)).descriptor.mediaType).toBe(ociIndex)
      expect(yield* Effect.flip(read(untyped))).toMatchObject({ reason: "MediaType" })
    })
  )
})

describe("an index with entries that cannot be read", () => {
  const good = { mediaType: "a/b", digest: c1, size: 0 }
  const bad: ReadonlyArray<unknown> = [
    null,
    7,
    {},
    { ...good, size: -1 },
    { ...good, digest: "sha256:../../x" },
    { ...good, platform: { os: 7, architecture: "a" } },
    { ...good, annotations: { a: null } }
  ]
  const index = (manifests: ReadonlyArray<unknown>) =>
    JSON.stringify({ schemaVersion: 2, manifests })

  it.effect("has the others, and says which were left out", () =>
    Effect.gen(function* () {
      const { content } = yield* read(index([good, ...bad, { ...good, size: 1 }]), ociIndex)
      expect(content).toStrictEqual({
        _tag: "ImageIndex",
        schemaVersion: 2,
        manifests: [good, { ...good, size: 1 }],
        skipped: [
          { path: "manifests[1]", message: "manifests[1]: expected an object" },
          { path: "manifests[2]", message: "manifests[2]: expected an object" },
          { path: "manifests[3].mediaType", message: "manifests[3].mediaType is missing" },
          {
            path: "manifests[4].size",
            message: "manifests[4].size: expected a whole number from 0 to 2^53 - 1"
          },
          { path: "manifests[5].digest", message: "manifests[5].digest: expected a digest" },
          {
            path: "manifests[6].platform.os",
            message: "manifests[6].platform.os: expected a string"
          },
          {
            path: "manifests[7].annotations.a",
            message: "manifests[7].annotations.a: expected a string"
          }
        ]
      })
    })
  )

  it.effect("is none when they are more than a thousand (T6)", () =>
    Effect.gen(function* () {
      const most = yield* read(index([good, ...Array(1000).fill(7)]), ociIndex)
      expect(most.content).toMatchObject({ manifests: [good] })
      expect(yield* Effect.flip(read(index(Array(1001).fill(7)), ociIndex))).toMatchObject({
        reason: "Shape",
        path: "manifests[1000]"
      })
    })
  )

  it.effect.each([
    `{"schemaVersion":2,"config":7,"layers":[]}`,
    `{"schemaVersion":2,"config":${JSON.stringify(good)},"layers":[7]}`
  ])("is not an image with a config or layer that cannot be: %s", (json) =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(read(json, ociManifest))).toMatchObject({ reason: "Shape" })
    })
  )

  it.effect("is not an image that was sent as one (T9)", () =>
    Effect.gen(function* () {
      const json = `{"schemaVersion":2,"config":${JSON.stringify(good)},"layers":[]}`
      expect(yield* Effect.flip(read(json, ociIndex))).toMatchObject({ reason: "Ambiguous" })
    })
  )
})

describe("an index that is changed", () => {
  const c1Digest = Effect.runSync(Digest.parse(c1))
  const m1Digest = Effect.runSync(Digest.parse(m1))
  const entry = { mediaType: "a/b", digest: c1Digest, size: 0 }
  const json = `{ "x": {"__proto__": [1]}, "manifests": [{"digest":"${m1}","note":[null],"size":1,"mediaType":"a/b"}], "schemaVersion": 2, "annotations": {"a":"b"} }`

  it.effect("keeps all that it does not know, and the order of its fields", () =>
    Effect.gen(function* () {
      const more = yield* IndexEdit.withEntry(yield* read(json, ociIndex), entry)
      const text = new TextDecoder().decode(more.bytes)
      expect(text).toBe(
        `{"x":{"__proto__":[1]},"manifests":[{"digest":"${m1}","note":[null],"size":1,"mediaType":"a/b"},{"mediaType":"a/b","digest":"${c1}","size":0}],"schemaVersion":2,"annotations":{"a":"b"}}`
      )
      expect(yield* read(text, ociIndex)).toEqual(more)
      const less = yield* IndexEdit.withoutEntry(more, m1Digest)
      expect(new TextDecoder().decode(less.bytes)).toBe(
        `{"x":{"__proto__":[1]},"manifests":[{"mediaType":"a/b","digest":"${c1}","size":0}],"schemaVersion":2,"annotations":{"a":"b"}}`
      )
    })
  )

  it.effect("gets a list where it has none", () =>
    Effect.gen(function* () {
      const none = yield* read(`{"schemaVersion":2,"manifests":null}`, ociIndex)
      const { content } = yield* IndexEdit.withEntry(none, entry)
      expect(content).toMatchObject({ manifests: [entry] })
    })
  )
})

describe("the bytes are the truth (trap 25)", () => {
  // Digests computed with sha256sum and sha512sum.
  it.effect(
    "gives the digest and size of exactly the bytes received, and the bytes themselves",
    () =>
      Effect.gen(function* () {
        const bytes = bytesOf(`{ "schemaVersion":2.0, "manifests":[] }\n`)
        const manifest = yield* Manifest.fromBytes(bytes, { mediaType: ociIndex })
        expect(manifest.bytes).toBe(bytes)
        expect(manifest.descriptor).toStrictEqual({
          mediaType: ociIndex,
          digest: "sha256:a0003054515368b3cad7f489f3b4e4967f0a0c19d084dd3279e9f7d50ec45cd1",
          size: 40
        })
      })
  )

  it.effect("computes the digest with the algorithm asked for", () =>
    Effect.gen(function* () {
      const sha512 = Digest.fromBytes(new Uint8Array(0), "sha512")
      const bytes = bytesOf(`{ "schemaVersion":2.0, "manifests":[] }\n`)
      const manifest = yield* Manifest.fromBytes(bytes, { mediaType: ociIndex, digest: sha512 })
      expect(manifest.descriptor.digest).toBe(
        "sha512:9528caf6697b0cffde866cdc2a9276182efe28209a38e48871fb1e2ec42199d06a2f5de1141de30fc7e11fdf2595e566f8539934d3259184907913b46d61c30a"
      )
      const unverifiable = yield* Digest.parse(`blake3:${"a".repeat(64)}`)
      const fallback = yield* Manifest.fromBytes(bytes, {
        mediaType: ociIndex,
        digest: unverifiable
      })
      expect(Digest.algorithm(fallback.descriptor.digest)).toBe("sha256")
    })
  )

  it.effect("hashes a byte order mark and invalid UTF-8, and still reads the document", () =>
    Effect.gen(function* () {
      const head = bytesOf(`\uFEFF{"schemaVersion":2,"manifests":[],"annotations":{"a":"`)
      const bytes = new Uint8Array([...head, 0xff, ...bytesOf(`"}}`)])
      const manifest = yield* Manifest.fromBytes(bytes, { mediaType: ociIndex })
      expect(manifest.descriptor).toStrictEqual({
        mediaType: ociIndex,
        digest: "sha256:0ebbab6a4870449e685ee0965962f32a45a08de6ddb84169f0b6c4b24377d3ea",
        size: 61
      })
      expect(manifest.content).toMatchObject({ annotations: { a: "\uFFFD" } })
    })
  )

  it.effect.prop(
    "whatever they are, as long as the type is unknown",
    [FastCheck.uint8Array()],
    ([bytes]) =>
      Effect.gen(function* () {
        const manifest = yield* Manifest.fromBytes(bytes, {
          mediaType: "application/vnd.example.unknown"
        })
        expect(manifest).toEqual({
          bytes,
          descriptor: Descriptor.fromBytes(bytes, "application/vnd.example.unknown"),
          content: { _tag: "UnknownManifest" }
        })
      })
  )
})

describe("the media type", () => {
  const untyped = `{"schemaVersion":2,"manifests":[]}`
  const typed = `{"schemaVersion":2,"mediaType":"${ociIndex}","manifests":[]}`

  it.effect.each([
    // said by the caller; parameters and case do not matter (C21)
    [untyped, ociIndex, ociIndex],
    [untyped, dockerList, dockerList],
    [typed, `${ociIndex}; charset=utf-8`, ociIndex],
    [
      typed,
      " APPLICATION/vnd.oci.image.index.v1+json ;q=1",
      "APPLICATION/vnd.oci.image.index.v1+json"
    ],
    [`{"schemaVersion":2,"mediaType":"","manifests":[]}`, ociIndex, ociIndex],
    // said by the document alone (trap 29)
    [typed, undefined, ociIndex],
    [typed, "", ociIndex],
    [typed, "application/octet-stream", ociIndex],
    [typed, "binary/octet-stream", ociIndex],
    [typed, "text/plain; charset=utf-8", ociIndex],
    [typed, "Application/JSON", ociIndex]
  ] as const)("of %s sent as %j is %s", ([json, sent, expected]) =>
    Effect.gen(function* () {
      const manifest = yield* read(json, sent)
      expect(manifest.descriptor.mediaType).toBe(expected)
      expect(manifest.content._tag).toBe("ImageIndex")
    })
  )

  it.effect.each([
    [imageJson, ociIndex],
    [imageJson, dockerManifest],
    [indexJson, ociManifest],
    [indexJson, "application/vnd.docker.distribution.manifest.v1+prettyjws"],
    [`{"schemaVersion":2,"mediaType":"application/vnd.example.unknown","manifests":[]}`, ociIndex]
  ] as const)("must not contradict the document's own (C22, T9)", ([json, sent]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(json, sent))
      expect(error).toMatchObject({
        _tag: "MediaTypeMismatch",
        expected: sent,
        actual: JSON.parse(json).mediaType
      })
    })
  )

  it.effect("is cut short in a mismatch", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(`{"mediaType":"${"x".repeat(1_000_000)}"}`, ociIndex))
      expect(error.message.length).toBeLessThan(512)
    })
  )

  it.effect.each([
    [untyped, undefined],
    [untyped, "application/octet-stream"],
    [`{"schemaVersion":2,"mediaType":7,"manifests":[]}`, "text/plain"]
  ] as const)("of %s sent as %j is unknown, and its fields do not tell (trap 30)", ([json, sent]) =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(read(json, sent))).toMatchObject({
        _tag: "InvalidManifest",
        reason: "MediaType"
      })
    })
  )

  it.effect.each([
    ["{}", "not a media type"],
    [`{"mediaType":"a/b\\r\\nx-evil: 1"}`, undefined]
  ] as const)("must be one, since it becomes a header (T12): %s sent as %j", ([json, sent]) =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(read(json, sent))).toMatchObject({
        _tag: "InvalidManifest",
        reason: "MediaType"
      })
    })
  )
})

describe("a manifest of an unknown type", () => {
  it.effect.each([
    ["", "application/vnd.example"],
    ["not json", "application/vnd.example"],
    ["[]", "application/vnd.example"],
    [`{"manifests":[],"layers":[]}`, "application/vnd.example"],
    // its mediaType may mean something else
    [`{"mediaType":"image/png"}`, "application/vnd.example"],
    [`{"mediaType":7}`, "application/vnd.example"],
    [`{"mediaType":"application/vnd.example"}`, undefined],
    [`{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+prettyjws"]
  ] as const)("is never an error, and not interpreted: %s (I3, I4)", ([json, sent]) =>
    Effect.gen(function* () {
      const manifest = yield* read(json, sent)
      expect(manifest.content).toEqual({ _tag: "UnknownManifest" })
      expect(Manifest.references(manifest)).toEqual([])
      expect(Manifest.subject(manifest)).toEqual(Option.none())
      expect(Manifest.artifactType(manifest)).toEqual(Option.none())
    })
  )
})

describe("an ambiguous manifest", () => {
  const config = `"config":{"mediaType":"a/b","digest":"${c1}","size":0}`

  it.effect.each([
    [`{"schemaVersion":2,${config},"layers":[],"manifests":[]}`, ociManifest],
    [`{"schemaVersion":2,${config},"layers":[],"manifests":[]}`, ociIndex],
    [`{"schemaVersion":2,${config},"manifests":[]}`, ociIndex],
    [`{"schemaVersion":2,"layers":[],"manifests":[]}`, dockerList],
    [`{"schemaVersion":2,"layers":"x","manifests":7}`, dockerManifest]
  ] as const)("is refused: %s as %s (T9, trap 30)", ([json, sent]) =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(read(json, sent))).toMatchObject({
        _tag: "InvalidManifest",
        reason: "Ambiguous"
      })
    })
  )
})

describe("a misshapen manifest", () => {
  const descriptor = `{"mediaType":"a/b","digest":"${c1}","size":0}`
  const image = (fields: string) =>
    `{"schemaVersion":2,"config":${descriptor},"layers":[],${fields}}`
  const layer = (fields: string) =>
    `{"schemaVersion":2,"config":${descriptor},"layers":[${descriptor},${fields}]}`

  it.effect.each([
    [`{"config":${descriptor},"layers":[]}`, "schemaVersion", "schemaVersion is missing"],
    [
      `{"schemaVersion":1,"config":${descriptor},"layers":[]}`,
      "schemaVersion",
      "schemaVersion: expected 2"
    ],
    [
      `{"schemaVersion":"2","config":${descriptor},"layers":[]}`,
      "schemaVersion",
      "schemaVersion: expected 2"
    ],
    [`{"schemaVersion":2,"layers":[]}`, "config", "config is missing"],
    [`{"schemaVersion":2,"config":null,"layers":[]}`, "config", "config: expected an object"],
    [`{"schemaVersion":2,"config":${descriptor},"layers":{}}`, "layers", "layers: expected a list"],
    [
      layer(`{"mediaType":"a/b","digest":"${c1}","size":-1}`),
      "layers[1].size",
      "layers[1].size: expected a whole number from 0 to 2^53 - 1"
    ],
    [
      layer(`{"mediaType":"a/b","digest":"${c1}","size":1.5}`),
      "layers[1].size",
      "layers[1].size: expected a whole number from 0 to 2^53 - 1"
    ],
    [
      layer(`{"mediaType":"a/b","digest":"${c1}","size":1e308}`),
      "layers[1].size",
      "layers[1].size: expected a whole number from 0 to 2^53 - 1"
    ],
    [
      layer(`{"mediaType":"a/b","digest":"../../x","size":1}`),
      "layers[1].digest",
      "layers[1].digest: expected a digest"
    ],
    [layer(`{"digest":"${c1}","size":1}`), "layers[1].mediaType", "layers[1].mediaType is missing"],
    [layer("7"), "layers[1]", "layers[1]: expected an object"],
    [image(`"mediaType":7`), "mediaType", "mediaType: expected a string"],
    [image(`"annotations":{"org.example":7}`), `annotations["org.example"]`, ": expected a string"],
    [image(`"annotations":{"__proto__":{}}`), `annotations["__proto__"]`, ": expected a string"],
    [image(`"subject":"${c1}"`), "subject", "subject: expected an object"]
  ] as const)("is refused with the place: %s", ([json, path, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(json, ociManifest))
      expect(error).toMatchObject({ _tag: "InvalidManifest", reason: "Shape", path })
      expect(error.message).toContain(message)
    })
  )

  it.effect.each(["", "<html></html>", "null", "[]", "7", `"text"`, `{"schemaVersion":2`])(
    "is refused: %j is no object",
    (text) =>
      Effect.gen(function* () {
        for (const mediaType of [ociManifest, undefined, "text/html"])
          expect(yield* Effect.flip(read(text, mediaType))).toMatchObject({
            _tag: "InvalidManifest",
            reason: "Json"
          })
      })
  )

  it.effect.each([
    [`{"mediaType":"a\\u0007/\\u202eb"}`, ociIndex],
    [`{"mediaType":"a\\u0007/\\u202eb"}`, undefined],
    [image(`"annotations":{"\\u001b[31m\\u202ea":7}`), ociManifest]
  ] as const)(
    "shows no control or bidirectional characters of it (T12): %s as %s",
    ([json, sent]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(read(json, sent))
        expect(JSON.stringify([error.message, { ...error }])).not.toMatch(
          /[\p{Cc}\p{Bidi_Control}]|\\u00/u
        )
      })
  )

  const deep = "[".repeat(500_000) + "]".repeat(500_000)

  it.effect.each([
    deep,
    `{"schemaVersion":2,"config":${deep},"layers":[]}`,
    `{"schemaVersion":2,"config":${descriptor},"layers":${deep}}`,
    `{"schemaVersion":2,"config":${descriptor},"layers":[],"annotations":{"${"k".repeat(1_000_000)}":${deep}}}`
  ])("is refused with a short message, however deep it is nested (T21)", (json) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(json, ociManifest))
      expect(error._tag).toBe("InvalidManifest")
      expect(error.message.length).toBeLessThan(512)
    })
  )

  it.effect("is one nested deeper than 256 levels, in an unknown field too (T6)", () =>
    Effect.gen(function* () {
      const nested = (depth: number) => image(`"x":${"[".repeat(depth)}${"]".repeat(depth)}`)
      expect(yield* tagOf(nested(255), ociManifest)).toBe("ImageManifest")
      expect(yield* Effect.flip(read(nested(256), ociManifest))).toMatchObject({
        reason: "Json",
        message: "the manifest nests deeper than 256 levels"
      })
    })
  )

  it.effect.prop(
    "is refused with a typed error, whatever JSON it is",
    [FastCheck.json()],
    ([json]) =>
      Effect.gen(function* () {
        const tags = yield* Effect.forEach([ociManifest, ociIndex], (mediaType) =>
          Effect.catchAll(tagOf(json, mediaType), (error) => Effect.succeed(error._tag))
        )
        for (const tag of tags) expect(["InvalidManifest", "MediaTypeMismatch"]).toContain(tag)
      })
  )
})

describe("image and index", () => {
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: Digest.fromBytes(bytesOf("c1")),
    size: 2
  }
  const layer = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: Digest.fromBytes(bytesOf("b1")),
    size: 2
  }
  const text = (manifest: Manifest.Manifest) => new TextDecoder().decode(manifest.bytes)

  it("write the fields in the specification's order, with their media type (C65)", () => {
    expect(text(Manifest.image({ config, layers: [layer] }))).toBe(
      `{"schemaVersion":2,"mediaType":"${ociManifest}","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"${config.digest}","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"${layer.digest}","size":2}]}`
    )
    expect(text(Manifest.index({ manifests: [] }))).toBe(
      `{"schemaVersion":2,"mediaType":"${ociIndex}","manifests":[]}`
    )
  })

  it.each([undefined, ""])("refuse the empty config with the artifactType %j", (artifactType) => {
    const options = { config: Descriptor.empty, layers: [layer], artifactType }
    expect(() => Manifest.image(options)).toThrow(Manifest.InvalidManifest)
    expect(() => Manifest.image(options)).toThrow("artifactType is missing")
    expect(() => Manifest.image({ ...options, config: { ...config, size: 2 } })).not.toThrow()
  })

  it.each([-1, 1.5, Number.NaN, 2 ** 53])("refuse a size of %s (trap 41)", (size) => {
    const bad = { ...layer, size }
    const cases = [
      ["config", () => Manifest.image({ config: bad, layers: [] })],
      ["layers[1]", () => Manifest.image({ config, layers: [layer, bad] })],
      ["subject", () => Manifest.image({ config, layers: [], subject: bad })],
      ["manifests[0]", () => Manifest.index({ manifests: [bad] })]
    ] as const
    for (const [place, build] of cases) {
      expect(build).toThrow(Manifest.InvalidManifest)
      expect(build).toThrow(`${place}.size is ${size}, and not a whole number from 0 to 2^53 - 1`)
    }
  })

  it("write every field, annotations sorted", () => {
    const artifact = Manifest.image({
      annotations: JSON.parse(`{"b":"2","__proto__":"0","a":"1"}`),
      subject: { size: 1, digest: config.digest, mediaType: ociManifest },
      layers: [{ ...layer, annotations: { z: "", y: "" }, urls: ["https://example.com/"] }],
      config: Descriptor.empty,
      artifactType: "application/vnd.example+type"
    })
    const empty = `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}`
    expect(text(artifact)).toBe(
      `{"schemaVersion":2,"mediaType":"${ociManifest}","artifactType":"application/vnd.example+type","config":${empty},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"${layer.digest}","size":2,"urls":["https://example.com/"],"annotations":{"y":"","z":""}}],"subject":{"mediaType":"${ociManifest}","digest":"${config.digest}","size":1},"annotations":{"__proto__":"0","a":"1","b":"2"}}`
    )
    const platform = { variant: "v8", os: "linux", architecture: "arm64", "os.version": "1" }
    const list = Manifest.index({
      mediaType: MediaType.dockerManifestList,
      manifests: [{ artifactType: "a/b", platform, ...layer }]
    })
    expect(text(list)).toBe(
      `{"schemaVersion":2,"mediaType":"${dockerList}","manifests":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"${layer.digest}","size":2,"artifactType":"a/b","platform":{"architecture":"arm64","os":"linux","os.version":"1","variant":"v8"}}]}`
    )
  })

  it("describe exactly the bytes they made", () => {
    const manifest = Manifest.index({ manifests: [] })
    expect(manifest.descriptor).toStrictEqual({
      mediaType: ociIndex,
      digest: "sha256:dff9de10919148711140d349bf03f1a99eb06f94b03e51715ccebfa7cdc518e2",
      size: 88
    })
  })

  it.effect.prop(
    "are read back as what was said",
    {
      config: Descriptor.Descriptor,
      layers: FastCheck.array(FastCheck.constant(layer), { maxLength: 3 }),
      artifactType: FastCheck.option(FastCheck.string(), { nil: undefined }),
      annotations: FastCheck.option(FastCheck.dictionary(FastCheck.string(), FastCheck.string()), {
        nil: undefined
      })
    },
    (options) =>
      Effect.gen(function* () {
        const image = Manifest.image({ ...options, subject: options.config })
        const readImage = yield* Manifest.fromBytes(image.bytes, { mediaType: ociManifest })
        expect(readImage).toEqual(image)
        const { config, layers, ...rest } = options
        const index = Manifest.index({ manifests: [config, ...layers], ...rest })
        expect(yield* Manifest.fromBytes(index.bytes, { mediaType: ociIndex })).toEqual(index)
      })
  )
})

describe("what a manifest says", () => {
  it.effect("references: config and layers, or the manifests; never the subject", () =>
    Effect.gen(function* () {
      const image = yield* read(imageJson)
      expect(Manifest.references(image).map(({ digest }) => digest)).toEqual([c1, b1, b2])
      expect(Option.map(Manifest.subject(image), ({ digest }) => digest)).toEqual(Option.some(m1))
      const index = yield* read(indexJson)
      expect(Manifest.references(index).map(({ size }) => size)).toEqual([7143, 1])
      expect(Manifest.subject(index)).toEqual(Option.none())
    })
  )

  it.effect(
    "referrer: its descriptor with artifact type and annotations, as far as it has them (C77, R35)",
    () =>
      Effect.gen(function* () {
        const image = yield* read(imageJson)
        expect(Manifest.referrer(image)).toEqual({
          ...image.descriptor,
          artifactType: "application/vnd.oci.image.config.v1+json",
          annotations: JSON.parse('{ "com.example.key1": "value1", "__proto__": "kept" }')
        })
        for (const bare of [
          yield* read(indexJson),
          yield* read("any", "application/vnd.example.unknown")
        ])
          expect(Manifest.referrer(bare)).toStrictEqual(bare.descriptor)
      })
  )

  it("artifactType: its own, else an image's config type (C77, I10, trap 48)", () => {
    const config = { ...Descriptor.empty, mediaType: "application/vnd.example.config" }
    const image = (artifactType?: string) =>
      Manifest.artifactType(Manifest.image({ config, layers: [], artifactType }))
    expect(image("application/vnd.example")).toEqual(Option.some("application/vnd.example"))
    expect(image("")).toEqual(Option.some("application/vnd.example.config"))
    expect(image()).toEqual(Option.some("application/vnd.example.config"))
    const index = (artifactType?: string) =>
      Manifest.artifactType(Manifest.index({ manifests: [], artifactType }))
    expect(index("application/vnd.example")).toEqual(Option.some("application/vnd.example"))
    expect(index("")).toEqual(Option.none())
    expect(index()).toEqual(Option.none())
  })
})
