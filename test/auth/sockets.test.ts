/**
 * Authorization over real sockets, by both HTTP clients: a registry, its token server and an
 * attacker, each on an origin of its own.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import { clientOf } from "../support/fake/Client.js"
import * as Handler from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { items } from "../support/fixtures.js"
import { alice, aliceBasic as basic } from "./parties.js"

/**
 * An origin, and each request that it got: method, path, `Authorization` or `-`, and the body of a
 * form.
 */
const recorded = (handler: Handler.Handler) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const seen: Array<Handler.Seen> = []
    const { url } = yield* origin(handler, (request) => {
      const { authorization = "-", body, line } = request
      log.push(`${line} ${authorization} ${body}`.trimEnd())
      seen.push(request)
    })
    return { url, host: new URL(url).host, seen, log }
  })

const blob = Digest.fromBytes(new Uint8Array([1]))

const world = Effect.gen(function* () {
  const attacker = yield* recorded(({ url }) =>
    Handler.unauthorized(`Bearer realm="${url.origin}/token"`)
  )
  const tokenServer = yield* recorded(() => Handler.json({ access_token: "t", expires_in: 300 }))
  const registry = yield* recorded(({ authorization, line }) => {
    if (authorization !== "Bearer t")
      return {
        status: 401,
        // Two lines of one header.
        headers: {
          "www-authenticate": [
            'Basic realm="registry"',
            `Bearer realm="${tokenServer.url}/token",service="s",scope="repository:a:pull"`
          ]
        },
        body: '{"errors":[{"code":"UNAUTHORIZED"}]}'
      }
    return line.includes("/blobs/")
      ? Handler.redirect(307, `${attacker.url}/stolen`)
      : Handler.json({ name: "a", tags: ["v1"] })
  })
  return { attacker, registry, tokenServer }
})

describe.each([
  ["undici", NodeHttp.layer()],
  ["fetch", RegistryClient.layerFetch]
] as const)("over %s", (_, http) => {
  /** Lists the tags of `a` and gets a blob of it. */
  const used = (credential: Credentials.Credential) =>
    Effect.gen(function* () {
      const at = yield* world
      const registry = yield* clientOf(
        at.registry.url,
        { trust: { allowTokens: [at.tokenServer.host] }, retry: { attempts: 0 } },
        { http, credentials: Credentials.layer({ [at.registry.host]: credential }) }
      )
      const repository = yield* parseRepositoryName("a")
      expect(yield* items(registry.tags(repository))).toEqual(["v1"])
      const failure = yield* Effect.flip(Stream.runDrain(registry.getBlob(repository, blob)))
      expect(failure).toMatchObject({ status: 401 })
      expect(at.registry.log).toEqual([
        "GET /v2/a/tags/list -",
        "GET /v2/a/tags/list Bearer t",
        `GET /v2/a/blobs/${blob} Bearer t`
      ])
      expect(at.attacker.log).toEqual(["GET /stolen -"])
      expect(JSON.stringify(at.attacker.seen)).not.toMatch(/Bearer|Basic|hunter2|alice|cookie/i)
      return at.tokenServer
    })

  it.scopedLive(
    "a password goes to the token server, its token to the registry, and nothing to the attacker",
    () =>
      Effect.gen(function* () {
        const { log } = yield* used(alice)
        expect(log).toEqual([
          `GET /token?service=s&client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${basic}`
        ])
      })
  )

  it.scopedLive("an identity token goes to the token server alone, in the body of a form", () =>
    Effect.gen(function* () {
      const { log, seen } = yield* used(Credentials.identityToken(Redacted.make("hunter2+1")))
      expect(log).toEqual([
        "POST /token - grant_type=refresh_token&refresh_token=hunter2%2B1&service=s&client_id=effect-oci&scope=repository%3Aa%3Apull"
      ])
      expect(seen[0]?.headers["content-type"]).toBe("application/x-www-form-urlencoded")
    })
  )
})
