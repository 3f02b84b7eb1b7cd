/** What a registry says of its extensions, and what it means where it says nothing. */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as Extensions from "../../src/client/Extensions.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { alice } from "../support/fake/Client.js"
import { guarded, type Handler, status } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"

const registry = "http://registry.test"

/** What discovery gives where the registry answers so, and what was sent. */
const discovered = (handler: Handler, repository?: string) =>
  Effect.gen(function* () {
    const { client, log } = internet({ [registry]: handler })
    const found = yield* Effect.either(
      Effect.provide(
        Extensions.discover(repository),
        RegistryClient.layer({ url: registry, retry: { attempts: 0 } }).pipe(
          Layer.provide([
            Layer.succeed(HttpClient.HttpClient, client),
            alice(registry),
            TokenCache.layerMemory
          ])
        )
      )
    )
    return { found, log }
  })

const json = (body: unknown) => status(200, JSON.stringify(body))

describe("discover", () => {
  it.effect("reads the extensions of the embedded server, of all and of one repository (C94)", () =>
    Effect.gen(function* () {
      const names = (repository?: string) =>
        Effect.map(Extensions.discover(repository), (all) =>
          all.map(({ endpoints, name }) => [name, ...endpoints])
        )
      expect(yield* names()).toEqual([
        ["_oci", "_oci/ext/discover"],
        ["_catalog", "_catalog"]
      ])
      expect(yield* names("team/app")).toEqual([["_oci", "_oci/ext/discover"]])
    }).pipe(
      Effect.provide(
        RegistryClient.layer({ url: registry }).pipe(
          Layer.provide([
            RegistryServer.layerTest({ hosts: ["registry.test"] }).pipe(
              Layer.provide(MemoryRegistry.layer())
            ),
            alice(registry),
            TokenCache.layerMemory
          ])
        )
      )
    )
  )

  it.effect("authorizes the question about a repository with its scope", () =>
    Effect.gen(function* () {
      const handler = guarded(() => json({ extensions: [{ name: "_x" }] }))
      const { found, log } = yield* discovered(handler, "team/app")
      expect(found).toMatchObject({ _tag: "Right", right: [{ name: "_x", endpoints: [] }] })
      expect(log.every((line) => line.includes("/v2/team/app/_oci/ext/discover"))).toBe(true)
    })
  )

  it.effect("leaves out what cannot be read", () =>
    Effect.gen(function* () {
      const good = { name: "_zot", url: "https://zot.example", endpoints: ["_zot/ext/search"] }
      const entries = [good, null, {}, { name: "" }, { name: 1 }, { name: "_n", endpoints: null }]
      const { found } = yield* discovered(() => json({ extensions: entries }))
      expect(found).toMatchObject({ right: [good, { name: "_n", endpoints: [] }] })
    })
  )

  const errors = (code: string) => JSON.stringify({ errors: [{ code, message: "m" }] })
  const page = { "content-type": "text/html" }
  const rows: ReadonlyArray<readonly [what: string, Handler, tag: string, repository?: string]> = [
    ["a 404 of a router", () => status(404, "404 page not found"), "Unsupported"],
    ["a 404 without a body", () => status(404), "Unsupported"],
    ["EXTENSION_UNKNOWN", () => status(404, errors("EXTENSION_UNKNOWN")), "Unsupported"],
    ["UNSUPPORTED", () => status(400, errors("UNSUPPORTED")), "Unsupported"],
    ["405", () => status(405), "Unsupported"],
    ["NAME_UNKNOWN", () => status(404, errors("NAME_UNKNOWN")), "NameUnknown", "team/app"],
    ["403", () => status(403), "Denied"],
    ["429", () => status(429), "TooManyRequests"],
    ["500", () => status(500), "RegistryFailure"],
    ["401", () => status(401, "", { "www-authenticate": "Negotiate" }), "Unauthorized"],
    ["a page", () => status(200, "<html><title>Log in</title>", page), "ProtocolViolation"],
    ["another document", () => json({ extensions: {} }), "ProtocolViolation"],
    ["too much", () => status(200, "x".repeat(5 * 1024 * 1024)), "LimitExceeded"],
    ["what is not a name", () => status(200), "InvalidReference", "Team"]
  ]
  it.effect.each(rows)("fails for %s", ([, handler, tag, repository]) =>
    Effect.gen(function* () {
      const { found, log } = yield* discovered(handler, repository)
      expect(found).toMatchObject({ _tag: "Left", left: { _tag: tag } })
      if (tag === "InvalidReference") expect(log).toEqual([])
    })
  )
})
