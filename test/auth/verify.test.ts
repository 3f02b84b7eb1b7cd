/**
 * Whether a login works, asked of registries and token servers on sockets. Each log has every
 * request to every origin, and so shows what was not sent.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistryBasic
} from "../support/debian.js"
import type { Seen } from "../support/fake/Handler.js"
import { alice, aliceBasic, bob, bobBasic } from "./parties.js"
import { type Reply, unauthorized, type World, world } from "./wire.js"

const ping = "registry GET /v2/"
const tokenOf = (account: string, authorization: string) =>
  `tokens GET /token?service=s&client_id=effect-oci&account=${account} ${authorization}`
const exchange = (token: string) =>
  `tokens POST /token - grant_type=refresh_token&refresh_token=${token}&service=s&client_id=effect-oci`

const identity = Credentials.identityToken(Redacted.make("1dentity"))

const verify = (
  { realm, registry }: World,
  login: Credentials.Login,
  options: Partial<RegistryClient.EndpointOptions> = {}
) =>
  RegistryClient.verify(new URL(registry).host, login, {
    trust: { allowTokens: [new URL(realm).host] },
    retry: { attempts: 0 },
    ...options
  }).pipe(Effect.provide(NodeHttp.layer()))

/** A registry that takes the tokens which its token server issues to alice. */
const issuing = (tokens: (seen: Seen) => Reply) => ({
  registry: ({ authorization }: Seen, realm: string): Reply =>
    authorization === "Bearer hers"
      ? [200, {}]
      : unauthorized(`Bearer realm="${realm}",service="s"`),
  tokens
})

const toAlice = issuing(({ authorization, body }) =>
  authorization === aliceBasic || body.includes("refresh_token=1dentity")
    ? [200, { token: "hers" }]
    : [401, { details: "incorrect username or password" }]
)

/** A registry that takes alice's password. */
const withPassword = {
  registry: ({ authorization }: Seen): Reply =>
    authorization === aliceBasic ? [200, {}] : unauthorized('Basic realm="r"'),
  tokens: (): Reply => [500]
}

describe("a login is accepted", () => {
  it.scopedLive("for the token that it gets", () =>
    Effect.gen(function* () {
      const there = yield* world(toAlice)
      expect(yield* verify(there, alice)).toBe("Accepted")
      expect(there.log).toEqual([`${ping} -`, tokenOf("alice", aliceBasic), `${ping} Bearer hers`])
    })
  )

  it.scopedLive("for the token that an identity token is exchanged for", () =>
    Effect.gen(function* () {
      const there = yield* world(toAlice)
      expect(yield* verify(there, identity)).toBe("Accepted")
      expect(there.log).toEqual([`${ping} -`, exchange("1dentity"), `${ping} Bearer hers`])
    })
  )

  it.scopedLive("as a token of the registry's own", () =>
    Effect.gen(function* () {
      const there = yield* world(toAlice)
      expect(yield* verify(there, Credentials.registryToken(Redacted.make("hers")))).toBe(
        "Accepted"
      )
      expect(there.log).toEqual([`${ping} -`, `${ping} Bearer hers`])
    })
  )

  it.scopedLive("as a password", () =>
    Effect.gen(function* () {
      const there = yield* world(withPassword)
      expect(yield* verify(there, alice)).toBe("Accepted")
      expect(there.log).toEqual([`${ping} -`, `${ping} ${aliceBasic}`])
    })
  )
})

describe("a login is refused", () => {
  it.scopedLive("by the token server, and nobody's token is asked for in its place", () =>
    Effect.gen(function* () {
      const there = yield* world(
        issuing(({ authorization }) =>
          authorization === undefined ? [200, { token: "hers" }] : [401, {}]
        )
      )
      expect(yield* Effect.flip(verify(there, bob, { anonymousPulls: true }))).toMatchObject({
        _tag: "Unauthorized",
        reason: "TokenServer",
        status: 401
      })
      expect(there.log).toEqual([`${ping} -`, tokenOf("bob", bobBasic)])
    })
  )

  it.scopedLive("by the registry", () =>
    Effect.gen(function* () {
      const there = yield* world(withPassword)
      expect(yield* Effect.flip(verify(there, bob))).toMatchObject({
        _tag: "Unauthorized",
        reason: "Challenge",
        challenge: { sent: "basic" }
      })
      expect(there.log).toEqual([`${ping} -`, `${ping} ${bobBasic}`])
    })
  )

  it.scopedLive("by a registry that does not take the token which it gets", () =>
    Effect.gen(function* () {
      const there = yield* world(issuing(() => [200, { token: "nobody's" }]))
      expect(yield* Effect.flip(verify(there, bob))).toMatchObject({
        _tag: "Unauthorized",
        reason: "Challenge",
        challenge: { sent: "bearer" }
      })
      expect(there.log).toEqual([`${ping} -`, tokenOf("bob", bobBasic), `${ping} Bearer nobody's`])
    })
  )

  it.scopedLive.each([404, 405])(
    "where identity tokens are not exchanged (%d), and nobody's would do",
    (status) =>
      Effect.gen(function* () {
        const there = yield* world(
          issuing(({ method }) => (method === "POST" ? [status] : [200, { token: "hers" }]))
        )
        expect(yield* Effect.flip(verify(there, identity))).toMatchObject({
          _tag: "Unauthorized",
          reason: "TokenServer",
          status
        })
        expect(there.log).toEqual([`${ping} -`, exchange("1dentity")])
      })
  )

  it.scopedLive("where passwords are asked for, and it is none", () =>
    Effect.gen(function* () {
      const there = yield* world(withPassword)
      const error = yield* Effect.flip(verify(there, identity))
      expect(error).toMatchObject({ _tag: "Unauthorized", challenge: { sent: "nothing" } })
      for (const line of there.log) expect(line).toBe(`${ping} -`)
    })
  )
})

it.scopedLive("each login is sent anew, whichever was accepted before", () =>
  Effect.gen(function* () {
    const there = yield* world(toAlice)
    yield* verify(there, alice)
    there.log.length = 0
    expect(yield* Effect.flip(verify(there, bob))).toMatchObject({ _tag: "Unauthorized" })
    yield* verify(there, alice)
    expect(there.log).toEqual([
      `${ping} -`,
      tokenOf("bob", bobBasic),
      `${ping} -`,
      tokenOf("alice", aliceBasic),
      `${ping} Bearer hers`
    ])
  })
)

it.scopedLive("where anybody may ping, the login is not sent", () =>
  Effect.gen(function* () {
    const there = yield* world({ registry: () => [200, {}], tokens: () => [500] })
    expect(yield* verify(there, bob)).toBe("NotAsked")
    expect(there.log).toEqual([`${ping} -`])
  })
)

it.scopedLive("a token server that is not trusted is not asked", () =>
  Effect.gen(function* () {
    const there = yield* world({
      ...toAlice,
      registry: () => unauthorized('Bearer realm="http://evil.example/token",service="s"')
    })
    expect(yield* Effect.flip(verify(there, alice))).toMatchObject({ _tag: "UntrustedLocation" })
    expect(there.log).toEqual([`${ping} -`])
  })
)

it.scopedLive("another origin's challenge is not answered", () =>
  Effect.gen(function* () {
    const there = yield* world({
      registry: (_, realm): Reply => [307, "", { location: realm }],
      tokens: () => unauthorized('Basic realm="r"')
    })
    const trust = { allowTokens: [], allowStorage: [new URL(there.realm).host] }
    expect(yield* Effect.flip(verify(there, alice, { trust }))).toMatchObject({
      _tag: "RegistryFailure",
      status: 401
    })
    expect(there.log).toEqual([`${ping} -`, "tokens GET /token -"])
  })
)

it.scopedLive("a web server that knows no /v2/ is no registry", () =>
  Effect.gen(function* () {
    const there = yield* world({
      registry: () => [200, "<html></html>", { "content-type": "text/html" }],
      tokens: () => [500]
    })
    expect(yield* Effect.flip(verify(there, alice))).toMatchObject({ _tag: "Unsupported" })
    expect(there.log).toEqual([`${ping} -`])
  })
)

describe("the host", () => {
  const urls = (host: string) =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const client = HttpClient.make((request) => {
        seen.push(request.url)
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("{}")))
      })
      yield* Effect.provideService(
        RegistryClient.verify(host, alice),
        HttpClient.HttpClient,
        client
      )
      return seen
    })

  it.effect.each([
    ["docker.io", "https://registry-1.docker.io/v2/"],
    ["index.docker.io", "https://registry-1.docker.io/v2/"],
    ["GHCR.io:443", "https://ghcr.io/v2/"],
    ["localhost:5000", "http://localhost:5000/v2/"]
  ] as const)("%s is pinged at %s", ([host, url]) =>
    Effect.map(urls(host), (seen) => expect(seen).toEqual([url]))
  )

  it.effect.each(["", "https://ghcr.io", "ghcr.io/owner"])("cannot be %j", (host) =>
    Effect.map(Effect.flip(urls(host)), (error) =>
      expect(error).toMatchObject({ _tag: "InvalidUrl" })
    )
  )
})

describeDebian("a registry of one user", () => {
  it.live("accepts the right password, and no other", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      const { password, username } = debianUser
      const of = (password: string) =>
        RegistryClient.verify(
          new URL(url).host,
          Credentials.basic(username, Redacted.make(password))
        ).pipe(Effect.provide(NodeHttp.layer()))
      expect(yield* of(password)).toBe("Accepted")
      expect(yield* Effect.flip(of(`${password}!`))).toMatchObject({ _tag: "Unauthorized" })
    }).pipe(Effect.provide(layerDebianRegistryBasic))
  )
})
