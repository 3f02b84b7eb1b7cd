/** What options of an endpoint mean, as its requests show. */
import * as HttpClient from "@effect/platform/HttpClient"
import { RequestError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { withDefaults } from "../../src/internal/Options.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as Operation from "../../src/protocol/Operation.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { status, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { utf8 } from "../support/fixtures.js"
import { serve } from "../support/serve.js"
import { forms } from "../support/watched.js"
import { clientOver, repository } from "./world.js"

describe("url", () => {
  it.effect.each([
    ["https://r.example/", "https://r.example"],
    [" https://r.example ", "https://r.example"],
    ["https://r.example/v2", "https://r.example"],
    ["https://r.example/v2/", "https://r.example"],
    ["https://r.example/prefix/v2/", "https://r.example/prefix"],
    ["https://r.example/v2/v2", "https://r.example/v2"],
    ["https://r.example//v2//", "https://r.example"],
    ["https://r.example/v2x", "https://r.example/v2x"],
    ["localhost:5000/v2", "http://localhost:5000"],
    ["https://v2", "https://v2"]
  ] as const)("%j is the base %s: one /v2 at its end is dropped (SN1)", ([url, base]) =>
    Effect.gen(function* () {
      expect(yield* RegistryClient.endpoint({ url })).toMatchObject({ base })
    })
  )
})

describe("trust", () => {
  it.effect.each([
    ["allowTokens", "https://auth.example.com", "is not a host: it is a URL"],
    ["allowStorage", "*.example.com", "is not a host: it is a pattern"],
    ["allowUploads", "uploads.example.com/path", "is not a host: it has a path"],
    ["allowUploads", "a.example.com,b.example.com", "is not a host: it is neither"],
    ["allowStorage", "", "is not a host: it is empty"],
    ["allowTokens", "alice:hunter2@auth.example.com", "is not a host: it has a user name"]
  ] as const)("fails for an entry of %s such as %j", ([list, entry, problem]) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(
        RegistryClient.endpoint({ url: "https://ghcr.io", trust: { [list]: ["ok.test", entry] } })
      )
      expect(failure).toMatchObject({
        _tag: "InvalidUrl",
        url: entry.replace("alice:hunter2@", "***@")
      })
      expect(failure.message).toContain(`as an entry of ${list} it ${problem}`)
      expect(failure.message).not.toContain("hunter2")
    })
  )
})

describe("an option that is undefined", () => {
  /** Every member of the options that have members, undefined. */
  const nested = {
    trust: { allowStorage: undefined, allowTokens: undefined, allowUploads: undefined },
    limits: {
      manifest: undefined,
      page: undefined,
      pages: undefined,
      items: undefined,
      headers: undefined,
      redirects: undefined
    },
    timeouts: { response: undefined, overall: undefined },
    retry: { attempts: undefined, base: 1, maxDelay: undefined, deadline: undefined }
  }
  const flat = {
    trust: undefined,
    authScope: undefined,
    limits: undefined,
    timeouts: undefined,
    concurrency: undefined,
    onRateLimit: undefined,
    userAgent: undefined,
    headers: undefined,
    namespace: undefined,
    onWarning: undefined,
    tracePropagation: undefined,
    schedule: undefined,
    tls: undefined,
    http: {
      connectTimeout: undefined,
      ca: undefined,
      tls: { "registry.example.com": undefined },
      certificateFolders: undefined,
      proxy: { http: undefined, https: undefined, except: undefined }
    }
  }

  it.live.each([
    ["by itself", { ...flat, retry: { base: 1 } }],
    ["within another", nested],
    ["of the headers", { headers: { "x-tenant": undefined }, retry: { base: 1 } }]
  ] as ReadonlyArray<readonly [string, Partial<NodeRegistry.Options>]>)(
    "%s leaves its default",
    ([_, options]) =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const { url } = yield* serve((request, response) => {
          lines.push(`${request.method} ${request.url}`)
          if (request.headers["x-tenant"] !== undefined) response.writeHead(400).end()
          // A temporary failure, a redirect, and a manifest of one byte more than 8 MiB.
          else if (lines.length === 1) response.writeHead(503).end()
          else if (lines.length === 2) response.writeHead(307, { location: "/there" }).end()
          else {
            response.writeHead(200, { "content-type": MediaType.imageManifest })
            response.end(Buffer.alloc(8 * 1024 * 1024 + 1, 32))
          }
        })
        const layer = NodeRegistry.layer({ url, ...options })
        const failure = yield* Effect.gen(function* () {
          const registry = yield* Registry
          const repository = yield* Reference.parseRepositoryName("a")
          return yield* Effect.flip(
            registry.getManifest(repository, yield* Reference.parseTag("latest"))
          )
        }).pipe(Effect.provide(Layer.provide(layer, Credentials.layerAnonymous)))
        expect(failure).toMatchObject({ _tag: "LimitExceeded", limit: 8 * 1024 * 1024 })
        expect(lines).toEqual([
          "GET /v2/a/manifests/latest",
          "GET /v2/a/manifests/latest",
          "GET /there"
        ])
      }).pipe(Effect.scoped)
  )

  it("is not an override, and null, false and 0 are", () => {
    expect(withDefaults<Record<string, unknown>>({ a: 1, b: 2, c: 3 }, { a: undefined })).toEqual({
      a: 1,
      b: 2,
      c: 3
    })
    expect(
      withDefaults<Record<string, unknown>>({ a: 1, b: 2, c: 3 }, { a: null, b: false, c: 0 })
    ).toEqual({ a: null, b: false, c: 0 })
    expect(withDefaults({ a: 1 }, undefined)).toEqual({ a: 1 })
  })
})

describe("transformClient", () => {
  const blob = Digest.fromBytes(utf8("b1"))
  /** A registry with a token server and storage elsewhere, and one blob. */
  const origins = () =>
    internet({
      "https://r.example": ({ authorization, method, url }) =>
        authorization !== "Bearer t1"
          ? unauthorized('Bearer realm="https://auth.r.example/token",service="r"')
          : url.pathname.endsWith(blob)
            ? new Response(null, {
                status: 307,
                headers: { location: "https://storage.test/b1?signature=hunter2" }
              })
            : new Response(method === "HEAD" ? null : "{}", { status: 404 }),
      "https://auth.r.example": () => Response.json({ token: "t1" }),
      "https://storage.test": () => new Response("b1", { headers: { "content-length": "2" } })
    })

  it.effect("sees requests to the registry without credentials, and no others", () =>
    Effect.gen(function* () {
      const on = origins()
      const saw: Array<unknown> = []
      const registry = yield* clientOver(on.client, {
        headers: { "x-key": "hunter2" },
        retry: { attempts: 0 },
        transformClient: (client) =>
          client.pipe(
            HttpClient.mapRequest(HttpClientRequest.setHeader("x-tenant", "blue")),
            HttpClient.tapRequest((request) =>
              Effect.sync(() =>
                saw.push([request.method, request.url, Object.keys(request.headers)])
              )
            )
          )
      })
      const content = registry.getBlob(repository, blob)
      expect(yield* Stream.mkString(Stream.decodeText(content))).toBe("b1")
      // One for each attempt, whose headers are those of every request.
      const line = ["GET", `https://r.example/v2/${repository}/blobs/${blob}`]
      expect(saw).toEqual([
        [...line, expect.not.arrayContaining(["authorization", "x-key"])],
        [...line, expect.not.arrayContaining(["authorization", "x-key"])]
      ])
      expect(on.seen.map(({ headers, url }) => `${url.host} ${headers["x-tenant"]}`)).toEqual([
        "r.example blue",
        "auth.r.example undefined",
        "r.example blue",
        "storage.test undefined"
      ])
    })
  )

  it.effect("leaves to the operation what a status means, and what the registry fails with", () =>
    Effect.gen(function* () {
      const registry = yield* clientOver(origins().client, {
        transformClient: HttpClient.filterStatusOk
      })
      const absent = Digest.fromBytes(utf8("b2"))
      expect(yield* registry.headBlob(repository, absent)).toEqual(Option.none())
      const failure = yield* Effect.flip(Stream.runDrain(registry.getBlob(repository, absent)))
      expect(failure).toMatchObject({ _tag: "BlobUnknown", status: 404 })
      const elsewhere = internet({
        "https://r.example": () => unauthorized('Bearer realm="http://evil.example/token"')
      })
      const distrusting = yield* clientOver(elsewhere.client, {
        transformClient: HttpClient.filterStatusOk
      })
      expect(yield* Effect.flip(distrusting.ping)).toMatchObject({ _tag: "UntrustedLocation" })
    })
  )

  it.effect("may fail by itself, which is a failure to be retried", () =>
    Effect.gen(function* () {
      let failures = 0
      const on = origins()
      const registry = yield* clientOver(on.client, {
        retry: { attempts: 2, base: 0 },
        transformClient: (client) =>
          HttpClient.transform(client, (_, request) => {
            failures++
            return Effect.fail(new RequestError({ request, reason: "Transport", cause: "ours" }))
          })
      })
      expect(yield* Effect.flip(registry.ping)).toMatchObject({
        _tag: "TransportFailure",
        reason: "Reset"
      })
      expect(failures).toBe(3)
      expect(on.log).toEqual([])
    })
  )
})

describe("a client", () => {
  class Needed extends Context.Tag("test/Needed")<Needed, string>() {}
  class Other extends Context.Tag("test/Other")<Other, string>() {}

  it.effect("takes from where it is built what it needs, and nothing else", () =>
    Effect.gen(function* () {
      const leaked: Array<unknown> = []
      const on = internet({ "https://r.example": () => unauthorized('Basic realm="r"') })
      const client = HttpClient.transform(on.client, (sent) =>
        Effect.zipLeft(
          sent,
          Effect.map(Effect.serviceOption(Other), (other) => leaked.push(Option.getOrNull(other)))
        )
      )
      const heard: Array<string> = []
      const schedule = Schedule.tapInput(Schedule.recurs(1), () =>
        Effect.map(Needed, (needed) => void heard.push(needed))
      )
      const registry = yield* RegistryClient.make({ url: "https://r.example", schedule }).pipe(
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.provide(Layer.merge(Credentials.layerAnonymous, TokenCache.layerMemory)),
        Effect.provideService(Needed, "of the build"),
        Effect.provideService(Other, "of the build")
      )
      yield* Effect.flip(registry.ping)
      yield* Effect.flip(registry.ping).pipe(
        Effect.provideService(Needed, "of the caller"),
        Effect.provideService(Other, "of the caller")
      )
      expect(new Set(heard.slice(0, heard.length / 2))).toEqual(new Set(["of the build"]))
      expect(new Set(heard.slice(heard.length / 2))).toEqual(new Set(["of the caller"]))
      expect(new Set(leaked.slice(0, leaked.length / 2))).toEqual(new Set([null]))
      expect(new Set(leaked.slice(leaked.length / 2))).toEqual(new Set(["of the caller"]))
    })
  )

  it.effect("shows base and origin of an endpoint", () =>
    Effect.map(
      RegistryClient.endpoint({ url: "https://Example.com:443/prefix/" }),
      ({ base, origin }) => {
        expect({ base, origin }).toEqual({
          base: "https://example.com/prefix",
          origin: "https://example.com"
        })
      }
    )
  )
})

describe("headers", () => {
  const key = "hunter2"

  it.effect("can be redacted, beside plain ones, and are sent as they are", () =>
    Effect.gen(function* () {
      const { client, seen } = internet({ "https://registry.test": () => status(200) })
      const to = yield* RegistryClient.endpoint({
        url: "registry.test",
        headers: { "x-key": Redacted.make(key), "x-tenant": "blue", "x-none": undefined }
      })
      yield* RegistryClient.attempt(to, Operation.Ping()).pipe(
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.provide([TokenCache.layerMemory, Credentials.layerAnonymous])
      )
      expect(seen[0]?.headers).toMatchObject({ "x-key": key, "x-tenant": "blue" })
      expect(Object.keys(seen[0]?.headers ?? {})).not.toContain("x-none")
      expect(forms(to).join("\n")).not.toContain(key)
    })
  )

  it.effect("that no request can carry are refused, redacted or not, and are not shown", () =>
    Effect.gen(function* () {
      for (const value of [`${key}\n`, Redacted.make(`${key}\n`)]) {
        const failure = yield* Effect.flip(
          RegistryClient.endpoint({ url: "registry.test", headers: { "x-key": value } })
        )
        expect(failure.message).toContain("its header x-key holds characters")
        expect(forms(failure).join("\n")).not.toContain(key)
      }
    })
  )
})
