import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Descriptor from "../../src/spec/Descriptor.js"

const decode = Schema.decodeUnknown(Schema.parseJson(Descriptor.Descriptor))

const digest = "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270"
const withSize = (size: string) => `{"mediaType":"a/b","digest":"${digest}","size":${size}}`

describe("schema", () => {
  it.effect("decodes every field of the specification, and keeps others (I2)", () =>
    Effect.gen(function* () {
      const descriptor = yield* decode(`{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "size": 7682,
        "digest": "${digest}",
        "urls": ["https://example.com/example-manifest"],
        "annotations": { "com.example.key": "value", "__proto__": "kept" },
        "data": "e30=",
        "artifactType": "application/vnd.example.sbom.v1",
        "platform": { "architecture": "ppc64le", "os": "linux", "os.version": "1", "variant": "power8", "x": [] },
        "org.example.unknown": { "a": 1, "b": null },
        "__proto__": { "platform": 1 }
      }`)
      expect(JSON.parse(JSON.stringify(descriptor))).toEqual(
        JSON.parse(`{
          "org.example.unknown": { "a": 1, "b": null },
          "__proto__": { "platform": 1 },
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "size": 7682,
          "digest": "${digest}",
          "urls": ["https://example.com/example-manifest"],
          "annotations": { "com.example.key": "value", "__proto__": "kept" },
          "data": "e30=",
          "artifactType": "application/vnd.example.sbom.v1",
          "platform": { "architecture": "ppc64le", "os": "linux", "os.version": "1", "variant": "power8", "x": [] }
        }`)
      )
      expect(Object.keys(descriptor.annotations ?? {})).toContain("__proto__")
      expect(Object.getPrototypeOf(descriptor)).toBe(Object.prototype)
      const encoded = yield* Schema.encode(Descriptor.Descriptor)(descriptor)
      expect(encoded).toEqual(descriptor)
      expect(Object.hasOwn(encoded, "__proto__")).toBe(true)
    })
  )

  it.effect.each(["0", "7682", "9007199254740991", "1e3"])("accepts the size %s", (size) =>
    Effect.gen(function* () {
      expect((yield* decode(withSize(size))).size).toBe(Number(size))
    })
  )

  it.effect.each([
    "-1",
    "1.5",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "1e308",
    "1e400",
    `"7682"`,
    "null",
    "true"
  ])("refuses the size %s (T21, trap 41)", (size) =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(decode(withSize(size)))).message).toContain("size")
    })
  )

  it.effect.each([
    `{"digest":"${digest}","size":1}`,
    `{"mediaType":"a/b","size":1}`,
    `{"mediaType":"a/b","digest":"${digest}"}`,
    `{"mediaType":"a/b","digest":"latest","size":1}`,
    `{"mediaType":"a/b","digest":"sha256:../../x","size":1}`,
    `{"mediaType":"a/b","digest":"${digest}","size":1,"urls":"https://example.com"}`,
    `{"mediaType":"a/b","digest":"${digest}","size":1,"annotations":{"a":1}}`,
    `{"mediaType":"a/b","digest":"${digest}","size":1,"data":"e30"}`,
    `{"mediaType":"a/b","digest":"${digest}","size":1,"data":"e3-="}`,
    `{"mediaType":"a/b","digest":"${digest}","size":1,"platform":{"os":"linux"}}`,
    "[]",
    "null"
  ])("refuses %s (T8)", (json) =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(decode(json)))._tag).toBe("ParseError")
    })
  )

  it.effect.each([
    "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
    "future+v2:AbC="
  ])("accepts the digest %s, which cannot be verified here (C17)", (unverifiable) =>
    Effect.gen(function* () {
      const descriptor = yield* decode(
        `{"mediaType":"x-unknown/y","digest":"${unverifiable}","size":1}`
      )
      expect(descriptor).toEqual({ mediaType: "x-unknown/y", digest: unverifiable, size: 1 })
    })
  )

  it.effect.prop("decodes what it encodes", [Descriptor.Descriptor], ([descriptor]) =>
    Effect.gen(function* () {
      const encoded = yield* Schema.encode(Descriptor.Descriptor)(descriptor)
      expect(yield* Schema.decode(Descriptor.Descriptor)(encoded)).toEqual(descriptor)
    })
  )
})

describe("empty", () => {
  it("is the empty descriptor of the specification", () => {
    expect(JSON.stringify(Descriptor.empty)).toBe(
      `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}`
    )
  })
})

describe("fromBytes", () => {
  it("describes bytes by SHA-256, or by the algorithm asked for", () => {
    const bytes = new TextEncoder().encode("{}")
    expect(Descriptor.fromBytes(bytes, "a/b")).toStrictEqual({
      mediaType: "a/b",
      digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
      size: 2
    })
    expect(Descriptor.fromBytes(bytes, "a/b", "sha512").digest).toBe(
      "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd"
    )
  })
})
