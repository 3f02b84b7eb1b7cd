import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Platform from "../../src/spec/Platform.js"

describe("parse", () => {
  it.effect.each([
    ["linux/amd64", { os: "linux", architecture: "amd64" }],
    ["linux/arm/v7", { os: "linux", architecture: "arm", variant: "v7" }],
    ["linux/arm64/v8.1", { os: "linux", architecture: "arm64", variant: "v8.1" }],
    ["unknown/unknown", { os: "unknown", architecture: "unknown" }]
  ] as const)("reads %s, and format writes it again", ([input, expected]) =>
    Effect.gen(function* () {
      const platform = yield* Platform.parse(input)
      expect(platform).toStrictEqual(expected)
      expect(Platform.format(platform)).toBe(input)
    })
  )

  it.effect.each([
    "",
    "linux",
    "linux/",
    "/amd64",
    "linux/arm/",
    "linux/arm/v7/x",
    "linux amd64",
    "linux/amd64\n",
    "a/".repeat(500_000),
    `linux/${"a".repeat(1_000_000)}`
  ])("refuses what is not os/architecture[/variant]", (input) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Platform.parse(input))
      expect(error._tag).toBe("InvalidPlatform")
      expect(error.input).toBe(input.slice(0, 128))
      expect(error.message).toContain("such as linux/arm64")
    })
  )
})

describe("format", () => {
  it("leaves out the OS version and the features", () => {
    const windows = {
      architecture: "amd64",
      os: "windows",
      "os.version": "10.0.17763.1",
      "os.features": ["win32k"]
    }
    expect(Platform.format(windows)).toBe("windows/amd64")
  })
})

describe("schema", () => {
  const decode = Schema.decodeUnknown(Platform.Platform)

  it.effect("takes every field of the specification and keeps others (I2)", () =>
    Effect.gen(function* () {
      const full = {
        architecture: "amd64",
        os: "windows",
        "os.version": "10.0.14393.1066",
        "os.features": ["win32k"],
        variant: "v2",
        features: ["sse4"]
      }
      const extra = { ...full, "example.extra": 1 }
      expect(yield* decode(extra)).toStrictEqual(extra)
      expect(yield* Schema.encode(Platform.Platform)(yield* decode(extra))).toStrictEqual(extra)
    })
  )

  it.effect.each([
    { os: "linux" },
    { architecture: "arm" },
    { architecture: "arm", os: "linux", variant: 7 },
    "linux"
  ])("refuses %j", (input) =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(decode(input)))._tag).toBe("ParseError")
    })
  )
})
