/** Where clients are sent for their tokens (V14). */
import * as Https from "node:https"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as NodeRegistryServer from "../../src/node/NodeRegistryServer.js"
import { RegistryServer } from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Certificates from "../support/certificates.js"
import { authorities } from "../support/https.js"
import { webHandler } from "../support/server.js"
import { sender } from "./wire.js"

const users = { alice: Redacted.make("secret") }

const forwarded = { "x-forwarded-proto": "https", "x-forwarded-host": "registry.example" }

it.scoped.each([
  ["its own address", {}, {}, "http://registry.test/token"],
  ["no header that anybody can send", {}, forwarded, "http://registry.test/token"],
  ["the URL that it is told", { url: "https://r.example/" }, {}, "https://r.example/token"],
  [
    "that before a proxy's",
    { url: "https://r.example/base", trustForwarded: true },
    forwarded,
    "https://r.example/base/token"
  ],
  [
    "a proxy that is trusted",
    { trustForwarded: true },
    forwarded,
    "https://registry.example/token"
  ],
  [
    "the one next to the client",
    { trustForwarded: true },
    { "x-forwarded-proto": "https, http", "x-forwarded-host": "a.example:8443 , b.example" },
    "https://a.example:8443/token"
  ],
  [
    "a proxy that tells the scheme alone",
    { trustForwarded: true },
    { "x-forwarded-proto": "https" },
    "https://registry.test/token"
  ],
  [
    "a proxy that tells the client's scheme",
    { trustForwarded: true },
    { "x-forwarded-proto": "http" },
    "http://registry.test/token"
  ],
  [
    "nothing that is no scheme or host",
    { trustForwarded: true },
    { "x-forwarded-proto": "javascript", "x-forwarded-host": "a b" },
    "http://localhost/token"
  ]
] as const)("follows %s", ([, options, headers, realm]) =>
  Effect.gen(function* () {
    const authorization = yield* ServerAuthorization.token({ users, ...options })
    const registry = sender(yield* webHandler({ authorization }))
    const answer = yield* registry("GET", "/v2/", { headers })
    expect(answer.headers["www-authenticate"]).toBe(`Bearer realm="${realm}",service="effect-oci"`)
    // Where an upload goes on is relative, and so needs none of this.
    const token = yield* registry("GET", "/token?scope=repository:a:pull,push", {
      headers: { authorization: `Basic ${Buffer.from("alice:secret").toString("base64")}` }
    })
    const opened = yield* registry("POST", "/v2/a/blobs/uploads/", {
      headers: { ...headers, authorization: `Bearer ${JSON.parse(token.body).token}` }
    })
    expect(opened.headers["location"]).toMatch(/^\/v2\/a\/blobs\/uploads\/[\w-]+$/)
  }).pipe(Effect.provide(MemoryRegistry.layer()))
)

it.scopedLive("is https where this server speaks TLS itself", () =>
  Effect.gen(function* () {
    const { ours } = yield* authorities
    const { cert, key } = yield* Certificates.server(ours, "localhost")
    const authorization = yield* ServerAuthorization.token({ users })
    const challenge = Effect.flatMap(RegistryServer, ({ url }) =>
      Effect.async<string>((resume) => {
        Https.get(`${url}/v2/`, { ca: ours.cert, agent: false }, (response) => {
          response.resume()
          resume(Effect.succeed(response.headers["www-authenticate"] ?? ""))
        })
      }).pipe(Effect.map((challenge) => [challenge, url]))
    )
    const [value, url] = yield* Effect.provide(
      challenge,
      NodeRegistryServer.layer({
        port: 0,
        authorization,
        tls: { cert, key: Redacted.make(key) },
        quietPeriod: 0
      }).pipe(Layer.provide(MemoryRegistry.layer()))
    )
    expect(value).toBe(`Bearer realm="${url}/token",service="effect-oci"`)
    expect(url).toMatch(/^https:/)
  })
)
