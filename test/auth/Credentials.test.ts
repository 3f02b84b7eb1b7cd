import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"

const secret = (text: string) => Redacted.make(text)
const octocat = Credentials.basic("octocat", secret("hunter2"))

const getFor = (origin: string) =>
  Effect.flatMap(Credentials.Credentials, (credentials) => credentials.get({ origin, scopes: [] }))

const isFoundBy = (key: string, origin: string) =>
  Effect.map(
    Effect.provide(getFor(origin), Credentials.layer({ [key]: octocat })),
    ({ identity }) => identity === octocat.identity
  )

describe("a credential is for one host, compared exactly (T15)", () => {
  it.effect.each([
    ["ghcr.io", "https://ghcr.io", true],
    ["ghcr.io", "https://ghcr.io:443", true],
    ["ghcr.io:443", "https://ghcr.io", true],
    ["GHCR.io", "https://ghcr.io", true],
    ["ghcr.io", "https://ghcr.io:8443", false],
    ["ghcr.io:8443", "https://ghcr.io", false],
    ["ghcr.io:443", "http://ghcr.io", false],
    ["ghcr.io:80", "http://ghcr.io", true],
    ["ghcr.io", "https://ghcr.io.evil.example", false],
    ["ghcr.io", "https://notghcr.io", false],
    ["ghcr.io", "https://sub.ghcr.io", false],
    ["sub.ghcr.io", "https://ghcr.io", false],
    ["ghcr.io", "https://evil.example/ghcr.io", false],
    ["ghcr.io", "https://ghcr.io@evil.example", false],
    ["localhost:5000", "http://localhost:5000", true],
    ["localhost:5000", "http://localhost:5001", false],
    ["[::1]:5000", "http://[::1]:5000", true],
    ["__proto__", "https://ghcr.io", false],
    ["ghcr.io", "not a url", false]
  ] as const)("%s for %s: %s", ([key, origin, expected]) =>
    Effect.map(isFoundBy(key, origin), (found) => expect(found).toBe(expected))
  )

  it.effect.each(["docker.io", "index.docker.io", "registry-1.docker.io"])(
    "%s is Docker Hub under any of its names",
    (key) =>
      Effect.gen(function* () {
        expect(yield* isFoundBy(key, "https://registry-1.docker.io")).toBe(true)
        expect(yield* isFoundBy(key, "https://index.docker.io")).toBe(true)
        expect(yield* isFoundBy(key, "https://auth.docker.io")).toBe(false)
      })
  )

  it.effect("other hosts stay anonymous", () =>
    Effect.gen(function* () {
      const found = yield* Effect.provide(
        getFor("https://quay.io"),
        Credentials.layer({ "ghcr.io": octocat })
      )
      expect(found).toMatchObject(Credentials.anonymous)
      expect(
        yield* Effect.provide(getFor("https://ghcr.io"), Credentials.layerAnonymous)
      ).toMatchObject(Credentials.anonymous)
    })
  )

  it.effect.each([
    "",
    "*",
    "*.ghcr.io",
    "https://ghcr.io",
    "ghcr.io/",
    "ghcr.io/owner",
    "user@ghcr.io",
    "ghcr.io:port",
    " ghcr.io"
  ])("a key that is not a host is a broken configuration: %j", (key) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(isFoundBy(key, "https://ghcr.io"))
      expect(error._tag).toBe("CredentialsFailure")
      expect(error.message).toContain(JSON.stringify(key.replace("user@", "***@")))
      expect(inspect(error)).not.toContain("hunter2")
    })
  )

  it.effect("two keys for one host are a broken configuration, which names them", () =>
    Effect.gen(function* () {
      const layer = Credentials.layer({ "GHCR.io": octocat, "ghcr.io:443": Credentials.anonymous })
      const error = yield* Effect.flip(Layer.build(layer).pipe(Effect.scoped))
      expect(error).toMatchObject({ _tag: "CredentialsFailure" })
      expect(error.message).toContain('"ghcr.io:443" is the same host as "GHCR.io"')
    })
  )

  it.effect("a host with a port comes before the same host without one, where they meet", () =>
    Effect.gen(function* () {
      const other = Credentials.basic("other", secret("hunter2"))
      const layer = Credentials.layer({ "lan.test:80": octocat, "lan.test": other })
      const identityFor = (origin: string) =>
        Effect.map(Effect.provide(getFor(origin), layer), ({ identity }) => identity)
      expect(yield* identityFor("http://lan.test")).toBe(octocat.identity)
      expect(yield* identityFor("https://lan.test")).toBe(other.identity)
    })
  )
})

describe("layers of one credential", () => {
  const found = { _tag: "Basic", username: "octocat", identity: octocat.identity }

  it.effect("give the credential to their host only", () =>
    Effect.gen(function* () {
      const layer = Credentials.layerBasic({
        host: "ghcr.io",
        username: "octocat",
        password: secret("hunter2")
      })
      expect(yield* Effect.provide(getFor("https://ghcr.io"), layer)).toMatchObject(found)
      expect(yield* Effect.provide(getFor("https://quay.io"), layer)).toMatchObject(
        Credentials.anonymous
      )
    })
  )

  const configured = Credentials.layerConfig({
    host: Config.succeed("ghcr.io"),
    username: Config.string("USER_NAME"),
    password: Config.redacted("TOKEN")
  })
  const withEnvironment = (variables: ReadonlyArray<readonly [string, string]>) =>
    Effect.provide(
      getFor("https://ghcr.io"),
      Layer.provide(configured, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(variables))))
    )

  it.effect.each([
    [Credentials.layerIdentityToken, Credentials.identityToken(secret("hunter2"))],
    [Credentials.layerRegistryToken, Credentials.registryToken(secret("hunter2"))]
  ] as const)("give a token to its host only, as what it is", ([layer, credential]) =>
    Effect.gen(function* () {
      expect(yield* getFor("https://ghcr.io")).toEqual({
        ...credential,
        source: "the Credentials layer"
      })
      expect(yield* getFor("https://quay.io")).toMatchObject(Credentials.anonymous)
    }).pipe(Effect.provide(layer({ host: "ghcr.io", token: secret("hunter2") })))
  )

  it.effect("read the configuration", () =>
    Effect.gen(function* () {
      const credential = yield* withEnvironment([
        ["USER_NAME", "octocat"],
        ["TOKEN", "hunter2"]
      ])
      expect(credential).toMatchObject(found)
    })
  )

  it.effect("fail when a value is missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(withEnvironment([["USER_NAME", "octocat"]]))
      expect(String(error)).toContain("TOKEN")
    })
  )
})

describe("a credential that HTTP would turn into another one is a failure", () => {
  const colon = "holds a colon"
  const surrogate = "not valid Unicode"
  it.effect.each([
    ["a user name with a colon", Credentials.basic("team:bot", secret("hunter2")), colon],
    ["half a surrogate pair", Credentials.basic("alice", secret("hunter2\ud800")), surrogate],
    ["one in a user name", Credentials.basic("\udc00", secret("hunter2")), surrogate],
    ["one in an identity token", Credentials.identityToken(secret("hunter2\ud800")), surrogate],
    [
      "a registry token that no header can carry",
      Credentials.registryToken(secret("hunter2\n")),
      "header"
    ]
  ] as const)("%s, when it is asked for", ([, credential, problem]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(getFor("https://ghcr.io"))
      expect(error).toMatchObject({ _tag: "CredentialsFailure" })
      expect(error.message).toContain(problem)
      expect(error.message).toContain("ghcr.io")
      expect(inspect(error, { depth: 9 }) + error.message).not.toContain("hunter2")
      expect(yield* getFor("https://quay.io")).toMatchObject(Credentials.anonymous)
    }).pipe(
      Effect.provide(Credentials.layer({ "ghcr.io": credential, "quay.io": Credentials.anonymous }))
    )
  )

  it.effect("whole pairs and colons in passwords are sent as they are", () =>
    Effect.gen(function* () {
      expect(yield* getFor("https://ghcr.io")).toMatchObject({ username: "🦊" })
    }).pipe(
      Effect.provide(
        Credentials.layerBasic({ host: "ghcr.io", username: "🦊", password: secret(":🦊:") })
      )
    )
  )

  it.effect("a configuration whose bytes the platform could not decode is one, too", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Layer.build(
          Credentials.layerConfig({
            host: Config.succeed("ghcr.io"),
            username: Config.succeed("alice"),
            password: Config.succeed(secret("hunter2\ufffd"))
          })
        )
      )
      expect(String(error)).toContain("not UTF-8")
      expect(String(error)).not.toContain("hunter2")
    }).pipe(Effect.scoped)
  )
})

describe("identity", () => {
  it("tells every credential from every other, wherever their parts meet (T14)", () => {
    const identities = [
      Credentials.anonymous,
      Credentials.basic("a", secret("b")),
      Credentials.basic("a", secret("c")),
      Credentials.basic("b", secret("b")),
      Credentials.basic("ab", secret("")),
      Credentials.basic("", secret("ab")),
      Credentials.basic("a:b", secret("c")),
      Credentials.basic("a", secret("b:c")),
      Credentials.basic('a","b', secret("c")),
      Credentials.basic("a", secret('b","c')),
      Credentials.identityToken(secret("b")),
      Credentials.registryToken(secret("b"))
    ].map(({ identity }) => identity)
    expect(new Set(identities).size).toBe(identities.length)
    expect(Credentials.basic("a", secret("b")).identity).toBe(identities[1])
  })

  it.each([
    octocat,
    Credentials.identityToken(secret("hunter2")),
    Credentials.registryToken(secret("hunter2"))
  ])(
    "of $_tag, and everything else of it that can be shown, hides the secret (T13)",
    (credential) => {
      for (const shown of [
        JSON.stringify(credential),
        inspect(credential, { depth: 9, showHidden: true }),
        String(credential)
      ]) {
        expect(shown).not.toContain("hunter2")
      }
    }
  )
})
