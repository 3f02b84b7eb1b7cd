/**
 * The threats that a registry, or whoever speaks in its place, may pose to its client: at least one
 * test for each, by its number.
 */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import type { Seen } from "../support/fake/Handler.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import {
  basic,
  cdn,
  guarded,
  m1,
  m1Digest,
  m1Type,
  manifestAnswer,
  redirect,
  registryUrl,
  repository,
  status,
  tag,
  world
} from "./world.js"

const evil = "https://evil.example"
const b1 = utf8("b1")
const b1Digest = Digest.fromBytes(b1)

/** All that strangers saw, as one text. */
const strangers = (
  seen: ReadonlyArray<{ readonly url: URL; readonly headers: object; readonly body: string }>
): string =>
  JSON.stringify(
    seen
      .filter(({ url }) => url.origin !== registryUrl)
      .map(({ body, headers, url }) => [url.href, headers, body])
  )

const secrets = /hunter2|YWxpY2U6aHVudGVyMg|secret/

describe("T1, credentials across redirects", () => {
  it.effect("no stranger on a chain of redirects sees a credential, in any header or URL", () =>
    Effect.gen(function* () {
      const { log, registry, seen } = yield* world(
        {
          [registryUrl]: guarded(() => redirect(307, `${evil}/1`)),
          [evil]: ({ url }) =>
            url.pathname === "/1" ? redirect(302, `${cdn}/2`) : manifestAnswer(),
          [cdn]: () => redirect(308, `${evil}/3`)
        },
        {
          headers: {
            "x-key": "secret",
            cookie: "sid=secret",
            "proxy-authorization": "Basic secret"
          }
        }
      )
      yield* registry.getManifest(repository, tag)
      expect(seen[1]?.headers).toMatchObject({ authorization: basic, "x-key": "secret" })
      expect(log.slice(2)).toEqual([`GET ${evil}/1 -`, `GET ${cdn}/2 -`, `GET ${evil}/3 -`])
      expect(strangers(seen)).not.toMatch(secrets)
    })
  )
})

describe("T2, a hostile realm", () => {
  it.effect.each([
    ["another domain", `${evil}/token`],
    ["plain http", "http://r.example/token"],
    ["this machine", "https://localhost/token"],
    ["the cloud's metadata", "https://169.254.169.254/token"]
  ] as const)("on %s gets neither password nor request", ([, realm]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: () =>
          status(401, null, { "www-authenticate": `Bearer realm="${realm}",service="r"` })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Realm"
      })
      expect(log).toEqual([`GET ${registryUrl}/v2/team/app/manifests/v1 -`])
    })
  )
})

describe("T2, a token server that redirects", () => {
  const redirecting = (location: string) => ({
    [registryUrl]: ({ authorization, url }: Seen) =>
      url.pathname === "/token"
        ? redirect(307, location)
        : authorization === "Bearer t"
          ? manifestAnswer()
          : status(401, null, { "www-authenticate": `Bearer realm="${registryUrl}/token"` }),
    [evil]: () => status(200, '{"token":"t"}')
  })

  it.effect("takes no password along", () =>
    Effect.gen(function* () {
      const { log, registry, seen } = yield* world(redirecting(`${evil}/token`))
      yield* registry.getManifest(repository, tag)
      expect(log[1]).toBe(`GET ${seen[1]?.url.href} ${basic}`)
      expect(log[2]).toBe(`GET ${evil}/token -`)
      expect(strangers(seen)).not.toMatch(secrets)
    })
  )

  it.effect.each([
    "https://169.254.169.254/token",
    "https://[::ffff:127.0.0.1]/token",
    "http://r.example/token"
  ])("does not lead to %s", (location) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(redirecting(location))
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Redirect",
        host: new URL(location).host
      })
      expect(log.filter((line) => !line.includes(` ${registryUrl}/`))).toEqual([])
    })
  )
})

describe("T3, an upload location elsewhere", () => {
  it.effect.each([
    ["another host", `${evil}/u`, "trust.allowUploads"],
    ["another port", "https://r.example:5000/u", "trust.allowUploads"],
    ["plain http", "http://r.example/u", undefined],
    ["a private address", "https://[::ffff:192.168.0.1]/u", "trust.allowUploads"]
  ] as const)("on %s gets neither content nor token", ([, location, option]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: ({ method }) =>
          method === "HEAD" ? status(404) : status(202, null, { location })
      })
      const error = yield* Effect.flip(registry.putBlob(repository, BlobSource.fromBytes(b1)))
      expect(error).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Upload",
        host: new URL(location).host
      })
      expect("option" in error ? error.option : undefined).toBe(option)
      expect(error.message).toContain(
        `an upload location on ${new URL(location).host}, which is not followed`
      )
      expect(error.message.includes("(option trust.allowUploads would allow it)")).toBe(
        option !== undefined
      )
      expect(log.filter((line) => !line.includes(` ${registryUrl}/v2/`))).toEqual([])
    })
  )

  it.effect("on a host that is allowed gets the content, and no credential", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world(
        {
          [registryUrl]: guarded(({ method }) =>
            method === "HEAD" ? status(404) : status(202, null, { location: `${cdn}/u?s=1` })
          ),
          [cdn]: () => status(201)
        },
        { trust: { allowUploads: ["cdn.example"] }, headers: { "x-key": "secret" } }
      )
      yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      expect(seen.some(({ url }) => url.origin === cdn)).toBe(true)
      expect(strangers(seen)).not.toMatch(secrets)
    })
  )
})

describe("T4, pages", () => {
  it.effect("a next page elsewhere is not requested", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world({
        [registryUrl]: guarded(() =>
          status(200, '{"tags":[]}', { link: `<${evil}/v2/team/app/tags/list>; rel="next"` })
        )
      })
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Link",
        host: "evil.example"
      })
      expect(log.length).toBe(2)
    })
  )
})

describe("T5, foreign layers", () => {
  it.effect("the URLs in a manifest are not followed", () =>
    Effect.gen(function* () {
      const layer = {
        mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        digest: b1Digest,
        size: 2,
        urls: [`${evil}/l`]
      }
      const manifest = JSON.stringify({
        schemaVersion: 2,
        mediaType: MediaType.imageManifest,
        config: { mediaType: MediaType.imageConfig, digest: b1Digest, size: 2 },
        layers: [layer]
      })
      const { log, registry } = yield* world({
        [registryUrl]: ({ url }) =>
          url.pathname.includes("/blobs/")
            ? status(404)
            : status(200, manifest, { "content-type": MediaType.imageManifest })
      })
      yield* registry.getManifest(repository, tag)
      expect(yield* Effect.flip(gather(registry.getBlob(repository, layer)))).toMatchObject({
        _tag: "BlobUnknown"
      })
      expect(log.join()).not.toContain("evil")
    })
  )
})

describe("T6, sizes", () => {
  it.effect("a descriptor of an absurd size allocates nothing", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({ [registryUrl]: () => status(200, b1) })
      const blob = { mediaType: "a/b", digest: b1Digest, size: Number.MAX_SAFE_INTEGER }
      expect(yield* Effect.flip(gather(registry.getBlob(repository, blob)))).toMatchObject({
        _tag: "SizeMismatch",
        actual: 2
      })
    })
  )

  it.effect("nor does the length that an answer announces", () =>
    Effect.gen(function* () {
      const absurd = { "content-length": String(Number.MAX_SAFE_INTEGER) }
      const { registry } = yield* world({
        [registryUrl]: ({ url }) =>
          url.pathname.includes("/manifests/")
            ? status(200, m1, { "content-type": m1Type, ...absurd })
            : status(url.pathname.endsWith("list") ? 200 : 418, '{"tags":["a"]}', absurd)
      })
      expect((yield* registry.getManifest(repository, tag)).bytes).toEqual(utf8(m1))
      expect(yield* items(registry.tags(repository))).toEqual(["a"])
      expect(yield* Effect.flip(registry.ping)).toMatchObject({
        _tag: "RegistryFailure",
        status: 418
      })
      const blob = yield* world(
        { [registryUrl]: () => status(200, b1, absurd) },
        { retry: { attempts: 0 } }
      )
      expect(yield* Effect.flip(gather(blob.registry.getBlob(repository, b1Digest)))).toMatchObject(
        {
          _tag: "TransportFailure",
          reason: "Reset"
        }
      )
    })
  )

  it.effect("a manifest beyond 8 MiB is refused, not cut", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(200, new Uint8Array(8 * 1024 * 1024 + 1).fill(32), { "content-type": m1Type })
      })
      expect(yield* Effect.flip(registry.getManifest(repository, m1Digest))).toMatchObject({
        _tag: "LimitExceeded"
      })
    })
  )
})

describe("T7, other content than asked for", () => {
  it.effect.each([
    ["other bytes", utf8("b2"), "DigestMismatch"],
    ["fewer", utf8("b"), "SizeMismatch"],
    ["more", utf8("b1!"), "SizeMismatch"],
    ["none", utf8(""), "SizeMismatch"]
  ] as const)("is never passed on as a whole: %s", ([, body, expected]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({ [registryUrl]: () => status(200, body) })
      const blob = { mediaType: "a/b", digest: b1Digest, size: 2 }
      expect(yield* Effect.flip(gather(registry.getBlob(repository, blob)))).toMatchObject({
        _tag: expected
      })
    })
  )
})

describe("T8, names that a server supplies", () => {
  it.effect("tags, repositories and digests that are none never get into a URL", () =>
    Effect.gen(function* () {
      const names = [
        "../../secret",
        "a/../b",
        "%2e%2e",
        "a b",
        "a\r\nb",
        "a?b",
        "-a",
        "x".repeat(129),
        "\u0000"
      ]
      const { registry } = yield* world({
        [registryUrl]: ({ url }) =>
          status(
            200,
            JSON.stringify({ [url.pathname.endsWith("_catalog") ? "repositories" : "tags"]: names })
          )
      })
      expect(yield* items(registry.tags(repository))).toEqual([])
      expect(
        (yield* items(registry.repositories())).filter((name) => !/^[a-z0-9]+$/.test(name))
      ).toEqual([])
    })
  )
})

describe("T10, decompression", () => {
  it.effect("nothing is asked for encoded, in no request, be it for a token or a challenge", () =>
    Effect.gen(function* () {
      const { log, registry, seen } = yield* world({
        [registryUrl]: ({ authorization, url }) =>
          url.pathname === "/token"
            ? status(200, '{"token":"t"}')
            : authorization !== undefined
              ? status(404)
              : status(
                  401,
                  null,
                  url.pathname === "/v2/" ? { "www-authenticate": `Bearer realm="/token"` } : {}
                )
      })
      yield* Effect.exit(registry.headBlob(repository, b1Digest))
      expect(log.map((line) => line.split("?", 1).join())).toEqual([
        `HEAD ${registryUrl}/v2/team/app/blobs/${b1Digest} -`,
        `GET ${registryUrl}/v2/ -`,
        `GET ${registryUrl}/token`,
        `HEAD ${registryUrl}/v2/team/app/blobs/${b1Digest} Bearer t`
      ])
      yield* Effect.exit(registry.ping)
      yield* Effect.exit(registry.getManifest(repository, tag))
      yield* Effect.exit(items(registry.tags(repository)))
      yield* Effect.exit(gather(registry.getBlob(repository, b1Digest)))
      yield* Effect.exit(registry.putBlob(repository, BlobSource.fromBytes(b1)))
      expect(seen.length).toBeGreaterThan(5)
      expect(new Set(seen.map(({ headers }) => headers["accept-encoding"]))).toEqual(
        new Set(["identity"])
      )
    })
  )
})

describe("T12, injection", () => {
  it.effect("what callers supply is escaped in queries", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({ [registryUrl]: () => status(404) })
      yield* Effect.exit(
        items(registry.referrers(repository, m1Digest, { artifactType: "a/b&x=y\r\nEvil: 1#+" }))
      )
      expect(seen[0]?.url.search).toBe("?artifactType=a%2Fb%26x%3Dy%0D%0AEvil%3A+1%23%2B")
    })
  )

  it.effect.each([
    [{ headers: { "x-key": "hunter2\r\nEvil: 1" } }, "its header x-key holds characters"],
    [{ headers: { "x-key": "hunter2\n" } }, "its header x-key holds characters"],
    [{ headers: { "x-key": "hunter2 \u{1f511}" } }, "its header x-key holds characters"],
    [
      { headers: { "x-key: hunter2\r\nEvil": "1" } },
      "one of its headers has a name that no header can have"
    ],
    [{ headers: { "": "hunter2" } }, "one of its headers has a name that no header can have"],
    [
      { headers: { "Content-Length": "7" } },
      "its header Content-Length is for the HTTP client to set"
    ],
    [{ userAgent: "hunter2\0" }, "its userAgent holds characters"],
    [{ namespace: "docker.io\r\nhunter2" }, "its namespace is not a host"],
    [{ namespace: "hunter2\ud800" }, "its namespace is not a host"],
    [{ namespace: "" }, "its namespace is not a host"]
  ] as ReadonlyArray<readonly [Partial<RegistryClient.EndpointOptions>, string]>)(
    "an option that no request could carry is refused at once, and not shown: %j (T13)",
    ([options, problem]) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(
          RegistryClient.endpoint({ url: registryUrl, ...options })
        )
        expect(failure).toMatchObject({ _tag: "InvalidUrl", url: registryUrl })
        expect(failure.message).toMatch(problem)
        expect(`${failure.message}${inspect(failure)}`).not.toContain("hunter2")
      })
  )

  it.effect.each([
    ["https://alice:hunter2@r.example", "https://r.example", "supply Credentials"],
    ["https://alice:/hunter2@r.example", "https://r.example", "supply Credentials"],
    ["https://alice:p/hunter2@r.example", "https://r.example", "not a valid URL"],
    ["alice:hunter2@r.example", "https://r.example", "supply Credentials"],
    ["https://r.example?key=hunter2", "https://r.example?key=REDACTED", "a query or a fragment"],
    ["https://r.example#hunter2", "https://r.example", "a query or a fragment"],
    ["ftp://r.example", "ftp://r.example", "neither https nor http"],
    ["https://r.exa\nmple", "https://r.exa mple", "not a valid URL"],
    ["https://r.example\\@evil.example", "https://evil.example", "not a valid URL"],
    ["https://", "https://", "not a valid URL"],
    ["", "https://", "not a valid URL"]
  ] as const)(
    "a URL that names no registry is refused at once, and no password in it is shown: %j",
    ([url, shown, problem]) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(RegistryClient.endpoint({ url }))
        expect(failure).toMatchObject({ _tag: "InvalidUrl", url: shown })
        expect(failure.message).toMatch(problem)
        expect(`${failure.message}${inspect(failure)}`).not.toContain("hunter2")
      })
  )

  it.effect("any other is sent as it is", () =>
    Effect.gen(function* () {
      const headers = { "X-Key!#$%&'*+.^_`|~1": "\u00fc\t ~" }
      const { registry, seen } = yield* world(
        { [registryUrl]: () => status(404) },
        { headers, userAgent: "a/1 (b)", namespace: "b\u00fccher.example:5000" }
      )
      yield* Effect.exit(registry.getManifest(repository, tag))
      expect(seen[0]?.headers).toMatchObject({
        "x-key!#$%&'*+.^_`|~1": "\u00fc\t ~",
        "user-agent": "a/1 (b)"
      })
      expect(seen[0]?.url.search).toBe("?ns=b%C3%BCcher.example%3A5000")
    })
  )

  it.effect("a location with a line break or a backslash is not followed", () =>
    Effect.gen(function* () {
      for (const location of ["/u\\..\\x", "https://r.example\\@evil.example/u", "/u\tx"]) {
        const { registry } = yield* world({ [registryUrl]: () => redirect(307, location) })
        expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
          _tag: "UntrustedLocation"
        })
      }
    })
  )

  it.effect("texts of a registry reach messages without control characters", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({
        errors: [{ code: "A\u001b[31m", message: "b\r\nc\u202e\u0000" }]
      })
      const { registry } = yield* world({ [registryUrl]: () => status(418, body) })
      const error = yield* Effect.flip(registry.getManifest(repository, tag))
      expect(error.message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
    })
  )
})

describe("T16, slow parsers", () => {
  /** Of this process, whatever else the machine does. */
  const cpuSeconds = () => process.cpuUsage().user / 1e6

  it.effect.each([
    ["www-authenticate", 401],
    ["link", 200],
    ["warning", 200],
    ["retry-after", 429],
    ["content-encoding", 200],
    ["docker-content-digest", 200],
    ["location", 307],
    ["ratelimit-limit", 200]
  ] as const)("a %s of 60,000 characters takes no time", ([name, code]) =>
    Effect.gen(function* () {
      for (const text of [",", "a", ' "', "\\", "<", "a=", '299 - "', "1;w=", "/..", "sha256:-"]) {
        const value = text.repeat(60_000 / text.length)
        const { registry } = yield* world(
          { [registryUrl]: () => status(code, '{"tags":[]}', { [name]: value }) },
          { retry: { attempts: 0 } }
        )
        const start = cpuSeconds()
        yield* Effect.exit(items(registry.tags(repository)))
        yield* Effect.exit(registry.headManifest(repository, tag))
        expect(cpuSeconds() - start).toBeLessThan(1)
      }
    })
  )

  it.effect("neither does a reference as long as that", () =>
    Effect.gen(function* () {
      const start = cpuSeconds()
      for (const text of ["A", "a-", "a__", "a/", "-", "a.b/"])
        yield* Effect.exit(Reference.parseRepositoryName(text.repeat(30_000)))
      expect(cpuSeconds() - start).toBeLessThan(1)
    })
  )
})

describe("T18, cookies", () => {
  it.effect("none is kept", () =>
    Effect.gen(function* () {
      const { registry, seen } = yield* world({
        [registryUrl]: () =>
          status(200, m1, { "content-type": m1Type, "set-cookie": "sid=1; Path=/" })
      })
      yield* registry.getManifest(repository, tag)
      yield* registry.getManifest(repository, tag)
      expect(seen.map(({ headers }) => headers["cookie"])).toEqual([undefined, undefined])
    })
  )
})

describe("T19, plain http", () => {
  it.effect.each([
    ["ghcr.io", "https://ghcr.io"],
    ["registry.local:5000", "https://registry.local:5000"],
    ["10.0.0.1", "https://10.0.0.1"],
    ["localhost.example", "https://localhost.example"],
    ["localhost:5000", "http://localhost:5000"],
    ["127.0.0.1:5000/x", "http://127.0.0.1:5000"],
    ["[::1]", "http://[::1]"],
    ["http://registry.example", "http://registry.example"]
  ] as const)("is used for this machine and where it is asked for: %s", ([url, origin]) =>
    Effect.map(RegistryClient.endpoint({ url }), (to) => expect(to.origin).toBe(origin))
  )
})

describe("T20, endless waits", () => {
  it.effect(
    "a Retry-After of a hundred years is a failure with that number, at once without attempts",
    () =>
      Effect.gen(function* () {
        const { log, registry } = yield* world(
          { [registryUrl]: () => status(429, null, { "retry-after": "3153600000" }) },
          { retry: { attempts: 0 } }
        )
        expect(yield* Effect.flip(registry.ping)).toMatchObject({
          _tag: "TooManyRequests",
          retryAfter: 3_153_600_000_000
        })
        expect(log.length).toBe(1)
      })
  )
})

describe("T21, numbers and keys", () => {
  it.effect.each(["-1", "1e308", "9007199254740993", "0x10", "1.5", "None", "", "2, 3"])(
    "a length of %j is none",
    (length) =>
      Effect.gen(function* () {
        const { registry } = yield* world({
          [registryUrl]: () => status(200, null, { "content-length": length })
        })
        expect(yield* Effect.flip(registry.headBlob(repository, b1Digest))).toMatchObject({
          _tag: "ProtocolViolation"
        })
      })
  )

  it.effect("keys of prototypes are keys like any others, and depth is no problem", () =>
    Effect.gen(function* () {
      const bodies = [
        '{"__proto__":{"tags":["polluted"]}}',
        '{"constructor":{"prototype":{"x":1}},"tags":["a"]}',
        `{"tags":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
        `{"errors":${"[".repeat(20_000)}`
      ]
      for (const body of bodies) {
        const { registry } = yield* world({ [registryUrl]: () => status(200, body) })
        yield* Effect.exit(items(registry.tags(repository)))
        const failing = yield* world({ [registryUrl]: () => status(418, body) })
        expect(yield* Effect.flip(failing.registry.ping)).toMatchObject({ _tag: "RegistryFailure" })
      }
      const { registry } = yield* world({ [registryUrl]: () => status(200, bodies[0]) })
      expect(yield* items(registry.tags(repository))).toEqual([])
      expect(Option.fromNullable(Reflect.get({}, "x"))).toEqual(Option.none())
    })
  )
})

describe("a request", () => {
  it.effect("names this package as its agent, or whatever is asked for", () =>
    Effect.gen(function* () {
      const ours = yield* world({ [registryUrl]: manifestAnswer })
      yield* ours.registry.getManifest(repository, tag)
      expect(ours.seen[0]?.headers["user-agent"]).toBe("effect-oci/0.1.0")
      const theirs = yield* world(
        { [registryUrl]: guarded(manifestAnswer) },
        { userAgent: "bot/1" }
      )
      yield* theirs.registry.getManifest(repository, tag)
      expect(
        theirs.seen.map(({ authorization, headers }) => [headers["user-agent"], authorization])
      ).toEqual([
        ["bot/1", undefined],
        ["bot/1", basic]
      ])
    })
  )
})
