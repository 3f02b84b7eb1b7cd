import { createHash, createHmac, generateKeyPairSync, sign, X509Certificate } from "node:crypto"
import * as HttpApp from "@effect/platform/HttpApp"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as TokenServer from "../../src/server/TokenServer.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Certificates from "../support/certificates.js"
import { DebianRegistry, debianRegistryToken, describeDebian } from "../support/debian.js"
import { utf8 } from "../support/fixtures.js"
import { layerSocketApp, pushAndPull, ServerUrl, webHandler } from "../support/server.js"
import { sender } from "./wire.js"

const users = { alice: Redacted.make("wonderland") }

const certificate = Effect.runSync(Effect.cached(Certificates.authority("tokens")))

type Names = Pick<TokenServer.KeyOptions, "keyId"> & { readonly x5c?: boolean }

const keyOf = ({ keyId, x5c }: Names) =>
  Effect.flatMap(certificate, ({ cert, key }) =>
    TokenServer.signingKey({
      privateKey: Redacted.make(key),
      ...(keyId !== undefined && { keyId }),
      ...(x5c === true && { certificates: cert })
    })
  )

/** What a token server without sockets answers to a GET, as JSON, and the token's parts. */
const obtain = Effect.fnUntraced(function* (
  options: Omit<TokenServer.Options, "users">,
  query: string,
  login = "alice:wonderland"
) {
  const app = yield* TokenServer.make({ ...options, users })
  const handler = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<Scope.Scope>())(app)
  const authorization = `Basic ${Buffer.from(login).toString("base64")}`
  const response = yield* Effect.promise(() =>
    handler(
      new Request(`http://auth.test/any/path?${query}`, {
        headers: login === "" ? {} : { authorization }
      })
    )
  )
  expect(response.status).toBe(200)
  const { token }: { token: string } = JSON.parse(yield* Effect.promise(() => response.text()))
  const [header, claims] = token
    .split(".")
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, "base64url").toString()))
  return { token, header, claims }
})

describe("what tokens say", () => {
  it.scoped("who they are of, for whom, for how long, and what was granted", () =>
    Effect.gen(function* () {
      const options = {
        service: "registry.example",
        issuer: "auth.example",
        lifetime: "90 seconds"
      }
      const { claims, header } = yield* obtain(
        options as TokenServer.Options,
        "scope=repository:a:pull"
      )
      expect(header).toEqual({ alg: "ES256", typ: "JWT", kid: expect.any(String) })
      expect(claims).toEqual({
        iss: "auth.example",
        sub: "alice",
        aud: "registry.example",
        iat: 0,
        nbf: 0,
        exp: 90,
        jti: expect.any(String),
        access: [{ type: "repository", name: "a", actions: ["pull"] }]
      })
    })
  )

  it.scoped.each([
    [
      "several scopes, each in part",
      ["repository:a:push,pull", "repository:b:pull,push"],
      ["a:pull,push", "b:pull"]
    ],
    ["several scopes in one field", ["repository:a:pull repository:b:pull"], ["a:pull", "b:pull"]],
    ["the deprecated class", ["repository(plugin):a:pull"], ["a:pull"]],
    ["a name with host and port", ["repository:localhost:5000/b:pull"], ["localhost:5000/b:pull"]],
    [
      "unknown actions",
      ["repository:a:pull,metadata_read,push", "repository:b:frobnicate"],
      ["a:pull,push"]
    ],
    ["all actions", ["repository:a:*", "repository:b:*"], ["a:*", "b:pull"]],
    ["scopes that are none", ["*", "artifact-repository:a:pull", "repository:a", "::", ""], []],
    ["what no rule is about", ["repository:c:pull,push"], []],
    ["the same repository twice", ["repository:a:pull", "repository:a:push"], ["a:pull,push"]]
  ] as const)("of %s (V20)", ([, scopes, granted]) =>
    Effect.gen(function* () {
      const rules: ReadonlyArray<ServerAuthorization.Rule> = [
        { who: ["alice"], repositories: "a", actions: ["pull", "push", "delete"] },
        { who: "users", repositories: ["b", "localhost:5000/b"], actions: ["pull"] }
      ]
      const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join("&")
      const { claims } = yield* obtain({ rules }, query)
      expect(
        claims.access.map(
          ({ actions, name, type }: { actions: Array<string>; name: string; type: string }) => {
            expect(type).toBe("repository")
            return `${name}:${actions.join(",")}`
          }
        )
      ).toEqual(granted)
    })
  )

  it.scoped.each([
    ["everything", "**", [{ type: "registry", name: "catalog", actions: ["*"] }]],
    ["less, to whom it would show what else there is", "team/**", []]
  ] as const)("the catalog of another registry to who may pull %s", ([, repositories, expected]) =>
    Effect.gen(function* () {
      const rules = [{ who: "users", repositories, actions: ["pull"] }] as const
      const { claims } = yield* obtain({ rules }, "scope=registry:catalog:*")
      expect(claims.access).toEqual(expected)
    })
  )

  it.scoped("nobody's have no user, and what anybody may do", () =>
    Effect.gen(function* () {
      const query = "scope=repository:a:pull,push&scope=registry:catalog:*"
      const { claims } = yield* obtain({ anonymous: "pull" }, query, "")
      expect([claims.sub, claims.access]).toEqual([
        "",
        [{ type: "repository", name: "a", actions: ["pull"] }]
      ])
    })
  )
})

describe("the key of tokens (V19)", () => {
  it.scoped("is named by its RFC 7638 thumbprint, as distribution 3 computes it", () =>
    Effect.gen(function* () {
      const { crv, kty, x, y } = new X509Certificate((yield* certificate).cert).publicKey.export({
        format: "jwk"
      })
      const thumbprint = createHash("sha256")
        .update(JSON.stringify({ crv, kty, x, y }))
        .digest("base64url")
      const { header } = yield* obtain({ key: yield* keyOf({}) }, "")
      expect(header).toEqual({ alg: "ES256", typ: "JWT", kid: thumbprint })
    })
  )

  it.scoped("comes with its certificates, in base64 and in order", () =>
    Effect.gen(function* () {
      const { cert, key } = yield* certificate
      const other = yield* Certificates.authority("other")
      const signing = yield* TokenServer.signingKey({
        privateKey: Redacted.make(key),
        certificates: `said in words\n${cert}${other.cert}`
      })
      const { header } = yield* obtain({ key: signing }, "")
      expect(header.x5c).toEqual(
        [cert, other.cert].map((pem) => new X509Certificate(pem).raw.toString("base64"))
      )
    })
  )

  it.effect("may be of RSA", () =>
    Effect.gen(function* () {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
      const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
      const key = yield* TokenServer.signingKey({
        privateKey: Redacted.make(pem),
        algorithm: "RS256"
      })
      const { header } = yield* obtain({ key }, "")
      expect(header.alg).toBe("RS256")
    }).pipe(Effect.scoped)
  )

  it.effect("that does not fit is a typed error without a secret", () =>
    Effect.gen(function* () {
      const { cert, key } = yield* certificate
      const other = yield* Certificates.authority("other")
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      const sec1 = privateKey.export({ type: "sec1", format: "pem" }).toString()
      const messages = yield* Effect.forEach(
        [
          { privateKey: Redacted.make("nonsense") },
          { privateKey: Redacted.make(sec1) },
          { privateKey: Redacted.make(key), algorithm: "RS256" },
          { privateKey: Redacted.make(key), certificates: other.cert },
          { privateKey: Redacted.make(key), certificates: "nonsense" },
          { privateKey: Redacted.make(key), certificates: cert.replace("MI", "IM") }
        ] as const,
        (options) =>
          Effect.map(Effect.flip(TokenServer.signingKey(options)), ({ message }) => message)
      )
      const subject = "Credentials from the key that signs tokens: "
      const convert =
        ". Convert it (openssl pkcs8 -topk8 -nocrypt -in key.pem), or name its algorithm"
      const unread =
        "its certificate does not parse. Give certificates in PEM, that of the key first"
      expect(messages).toEqual([
        `${subject}it is not a private key for ES256, as PKCS #8 in PEM${convert}`,
        `${subject}it is not a private key for ES256, as PKCS #8 in PEM${convert}`,
        `${subject}it is not a private key for RS256, as PKCS #8 in PEM${convert}`,
        `${subject}its certificate is of another key. Give the certificate of the private key, ` +
          "and after it those that lead to its authority",
        subject + unread,
        subject + unread
      ])
    })
  )

  it.scoped("and the algorithm are the server's own, whatever a token says", () =>
    Effect.gen(function* () {
      const { cert } = yield* certificate
      const authorization = yield* ServerAuthorization.token({ users, key: yield* keyOf({}) })
      const registry = sender(yield* webHandler({ authorization }))
      const status = (token: string) =>
        Effect.map(
          registry("GET", "/v2/", { headers: { authorization: `Bearer ${token}` } }),
          ({ headers, status }) =>
            `${status} ${/error="\w+"/.exec(headers["www-authenticate"] ?? "")}`
        )
      const { claims, header, token } = yield* obtain({ key: yield* keyOf({}) }, "")
      expect(yield* status(token)).toBe("200 null")

      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
      const mine = generateKeyPairSync("ec", { namedCurve: "P-256" })
      const signedBy = (header: object, claims: object) => {
        const text = `${part(header)}.${part(claims)}`
        const signature = sign("sha256", Buffer.from(text), {
          key: mine.privateKey,
          dsaEncoding: "ieee-p1363"
        })
        return `${text}.${signature.toString("base64url")}`
      }
      const publicKey = new X509Certificate(cert).publicKey
      const hmac = (secret: string | Buffer) => {
        const text = `${part({ ...header, alg: "HS256" })}.${part(claims)}`
        return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`
      }
      const [, body = "", signature = ""] = token.split(".")
      for (const forged of [
        "forged",
        `${part({ alg: "none", typ: "JWT" })}.${body}.`,
        `${part({ ...header, alg: "none" })}.${body}.${signature}`,
        hmac(publicKey.export({ type: "spki", format: "pem" })),
        hmac(publicKey.export({ type: "spki", format: "der" })),
        signedBy(header, claims),
        signedBy({ ...header, jwk: mine.publicKey.export({ format: "jwk" }) }, claims),
        signedBy({ ...header, jku: "http://127.0.0.1:1/keys" }, claims),
        `${part(header)}.${part({ ...claims, sub: "root" })}.${signature}`
      ])
        expect(yield* status(forged)).toBe('401 error="invalid_token"')
    }).pipe(Effect.provide(MemoryRegistry.layer()))
  )

  it.scoped("signs for one service and in the name of one issuer", () =>
    Effect.gen(function* () {
      const key = yield* keyOf({})
      const authorization = yield* ServerAuthorization.token({
        users,
        key,
        service: "a",
        issuer: "i"
      })
      const registry = sender(yield* webHandler({ authorization }))
      const status = Effect.fnUntraced(function* (options: Partial<TokenServer.Options>) {
        const { token } = yield* obtain({ key, ...options }, "")
        const headers = { authorization: `Bearer ${token}` }
        return (yield* registry("GET", "/v2/", { headers })).status
      })
      expect(yield* status({ service: "a", issuer: "i" })).toBe(200)
      expect(yield* status({ service: "b", issuer: "i" })).toBe(401)
      expect(yield* status({ service: "a", issuer: "j" })).toBe(401)
    }).pipe(Effect.provide(MemoryRegistry.layer()))
  )
})

describeDebian("docker-registry takes tokens of this server", () => {
  const service = "registry.example"
  const issuer = "auth.example"

  it.live.each([
    ["x5c", { x5c: true }],
    ["a kid as 2.8 computes it", { keyId: "libtrust" }]
  ] as const)("with %s", ([, names]) =>
    Effect.gen(function* () {
      const key = yield* keyOf(names)
      const app = yield* TokenServer.make({
        users,
        anonymous: "pull",
        service,
        issuer,
        key
      })
      yield* Effect.gen(function* () {
        const realm = `${yield* ServerUrl}/token`
        const { cert } = yield* certificate
        const over = (credential: Credentials.Credential) =>
          Layer.unwrapEffect(
            Effect.map(DebianRegistry, ({ url }) =>
              RegistryClient.layer({ url, trust: { allowTokens: [new URL(realm).host] } }).pipe(
                Layer.provide([
                  NodeHttp.layer(),
                  TokenCache.layerMemory,
                  Credentials.layer({ [new URL(url).host]: credential })
                ])
              )
            )
          )
        yield* Effect.gen(function* () {
          const alice = Credentials.basic("alice", users.alice)
          expect(yield* Effect.provide(pushAndPull, over(alice))).toBe("b1")
          const push = Effect.gen(function* () {
            const registry = yield* Registry
            yield* registry.ping
            return yield* registry.putBlob(
              yield* parseRepositoryName("a"),
              BlobSource.fromBytes(utf8("b1"))
            )
          })
          expect(
            yield* Effect.flip(Effect.provide(push, over(Credentials.anonymous)))
          ).toMatchObject({ _tag: "Unauthorized", reason: "Challenge" })
        }).pipe(Effect.provide(debianRegistryToken({ realm, service, issuer, certificate: cert })))
      }).pipe(Effect.provide(layerSocketApp(app)))
    })
  )
})
