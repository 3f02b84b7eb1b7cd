/** What options of an endpoint mean, as its requests show. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { withDefaults } from "../../src/internal/Options.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { serve } from "../support/serve.js"

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
