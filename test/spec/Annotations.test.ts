import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Annotations from "../../src/spec/Annotations.js"

const decode = Schema.decodeUnknown(Annotations.Annotations)

describe("schema", () => {
  it.effect("keeps unknown keys and empty values (I3)", () =>
    Effect.gen(function* () {
      const annotations = yield* decode({ "com.example.key1": "value1", "": "", "a b": "" })
      expect(Object.entries(annotations)).toEqual([
        ["com.example.key1", "value1"],
        ["", ""],
        ["a b", ""]
      ])
    })
  )

  it.effect("keeps a key named __proto__, and finds nothing that was not sent (T21)", () =>
    Effect.gen(function* () {
      const annotations = yield* decode(JSON.parse(`{"__proto__":"p","constructor":"c"}`))
      expect(Object.entries(annotations)).toEqual([
        ["__proto__", "p"],
        ["constructor", "c"]
      ])
      expect(annotations["toString"]).toBeUndefined()
      expect(JSON.stringify(annotations)).toBe(`{"__proto__":"p","constructor":"c"}`)
    })
  )

  it.effect.each([
    null,
    [],
    ["a"],
    "a",
    1,
    { a: 1 },
    { a: null },
    { a: "b", c: {} },
    JSON.parse(`{"__proto__":{}}`)
  ])("refuses %j", (input) =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(decode(input)))._tag).toBe("ParseError")
    })
  )

  it.effect("names the key whose value is not a string", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decode({ good: "", bad: 1 }))
      expect(error.message).toContain(`["bad"]`)
    })
  )

  it.effect.prop(
    "decodes any map of strings to the same entries",
    [
      FastCheck.dictionary(
        FastCheck.oneof(FastCheck.string(), FastCheck.constant("__proto__")),
        FastCheck.string()
      )
    ],
    ([map]) =>
      Effect.gen(function* () {
        expect(Object.entries(yield* decode(map))).toEqual(Object.entries(map))
      })
  )
})

describe("keys", () => {
  const keys = Object.values(Annotations).filter((value) => typeof value === "string")

  it("are those of image-spec annotations.md", () => {
    const ofSpecification = keys.filter((key) => key.startsWith("org.opencontainers."))
    expect(ofSpecification.sort()).toEqual([
      "org.opencontainers.image.authors",
      "org.opencontainers.image.base.digest",
      "org.opencontainers.image.base.name",
      "org.opencontainers.image.created",
      "org.opencontainers.image.description",
      "org.opencontainers.image.documentation",
      "org.opencontainers.image.licenses",
      "org.opencontainers.image.ref.name",
      "org.opencontainers.image.revision",
      "org.opencontainers.image.source",
      "org.opencontainers.image.title",
      "org.opencontainers.image.url",
      "org.opencontainers.image.vendor",
      "org.opencontainers.image.version"
    ])
  })

  it("are those of tools, too", () => {
    const ofTools = keys.filter((key) => !key.startsWith("org.opencontainers."))
    expect(ofTools.sort()).toEqual([
      "containerd.io/snapshot/stargz/toc.digest",
      "dev.cosignproject.cosign/signature",
      "dev.sigstore.bundle.content",
      "dev.sigstore.bundle.predicateType",
      "dev.sigstore.cosign/bundle",
      "dev.sigstore.cosign/certificate",
      "dev.sigstore.cosign/chain",
      "in-toto.io/predicate-type",
      "io.containerd.image.name",
      "io.containers.estargz.uncompressed-size",
      "io.deis.oras.content.digest",
      "io.deis.oras.content.unpack",
      "io.github.containers.zstd-chunked.manifest-checksum",
      "io.github.containers.zstd-chunked.manifest-position",
      "vnd.docker.reference.digest",
      "vnd.docker.reference.type"
    ])
  })
})

describe("title", () => {
  it("is the title annotation where there is one", () => {
    expect(Annotations.getTitle({ "org.opencontainers.image.title": "model.bin" })).toEqual(
      Option.some("model.bin")
    )
    expect(Annotations.getTitle({ title: "model.bin" })).toEqual(Option.none())
    expect(Annotations.getTitle(undefined)).toEqual(Option.none())
  })
})
