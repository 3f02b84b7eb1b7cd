import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Host from "../../src/spec/Host.js"

const parsed = (text: string, scheme?: "http" | "https") =>
  Option.getOrUndefined(Host.fromString(text, scheme))

describe("a host", () => {
  it.each([
    ["ghcr.io", "ghcr.io"],
    ["GHCR.io", "ghcr.io"],
    ["ghcr.io:443", "ghcr.io"],
    ["ghcr.io:0443", "ghcr.io"],
    ["ghcr.io:80", "ghcr.io:80"],
    ["Registry.LAN:5000", "registry.lan:5000"],
    ["my_registry:5000", "my_registry:5000"],
    ["registry", "registry"],
    // This machine is reached over http.
    ["localhost", "localhost"],
    ["LOCALHOST:80", "localhost"],
    ["localhost:443", "localhost:443"],
    ["127.0.0.1:80", "127.0.0.1"],
    ["0x7f.1:5000", "127.0.0.1:5000"],
    ["[::1]:80", "[::1]"],
    ["[0:0:0:0:0:0:0:1]:5000", "[::1]:5000"],
    ["[2001:DB8::1]", "[2001:db8::1]"],
    // Docker Hub
    ["docker.io", "docker.io"],
    ["index.docker.io", "docker.io"],
    ["Registry-1.Docker.io:443", "docker.io"],
    ["docker.io:5000", "docker.io:5000"],
    ["hub.docker.io", "hub.docker.io"],
    // International names, and what the URL standard maps to a dot
    ["bücher.example", "xn--bcher-kva.example"],
    ["ghcr。io", "ghcr.io"]
  ] as const)("%s is %s", (text, host) => {
    expect(parsed(text)).toBe(host)
    expect(parsed(host)).toBe(host)
  })

  it.effect.each([
    ["", "it is empty"],
    ["https://ghcr.io", "it is a URL"],
    ["ghcr.io/", "it has a path"],
    ["ghcr.io/owner", "it has a path"],
    ["user:hunter2@ghcr.io", "it has a user name"],
    ["*.ghcr.io", "it is a pattern"],
    ["*", "it is a pattern"],
    ["ghcr.io:", "neither a name nor an address"],
    ["ghcr.io:port", "neither a name nor an address"],
    ["ghcr.io:65536", "neither a name nor an address"],
    [" ghcr.io", "neither a name nor an address"],
    ["ghcr.io\n", "neither a name nor an address"],
    ["ghcr.io?a", "neither a name nor an address"],
    ["ghcr.io#a", "neither a name nor an address"],
    ["gh%63r.io", "neither a name nor an address"],
    ["ghcr\\.io", "neither a name nor an address"],
    ["ghcr..io", "neither a name nor an address"],
    [".ghcr.io", "neither a name nor an address"],
    ["a.example,b.example", "neither a name nor an address"],
    ["::1", "neither a name nor an address"],
    ["[::1]5000", "neither a name nor an address"],
    ["a".repeat(1_000_000), "more than 260 characters"]
  ] as const)("%j is none", ([text, problem]) =>
    Effect.gen(function* () {
      expect(parsed(text)).toBeUndefined()
      const failure = yield* Effect.flip(Host.parse(text))
      expect(failure).toMatchObject({ _tag: "InvalidHost", reason: "NotAHost" })
      expect(failure.message).toContain(problem)
      expect(failure.message).not.toContain("hunter2")
      expect(failure.message.length).toBeLessThan(400)
    })
  )
})

describe("a URL is at a host", () => {
  it.each([
    ["ghcr.io", "https://ghcr.io/v2/", true],
    ["ghcr.io", "https://GHCR.io:443", true],
    ["ghcr.io:443", "https://ghcr.io", true],
    ["ghcr.io:443", "http://ghcr.io", false],
    ["ghcr.io:443", "http://ghcr.io:443", true],
    ["ghcr.io", "http://ghcr.io", true],
    ["ghcr.io", "http://ghcr.io:443", false],
    ["ghcr.io:80", "HTTP://ghcr.io", true],
    ["ghcr.io", "https://ghcr.io:8443", false],
    ["ghcr.io", "https://sub.ghcr.io", false],
    ["ghcr.io", "https://ghcr.io.evil.example", false],
    ["ghcr.io", "https://ghcr.io@evil.example", false],
    ["ghcr.io", "https://user@ghcr.io", false],
    ["ghcr.io", "ftp://ghcr.io", false],
    ["ghcr.io", "ghcr.io", false],
    ["docker.io", "https://registry-1.docker.io/v2/", true],
    ["docker.io", "https://auth.docker.io/token", false],
    ["[::1]:5000", "http://[0::1]:5000", true],
    ["a.example,b.example", "https://a.example,b.example/", false]
  ] as const)("%s and %s: %s", (host, url, expected) => {
    expect(Host.isAt(host, url)).toBe(expected)
  })

  it("which fromUrl returns", () => {
    expect(Host.fromUrl("http://Registry.LAN:80/v2/")).toEqual(Option.some("registry.lan"))
    expect(Host.fromUrl("https://index.docker.io/v1/")).toEqual(Option.some("docker.io"))
    expect(Host.fromUrl("data:,ghcr.io")).toEqual(Option.none())
  })
})

describe("byHost", () => {
  it.effect("has settings by host, whatever their keys look like", () =>
    Effect.gen(function* () {
      const found = yield* Host.byHost({ "GHCR.io:443": 1, "index.docker.io": 2, a: undefined })
      expect([...found]).toEqual([
        ["ghcr.io", 1],
        ["docker.io", 2]
      ])
    })
  )

  it.effect.each([
    [["docker.io", "index.docker.io"], '"index.docker.io" is the same host as "docker.io"'],
    [["ghcr.io", "GHCR.io"], '"GHCR.io" is the same host as "ghcr.io"'],
    [["ghcr.io", "ghcr.io:443"], '"ghcr.io:443" is the same host as "ghcr.io"'],
    [["localhost:80", "localhost"], '"localhost" is the same host as "localhost:80"'],
    [["127.0.0.1:5000", "127.1:5000"], '"127.1:5000" is the same host as "127.0.0.1:5000"'],
    [["ghcr.io", "https://ghcr.io"], '"https://ghcr.io" is not a host: it is a URL'],
    [["a:hunter2@ghcr.io"], '"***@ghcr.io" is not a host: it has a user name']
  ] as const)("fails for %j and says why", ([keys, message]) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(
        Host.byHost(Object.fromEntries(keys.map((key, n) => [key, n])))
      )
      expect(failure._tag).toBe("InvalidHost")
      expect(failure.message).toContain(message)
    })
  )
})

const hosts = FastCheck.oneof(
  FastCheck.domain(),
  FastCheck.ipV4Extended(),
  FastCheck.ipV6().map((address) => `[${address}]`),
  FastCheck.constantFrom("localhost", "docker.io", "index.docker.io", "my_registry")
)
const ports = FastCheck.option(
  FastCheck.oneof(FastCheck.constantFrom(80, 443), FastCheck.integer({ min: 0, max: 65_535 }))
)
const written = FastCheck.tuple(hosts, ports).map(([host, port]) =>
  port === null ? host : `${host}:${port}`
)

describe("normal form", () => {
  it.prop("is its own normal form, and is at the same URLs", [written], ([text]) => {
    const host = parsed(text)
    if (host === undefined) throw new Error(`${text} is not a host`)
    expect(parsed(host)).toBe(host)
    expect(parsed(text.toUpperCase().replaceAll("0X", "0x"))).toBe(host)
    const scheme = Host.isLoopback(text) ? "http" : "https"
    expect(Host.isLoopback(host)).toBe(scheme === "http")
    const url = `${scheme}://${Host.apiHost(host)}/v2/`
    expect(Host.fromUrl(url)).toEqual(Option.some(host))
    expect(Host.isAt(text, url)).toBe(true)
    expect(Host.isAt(host, `${scheme}://${text}/v2/`)).toBe(true)
  })

  it.prop("is at one of two URLs only when they are of one host", [written, written], ([a, b]) => {
    const url = `https://${b}/`
    expect(Host.isAt(a, url)).toBe(parsed(a, "https") === parsed(b, "https"))
  })

  it.prop("of any text is a host or none", [FastCheck.string({ unit: "binary" })], ([text]) => {
    const host = parsed(text)
    if (host !== undefined) expect(parsed(host)).toBe(host)
    Host.isAt(text, text)
    Host.fromUrl(text)
  })
})

describe("Docker Hub", () => {
  it.each([
    ["docker.io", true, "registry-1.docker.io"],
    ["index.docker.io", true, "registry-1.docker.io"],
    ["registry-1.docker.io", true, "registry-1.docker.io"],
    ["DOCKER.io", true, "registry-1.docker.io"],
    ["docker.io.example.com", false, "docker.io.example.com"],
    ["notdocker.io", false, "notdocker.io"],
    ["docker.io:443", false, "docker.io:443"],
    ["ghcr.io", false, "ghcr.io"]
  ] as const)("%s: %s, served by %s (quirks rule 5, T15)", (host, isHub, api) => {
    expect(Host.isDockerHub(host)).toBe(isHub)
    expect(Host.apiHost(host)).toBe(api)
  })
})

describe("isLoopback (T19)", () => {
  for (const host of [
    "localhost",
    "LOCALHOST:5000",
    "localhost.",
    "a.localhost:80",
    "127.0.0.1",
    "127.1:5000",
    "[::1]:5000",
    "[::ffff:127.0.0.1]"
  ])
    it(`holds for ${host}`, () => expect(Host.isLoopback(host)).toBe(true))
  for (const host of [
    "localhost.example",
    "notlocalhost",
    "10.0.0.1",
    "0.0.0.0",
    "::1",
    "",
    "evil@localhost",
    "localhost/x",
    "localhost:x",
    "localhost\\x"
  ])
    it(`does not hold for ${JSON.stringify(host)}`, () => expect(Host.isLoopback(host)).toBe(false))
})
