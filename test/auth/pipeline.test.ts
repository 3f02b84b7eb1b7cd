/** Authorization as users of `RegistryClient` meet it: exact wire logs of all origins. */
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeKeyValueStore from "@effect/platform-node/NodeKeyValueStore"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Operation from "../../src/protocol/Operation.js"
import type { AuthChallenge } from "../../src/RegistryError.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import { json, type Seen, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { alice, aliceBasic, attacker, pull, realm, registry } from "./parties.js"

const list = `GET ${registry}/v2/a/tags/list`
const tokenFor = (scope: string) =>
  `GET ${realm}?service=s&client_id=effect-oci&account=alice&${scope} ${aliceBasic}`

const world = (registryDoes?: (seen: Seen) => Response) => {
  let issued = 0
  return internet({
    [registry]: ({ authorization, ...seen }) =>
      authorization?.startsWith("Bearer t") === true
        ? (registryDoes?.({ authorization, ...seen }) ?? json({ name: "a", tags: ["v1"] }))
        : unauthorized(`Bearer realm="${realm}",service="s"`),
    "https://auth.example.com": () => json({ token: `t${++issued}`, expires_in: 300 }),
    [attacker]: () => unauthorized(`Bearer realm="${attacker}/token"`)
  })
}

const provided = (
  client: HttpClient.HttpClient,
  cache = TokenCache.layerMemory,
  credential: Credentials.Credential = alice
) =>
  Effect.provide(
    Layer.mergeAll(
      Layer.succeed(HttpClient.HttpClient, client),
      cache,
      Layer.orDie(Credentials.layer({ "registry.example.com": credential }))
    )
  )

const tags = (options: Partial<RegistryClient.Options> = {}) =>
  Effect.gen(function* () {
    const service = yield* RegistryClient.make({ url: registry, ...options })
    return [...(yield* Stream.runCollect(service.tags(yield* parseRepositoryName("a"))))]
  })

const listTags = Effect.map(parseRepositoryName("a"), (repository) =>
  Operation.ListTags({ repository })
)

describe("RegistryClient", () => {
  it.effect("asks, is told, obtains a token, and uses it from then on", () => {
    const { client, log } = world()
    return Effect.gen(function* () {
      expect(yield* tags()).toEqual(["v1"])
      expect(yield* tags()).toEqual(["v1"])
      expect(log).toEqual([`${list} -`, tokenFor(pull), `${list} Bearer t1`, `${list} Bearer t1`])
    }).pipe(provided(client))
  })

  it.effect("100 concurrent pulls of one scope make one token request", () => {
    const { client, log } = world()
    return Effect.gen(function* () {
      yield* Effect.all(
        Array.from({ length: 100 }, () => tags()),
        { concurrency: "unbounded" }
      )
      expect(log.filter((line) => line.includes("auth.example.com"))).toEqual([tokenFor(pull)])
      expect(log.filter((line) => line === `${list} Bearer t1`).length).toBe(100)
      expect(log.filter((line) => line === `${list} -`).length).toBe(log.length - 101)
    }).pipe(provided(client))
  })

  it.effect("authScope replaces what operations and challenges ask for (RG5)", () => {
    const { client, log } = world()
    return Effect.gen(function* () {
      yield* tags({ authScope: "repository:a:* other" })
      expect(log).toEqual([
        `${list} -`,
        tokenFor("scope=repository%3Aa%3A*&scope=other"),
        `${list} Bearer t1`
      ])
    }).pipe(provided(client))
  })

  it.effect("a token that is refused is renewed once; a second 401 is Unauthorized", () => {
    let refuses = false
    const { client, log } = world(() =>
      refuses ? unauthorized(`Bearer realm="${realm}",service="s"`) : json({ tags: [] })
    )
    return Effect.gen(function* () {
      yield* tags()
      refuses = true
      log.length = 0
      const error = yield* Effect.flip(tags())
      expect(error._tag === "Unauthorized" ? [error.reason, error.challenge?.sent] : error).toEqual(
        ["Challenge", "bearer"]
      )
      expect(log).toEqual([`${list} Bearer t1`, tokenFor(pull), `${list} Bearer t2`])
    }).pipe(provided(client))
  })

  it.effect(
    "neither credentials nor tokens reach where redirects lead, whatever is asked there (T1)",
    () => {
      const { client, log } = world(
        () => new Response(null, { status: 307, headers: { location: `${attacker}/x` } })
      )
      return Effect.gen(function* () {
        yield* Effect.flip(tags())
        expect(log).toEqual([
          `${list} -`,
          tokenFor(pull),
          `${list} Bearer t1`,
          `GET ${attacker}/x -`
        ])
      }).pipe(provided(client))
    }
  )
})

describe("a token server that redirects (T1, T2)", () => {
  const identity = Credentials.identityToken(Redacted.make("refresh-me"))
  const storage = "https://storage.example.net"
  /** The whole log after the first 401, and the bodies that the token request had on its way. */
  const redirected = (
    location: string,
    credential: Credentials.Credential,
    options: Partial<RegistryClient.Options> = {}
  ) => {
    const elsewhere = () => json({ token: "t", expires_in: 300 })
    const { client, log, seen } = internet({
      [registry]: ({ authorization, url }) =>
        url.pathname.endsWith("/tags/list") && authorization === undefined
          ? unauthorized(`Bearer realm="${realm}",service="s"`)
          : json({ name: "a", tags: [], token: "t" }),
      "https://auth.example.com": ({ url }) =>
        url.pathname === "/token"
          ? new Response(null, { status: 307, headers: { location: location + url.search } })
          : elsewhere(),
      [attacker]: elsewhere,
      [storage]: elsewhere
    })
    return Effect.gen(function* () {
      const result = yield* Effect.either(tags(options))
      const error = result._tag === "Left" ? result.left : undefined
      return {
        error,
        log: log.slice(1),
        bodies: seen.map(({ body }) => body).filter((body) => body !== "")
      }
    }).pipe(provided(client, TokenCache.layerMemory, credential))
  }
  const query = `?service=s&client_id=effect-oci&account=alice&${pull}`
  const form = `grant_type=refresh_token&refresh_token=refresh-me&service=s&client_id=effect-oci&${pull}`

  it.effect("keeps the password on its own origin", () =>
    Effect.gen(function* () {
      const { log } = yield* redirected("/token/", alice)
      expect(log).toEqual([
        tokenFor(pull),
        `GET ${realm}/${query} ${aliceBasic}`,
        `${list} Bearer t`
      ])
    })
  )

  it.effect.each([attacker, registry, storage])("takes no password to %s", (origin) =>
    Effect.gen(function* () {
      const { log } = yield* redirected(`${origin}/t`, alice, {
        trust: { allowStorage: ["storage.example.net"] }
      })
      expect(log).toEqual([tokenFor(pull), `GET ${origin}/t${query} -`, `${list} Bearer t`])
    })
  )

  it.effect("keeps the identity token on its own origin", () =>
    Effect.gen(function* () {
      const { bodies, log } = yield* redirected("/token/", identity)
      expect(log).toEqual([`POST ${realm} -`, `POST ${realm}/ -`, `${list} Bearer t`])
      expect(bodies).toEqual([form, form])
    })
  )

  it.effect.each([attacker, registry, storage])("takes no identity token to %s (A7)", (origin) =>
    Effect.gen(function* () {
      const { bodies, error, log } = yield* redirected(`${origin}/t`, identity, {
        trust: { allowStorage: ["storage.example.net"] }
      })
      expect(error).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Redirect",
        host: new URL(origin).host
      })
      expect(error).toHaveProperty("option", undefined)
      expect(log).toEqual([`POST ${realm} -`])
      expect(bodies).toEqual([form])
    })
  )
})

describe("attempt and execute", () => {
  it.effect("attempt has the challenge in its error, and the next attempt answers it", () => {
    const { client, log } = world()
    return Effect.gen(function* () {
      const to = yield* RegistryClient.endpoint({ url: registry })
      const challenge = yield* Effect.flip(RegistryClient.attempt(to, yield* listTags))
      expect(challenge).toMatchObject({
        _tag: "AuthChallenge",
        answerable: true,
        scopes: ["repository:a:pull"]
      })
      expect((yield* RegistryClient.attempt(to, yield* listTags)).status).toBe(200)
      expect(log).toEqual([`${list} -`, tokenFor(pull), `${list} Bearer t1`])
    }).pipe(provided(client))
  })

  it.effect("both send the body that they are given, each time", () => {
    const { client, seen } = world(() => new Response(null, { status: 201 }))
    return Effect.gen(function* () {
      const to = yield* RegistryClient.endpoint({ url: registry })
      const reference = yield* parseTag("v1")
      const push = Operation.PutManifest({
        repository: yield* parseRepositoryName("a"),
        reference,
        mediaType: "a/b"
      })
      const options = { body: HttpBody.text("{}") }
      yield* Effect.flip(RegistryClient.attempt(to, push, options))
      expect((yield* RegistryClient.attempt(to, push, options)).status).toBe(201)
      expect((yield* RegistryClient.execute(to, push, options)).status).toBe(201)
      expect(seen.filter(({ method }) => method === "PUT").map(({ body }) => body)).toEqual([
        "{}",
        "{}",
        "{}"
      ])
    }).pipe(provided(client))
  })

  it.effect("a schedule that does not go on leaves Unauthorized, holding the challenge", () => {
    const { client, log } = world()
    return Effect.gen(function* () {
      const to = yield* RegistryClient.endpoint({ url: registry })
      const error = yield* Effect.flip(
        RegistryClient.execute(to, yield* listTags, { schedule: Schedule.stop })
      )
      expect(error._tag === "Unauthorized" && error.challenge?.answerable).toBe(true)
      expect(log).toEqual([`${list} -`])
    }).pipe(provided(client))
  })

  it.effect(
    "a schedule is told that the token server gave no token, and may go on with another credential",
    () => {
      let held = Credentials.basic("alice", Redacted.make("wrong"))
      const told: Array<string> = []
      const { client, log } = internet({
        [registry]: ({ authorization }) =>
          authorization === undefined
            ? unauthorized(`Bearer realm="${realm}",service="s"`)
            : json({ tags: [] }),
        "https://auth.example.com": ({ authorization }) =>
          authorization === aliceBasic
            ? json({ token: "t" })
            : json({ details: "incorrect password" }, 401)
      })
      const schedule = Schedule.recurWhile((challenge: AuthChallenge) => {
        told.push(`${challenge.answerable} ${challenge.sent} ${challenge.errors?.[0]?.message}`)
        if (!challenge.answerable) held = alice
        return told.length < 9
      })
      return Effect.gen(function* () {
        const to = yield* RegistryClient.endpoint({ url: registry })
        expect((yield* RegistryClient.execute(to, yield* listTags, { schedule })).status).toBe(200)
        expect(told).toEqual([
          "true nothing authentication required",
          "false nothing incorrect password",
          "true nothing authentication required"
        ])
        expect(log).toEqual([
          `${list} -`,
          `GET ${realm}?service=s&client_id=effect-oci&account=alice&${pull} Basic YWxpY2U6d3Jvbmc=`,
          `${list} -`,
          tokenFor(pull),
          `${list} Bearer t`
        ])
      }).pipe(
        Effect.provideService(Credentials.Credentials, { get: () => Effect.sync(() => held) }),
        Effect.provide([Layer.succeed(HttpClient.HttpClient, client), TokenCache.layerMemory])
      )
    }
  )

  it.effect(
    "the default schedule leaves it at that, and the error says what the token server says",
    () => {
      const { client, log } = internet({
        [registry]: () => unauthorized(`Bearer realm="${realm}",service="s"`),
        "https://auth.example.com": () => json({ details: "incorrect password" }, 401)
      })
      return Effect.gen(function* () {
        const to = yield* RegistryClient.endpoint({ url: registry })
        const error = yield* Effect.flip(RegistryClient.execute(to, yield* listTags))
        expect(error).toMatchObject({ _tag: "Unauthorized", reason: "TokenServer", status: 401 })
        expect(error.message).toContain("incorrect password")
        expect(log).toEqual([`${list} -`, tokenFor(pull)])
      }).pipe(provided(client))
    }
  )
})

describe("a source with another credential whenever it is asked again, as ECR's helper has", () => {
  /**
   * `make(1)`, and when that is rejected `make(2)`, and so on. Also the identities that were
   * rejected.
   */
  const restless = (make: (count: number) => Credentials.Credential) => {
    const asked: Array<string> = []
    const get: Credentials.Credentials.Service["get"] = (_, rejected) =>
      Effect.sync(() => {
        if (rejected !== undefined) asked.push(rejected.identity)
        return make(asked.length + 1)
      })
    return { asked, layer: Layer.succeed(Credentials.Credentials, { get }) }
  }
  const password = (count: number) => Credentials.basic("AWS", Redacted.make(`p${count}`))
  const registryToken = (count: number) => Credentials.registryToken(Redacted.make(`rt${count}`))
  const shown = (authorization: string | undefined) =>
    authorization?.startsWith("Basic ") === true ? atob(authorization.slice(6)) : authorization

  it.effect.each([
    ["passwords", "Basic", password, [undefined, "AWS:p1", "AWS:p2"]],
    ["tokens", `Bearer realm="${realm}"`, registryToken, [undefined, "Bearer rt1", "Bearer rt2"]],
    [
      "a token, after the token server has refused its password",
      `Bearer realm="${realm}"`,
      (count: number) => (count === 1 ? password(1) : registryToken(count)),
      [undefined, "AWS:p1", "Bearer rt2"]
    ]
  ] as const)("is asked again once for one request: %s", ([, challenge, make, sent]) => {
    const { asked, layer } = restless(make)
    const { client, seen } = internet({
      [registry]: () => unauthorized(challenge),
      "https://auth.example.com": () => json({}, 401)
    })
    return Effect.gen(function* () {
      expect(yield* Effect.flip(tags())).toMatchObject({
        _tag: "Unauthorized",
        reason: "Challenge"
      })
      expect(seen.map(({ authorization }) => shown(authorization))).toEqual(sent)
      expect(asked).toEqual([make(1).identity])
    }).pipe(
      Effect.provide([layer, TokenCache.layerMemory, Layer.succeed(HttpClient.HttpClient, client)])
    )
  })

  it.effect("a schedule that goes on all the same has it asked anew", () => {
    const { asked, layer } = restless(password)
    const told: Array<boolean> = []
    const schedule = Schedule.recurWhile(
      ({ answerable }: AuthChallenge) => told.push(answerable) < 9
    )
    const { client, seen } = internet({
      [registry]: ({ authorization }) =>
        shown(authorization) === "AWS:p3" ? json({ tags: [] }) : unauthorized("Basic")
    })
    return Effect.gen(function* () {
      const to = yield* RegistryClient.endpoint({ url: registry })
      expect((yield* RegistryClient.execute(to, yield* listTags, { schedule })).status).toBe(200)
      expect(told).toEqual([true, true, false, true])
      expect(seen.map(({ authorization }) => shown(authorization))).toEqual([
        undefined,
        "AWS:p1",
        "AWS:p2",
        "AWS:p2",
        "AWS:p3"
      ])
      expect(asked).toEqual([password(1).identity, password(2).identity])
    }).pipe(
      Effect.provide([layer, TokenCache.layerMemory, Layer.succeed(HttpClient.HttpClient, client)])
    )
  })
})

describe("Unauthorized says what to do", () => {
  const bearer = `Bearer realm="${realm}"`
  it.effect.each([
    [
      "nobody is known",
      "Basic",
      Credentials.anonymous,
      "none were found in the Credentials layer: log in, or supply a Credentials layer",
      []
    ],
    [
      "a token does not do",
      "Basic",
      Credentials.registryToken(Redacted.make("rt")),
      "of another kind than the registry token from the Credentials layer: log in again",
      []
    ],
    [
      "a password is refused",
      "Basic",
      alice,
      'does not accept the password of "alice" from the Credentials layer: log in again',
      [`${list} ${aliceBasic}`]
    ],
    [
      "a token is refused that is nobody's",
      bearer,
      Credentials.anonymous,
      "refuses repository:a:pull to a token that was issued without a login, and none was found " +
        "in the Credentials layer: log in, or supply a Credentials layer",
      [`GET ${realm}?client_id=effect-oci&${pull} -`, `${list} Bearer t`]
    ],
    [
      "the token server refuses",
      `Bearer realm="${realm}/none"`,
      alice,
      'with the password of "alice" from the Credentials layer: ' +
        "log in, or check the user name and password",
      [`GET ${realm}/none?client_id=effect-oci&account=alice&${pull} ${aliceBasic}`]
    ]
  ] as const)("%s", ([, challenge, credential, text, further]) => {
    const { client, log } = internet({
      [registry]: () => unauthorized(challenge),
      "https://auth.example.com": ({ url }) =>
        url.pathname === "/token" ? json({ token: "t" }) : json({}, 403)
    })
    return Effect.gen(function* () {
      const error = yield* Effect.flip(tags())
      expect(error._tag).toBe("Unauthorized")
      expect(error.message).toContain(registry)
      expect(error.message).toContain(text)
      expect(log).toEqual([`${list} -`, ...further])
    }).pipe(provided(client, TokenCache.layerMemory, credential))
  })
})

it.live("processes share tokens and challenges through a folder", () => {
  const { client, log } = world()
  return Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => Fs.mkdtemp(join(tmpdir(), "effect-oci-tokens-"))),
      (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
    )
    const cache = Layer.provide(
      Layer.fresh(TokenCache.layerKeyValueStore),
      Layer.orDie(NodeKeyValueStore.layerFileSystem(folder))
    )
    yield* tags().pipe(provided(client, cache))
    yield* tags().pipe(provided(client, cache))
    expect(log).toEqual([`${list} -`, tokenFor(pull), `${list} Bearer t1`, `${list} Bearer t1`])
    for (const file of yield* Effect.promise(() => Fs.readdir(folder))) {
      yield* Effect.promise(() => Fs.writeFile(join(folder, file), "\0broken"))
    }
    log.length = 0
    expect(Exit.isSuccess(yield* Effect.exit(tags().pipe(provided(client, cache))))).toBe(true)
    expect(log).toEqual([`${list} -`, tokenFor(pull), `${list} Bearer t2`])
  }).pipe(Effect.scoped)
})
