/** The values of spec/: made, compared, shown, and parsed from what stands in a program. */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as FastCheck from "effect/FastCheck"
import * as Hash from "effect/Hash"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Host from "../../src/spec/Host.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"

const hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
const digest = Digest.unsafeParse(`sha256:${hash}`)

describe("unsafeParse", () => {
  it.each([
    ["Digest", Digest.unsafeParse, Digest.parse, `sha256:${hash}`, "sha256:00"],
    ["Host", Host.unsafeParse, Host.parse, "GHCR.io", "a:hunter2@ghcr.io"],
    ["Platform", Platform.unsafeParse, Platform.parse, "linux/arm/v7", "linux"],
    ["Reference", Reference.unsafeParse, Reference.parse, "ubuntu:24.04", "ghcr.io/A"],
    [
      "Reference.RepositoryName",
      Reference.unsafeParseRepositoryName,
      Reference.parseRepositoryName,
      "owner/name",
      "a//b"
    ],
    ["Reference.Tag", Reference.unsafeParseTag, Reference.parseTag, "v1", "-v1"]
  ] as ReadonlyArray<
    [
      string,
      (input: string) => unknown,
      (input: string) => Effect.Effect<unknown, Error>,
      string,
      string
    ]
  >)(
    "of %s returns what parse succeeds with, and throws its error",
    (_, unsafe, parse, ok, bad) => {
      expect(Equal.equals(unsafe(ok), Effect.runSync(parse(ok)))).toBe(true)
      const error = Effect.runSync(Effect.flip(parse(bad)))
      expect(() => unsafe(bad)).toThrow(error)
      expect(error.message).not.toContain("hunter2")
    }
  )

  it("takes the scheme that a host is of", () => {
    expect(Host.unsafeParse("ghcr.io:80", "http")).toBe("ghcr.io")
    expect(Host.unsafeParse("ghcr.io:80")).toBe("ghcr.io:80")
  })
})

describe("brand constructors", () => {
  it.each([
    ["Digest", Digest.Digest, `sha256:${hash}`, "sha256:00"],
    ["Host", Host.Host, "ghcr.io", "GHCR.io"],
    ["RepositoryName", Reference.RepositoryName, "owner/name", "owner/Name"],
    ["Tag", Reference.Tag, "v1", "v 1"]
  ] as const)("of %s return the string, and throw ParseError", (_, schema, ok, bad) => {
    expect(schema.make(ok)).toBe(ok)
    expect(() => schema.make(bad)).toThrow(expect.objectContaining({ _tag: "ParseError" }))
  })
})

describe("Host schemas", () => {
  it.effect("take any spelling, or the normal form alone", () =>
    Effect.gen(function* () {
      const decode = Schema.decode(Host.FromString)
      expect(yield* decode("Registry-1.Docker.io")).toBe("docker.io")
      expect((yield* Effect.flip(decode("https://ghcr.io"))).message).toContain("it is a URL")
      expect(Schema.is(Host.Host)("ghcr.io:443")).toBe(true) // over http
      expect(["Ghcr.io", "index.docker.io", "0x7f.1", "", 1].some(Host.isHost)).toBe(false)
    })
  )

  it.prop("generate hosts", [Host.Host], ([host]) => {
    expect(Host.unsafeParse(host)).toBe(host)
  })
})

describe("Reference", () => {
  const reference = Reference.unsafeParse("ghcr.io/owner/name:v1")

  it.prop(
    "is equal to those with the same text alone, which hash alike",
    [Reference.FromString, Reference.FromString],
    ([a, b]) => {
      const again = Reference.unsafeParse(Reference.format(a))
      expect(again).not.toBe(a)
      expect(Equal.equals(again, a)).toBe(true)
      expect(Hash.hash(again)).toBe(Hash.hash(a))
      expect(HashSet.size(HashSet.make(a, again))).toBe(1)
      expect(Equal.equals(a, b)).toBe(Reference.format(a) === Reference.format(b))
      const parts = { ...a, tag: Option.getOrUndefined(a.tag) }
      expect(
        Equal.equals(a, Reference.make({ ...parts, digest: Option.getOrUndefined(a.digest) }))
      ).toBe(true)
    }
  )

  it("is shown as people write it", () => {
    const text = "ghcr.io/owner/name:v1"
    expect(String(reference)).toBe(text)
    expect(inspect(reference)).toBe(text)
    expect(inspect({ reference })).toBe(`{ reference: ${text} }`)
    expect(JSON.stringify({ reference })).toBe(`{"reference":"${text}"}`)
  })

  it("is told from what is no reference", () => {
    const platform = Platform.unsafeParse("linux/arm64")
    expect([{ ...reference }, platform, "x", null].some((u) => Equal.equals(reference, u))).toBe(
      false
    )
  })

  it("is made canonical", () => {
    const repository = Reference.RepositoryName.make("ubuntu")
    expect(String(Reference.make({ host: "index.docker.io", repository }))).toBe(
      "docker.io/library/ubuntu"
    )
    expect(
      String(
        Reference.make({
          host: "GHCR.io",
          repository,
          tag: Reference.unsafeParseTag("v1"),
          digest
        })
      )
    ).toBe(`ghcr.io/ubuntu:v1@${digest}`)
  })

  it.each([
    ["evil.example/x", '"evil.example/x" is not a host'],
    ["", '"" is not a host'],
    ["registry", 'write its port, such as "registry:443"'],
    ["a b:1", "is not a host"]
  ])("is not made of the host %j", (host, message) => {
    const make = () => Reference.make({ host, repository: Reference.RepositoryName.make("a/b") })
    expect(make).toThrow(Reference.InvalidReference)
    expect(make).toThrow(message)
  })

  it("is not made longer than references can be", () => {
    const repository = Reference.RepositoryName.make("a".repeat(250))
    expect(() => Reference.make({ host: "ghcr.io", repository })).toThrow("more than 255")
  })

  it("gets another tag, loses its tag, and is pinned, also if it is a plain object", () => {
    const v2 = Reference.Tag.make("v2")
    const both = Reference.unsafeParse(`ghcr.io/a/b:v1@${digest}`)
    for (const self of [both, { ...both }]) {
      expect(String(Reference.withTag(self, v2))).toBe("ghcr.io/a/b:v2")
      expect(String(Reference.withoutTag(self))).toBe(`ghcr.io/a/b@${digest}`)
      expect(String(Reference.withDigest(self, digest))).toBe(`ghcr.io/a/b@${digest}`)
    }
    expect(String(Reference.withTag(v2)(reference))).toBe("ghcr.io/owner/name:v2")
    expect(String(Reference.withoutTag(reference))).toBe("ghcr.io/owner/name")
  })

  it.each([
    [`sha256-${hash}`, true],
    [`sha512-${hash}`, true],
    [`sha256-${hash}.sig`, false],
    [`sha256-${hash.toUpperCase()}`, false],
    [`sha256-${hash}00`, false],
    [`md5-${hash}`, false],
    ["sha256-abc", false],
    ["latest", false]
  ])("tells the tags of referrers: %s, %s (C79)", (tag, expected) => {
    expect(Reference.isReferrersTag(tag)).toBe(expected)
  })
})

describe("Platform", () => {
  const arm = Platform.unsafeParse("linux/arm/v7")

  it.prop(
    "is equal to those that say the same alone, which hash alike",
    [Platform.Platform, Platform.Platform],
    ([a, b]) => {
      const decoded = Schema.decodeSync(Platform.Platform)(
        JSON.parse(JSON.stringify(Schema.encodeSync(Platform.Platform)(a)))
      )
      expect(Equal.equals(decoded, a)).toBe(true)
      expect(Hash.hash(decoded)).toBe(Hash.hash(a))
      expect(Equal.equals(Platform.make({ ...a }), a)).toBe(true)
      expect(Equal.equals(a, b)).toBe(JSON.stringify(a) === JSON.stringify(b))
    }
  )

  it.prop(
    "differs where one of its properties does",
    [FastCheck.constantFrom("os.version", "variant", "os.features", "features")],
    ([name]) => {
      const value = name.endsWith("features") ? ["x"] : "x"
      const plain = { os: "linux", architecture: "arm" }
      const other = Platform.make({ ...plain, [name]: value })
      expect(Equal.equals(Platform.make(plain), other)).toBe(false)
      expect(Equal.equals(other, Platform.make({ ...plain, [name]: value }))).toBe(true)
    }
  )

  it("is shown as people write it, and stays an object in JSON", () => {
    expect(String(arm)).toBe("linux/arm/v7")
    expect(inspect({ arm })).toBe("{ arm: linux/arm/v7 }")
    expect(JSON.parse(JSON.stringify(arm))).toEqual({
      os: "linux",
      architecture: "arm",
      variant: "v7"
    })
  })

  it.effect("goes into an index and comes back equal, also if it is a plain object", () =>
    Effect.gen(function* () {
      const described = Descriptor.fromBytes(new Uint8Array(1), MediaType.imageManifest)
      for (const platform of [arm, { ...arm }]) {
        const bytes = Manifest.index({ manifests: [{ ...described, platform }] }).bytes
        const { content } = yield* Manifest.fromBytes(bytes, { mediaType: MediaType.imageIndex })
        const found = content._tag === "ImageIndex" ? content.manifests[0]?.platform : undefined
        expect(Equal.equals(found, arm)).toBe(true)
      }
    })
  )

  it.effect("is read from a text and written to one", () =>
    Effect.gen(function* () {
      expect(Equal.equals(yield* Schema.decode(Platform.FromString)("linux/arm/v7"), arm)).toBe(
        true
      )
      expect(yield* Schema.encode(Platform.FromString)(arm)).toBe("linux/arm/v7")
      const error = yield* Effect.flip(Schema.decode(Platform.FromString)("linux"))
      expect(error.message).toContain("expected os/architecture")
    })
  )
})
