import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"

const hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
const sha = `sha256:${hash}`

describe("parse", () => {
  it.effect.each([
    // Docker Hub's short forms (quirks §7)
    ["ubuntu", "docker.io", "library/ubuntu", undefined, undefined],
    ["ubuntu:24.04", "docker.io", "library/ubuntu", "24.04", undefined],
    ["bitnami/redis", "docker.io", "bitnami/redis", undefined, undefined],
    ["a/b/c", "docker.io", "a/b/c", undefined, undefined],
    ["docker.io/ubuntu", "docker.io", "library/ubuntu", undefined, undefined],
    ["index.docker.io/ubuntu:1", "docker.io", "library/ubuntu", "1", undefined],
    ["registry-1.docker.io/library/ubuntu", "docker.io", "library/ubuntu", undefined, undefined],
    ["Docker.IO/ubuntu", "docker.io", "library/ubuntu", undefined, undefined],
    [`ubuntu@${sha}`, "docker.io", "library/ubuntu", undefined, sha],
    // a colon without a slash behind it is a tag's, whatever stands before it
    ["localhost:5000", "docker.io", "library/localhost", "5000", undefined],
    ["localhost", "docker.io", "library/localhost", undefined, undefined],
    // other hosts never get library/
    ["ghcr.io/name", "ghcr.io", "name", undefined, undefined],
    ["ghcr.io/owner/name:v1.2.3", "ghcr.io", "owner/name", "v1.2.3", undefined],
    ["localhost/name", "localhost", "name", undefined, undefined],
    ["hub.docker.io/name", "hub.docker.io", "name", undefined, undefined],
    // host:port/name and @digest
    ["localhost:5000/name", "localhost:5000", "name", undefined, undefined],
    ["host:5000/a/b:tag", "host:5000", "a/b", "tag", undefined],
    [`host:5000/a/b@${sha}`, "host:5000", "a/b", undefined, sha],
    [`host:5000/a/b:tag@${sha}`, "host:5000", "a/b", "tag", sha],
    ["127.0.0.1:5000/a", "127.0.0.1:5000", "a", undefined, undefined],
    ["[::1]:5000/a/b", "[::1]:5000", "a/b", undefined, undefined],
    ["[2001:DB8::1]/a/b:t", "[2001:db8::1]", "a/b", "t", undefined],
    // an upper-case letter marks a host, and is kept where nothing else does
    ["GHCR.io/owner/name", "ghcr.io", "owner/name", undefined, undefined],
    ["Foo/bar", "Foo", "bar", undefined, undefined],
    ["LOCALHOST/bar", "localhost", "bar", undefined, undefined],
    // the grammar's separators (C10), a digest of an unknown algorithm (C17)
    ["ghcr.io/a.b/c_d/e__f/g---h", "ghcr.io", "a.b/c_d/e__f/g---h", undefined, undefined],
    ["ghcr.io/blobs/uploads/manifests", "ghcr.io", "blobs/uploads/manifests", undefined, undefined],
    ["ghcr.io/a:_-.A", "ghcr.io", "a", "_-.A", undefined],
    ["ghcr.io/a@md5:00=", "ghcr.io", "a", undefined, "md5:00="]
  ] as const)("reads %s", ([input, host, repository, tag, digest]) =>
    Effect.gen(function* () {
      const reference = yield* Reference.parse(input)
      expect(reference.host).toBe(host)
      expect(reference.repository).toBe(repository)
      expect(Option.getOrUndefined(reference.tag)).toBe(tag)
      expect(Option.getOrUndefined(reference.digest)).toBe(digest)
    })
  )

  it.effect.each([
    ["", "Empty"],
    ["https://ghcr.io/a/b", "Scheme"],
    ["docker://ubuntu", "Scheme"],
    ["user:secret@ghcr.io/a/b", "Host"],
    ["/a/b", "Repository"],
    ["../a", "Host"],
    ["ghcr..io/a", "Host"],
    [".ghcr.io/a", "Host"],
    ["-a.io/a", "Host"],
    ["gh_cr.io/a", "Host"],
    ["ghcr.io:/a", "Host"],
    ["ghcr.io:port/a", "Host"],
    ["ghcr.io:65536/a", "Host"],
    ["ghcr.io:1:2/a", "Host"],
    ["[::1/a", "Host"],
    ["[::1]5000/a", "Host"],
    ["[:::]/a", "Host"],
    ["[1:2]/a", "Host"],
    ["::1/a", "Host"],
    ["gh\u0000.io/a", "Host"],
    ["ghcr.io/", "Repository"],
    ["ghcr.io//a", "Repository"],
    ["ghcr.io/a/", "Repository"],
    ["ghcr.io/A", "Repository"],
    ["Ubuntu", "Repository"],
    ["ghcr.io/a/../b", "Repository"],
    ["ghcr.io/a/%2e%2e/b", "Repository"],
    ["ghcr.io/a\\b", "Repository"],
    ["ghcr.io/a___b", "Repository"],
    ["ghcr.io/a._b", "Repository"],
    ["ghcr.io/-a", "Repository"],
    ["ghcr.io/a-", "Repository"],
    [" ubuntu", "Repository"],
    ["ubuntu\n", "Repository"],
    ["ghcr.io/a:", "Tag"],
    ["ghcr.io/a:-b", "Tag"],
    ["ghcr.io/a:.b", "Tag"],
    ["ghcr.io/a:b:c", "Tag"],
    ["ghcr.io/a:b/c", "Tag"],
    ["ghcr.io/a:b\n", "Tag"],
    [`ghcr.io/a:${"b".repeat(129)}`, "Tag"],
    ["ghcr.io/a@", "Digest"],
    ["ghcr.io/a@latest", "Digest"],
    [`ghcr.io/a@sha256:${"a".repeat(63)}`, "Digest"],
    [`ghcr.io/a@${sha}@${sha}`, "Digest"],
    [`ghcr.io/a@${sha}:tag`, "Digest"],
    [`ghcr.io/${"a".repeat(248)}`, "TooLong"],
    [`docker.io/${"a".repeat(238)}`, "TooLong"],
    ["a".repeat(1025), "TooLong"]
  ] as const)("refuses %j for its %s", ([input, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Reference.parse(input))
      expect(error._tag).toBe("InvalidReference")
      expect(error.reason).toBe(reason)
    })
  )

  it.effect("takes a host and repository of 255 characters together (C11)", () =>
    Effect.gen(function* () {
      const input = `ghcr.io/${"a".repeat(247)}`
      expect(Reference.format(yield* Reference.parse(input))).toBe(input)
    })
  )

  it.effect.each([
    ["https://ghcr.io/a", "leave out the scheme"],
    ["ghcr.io/Owner/name", `component "Owner"`],
    ["ghcr.io/owner//name", "empty component"],
    ["ghcr.io:port/a", `"ghcr.io:port" is not a host`],
    ["ghcr.io/a:b:c", `"b:c" is not a tag`],
    [`a@sha256:${"A".repeat(64)}`, "lower-case hexadecimal"],
    ["ghcr.io/a\r\nb", String.raw`"a\r\nb"`]
  ] as const)("says what is wrong with %j", ([input, part]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Reference.parse(input))
      expect(error.message).toContain(part)
    })
  )

  it.effect.each([
    ["user:secret@ghcr.io/a/b", "***@ghcr.io/a/b"],
    ["https://user:secret@ghcr.io/a", "https://***@ghcr.io/a"],
    ["https://user:se@cret/@ghcr.io/a", "https://***@ghcr.io/a"],
    [`secret@${"a".repeat(2000)}/`, `***@${"a".repeat(124)}`]
  ] as const)("keeps the password of %s out of the error (T13)", ([input, masked]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Reference.parse(input))
      expect(error.input).toBe(masked)
      expect(error.message).not.toContain("secret")
    })
  )

  it.effect.each([
    "a".repeat(1_000_000),
    "a-".repeat(500_000),
    `${"-".repeat(1_000_000)}A`,
    "a/".repeat(500_000),
    "@/".repeat(500_000),
    ":".repeat(1_000_000),
    `[${":".repeat(1_000_000)}`
  ])("refuses a megabyte at once (T16)", (input) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Reference.parse(input))
      expect(error.reason).toBe("TooLong")
      expect(error.input.length).toBeLessThanOrEqual(128)
    })
  )

  it.effect.each([
    `${"a-".repeat(100)}A`,
    `${"a".repeat(200)}!`,
    `a${"-".repeat(200)}!`,
    `a${"__".repeat(100)}`,
    `host.io/${"a.a_a__a--".repeat(20)}A`
  ])("does not backtrack on %s (T16)", (input) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Reference.parse(input))
      expect(error.reason).toBe("Repository")
    })
  )
})

describe("names and tags", () => {
  it.each([
    ["a", true],
    ["a/b", true],
    ["a".repeat(255), true],
    ["a".repeat(256), false],
    ["", false],
    ["a/", false],
    ["a:b", false],
    ["A", false],
    [1, false]
  ] as const)("isRepositoryName(%j) is %s (C10)", (value, expected) => {
    expect(Reference.isRepositoryName(value)).toBe(expected)
    expect(Schema.is(Reference.RepositoryName)(value)).toBe(expected)
  })

  it.each([
    ["latest", true],
    ["_", true],
    ["9".repeat(128), true],
    ["9".repeat(129), false],
    ["", false],
    ["..", false],
    [sha, false],
    ["a/b", false],
    [1, false]
  ] as const)("isTag(%j) is %s (C12, C13)", (value, expected) => {
    expect(Reference.isTag(value)).toBe(expected)
    expect(Schema.is(Reference.Tag)(value)).toBe(expected)
  })

  it.effect("parse alone, each for its own reason", () =>
    Effect.gen(function* () {
      expect(yield* Reference.parseRepositoryName("a/b")).toBe("a/b")
      expect(yield* Reference.parseTag("v1")).toBe("v1")
      expect((yield* Effect.flip(Reference.parseRepositoryName("ubuntu:1"))).reason).toBe(
        "Repository"
      )
      expect((yield* Effect.flip(Reference.parseRepositoryName("a".repeat(256)))).reason).toBe(
        "Repository"
      )
      expect((yield* Effect.flip(Reference.parseTag(""))).reason).toBe("Tag")
    })
  )

  it.prop(
    "are generated by their schemas",
    [Reference.RepositoryName, Reference.Tag],
    ([name, tag]) => {
      expect(Reference.isRepositoryName(name)).toBe(true)
      expect(Reference.isTag(tag)).toBe(true)
    }
  )
})

describe("what to ask for", () => {
  it.effect.each([
    ["ubuntu", "latest"],
    ["ubuntu:1", "1"],
    [`ubuntu@${sha}`, sha],
    [`ubuntu:1@${sha}`, sha]
  ] as const)("%s is %s", ([input, expected]) =>
    Effect.gen(function* () {
      expect(Reference.tagOrDigest(yield* Reference.parse(input))).toBe(expected)
    })
  )

  it.effect("is the digest alone after withDigest", () =>
    Effect.gen(function* () {
      const digest = yield* Digest.parse(sha)
      const pinned = Reference.withDigest(yield* Reference.parse("ghcr.io/a/b:1"), digest)
      expect(Reference.format(pinned)).toBe(`ghcr.io/a/b@${sha}`)
    })
  )
})

const hosts = FastCheck.oneof(
  FastCheck.domain(),
  FastCheck.tuple(FastCheck.domain(), FastCheck.integer({ min: 0, max: 65535 })).map(
    ([name, port]) => `${name}:${port}`
  ),
  FastCheck.ipV4(),
  FastCheck.ipV6().map((address) => `[${address}]`),
  FastCheck.constantFrom("localhost", "localhost:5000", "docker.io", "Foo")
)

const parts = {
  host: hosts.filter((host) => host.length < 100),
  name: FastCheck.constantFrom("a", "a/b", "library/a", "x__y/z-1"),
  tag: FastCheck.option(FastCheck.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)),
  digest: FastCheck.option(FastCheck.constantFrom(sha, "md5:00="))
}

describe("canonical text", () => {
  it.effect.prop(
    "parses to the same reference, for any host, tag and digest",
    parts,
    ({ digest, host, name, tag }) =>
      Effect.gen(function* () {
        const ends = [tag === null ? "" : `:${tag}`, digest === null ? "" : `@${digest}`]
        const input = `${host}/${name}${ends.join("")}`
        const reference = yield* Reference.parse(input)
        expect(Option.getOrNull(reference.tag)).toBe(tag)
        expect(Option.getOrNull(reference.digest)).toBe(digest)
        expect(yield* Reference.parse(Reference.format(reference))).toEqual(reference)
      })
  )

  it.effect.prop(
    "of any text is a reference or an InvalidReference",
    [FastCheck.string({ unit: "binary" })],
    ([text]) =>
      Effect.gen(function* () {
        const result = yield* Effect.either(Reference.parse(text))
        if (result._tag === "Left") expect(result.left._tag).toBe("InvalidReference")
        else expect(yield* Reference.parse(Reference.format(result.right))).toEqual(result.right)
      })
  )

  it.effect("is what the schema encodes to", () =>
    Effect.gen(function* () {
      const reference = yield* Schema.decode(Reference.FromString)("ubuntu:1")
      expect(yield* Schema.encode(Reference.FromString)(reference)).toBe(
        "docker.io/library/ubuntu:1"
      )
      const error = yield* Effect.flip(Schema.decode(Reference.FromString)("ghcr.io/A"))
      expect(error.message).toContain(`component "A"`)
      const forged = yield* Effect.either(
        Schema.encode(Reference.FromString)({ ...reference, host: "evil.example/x" })
      )
      expect(forged._tag).toBe("Left")
    })
  )
})
