/**
 * Authorization over real sockets, by both HTTP clients: a registry, its token server and an
 * attacker, each on an origin of its own.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { layerHttpClient } from "../../src/node/NodeHttp.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import { serve } from "../support/serve.js"
import { alice, aliceBasic as basic } from "./parties.js"

/**
 * A server that writes down each request: method, path, `Authorization` or `-`, and the body of a
 * form.
 */
const origin = (answer: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const headers: Array<IncomingHttpHeaders> = []
    const { url } = yield* serve((request, response) => {
      text(request).then((body) => {
        log.push(
          [request.method, request.url, request.headers.authorization ?? "-", body]
            .join(" ")
            .trimEnd()
        )
        headers.push(request.headers)
        answer(request, response)
      })
    })
    return { host: new URL(url).host, headers, log }
  })

const blob = Digest.fromBytes(new Uint8Array([1]))

const world = Effect.gen(function* () {
  const attacker = yield* origin((_, response) => {
    response
      .writeHead(401, { "www-authenticate": `Bearer realm="http://${attacker.host}/token"` })
      .end()
  })
  const tokenServer = yield* origin((_, response) => {
    response.end('{"access_token":"t","expires_in":300}')
  })
  const registry = yield* origin((request, response) => {
    if (request.headers.authorization !== "Bearer t") {
      response.writeHead(401, [
        ["WWW-Authenticate", 'Basic realm="registry"'],
        [
          "WWW-Authenticate",
          `Bearer realm="http://${tokenServer.host}/token",service="s",scope="repository:a:pull"`
        ]
      ])
      response.end('{"errors":[{"code":"UNAUTHORIZED"}]}')
    } else if (request.url?.includes("/blobs/") === true) {
      response.writeHead(307, { location: `http://${attacker.host}/stolen` }).end()
    } else response.end('{"name":"a","tags":["v1"]}')
  })
  return { attacker, registry, tokenServer }
})

describe.each([
  ["undici", layerHttpClient],
  ["fetch", RegistryClient.layerFetch]
] as const)("over %s", (_, http) => {
  /** Lists the tags of `a` and gets a blob of it. */
  const used = (credential: Credentials.Credential) =>
    Effect.gen(function* () {
      const at = yield* world
      const options = {
        url: `http://${at.registry.host}`,
        trust: { allowTokens: [at.tokenServer.host] }
      }
      yield* Effect.gen(function* () {
        const service = yield* RegistryClient.make({ ...options, retry: { attempts: 0 } })
        const repository = yield* parseRepositoryName("a")
        expect([...(yield* Stream.runCollect(service.tags(repository)))]).toEqual(["v1"])
        expect(
          yield* Effect.flip(Stream.runDrain(service.getBlob(repository, blob)))
        ).toMatchObject({ status: 401 })
      }).pipe(
        Effect.provide([
          http,
          TokenCache.layerMemory,
          Credentials.layer({ [at.registry.host]: credential })
        ])
      )
      expect(at.registry.log).toEqual([
        "GET /v2/a/tags/list -",
        "GET /v2/a/tags/list Bearer t",
        `GET /v2/a/blobs/${blob} Bearer t`
      ])
      expect(at.attacker.log).toEqual(["GET /stolen -"])
      expect(JSON.stringify(at.attacker.headers)).not.toMatch(/Bearer|Basic|hunter2|alice|cookie/i)
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
      const { headers, log } = yield* used(Credentials.identityToken(Redacted.make("hunter2+1")))
      expect(log).toEqual([
        "POST /token - grant_type=refresh_token&refresh_token=hunter2%2B1&service=s&client_id=effect-oci&scope=repository%3Aa%3Apull"
      ])
      expect(headers[0]?.["content-type"]).toBe("application/x-www-form-urlencoded")
    })
  )
})
