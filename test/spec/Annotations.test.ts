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
  it("are those of image-spec annotations.md", () => {
    const keys = Object.values(Annotations).filter((value) => typeof value === "string")
    expect(keys.sort()).toEqual([
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
