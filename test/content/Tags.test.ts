/** Which tags a filter chooses, and in which order. */
import { describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Tags from "../../src/content/Tags.js"
import * as Registries from "../../src/Registries.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository } from "../support/fixtures.js"

const parsed = (tags: string) => tags.split(" ").map(Reference.unsafeParseTag)

/** What a filter chooses of some tags. */
const chosen = (tags: string, filter: Tags.Filter) =>
  Effect.map(Tags.select(parsed(tags), filter), ({ tags }) => tags.join(" "))

const attachment = `sha256-${"a".repeat(64)}`

describe("semantic versions", () => {
  const rows: ReadonlyArray<readonly [what: string, tags: string, Tags.Filter, expected: string]> =
    [
      ["by number, never by text", "9.0.0 90.0.0 100.0.0", { semver: "*" }, "100.0.0 90.0.0 9.0.0"],
      ["in a range", "1.1.9 1.2.0 1.10.0 2.0.0", { semver: "^1.2" }, "1.10.0 1.2.0"],
      ["with a v", "v1.0.0 1.0.1 v.2.0.0", { semver: "*" }, "1.0.1 v1.0.0"],
      // CP28: nothing is coerced.
      ["strictly", "4.8-20250909 4.8.1 latest 01.2.3 1.2 1.2.3.4 v", { semver: "*" }, "4.8.1"],
      ["without prereleases", "1.0.0 2.0.0-rc.1", { semver: ">=1" }, "1.0.0"],
      [
        "with prereleases where asked",
        "1.0.0 2.0.0-rc.2 2.0.0-rc.10 2.0.0",
        { semver: ">=1", prereleases: true },
        "2.0.0 2.0.0-rc.10 2.0.0-rc.2 1.0.0"
      ],
      [
        "with the prereleases of a version that the range names so",
        "2.0.0-rc.1 2.0.0-rc.3 2.1.0-rc.1",
        { semver: ">=2.0.0-rc.2" },
        "2.0.0-rc.3"
      ],
      // Helm writes + as _ (CP28).
      ["without _", "1.0.0_build.7 1.0.0", { semver: "*" }, "1.0.0"],
      [
        "with _ as +, builds in order",
        "1.0.0_7 1.0.0_10 1.0.0 1.0.0_9 1.0.1_1",
        { semver: "*", underscoreAsPlus: true },
        "1.0.1_1 1.0.0_10 1.0.0_9 1.0.0_7 1.0.0"
      ],
      ["the newest of them", "1.0.0 1.2.0 1.1.0 latest", { semver: "*", newest: 2 }, "1.2.0 1.1.0"],
      [
        "after patterns",
        "1.0.0 1.2.0 1.1.0",
        { semver: "*", exclude: ["1.2.*"], newest: 1 },
        "1.1.0"
      ]
    ]
  it.effect.each(rows)("are chosen %s", ([, tags, filter, expected]) =>
    Effect.gen(function* () {
      expect(yield* chosen(tags, filter)).toBe(expected)
      // CP28: the order of the list changes nothing.
      expect(yield* chosen(tags.split(" ").reverse().join(" "), filter)).toBe(expected)
    })
  )

  it.effect("come in one order whatever the order of the list, also where they are equal", () =>
    Effect.gen(function* () {
      const tags = "1.0.0 v1.0.0 1.0.0-rc.1 2.0.0_b 2.0.0_a 10.0.0"
      const filter = { semver: "*", prereleases: true, underscoreAsPlus: true }
      const expected = yield* chosen(tags, filter)
      FastCheck.assert(
        FastCheck.property(
          FastCheck.shuffledSubarray(tags.split(" "), { minLength: 6 }),
          (other) => Effect.runSync(chosen(other.join(" "), filter)) === expected
        ),
        { numRuns: 50 }
      )
    })
  )
})

describe("calendar versions", () => {
  const rows: ReadonlyArray<readonly [what: string, tags: string, Tags.Filter, expected: string]> =
    [
      // CP28: 2026.02.0 was not seen.
      [
        "with zeros",
        "2025.12.1 2026.02.0 2026.2.1 2026.10.0 latest",
        { calendar: "*" },
        "2026.10.0 2026.2.1 2026.02.0 2025.12.1"
      ],
      ["in a range with zeros", "2025.12.1 2026.02.0", { calendar: ">=2026.02" }, "2026.02.0"],
      ["of two digits", "22.04 24.04 24.10 24.13 16", { calendar: "<24.10" }, "24.04 22.04"],
      ["with dashes", "2026-02-28 2026-03-01", { calendar: "*" }, "2026-03-01 2026-02-28"],
      ["as dates", "20260228 20251231 20261301 12345678", { calendar: ">=20260101" }, "20260228"],
      [
        "with a fourth number as a build",
        "2026.2.1.9 2026.2.1.10 2026.2.1",
        { calendar: "*" },
        "2026.2.1.10 2026.2.1.9 2026.2.1"
      ],
      [
        "with prereleases where asked",
        "2026.2.0-beta.1 2026.2.0",
        { calendar: "*", prereleases: true },
        "2026.2.0 2026.2.0-beta.1"
      ],
      ["and nothing else", "1.2.3 v1 4.8-20250909 2026 nightly-20260228", { calendar: "*" }, ""]
    ]
  it.effect.each(rows)("are chosen %s", ([, tags, filter, expected]) =>
    Effect.map(chosen(tags, filter), (tags) => expect(tags).toBe(expected))
  )
})

describe("patterns", () => {
  const rows: ReadonlyArray<readonly [tags: string, Tags.Filter, expected: string]> = [
    // CP27: whole names.
    ["v1 v10 xv1 latest", { include: ["v1"] }, "v1"],
    ["v1 v10 xv1 latest", { include: [/v1|v10/] }, "v1 v10"],
    ["a ab", { include: [/a|ab/g] }, "a ab"],
    ["dev devel pre-dev", { include: ["*"], exclude: ["dev*"] }, "pre-dev"],
    ["build-0001 build-001 build-00001", { include: ["build-????"] }, "build-0001"],
    ["n1 n2 n9 na n-", { include: ["n[1-3]", "n[-a]"] }, "n- n1 n2 na"],
    ["n1 na", { include: ["n[!0-9]"] }, "na"],
    ["1.2.3 1x2x3", { include: ["1.2.3"] }, "1.2.3"],
    ["b a", {}, "a b"],
    ["a b", { include: [] }, ""],
    // CP06: attachments are not chosen, whatever the filter.
    [`a ${attachment} ${attachment}.sig ${attachment}.att`, { include: ["*", /.*/] }, "a"]
  ]
  it.effect.each(rows)("are about whole names: %s %o", ([tags, filter, expected]) =>
    Effect.map(chosen(tags, filter), (tags) => expect(tags).toBe(expected))
  )

  it.effect("of many runs take no time, since they may come from strangers", () =>
    Effect.gen(function* () {
      // A search that goes back at each run would not end.
      const name = "a".repeat(128)
      for (let n = 0; n < 100; n++)
        expect(yield* chosen(name, { include: [`${"*a".repeat(63)}*b`] })).toBe("")
    })
  )

  it("agree with a regular expression that says the same", () => {
    const token = FastCheck.constantFrom("*", "?", "a", "b", "[ab]", "[!a]")
    const matched = (pattern: string, name: string) => {
      const source = pattern.replace(/[*?]|\[!/g, (found) =>
        found === "*" ? ".*" : found === "?" ? "." : "[^"
      )
      return new RegExp(`^${source}$`).test(name)
    }
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(token, { maxLength: 6 }).map((tokens) => tokens.join("")),
        FastCheck.stringMatching(/^[abc]{1,8}$/),
        (pattern, name) =>
          (Effect.runSync(chosen(name, { include: [pattern] })) === name) === matched(pattern, name)
      ),
      { numRuns: 300 }
    )
  })
})

it.effect("the rules that fit no tag are named (CP27)", () =>
  Effect.gen(function* () {
    const filter = { include: ["v*", "w*"], exclude: ["*-rc*"], semver: "^9" }
    const { unmatched } = yield* Tags.select(parsed(`v1.0.0 ${attachment}`), filter)
    expect(unmatched).toEqual(["include w*", "exclude *-rc*", "semver ^9"])
    expect((yield* Tags.select(parsed("v1"), { include: ["v*", /v./] })).unmatched).toEqual([])
  })
)

describe("filters that make no sense", () => {
  const rows: ReadonlyArray<readonly [Tags.Filter, message: string]> = [
    [
      { include: ["^v1$"] },
      'include: "^v1$" has a character that tags do not have, "^": patterns are written like "v1.*", "build-????" or "nightly-[0-9]*"'
    ],
    [
      { exclude: ["v[1"] },
      'exclude: "v[1" has a set that is not one: patterns are written like "v1.*", "build-????" or "nightly-[0-9]*"'
    ],
    [
      { include: ["a".repeat(300)] },
      `include: "${"a".repeat(128)}" has more than the 256 characters of a pattern`
    ],
    [
      { semver: "newest" },
      'semver: "newest" is not a range of versions, such as "^1.2", "1.x" or ">=1.2.0 <2.0.0"'
    ],
    [
      { semver: "1 ||".repeat(99) },
      `semver: "${"1 ||".repeat(32)}" has more than the 256 characters of a range`
    ],
    [
      { semver: "*", calendar: "*" },
      "calendar: a filter has either semver or calendar versions, not both"
    ],
    [{ semver: "*", newest: 0 }, "newest: 0 is not a number of tags"],
    [{ semver: " " }, 'semver: " " is empty: write "*" for any version'],
    [{ calendar: "" }, 'calendar: "" is empty: write "*" for any version'],
    [{ semver: "*", newest: 1.5 }, "newest: 1.5 is not a number of tags"],
    [
      { include: ["*"], newest: 3 },
      'newest: which tags are the newest, their versions tell: say semver: "*" or calendar: "*" as well'
    ]
  ]
  it.effect.each(rows)("are refused: %o", ([filter, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Tags.select([], filter))
      expect(error).toMatchObject({ _tag: "InvalidFilter", message })
      const decoded = Schema.decodeUnknownEither(Tags.FilterData)(filter)
      expect(Either.isLeft(decoded) && decoded.left.message).toContain(message)
    })
  )
})

it("a filter as data goes there and back", () => {
  const data = { include: ["v*"], exclude: [], semver: "^1", prereleases: true, newest: 3 }
  const filter = Schema.decodeUnknownSync(Tags.FilterData)(data)
  expect(Schema.encodeSync(Tags.FilterData)(filter)).toEqual(data)
  expect(() => Schema.decodeUnknownSync(Tags.FilterData)({ include: "v*" })).toThrow()
})

layer(MemoryRegistry.layerRegistries())((it) => {
  it.effect("list and newest choose among the tags of a repository", () =>
    Effect.gen(function* () {
      const name = `registry.example/${yield* freshRepository}`
      for (const tag of parsed(`latest 1.9.0 1.10.0 2.0.0-rc.1 ${attachment}.sig`))
        yield* Registries.putManifest(`${name}:${tag}`, Manifest.index({ manifests: [] }))
      expect(yield* Tags.list(name)).toEqual(["1.10.0", "1.9.0", "2.0.0-rc.1", "latest"])
      expect(yield* Tags.list(name, { semver: "1" })).toEqual(["1.10.0", "1.9.0"])
      expect(yield* Tags.newest(name)).toEqual(Option.some("1.10.0"))
      expect(yield* Tags.newest(name, { semver: "^9" })).toEqual(Option.none())
      expect(yield* Effect.flip(Tags.newest(name, { include: ["*"] }))).toMatchObject({
        _tag: "InvalidFilter",
        field: "newest"
      })
      expect((yield* Effect.flip(Tags.list(`${name}/none`)))._tag).toBe("NameUnknown")
    })
  )
})
