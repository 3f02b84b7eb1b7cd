/**
 * What is sent before somebody is let in, to whom: one row for each way of registries and token
 * servers to ask.
 */
import { inspect } from "node:util"
import type * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { authorized } from "../../src/auth/Authorization.js"
import * as Credentials from "../../src/auth/Credentials.js"
import type { TokenCache } from "../../src/auth/TokenCache.js"
import * as Trust from "../../src/protocol/Trust.js"
import { type Handler, json, redirect, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { alice, aliceBasic, attacker, pull, realm, registry } from "./parties.js"
import {
  demandOf,
  following,
  manifest,
  ok,
  provided,
  request,
  tokenOrigins,
  tokenRequest
} from "./requests.js"

interface Row {
  /** What the registry or its token server does, or what there is to answer with. */
  readonly does: string
  readonly origins: () => Readonly<Record<string, Handler>>
  /** Who is asking: alice, with her password, if it does not say. */
  readonly as?: Credentials.Credential
  /** What is asked for, by default the manifest once, and what comes of it. */
  readonly run?: (
    client: HttpClient.HttpClient.With<HttpClientError>
  ) => Effect.Effect<unknown, unknown, Credentials.Credentials | TokenCache>
  /** The statuses, by default 200, */
  readonly gives?: unknown
  /** or the failure. */
  readonly fails?: Readonly<Record<string, unknown>>
  /** All that went over the wire, at every origin, in order. */
  readonly wire: ReadonlyArray<string>
}

/** A registry that lets in who sends this, and says so otherwise. */
const accepting =
  (accepted: string, ...challenges: ReadonlyArray<string>) =>
  (): Readonly<Record<string, Handler>> => ({
    [registry]: ({ authorization }) =>
      authorization === accepted ? ok() : unauthorized(...challenges)
  })

/** A registry that lets in whoever sends something. */
const asking =
  (challenge: string, beside: Readonly<Record<string, Handler>> = {}) =>
  (): Readonly<Record<string, Handler>> => ({
    [registry]: ({ authorization }) =>
      authorization === undefined ? unauthorized(challenge) : ok(),
    ...beside
  })

const asked = `GET ${manifest} -`
const other = `${registry}/v2/b/manifests/1`
const demandOfOther = demandOf({ scopes: ["repository:b:pull"] })
const elsewhere = [
  "https://registry.example.com:8443",
  "http://registry.example.com",
  "https://cdn.example.com"
]
const insecure = "http://registry.example.com"
const alicesToken = `GET ${realm}?client_id=effect-oci&account=alice&${pull} ${aliceBasic}`

const passwords: ReadonlyArray<Row> = [
  {
    does: "asks for a password, which later requests send at once",
    origins: accepting(aliceBasic, 'Basic realm="registry"'),
    run: (client) => Effect.all([request(client), request(client, other, demandOfOther)]),
    gives: [200, 200],
    wire: [asked, `GET ${manifest} ${aliceBasic}`, `GET ${other} ${aliceBasic}`]
  },
  {
    does: "refuses a password, which is reported as sent",
    origins: accepting("Basic other", 'Basic realm="registry"'),
    fails: { _tag: "AuthChallenge", sent: "basic" },
    wire: [asked, `GET ${manifest} ${aliceBasic}`]
  },
  {
    does: "asks for a password that nobody has",
    origins: accepting(aliceBasic, 'Basic realm="registry"'),
    as: Credentials.anonymous,
    fails: { _tag: "AuthChallenge", sent: "nothing" },
    wire: [asked]
  },
  {
    does: "has the password that other origins ask for in vain (T1)",
    origins: () => ({
      ...accepting(aliceBasic, "Basic")(),
      ...Object.fromEntries(elsewhere.map((origin) => [origin, () => unauthorized("Basic")]))
    }),
    run: (client) =>
      Effect.forEach([manifest, ...elsewhere.map((origin) => `${origin}/x`)], (url) =>
        request(client, url)
      ),
    gives: [200, 401, 401, 401],
    wire: [
      asked,
      `GET ${manifest} ${aliceBasic}`,
      ...elsewhere.map((origin) => `GET ${origin}/x -`)
    ]
  },
  {
    does: "says 401 without any challenge, and gets the password over https (§1)",
    origins: accepting(aliceBasic),
    run: (client) => Effect.all([request(client), request(client)]),
    gives: [200, 200],
    wire: [
      asked,
      `GET ${registry}/v2/ -`,
      `GET ${manifest} ${aliceBasic}`,
      `GET ${manifest} ${aliceBasic}`
    ]
  },
  {
    does: "says 401 without any challenge, and does not get the password over http (T19)",
    origins: () => ({ [insecure]: () => unauthorized() }),
    run: (client) => request(client, `${insecure}/v2/`, demandOf({ origin: insecure })),
    fails: { _tag: "AuthChallenge", sent: "nothing" },
    wire: [`GET ${insecure}/v2/ -`]
  },
  {
    does: "has a scheme that cannot be answered, which is reported and not guessed at",
    origins: accepting(aliceBasic, "Negotiate YII="),
    fails: { challenges: [{ scheme: "negotiate" }] },
    wire: [asked]
  },
  {
    does: "asks for a password when only a token is at hand",
    origins: () => tokenOrigins({ challenge: "Basic" }),
    as: Credentials.registryToken(Redacted.make("rt")),
    fails: { _tag: "AuthChallenge", sent: "nothing" },
    wire: [asked]
  }
]

const tokens: ReadonlyArray<Row> = [
  {
    does: "wants a token: the password goes to the token server, its token to the registry",
    origins: () => tokenOrigins(),
    run: (client) => Effect.all([request(client), request(client)]),
    gives: [200, 200],
    wire: [
      asked,
      `GET ${realm}?service=registry.example.com&client_id=effect-oci&account=alice&${pull} ${aliceBasic}`,
      `GET ${manifest} Bearer t1`,
      `GET ${manifest} Bearer t1`
    ]
  },
  {
    does: "gives tokens to nobody in particular",
    origins: () => tokenOrigins(),
    as: Credentials.anonymous,
    wire: [asked, `${tokenRequest} -`, `GET ${manifest} Bearer t1`]
  },
  {
    does: "is asked for something else, and a token for that is there at once (rule 2)",
    origins: () => tokenOrigins(),
    as: Credentials.anonymous,
    run: (client) =>
      Effect.all([
        request(client),
        request(client, other, demandOf({ scopes: ["repository:b:pull,push"] }))
      ]),
    gives: [200, 200],
    wire: [
      asked,
      `${tokenRequest} -`,
      `GET ${manifest} Bearer t1`,
      `GET ${realm}?service=registry.example.com&client_id=effect-oci&scope=repository%3Ab%3Apull%2Cpush -`,
      `GET ${other} Bearer t2`
    ]
  },
  {
    does: "has scopes of its own, which come first, united with those required (trap 66)",
    origins: () =>
      tokenOrigins({
        challenge: `Bearer realm="${realm}",scope="artifact-repository:x:* repository:a:push"`
      }),
    as: Credentials.anonymous,
    wire: [
      asked,
      `GET ${realm}?client_id=effect-oci&scope=artifact-repository%3Ax%3A*&scope=repository%3Aa%3Apull%2Cpush -`,
      `GET ${manifest} Bearer t1`
    ]
  },
  {
    does: "has a relative realm, which is resolved against the URL that was challenged",
    origins: () => ({
      [registry]: ({ authorization, url }) =>
        url.pathname.endsWith("/token")
          ? json({ token: "t" })
          : authorization === undefined
            ? unauthorized('Bearer realm="../token"')
            : ok()
    }),
    as: Credentials.anonymous,
    run: (client) => Effect.all([request(client), request(client, other, demandOfOther)]),
    gives: [200, 200],
    wire: [
      asked,
      `GET ${registry}/v2/a/token?client_id=effect-oci&${pull} -`,
      `GET ${manifest} Bearer t`,
      `GET ${registry}/v2/a/token?client_id=effect-oci&scope=repository%3Ab%3Apull -`,
      `GET ${other} Bearer t`
    ]
  },
  {
    does: "takes none of the tokens, which is reported, with what was sent",
    origins: () => tokenOrigins({ accepts: () => false }),
    as: Credentials.anonymous,
    fails: { _tag: "AuthChallenge", sent: "bearer" },
    wire: [asked, `${tokenRequest} -`, `GET ${manifest} Bearer t1`]
  },
  {
    does: "gets a registry token as it is, and only once it has asked",
    origins: () => tokenOrigins(),
    as: Credentials.registryToken(Redacted.make("rt")),
    wire: [asked, `GET ${manifest} Bearer rt`]
  },
  {
    does: "gets no registry token that no header can carry: the configuration is broken (T12)",
    origins: () => tokenOrigins(),
    as: Credentials.registryToken(Redacted.make("hunter2\n")),
    fails: { _tag: "CredentialsFailure" },
    wire: [asked]
  }
]

const cdn = "https://cdn.example.com"

const otherHosts: ReadonlyArray<Row> = [
  {
    does: "has its token server elsewhere: nothing at all is sent there (T2)",
    origins: asking(`Bearer realm="${attacker}/token"`, { [attacker]: () => json({ token: "t" }) }),
    fails: {
      _tag: "UntrustedLocation",
      kind: "Realm",
      host: "evil.example",
      option: "trust.allowTokens"
    },
    wire: [asked]
  },
  {
    does: "has its token server elsewhere, where the policy lists it",
    origins: asking(`Bearer realm="${attacker}/token"`, { [attacker]: () => json({ token: "t" }) }),
    run: (client) =>
      authorized(demandOf(), { trust: { ...Trust.strict, allowTokens: ["evil.example"] } })(client)
        .get(manifest)
        .pipe(
          Effect.map(({ status }) => status),
          Effect.retry({ times: 1 })
        ),
    wire: [
      asked,
      `GET ${attacker}/token?client_id=effect-oci&account=alice&${pull} ${aliceBasic}`,
      `GET ${manifest} Bearer t`
    ]
  },
  {
    does: "redirects to who asks for a token: that is not answered, nor remembered (T1)",
    origins: () => ({
      [registry]: () => redirect(307, `${cdn}/blob`),
      [cdn]: () => unauthorized(`Bearer realm="${realm}"`)
    }),
    run: (client) => Effect.all([request(following(client)), request(following(client))]),
    gives: [401, 401],
    wire: [asked, `GET ${cdn}/blob -`, asked, `GET ${cdn}/blob -`]
  },
  {
    does: "has a token server that redirects: the password does not go along",
    origins: asking(`Bearer realm="${realm}"`, {
      "https://auth.example.com": () => redirect(307, `${attacker}/token`),
      [attacker]: () => json({ token: "t" })
    }),
    run: (client) => request(following(client)),
    wire: [asked, alicesToken, `GET ${attacker}/token -`, `GET ${manifest} Bearer t`]
  },
  {
    does: "has a token server that redirects a POST, whose body is a refresh token (T2)",
    origins: asking(`Bearer realm="${realm}"`, {
      "https://auth.example.com": () => redirect(307, `${attacker}/token`),
      [attacker]: () => json({ token: "t" })
    }),
    as: Credentials.identityToken(Redacted.make("hunter2")),
    run: (client) => request(following(client)),
    fails: { _tag: "UntrustedLocation", kind: "Redirect", host: "evil.example" },
    wire: [asked, `POST ${realm} -`]
  }
]

describe.each([
  ["passwords", passwords],
  ["tokens", tokens],
  ["other hosts", otherHosts]
] as const)("%s", (_, rows) => {
  it.effect.each(rows.map((row) => [row.does, row] as const))("a registry %s", ([, row]) =>
    Effect.gen(function* () {
      const { client, log } = internet(row.origins())
      const { run = request, fails, gives = 200 } = row
      const result = yield* Effect.either(run(client))
      expect(log).toEqual(row.wire)
      if (fails === undefined) expect(result).toEqual(Either.right(gives))
      else expect(Either.flip(result)).toMatchObject({ _tag: "Right", right: fails })
      expect(inspect(result, { depth: null })).not.toContain("hunter2")
    }).pipe(provided(row.as ?? alice))
  )
})
