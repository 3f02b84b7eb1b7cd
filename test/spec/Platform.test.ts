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
    expect(Platform.format({ ...windows, variant: "" })).toBe("windows/amd64")
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

describe("rank (S26)", () => {
  const of = (text: string, more: Partial<Platform.Platform> = {}) => ({
    ...Platform.unsafeParse(text),
    ...more
  })
  const windows = (version?: string, features?: ReadonlyArray<string>) =>
    of("windows/amd64", {
      ...(version !== undefined && { "os.version": version }),
      ...(features !== undefined && { "os.features": features })
    })
  const ranked = (
    wanted: Platform.Platform | ReadonlyArray<Platform.Platform>,
    offered: ReadonlyArray<Platform.Platform | undefined>
  ) => {
    const items = offered.map((platform, at) => ({ at, ...(platform && { platform }) }))
    return Platform.rank(items, wanted).map(({ at }) => at)
  }

  it.each([
    ["linux/arm/v8", ["linux/arm/v5", "linux/arm/v6", "linux/arm", "linux/arm/v8"], [3, 2, 1, 0]],
    ["linux/arm", ["linux/arm/v6", "linux/arm/v7", "linux/arm/v8", "linux/arm"], [1, 3, 0]],
    ["linux/arm/v6", ["linux/arm", "linux/arm/v7", "linux/arm/v6"], [2]],
    ["linux/arm64", ["linux/arm", "linux/arm64/v8", "linux/arm64", "linux/arm64/v9"], [1, 2]],
    ["linux/arm64/v9", ["linux/arm64", "linux/arm64/v8.2", "linux/arm64/v8.10"], [2, 1, 0]],
    ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v4", "linux/amd64/v2", "linux/386"], [2, 0]],
    ["linux/amd64", ["linux/amd64/v2", "linux/amd64/v1", "linux/amd64"], [1, 2]],
    [
      "linux/ppc64le/power9",
      ["linux/ppc64le/power10", "linux/ppc64le", "linux/ppc64le/power8"],
      [2, 1]
    ],
    ["linux/riscv64/rva23u64", ["linux/riscv64/rva20u64", "linux/riscv64/rva22u64"], [1, 0]],
    ["linux/riscv64", ["linux/riscv64", "linux/riscv64/rva22u64"], [0, 1]],
    ["linux/riscv64", ["linux/riscv64/rva23u64", "linux/riscv64/rva20u64"], [1, 0]],
    ["linux/arm/v8", ["linux/arm/7", "linux/arm/v6", "linux/arm/8", "linux/arm/x"], [2, 0, 1]],
    ["linux/arm64", ["linux/arm64/9", "linux/arm64/8"], [1]],
    ["linux/arm/7", ["linux/arm/v6", "linux/arm/v7"], [1, 0]],
    ["linux/s390x", ["linux/amd64", "freebsd/s390x", "unknown/unknown"], []],
    ["linux/x/odd", ["linux/x/other", "linux/x/odd"], [1]],
    ["unknown/unknown", ["unknown/unknown"], []]
  ])("of %s among %j is %j", (wanted, offered, expected) => {
    expect(
      ranked(
        of(wanted),
        offered.map((text) => of(text))
      )
    ).toEqual(expected)
  })

  it("takes the same build of Windows, then the latest of the earlier ones", () => {
    const offered = ["10.0.14393.1", "10.0.17763.5", "10.0.20348.9", "10.0.20348.2", "10.0.26100.1"]
    const all = [...offered.map((version) => windows(version)), windows()]
    expect(ranked(windows("10.0.20348.4"), all)).toEqual([3, 2, 1, 0, 5])
    expect(ranked(windows("10.0.20348.9"), all)).toEqual([2, 3, 1, 0, 5])
    expect(ranked(windows("10.0.20348"), all)).toEqual([2, 3, 1, 0, 5])
    expect(ranked(windows("10.0.14392.9"), all)).toEqual([5])
    expect(ranked(windows(), all)).toEqual([0, 1, 2, 3, 4, 5])
    expect(ranked(windows("rolling"), [windows("10.0.1.1"), windows("rolling")])).toEqual([1])
  })

  it("reads an empty version and variant as none, as programs in Go write them", () => {
    const all = [windows("10.0.17763.5"), windows("")]
    expect(ranked(windows("10.0.17763.5"), all)).toEqual([0, 1])
    expect(ranked(windows("10.0.14393.1"), all)).toEqual([1])
    expect(ranked(windows(""), all)).toEqual([0, 1])
    const arm = of("linux/arm", { variant: "" })
    expect(ranked(arm, [arm, of("linux/arm/v7"), of("linux/arm/v6")])).toEqual([0, 1, 2])
  })

  it("needs the OS features that are offered to be wanted, if any are", () => {
    const all = [windows(undefined, ["win32k"]), windows(), windows(undefined, ["a", "win32k"])]
    expect(ranked(windows(undefined, ["win32k"]), all)).toEqual([0, 1])
    expect(ranked(windows(undefined, []), all)).toEqual([1])
    expect(ranked(windows(), all)).toEqual([1, 0, 2])
  })

  it("takes several platforms in order of preference, each thing once", () => {
    const offered = [undefined, of("linux/amd64"), of("linux/arm64"), of("linux/arm/v6")]
    expect(ranked([of("linux/arm64"), of("linux/amd64/v2"), of("linux/amd64")], offered)).toEqual([
      2, 1
    ])
    expect(ranked([], offered)).toEqual([])
  })
})
