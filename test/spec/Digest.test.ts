import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Digest from "../../src/spec/Digest.js"

// Computed with sha256sum and sha512sum.
const emptySha256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
const helloSha256 = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
const helloSha512 =
  "sha512:9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
const blake3 = "blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
const hello = new TextEncoder().encode("hello")

const sixtyFour = "a".repeat(64)

describe("parse", () => {
  it.effect.each([
    emptySha256,
    helloSha512,
    blake3,
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", // descriptor.md "Examples"
    "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
    "a.b_c-d+e0:=",
    "md5:d41d8cd98f00b204e9800998ecf8427e"
  ])("accepts %s, registered or not (C14, C17)", (input) =>
    Effect.gen(function* () {
      expect(yield* Digest.parse(input)).toBe(input)
      expect(Digest.isDigest(input)).toBe(true)
    })
  )

  it.effect.each([
    ["", "Syntax"],
    ["sha256", "Syntax"],
    ["sha256:", "Syntax"],
    [`:${sixtyFour}`, "Syntax"],
    [`SHA256:${sixtyFour}`, "Syntax"],
    [`sha256::${sixtyFour}`, "Syntax"],
    [`+sha256:${sixtyFour}`, "Syntax"],
    [`sha256+:${sixtyFour}`, "Syntax"],
    [`a..b:${sixtyFour}`, "Syntax"],
    [`sha256:${sixtyFour}\n`, "Syntax"],
    [` sha256:${sixtyFour}`, "Syntax"],
    ["other:../../etc/passwd", "Syntax"],
    ["other:a%2fb", "Syntax"],
    [`other:${"a".repeat(512)}`, "Syntax"],
    [`sha256:${"a".repeat(63)}`, "Encoding"],
    [`sha256:${"a".repeat(65)}`, "Encoding"],
    [`sha256:${"A".repeat(64)}`, "Encoding"],
    [`sha256:${"g".repeat(64)}`, "Encoding"],
    [`sha512:${sixtyFour}`, "Encoding"],
    [`blake3:${"a".repeat(128)}`, "Encoding"]
  ] as const)("refuses %j for its %s (C14, C15)", ([input, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Digest.parse(input))
      expect(error._tag).toBe("InvalidDigest")
      expect(error.reason).toBe(reason)
      expect(Digest.isDigest(input)).toBe(false)
    })
  )

  it.effect.each([
    "a".repeat(1_000_000),
    "a.".repeat(500_000),
    `${"a-".repeat(500_000)}:`,
    `a:${"=".repeat(1_000_000)}`,
    `sha256:${"\u0000".repeat(1_000_000)}`
  ])("refuses a megabyte at once and keeps only its beginning (T16)", (input) =>
    Effect.gen(function* () {
      expect(Digest.isDigest(input)).toBe(false)
      const error = yield* Effect.flip(Digest.parse(input))
      expect(error.input).toBe(input.slice(0, 128))
      expect(error.message.length).toBeLessThan(1024)
    })
  )

  it.effect("quotes control characters in its message", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Digest.parse("sha256:\r\nset-cookie: a"))
      expect(error.message).toContain(String.raw`"sha256:\r\nset-cookie: a" is not a digest`)
    })
  )
})

describe("isDigest", () => {
  it.each([undefined, null, 1, {}, [emptySha256]])("is false for %j", (value) => {
    expect(Digest.isDigest(value)).toBe(false)
  })
})

describe("parts", () => {
  it.effect.each([
    [helloSha256, "sha256", helloSha256.slice(7), true],
    [helloSha512, "sha512", helloSha512.slice(7), true],
    [blake3, "blake3", blake3.slice(7), false],
    ["sha256+b64u:LCa0_", "sha256+b64u", "LCa0_", false]
  ] as const)(
    "splits %s and knows whether it can be verified (C16)",
    ([input, algorithm, encoded, verifiable]) =>
      Effect.gen(function* () {
        const digest = yield* Digest.parse(input)
        expect(Digest.algorithm(digest)).toBe(algorithm)
        expect(Digest.encoded(digest)).toBe(encoded)
        expect(Digest.isVerifiable(digest)).toBe(verifiable)
      })
  )
})

describe("hashing", () => {
  it("is SHA-256 unless told otherwise (C18)", () => {
    expect(Digest.fromBytes(new Uint8Array(0))).toBe(emptySha256)
    expect(Digest.fromBytes(hello)).toBe(helloSha256)
    expect(Digest.fromBytes(hello, "sha512")).toBe(helloSha512)
  })

  it("gives the digest of the bytes so far, and goes on", () => {
    const hasher = Digest.hasher("sha256")
    expect(hasher.digest()).toBe(emptySha256)
    hasher.update(hello.subarray(0, 2))
    hasher.update(hello.subarray(2))
    expect(hasher.digest()).toBe(helloSha256)
    expect(hasher.digest()).toBe(helloSha256)
  })

  it.prop(
    "does not depend on how the bytes are cut",
    [FastCheck.array(FastCheck.uint8Array())],
    ([chunks]) => {
      const hasher = Digest.hasher("sha512")
      for (const chunk of chunks) hasher.update(chunk)
      expect(hasher.digest()).toBe(Digest.fromBytes(Buffer.concat(chunks), "sha512"))
    }
  )

  it.effect("verifies with the digest's own algorithm", () =>
    Effect.gen(function* () {
      const hasher = yield* Digest.hasherFor(yield* Digest.parse(helloSha512))
      hasher.update(hello)
      expect(hasher.digest()).toBe(helloSha512)
    })
  )

  it.effect("makes a new hasher on each run", () =>
    Effect.gen(function* () {
      const make = Digest.hasherFor(Digest.fromBytes(hello))
      const first = yield* make
      first.update(hello)
      expect((yield* make).digest()).toBe(emptySha256)
    })
  )

  it.effect.each([blake3, "md5:d41d8cd98f00b204e9800998ecf8427e"])(
    "cannot verify %s, and says so (C17)",
    (input) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Digest.hasherFor(yield* Digest.parse(input)))
        expect(error.reason).toBe("Algorithm")
        expect(error.input).toBe(input)
      })
  )
})

describe("Digest schema", () => {
  it("decodes what parse accepts and nothing else", () => {
    const is = Schema.is(Digest.Digest)
    expect(is(helloSha256)).toBe(true)
    expect(is("sha256:00")).toBe(false)
    expect(is("latest")).toBe(false)
  })

  it.prop("generates digests", [Digest.Digest], ([digest]) => {
    expect(digest).toMatch(/^sha(256:[a-f0-9]{64}|512:[a-f0-9]{128})$/)
  })
})
