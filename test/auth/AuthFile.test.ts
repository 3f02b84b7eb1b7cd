import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import type { Helpers } from "../../src/auth/CredentialHelper.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as AuthFile from "../../src/auth/internal/AuthFile.js"
import * as AuthFileSource from "../../src/auth/internal/AuthFileSource.js"
import { HelperMissing } from "../../src/auth/internal/HelperProgram.js"
import { credentialFor } from "./machine.js"

const base64 = (text: string) => Buffer.from(text).toString("base64")

/**
 * Helpers that know a user named for themselves and the host, but for `empty`, which knows nobody,
 * and `absent`, which is not there.
 */
const helpers: Helpers = {
  get: (suffix, host) =>
    suffix === "absent"
      ? Effect.fail(new HelperMissing({ program: `docker-credential-${suffix}` }))
      : Effect.succeed(
          suffix === "empty"
            ? Option.none()
            : Option.some(Credentials.basic(`${suffix}@${host}`, Redacted.make("s")))
        )
}

const foundIn = (file: unknown, place: string) =>
  Effect.gen(function* () {
    const text = typeof file === "string" ? file : JSON.stringify(file)
    const load = Effect.map(
      AuthFile.parse(text, { source: "/home/alice/config.json" }),
      (parsed) => [parsed]
    )
    return yield* Effect.provideService(
      credentialFor(place),
      Credentials.Credentials,
      AuthFileSource.source(load, helpers, ["config.json"])
    )
  })

/** The user name, or what there is instead. */
const userIn = (file: unknown, place: string) =>
  Effect.map(foundIn(file, place), (credential) =>
    credential._tag === "Basic" ? credential.username : credential._tag
  )

/** A source over one file that counts what it does: users found, helpers asked, warnings logged. */
const observed = (file: unknown) =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    const warnings: Array<string> = []
    const parsed = yield* AuthFile.parse(JSON.stringify(file), {
      source: "/home/alice/config.json"
    })
    const counted: Helpers = {
      get: (suffix, host, rejected) => {
        asked.push(suffix)
        return helpers.get(suffix, host, rejected)
      }
    }
    const service = AuthFileSource.source(Effect.succeed([parsed]), counted, ["config.json"])
    const logger = Logger.make(({ message }) => void warnings.push(String(message)))
    const get = (place: string) =>
      credentialFor(place).pipe(
        Effect.map((credential) =>
          credential._tag === "Basic" ? credential.username : credential._tag
        ),
        Effect.provideService(Credentials.Credentials, service),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    return { asked, get, warnings }
  })

const entry = (user: string) => ({ auth: base64(`${user}:s`) })

describe("entries", () => {
  const is = (credential: Credentials.Credential) => credential.identity
  const secret = Redacted.make("p:w")

  it.effect.each([
    ["auth", { auth: "YWxpY2U6cDp3" }, is(Credentials.basic("alice", secret))],
    [
      "auth without its padding",
      { auth: base64("alic:p:w").replace(/=+$/, "") },
      is(Credentials.basic("alic", secret))
    ],
    [
      "auth with NULs at its end",
      { auth: base64("alice:p:w\0\0") },
      is(Credentials.basic("alice", secret))
    ],
    [
      "auth without a password",
      { auth: base64("alice:") },
      is(Credentials.basic("alice", Redacted.make("")))
    ],
    [
      "auth on several lines",
      { auth: base64("alice:p:w").replace(/.{5}/g, "$&\r\n") },
      is(Credentials.basic("alice", secret))
    ],
    ["auth in UTF-8", { auth: base64("zoë:π") }, is(Credentials.basic("zoë", Redacted.make("π")))],
    [
      "auth before the pair",
      { auth: "YWxpY2U6cDp3", username: "bob", password: "x" },
      is(Credentials.basic("alice", secret))
    ],
    ["the pair", { username: "alice", password: "p:w" }, is(Credentials.basic("alice", secret))],
    [
      "an identity token before auth",
      { auth: base64("x:"), identitytoken: "p:w" },
      is(Credentials.identityToken(secret))
    ],
    [
      "a registry token before all",
      { auth: base64("x:y"), identitytoken: "i", registrytoken: "p:w" },
      is(Credentials.registryToken(secret))
    ],
    [
      "an identity token under its name",
      { auth: base64("<token>:p:w") },
      is(Credentials.identityToken(secret))
    ],
    [
      "an identity token of Azure",
      { auth: base64("00000000-0000-0000-0000-000000000000:p:w") },
      is(Credentials.identityToken(secret))
    ],
    ["a note that a helper knows", {}, "anonymous"],
    ["null", null, "anonymous"],
    ["empty values", { auth: "", identitytoken: "", registrytoken: null }, "anonymous"],
    ["a name without a password", { username: "alice" }, "anonymous"],
    [
      "member names in any case, as Go reads them",
      { Auth: "YWxpY2U6cDp3", AUTH: null, registryToken: null },
      is(Credentials.basic("alice", secret))
    ],
    ["identityToken", { identityToken: "p:w" }, is(Credentials.identityToken(secret))],
    [
      "the pair in another case",
      { UserName: "alice", passWord: "p:w" },
      is(Credentials.basic("alice", secret))
    ],
    [
      "the later of two members with one name",
      { auth: base64("bob:x"), Auth: "YWxpY2U6cDp3" },
      is(Credentials.basic("alice", secret))
    ],
    [
      "a password with U+FFFD that is its own",
      { auth: base64("a:\ufffd") },
      is(Credentials.basic("a", Redacted.make("\ufffd")))
    ]
  ] as const)("%s", ([, value, identity]) =>
    Effect.map(foundIn({ auths: { "ghcr.io": value } }, "ghcr.io"), (found) =>
      expect(found.identity).toBe(identity)
    )
  )
})

describe("keys are compared exactly (T15)", () => {
  it.effect.each([
    ["ghcr.io", "ghcr.io", true],
    ["https://ghcr.io", "ghcr.io", true],
    ["https://ghcr.io/v1/", "ghcr.io", true],
    ["https://ghcr.io/v2/", "ghcr.io/a/b", true],
    ["ghcr.io/v1/", "ghcr.io", true],
    ["ghcr.io/", "ghcr.io", true],
    ["HTTP://GHCR.io", "ghcr.io", true],
    ["ghcr.io:443", "ghcr.io", true],
    ["ghcr.io", "ghcr.io:8443", false],
    ["ghcr.io:8443", "ghcr.io", false],
    ["localhost:5000", "http://localhost:5000", true],
    ["localhost", "http://localhost:5000", false],
    ["[::1]:5000", "http://[::1]:5000", true],
    ["ghcr.io", "ghcr.io.evil.example", false],
    ["ghcr.io.evil.example", "ghcr.io", false],
    ["ghcr.io", "notghcr.io", false],
    ["ghcr.io", "sub.ghcr.io", false],
    ["evil.example/ghcr.io", "ghcr.io", false],
    ["https://evil.example/ghcr.io", "ghcr.io", false],
    ["https://ghcr.io@evil.example", "ghcr.io", false],
    ["https://user@ghcr.io", "ghcr.io", false],
    ["ghcr.io?x", "ghcr.io", false],
    ["__proto__", "ghcr.io", false],
    ["@ghcr.io", "ghcr.io", false],
    ["https://@ghcr.io", "ghcr.io", false],
    ["ghcr.io\\", "ghcr.io", false],
    [" ghcr.io", "ghcr.io", false],
    ["gh\tcr.io", "ghcr.io", false],
    ["", "ghcr.io", false],
    ["https://index.docker.io/v1/", "docker.io", true],
    ["https://index.docker.io/v1/", "registry-1.docker.io/library/alpine", true],
    ["docker.io", "registry-1.docker.io", true],
    ["registry-1.docker.io", "index.docker.io", true],
    ["https://index.docker.io/v1/", "auth.docker.io", false],
    ["https://index.docker.io/v1", "docker.io", true],
    ["https://index.docker.io", "docker.io", true],
    ["https://index.docker.io/v2/", "docker.io", true],
    ["https://index.docker.io/v1/access-token", "docker.io", false],
    ["https://index.docker.io/v1/refresh-token", "docker.io", false],
    ["https://index.docker.io/v1/access-token/", "registry-1.docker.io/library/alpine", false],
    ["http://INDEX.docker.io/v1/refresh-token", "index.docker.io", false],
    ["https://index.docker.io/v1/other", "docker.io", false],
    ["docker.io/v1/access-token", "docker.io/library/alpine", false],
    ["https://ghcr.io/v1/access-token", "ghcr.io", false],
    ["https://ghcr.io/some/path", "ghcr.io", true]
  ] as const)("%j for %s: %s", ([key, place, expected]) =>
    Effect.map(
      userIn(`{"auths":{${JSON.stringify(key)}:{"auth":"YWxpY2U6cHc="}}}`, place),
      (user) => expect(user).toBe(expected ? "alice" : "Anonymous")
    )
  )

  it.effect.each([
    ["before", ["access-token", "refresh-token", ""]],
    ["after", ["", "access-token", "refresh-token"]]
  ] as const)("Docker Desktop's tokens %s the login of Docker Hub are not it", ([, paths]) =>
    Effect.gen(function* () {
      const auths = Object.fromEntries(
        paths.map((path) => [`https://index.docker.io/v1/${path}`, entry(path || "alice")])
      )
      expect(yield* userIn({ auths }, "docker.io/library/alpine")).toBe("alice")
    })
  )

  const scoped = {
    "quay.io": entry("host"),
    "quay.io/team": entry("namespace"),
    "quay.io/team/app": entry("repository"),
    "docker.io/library": entry("hub")
  }
  it.effect.each([
    ["quay.io", "host"],
    ["quay.io/other", "host"],
    ["quay.io/team", "namespace"],
    ["quay.io/team/other", "namespace"],
    ["quay.io/team/app", "repository"],
    ["quay.io/team/app/deep", "repository"],
    ["quay.io/team/application", "namespace"],
    ["quay.io/teams/app", "host"],
    ["quay.io/other/team/app", "host"],
    ["quay.io.evil.example/team/app", "Anonymous"],
    ["registry-1.docker.io/library/alpine", "hub"],
    ["registry-1.docker.io/other/alpine", "Anonymous"]
  ] as const)("podman's longest key that fits %s is that of the %s", ([place, user]) =>
    Effect.map(userIn({ auths: scoped }, place), (found) => expect(found).toBe(user))
  )

  it.effect("the key as it is spelled comes before any other spelling", () =>
    Effect.gen(function* () {
      const auths = { "https://ghcr.io": entry("url"), "ghcr.io": entry("host") }
      expect(yield* userIn({ auths }, "ghcr.io")).toBe("host")
    })
  )
})

describe("helpers", () => {
  it.effect.each([
    [
      "that of the host comes first",
      {
        credHelpers: { "ghcr.io": "own" },
        credsStore: "default",
        auths: { "ghcr.io": entry("file") }
      },
      "own@ghcr.io"
    ],
    [
      "then the default",
      {
        credHelpers: { "quay.io": "own" },
        credsStore: "default",
        auths: { "ghcr.io": entry("file") }
      },
      "default@ghcr.io"
    ],
    ["then the entries", { auths: { "ghcr.io": entry("file") } }, "file"],
    [
      "a host's helper that knows nothing leaves it to the entries",
      { credHelpers: { "ghcr.io": "empty" }, auths: { "ghcr.io": entry("file") } },
      "file"
    ],
    [
      "a default that knows nothing, too",
      { credsStore: "empty", auths: { "ghcr.io": entry("file") } },
      "file"
    ],
    [
      "a default that is not installed, too",
      { credsStore: "absent", auths: { "ghcr.io": entry("file") } },
      "file"
    ],
    ["an empty default is none", { credsStore: "", auths: { "ghcr.io": entry("file") } }, "file"],
    [
      "an empty one for the host is none, whatever the default",
      {
        credHelpers: { "ghcr.io": "" },
        credsStore: "default",
        auths: { "ghcr.io": entry("file") }
      },
      "file"
    ],
    [
      "null is as good as an empty one, under any spelling of the host",
      {
        credHelpers: { "https://GHCR.io": null, "quay.io": null },
        credsStore: "default",
        auths: { "ghcr.io": entry("file") }
      },
      "file"
    ],
    [
      "the host as it is spelled comes before any other spelling",
      { credHelpers: { "https://ghcr.io": "url", "ghcr.io": "own" } },
      "own@ghcr.io"
    ],
    [
      "null for all of them is none",
      { credHelpers: null, credsStore: null, auths: { "ghcr.io": entry("file") } },
      "file"
    ],
    [
      "member names have any case",
      {
        CredHelpers: { "ghcr.io": "own" },
        credsstore: "default",
        Auths: { "ghcr.io": entry("file") }
      },
      "own@ghcr.io"
    ],
    [
      "so has the default's",
      { credsstore: "default", AUTHS: { "ghcr.io": entry("file") } },
      "default@ghcr.io"
    ],
    [
      "members with one name are one",
      { auths: { "quay.io": entry("quay") }, Auths: { "ghcr.io": entry("file") } },
      "file"
    ],
    [
      "a helper of another host is not asked",
      { credHelpers: { "ghcr.io.evil.example": "own", "hcr.io": "own" } },
      "Anonymous"
    ]
  ] as const)("%s", ([, file, user]) =>
    Effect.map(userIn(file, "ghcr.io"), (found) => expect(found).toBe(user))
  )

  it.effect("a host's helper that is not installed is a failure", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(userIn({ credHelpers: { "ghcr.io": "absent" } }, "ghcr.io"))
      expect(error).toMatchObject({
        _tag: "CredentialsFailure",
        source: "docker-credential-absent (named in /home/alice/config.json)"
      })
      expect(error.fix).toContain("Install it")
    })
  )

  it.effect(
    "a default that is not installed is looked for once in a while, and warned of once",
    () =>
      Effect.gen(function* () {
        const { asked, get, warnings } = yield* observed({
          credsStore: "absent",
          credHelpers: { "quay.io": "absent" },
          auths: { "ghcr.io": entry("file") }
        })
        for (let n = 0; n < 3; n++) expect(yield* get("ghcr.io")).toBe("file")
        expect(asked).toEqual(["absent"])
        expect(yield* Effect.flip(get("quay.io"))).toMatchObject({ _tag: "CredentialsFailure" })
        yield* TestClock.adjust("1 minutes")
        expect(yield* get("ghcr.io")).toBe("file")
        expect(asked).toEqual(["absent", "absent", "absent"])
        expect(warnings).toEqual([
          "docker-credential-absent, the default helper in /home/alice/config.json, is not installed or not executable, and done without"
        ])
      })
  )

  it.effect.each(["docker.io", "index.docker.io", "https://index.docker.io/v1/"])(
    "%s is Docker Hub's helper",
    (key) =>
      Effect.map(userIn({ credHelpers: { [key]: "own" } }, "registry-1.docker.io"), (found) =>
        expect(found).toBe("own@registry-1.docker.io")
      )
  )
})

describe("a broken file", () => {
  it.effect.each([
    ["no JSON", '{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}', "not JSON"],
    ["another form", '["hunter2"]', "form"],
    ["null", "null", "form"],
    ["an entry that is no object", '{"auths":{"ghcr.io":"hunter2"}}', "form"],
    ["a helper that is no text", '{"credHelpers":{"ghcr.io":1}}', "form"],
    ["auth that is no base64", '{"auths":{"ghcr.io":{"auth":"hunter2!"}}}', "base64"],
    ["auth without a colon", '{"auths":{"ghcr.io":{"auth":"aHVudGVyMg=="}}}', "base64"],
    ["auth without a user", '{"auths":{"ghcr.io":{"auth":"Omh1bnRlcjI="}}}', "base64"],
    [
      "a registry token on two lines",
      '{"auths":{"ghcr.io":{"registrytoken":"hunter2\\nhunter2"}}}',
      "header"
    ],
    [
      "a user name with a colon",
      '{"auths":{"ghcr.io":{"username":"team:bot","password":"hunter2"}}}',
      'the login of "ghcr.io" cannot be sent: its user name holds a colon'
    ],
    [
      "auth in Latin-1",
      `{"auths":{"ghcr.io":{"auth":"${Buffer.from("alice:hunter2\xe9", "latin1").toString("base64")}"}}}`,
      '"auth" of "ghcr.io" holds bytes that are not UTF-8'
    ],
    [
      "a password with half a surrogate pair",
      '{"auths":{"ghcr.io":{"username":"alice","password":"hunter2\\ud800"}}}',
      "not valid Unicode"
    ],
    [
      "an identity token with half a surrogate pair",
      '{"auths":{"ghcr.io":{"identitytoken":"hunter2\\udc00"}}}',
      "not valid Unicode"
    ],
    [
      "a password whose bytes the platform could not decode",
      '{"auths":{"ghcr.io":{"username":"alice","password":"hunter2\ufffd"}}}',
      '"password" of "ghcr.io" holds bytes that are not UTF-8'
    ],
    [
      "an identity token whose bytes the platform could not decode",
      '{"auths":{"ghcr.io":{"identitytoken":"hunter2\ufffd"}}}',
      '"identitytoken" of "ghcr.io" holds bytes that are not UTF-8'
    ]
  ] as const)(
    "%s is a failure that names the file and the fix, and repeats no secret (T13)",
    ([, text, problem]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(foundIn(text, "ghcr.io"))
        expect(error).toMatchObject({
          _tag: "CredentialsFailure",
          source: "/home/alice/config.json"
        })
        expect(error.problem).toContain(problem)
        expect(error.fix).not.toBe("")
        const shown = inspect(error, { depth: 9 }) + JSON.stringify(error) + error.message
        expect(shown).not.toMatch(/hunter2|aHVudGVyMg|Omh1bnRlcjI/)
      })
  )

  it.effect("is no obstacle for hosts whose entries are whole, and unknown members never are", () =>
    Effect.gen(function* () {
      const file = {
        auths: { "ghcr.io": { auth: "!" }, "quay.io": { ...entry("alice"), email: 1 } },
        HttpHeaders: []
      }
      expect(yield* userIn(file, "quay.io")).toBe("alice")
    })
  )

  it.effect("nothing of a file that can be shown holds a secret", () =>
    Effect.gen(function* () {
      const auths = {
        "ghcr.io": {
          auth: "aHVudGVyMg==",
          password: "hunter2",
          identitytoken: "hunter2",
          registrytoken: "hunter2"
        }
      }
      const file = yield* AuthFile.parse(JSON.stringify({ auths }), { source: "x" })
      expect(
        inspect(file, { depth: 9, showHidden: true }) + JSON.stringify([...file.auths])
      ).not.toMatch(/hunter2|aHVudG/)
    })
  )
})

it.effect("a rejection is shown to the helper", () =>
  Effect.gen(function* () {
    const rejections: Array<Credentials.Credential | undefined> = []
    const file = AuthFile.parse('{"credsStore":"desk"}', { source: "x" })
    const service = AuthFileSource.source(
      Effect.map(file, (parsed) => [parsed]),
      {
        get: (_, __, rejected) => {
          rejections.push(rejected)
          return Effect.succeedNone
        }
      },
      ["x"]
    )
    const rejected = Credentials.basic("a", Redacted.make("b"))
    yield* Effect.provideService(
      credentialFor("ghcr.io", rejected),
      Credentials.Credentials,
      service
    )
    expect(rejections).toEqual([rejected])
  })
)

it.effect("a file is loaded once a minute, and again after a rejection or a failure", () =>
  Effect.gen(function* () {
    let loads = 0
    let text = ""
    const load = Effect.suspend(() => {
      loads++
      return Effect.map(AuthFile.parse(text, { source: "x" }), (file) => [file])
    })
    const service = AuthFileSource.source(load, helpers, ["config.json"])
    const get = (rejected?: Credentials.Credential) =>
      Effect.provideService(credentialFor("ghcr.io", rejected), Credentials.Credentials, service)
    yield* Effect.flip(get())
    text = JSON.stringify({ auths: { "ghcr.io": entry("alice") } })
    const alice = yield* get()
    text = JSON.stringify({ auths: { "ghcr.io": entry("bob") } })
    yield* TestClock.adjust("59 seconds")
    expect(yield* get()).toBe(alice)
    expect(loads).toBe(2)
    yield* TestClock.adjust("1 seconds")
    expect(yield* get()).toMatchObject({ username: "bob" })
    expect(loads).toBe(3)
    text = JSON.stringify({ auths: { "ghcr.io": entry("carol") } })
    expect(yield* get(alice)).toMatchObject({ username: "carol" })
    expect(yield* get()).toMatchObject({ username: "carol" })
    expect(loads).toBe(4)
  })
)

it.effect("places are told apart by scheme, host and repository, however many there are", () =>
  Effect.gen(function* () {
    const { get } = yield* observed({
      auths: { "ghcr.io": entry("host"), "ghcr.io/r7": entry("seven") }
    })
    for (let n = 0; n < 1500; n++) yield* get(`ghcr.io/r${n}`)
    const places = [
      "ghcr.io/r7",
      "ghcr.io/r8",
      "ghcr.io",
      "http://ghcr.io/r7",
      "https://ghcr.io:80",
      "http://ghcr.io:443"
    ]
    expect(yield* Effect.forEach(places, get)).toEqual([
      "seven",
      "host",
      "host",
      "seven",
      "Anonymous",
      "Anonymous"
    ])
  })
)
