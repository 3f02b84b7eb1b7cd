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
import { debug, info, logged } from "../parity/world.js"
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

describe("layerConfig, of what is rarely set", () => {
  const configuration = (values: Readonly<Record<string, string>>) =>
    NodeRegistry.layerConfig({
      url: Config.string("URL"),
      authScope: Config.string("SCOPE"),
      timeouts: { overall: Config.duration("TIMEOUT") },
      retry: { attempts: Config.integer("RETRIES") },
      tls: { rejectUnauthorized: Config.boolean("VERIFY") }
    }).pipe(
      Registry.pinged,
      Layer.provide(
        Credentials.layerConfig({
          host: Config.map(Config.url("URL"), ({ host }) => host),
          username: Config.string("NAME"),
          password: Config.redacted("PASSWORD")
        })
      ),
      Layer.build,
      Effect.withConfigProvider(
        ConfigProvider.fromMap(
          new Map(
            Object.entries({
              SCOPE: "a:b:c",
              TIMEOUT: "5 seconds",
              RETRIES: "0",
              VERIFY: "true",
              NAME: "alice",
              PASSWORD: "hunter2",
              ...values
            })
          )
        )
      )
    )

  it.scopedLive("turns the check of certificates off, and says so in the log", () =>
    Effect.gen(function* () {
      const host = yield* serve((_, response) => response.end())
      const built = configuration({ URL: `https://${host}/v2`, VERIFY: "false" })
      expect((yield* logged(built, info)).join()).toMatch(/certificate/)
      expect(
        yield* Effect.flip(configuration({ URL: `https://${host}`, VERIFY: "true" }))
      ).toMatchObject({ _tag: "TransportFailure", reason: "Tls" })
    })
  )

  it.scopedLive("logs in for a scope, and shows no secret in the log", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { url } = yield* origin((request) => {
        seen.push(request)
        const { headers, url } = request
        if (url.pathname === "/token") return { status: 200, body: '{"token":"t0ken-t0ken"}' }
        if (request.authorization === "Bearer t0ken-t0ken") return { status: 200 }
        const challenge = `Bearer realm="http://${headers["host"]}/token",scope="x:y:z"`
        return { status: 401, headers: { "www-authenticate": challenge } }
      })
      const lines = (yield* logged(configuration({ URL: ` ${url}/v2/ ` }), debug)).join("\n")
      expect(seen.map(({ url }) => [url.pathname, url.searchParams.get("scope")])).toEqual([
        ["/v2/", null],
        ["/token", "a:b:c"],
        ["/v2/", null]
      ])
      expect(lines).toContain("/token")
      expect(lines).not.toMatch(/t0ken|hunter2|YWxpY2U6aHVudGVyMg/)
    })
  )

  it.scopedLive("waits no longer than it is told, and tries no more often", () =>
    Effect.gen(function* () {
      let count = 0
      const silent = yield* origin(() => Effect.never)
      expect(
        yield* Effect.flip(configuration({ URL: silent.url, TIMEOUT: "50 millis" }))
      ).toMatchObject({ _tag: "TransportFailure", reason: "Timeout" })
      const broken = yield* origin(() => {
        count++
        return { status: 503 }
      })
      yield* Effect.flip(configuration({ URL: broken.url }))
      expect(count).toBe(1)
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
