/** One layer with all that a client can be told, also from the configuration. */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as TlsSettings from "../../src/node/TlsSettings.js"
import * as Registry from "../../src/Registry.js"
import type { Seen } from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { authorities, serve } from "../support/https.js"
import { folder } from "../support/machine.js"

const configured = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  values: Readonly<Record<string, string>>
) => Effect.withConfigProvider(effect, ConfigProvider.fromMap(new Map(Object.entries(values))))

const tags = Effect.gen(function* () {
  const { execute } = yield* RegistryClient.RegistryClient
  return (yield* execute(Request.get("/v2/<name>/tags/list"))).status
})

const layer = NodeRegistry.layerConfig({
  url: Config.withDefault(Config.string("REGISTRY_URL"), "http://127.0.0.1:8080"),
  defaultName: Config.string("REGISTRY_REPOSITORY"),
  userAgent: Config.string("REGISTRY_AGENT"),
  authScope: Config.withDefault(Config.string("REGISTRY_SCOPE"), undefined),
  headers: { authorization: Config.redacted("REGISTRY_TOKEN") },
  timeouts: { overall: Config.duration("REGISTRY_TIMEOUT") },
  tls: { ca: TlsSettings.configCa("REGISTRY_CA_CERT") }
})

const values = {
  REGISTRY_REPOSITORY: "owner/name",
  REGISTRY_AGENT: "jobs/1",
  REGISTRY_TIMEOUT: "5 seconds",
  REGISTRY_TOKEN: "Bearer static"
}

describe("layerConfig", () => {
  it.scopedLive("reads every option", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { url } = yield* origin((request) => {
        seen.push(request)
        return { status: 200 }
      })
      const status = yield* configured(
        tags.pipe(Effect.provide(layer), Effect.provide(Credentials.layerAnonymous)),
        { ...values, REGISTRY_URL: `${url}/v2/` }
      )
      expect(status).toBe(200)
      expect(
        seen.map(({ authorization, headers, line }) => [line, authorization, headers["user-agent"]])
      ).toEqual([["GET /v2/owner/name/tags/list", "Bearer static", "jobs/1"]])
    })
  )

  it.effect(
    "fails with ConfigError for what is missing, and with InvalidUrl for what is no URL",
    () =>
      Effect.gen(function* () {
        const built = (values: Readonly<Record<string, string>>) =>
          configured(
            Effect.flip(
              Effect.scoped(Layer.build(Layer.provide(layer, Credentials.layerAnonymous)))
            ),
            values
          )
        expect(`${yield* built({})}`).toContain("REGISTRY_REPOSITORY")
        expect(yield* built({ ...values, REGISTRY_URL: "ftp://x" })).toMatchObject({
          _tag: "InvalidUrl"
        })
      })
  )

  it.scopedLive("reads the authorities of a file, and says what is wrong with one (EP2, EP3)", () =>
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const host = yield* serve((_, response) => response.end())
      const home = yield* folder({ "ca.pem": ours.cert, "empty.pem": "" })
      const asked = (file?: string) =>
        configured(tags.pipe(Effect.provide(layer), Effect.provide(Credentials.layerAnonymous)), {
          ...values,
          REGISTRY_URL: `https://${host}`,
          ...(file !== undefined && { REGISTRY_CA_CERT: file })
        })
      expect(yield* asked(join(home, "ca.pem"))).toBe(200)
      expect(yield* Effect.flip(asked())).toMatchObject({ _tag: "TransportFailure", reason: "Tls" })
      expect(`${yield* Effect.flip(asked(join(home, "empty.pem")))}`).toMatch(
        /REGISTRY_CA_CERT.*no certificate in .*empty\.pem/s
      )
      expect(`${yield* Effect.flip(asked("/nowhere/ca.pem"))}`).toMatch(
        /REGISTRY_CA_CERT.*Cannot read certificates: ENOENT/s
      )
    })
  )
})

describe("Registry.pinged", () => {
  const client = (url: string) =>
    Layer.build(
      NodeRegistry.layer({ url, retry: { attempts: 0 } }).pipe(
        Registry.pinged,
        Layer.provide(
          Credentials.layerBasic({
            host: new URL(url).host,
            username: "alice",
            password: Redacted.make("wrong")
          })
        )
      )
    )

  it.scopedLive("provides a layer after a ping, and fails as that does (HK1)", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { url } = yield* origin(({ line }) => {
        seen.push(line)
        return { status: 200 }
      })
      yield* client(url)
      expect(seen).toEqual(["GET /v2/"])
      const other = yield* origin(() => ({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="r"' }
      }))
      expect(yield* Effect.flip(client(other.url))).toMatchObject({ _tag: "Unauthorized" })
    })
  )
})
