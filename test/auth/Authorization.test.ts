import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { authorized } from "../../src/auth/Authorization.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import { CredentialsFailure } from "../../src/RegistryError.js"
import { json, type Seen, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { alice, aliceBasic, bob, bobBasic, realm, registry } from "./parties.js"
import {
  attempt,
  demandOf,
  following,
  manifest,
  ok,
  provided,
  request,
  tokenRequest,
  tokenWorld
} from "./requests.js"

/** Holds `first` until it is told that this was rejected, then the next, and so on to the last. */
const source = (
  first: Credentials.Credential = alice,
  ...others: ReadonlyArray<Credentials.Credential>
) => {
  let held = first
  const next = others.length === 0 ? [bob] : [...others]
  const rejections: Array<string> = []
  const layer = Layer.succeed(Credentials.Credentials, {
    get: (_, rejected) =>
      Effect.sync(() => {
        if (rejected !== undefined) {
          rejections.push(rejected.identity)
          held = next.shift() ?? held
        }
        return held
      })
  })
  return { layer: Layer.merge(layer, TokenCache.layerMemory), rejections }
}

describe("Basic", () => {
  const basicWorld = () =>
    internet({
      [registry]: ({ authorization }) =>
        authorization === aliceBasic ? ok() : unauthorized('Basic realm="registry"')
    })

  it.effect(
    "the first request is anonymous, and its 401 an AuthChallenge with all that it said (A1, A2)",
    () =>
      Effect.gen(function* () {
        const { client, log } = basicWorld()
        expect(yield* Effect.flip(attempt(client))).toMatchObject({
          _tag: "AuthChallenge",
          method: "GET",
          url: manifest,
          status: 401,
          origin: registry,
          challenges: [{ scheme: "basic", realm: "registry", scopes: [] }],
          scopes: ["repository:a:pull"],
          errors: [{ code: "UNAUTHORIZED", message: "authentication required" }],
          sent: "nothing"
        })
        expect(log).toEqual([`GET ${manifest} -`])
      }).pipe(provided(alice))
  )
})

describe("Bearer", () => {
  it.effect("100 concurrent requests make one token request", () =>
    Effect.gen(function* () {
      const { client, log } = tokenWorld()
      const statuses = yield* Effect.all(
        Array.from({ length: 100 }, () => request(client)),
        { concurrency: "unbounded" }
      )
      expect(new Set(statuses)).toEqual(new Set([200]))
      expect(log.filter((line) => line.startsWith(`GET ${realm}`))).toEqual([`${tokenRequest} -`])
      expect(log.filter((line) => line.endsWith("Bearer t1")).length).toBe(100)
      expect(log.length).toBe(201)
    }).pipe(provided())
  )

  it.effect(
    "100 concurrent requests whose new token is refused make one token request and one replay each",
    () =>
      Effect.gen(function* () {
        const { client, log } = internet({
          [registry]: () => unauthorized(`Bearer realm="${realm}"`),
          "https://auth.example.com": () => Effect.as(Effect.yieldNow(), json({ token: "t" }))
        })
        const errors = yield* Effect.all(
          Array.from({ length: 100 }, () => Effect.flip(request(client))),
          { concurrency: "unbounded" }
        )
        for (const error of errors)
          expect(error).toMatchObject({ _tag: "AuthChallenge", sent: "bearer" })
        expect(log.toSorted()).toEqual(
          [
            ...Array.from({ length: 100 }, () => `GET ${manifest} -`),
            `GET ${realm}?client_id=effect-oci&scope=repository%3Aa%3Apull -`,
            ...Array.from({ length: 100 }, () => `GET ${manifest} Bearer t`)
          ].toSorted()
        )
      }).pipe(provided())
  )

  it.effect("two users of one cache never share a token (T14)", () =>
    Effect.gen(function* () {
      const { client, log } = tokenWorld()
      const as = (credential: Credentials.Credential) =>
        Effect.provide(
          request(client),
          Layer.orDie(Credentials.layer({ "registry.example.com": credential }))
        )
      yield* Effect.forEach([alice, bob, Credentials.anonymous, alice, bob], as)
      const tokenFor = (user: string) => tokenRequest.replace("&scope", `&account=${user}&scope`)
      expect(log).toEqual([
        `GET ${manifest} -`,
        `${tokenFor("alice")} ${aliceBasic}`,
        `GET ${manifest} Bearer t1`,
        `${tokenFor("bob")} ${bobBasic}`,
        `GET ${manifest} Bearer t2`,
        `${tokenRequest} -`,
        `GET ${manifest} Bearer t3`,
        `GET ${manifest} Bearer t1`,
        `GET ${manifest} Bearer t2`
      ])
    }).pipe(Effect.provide(TokenCache.layerMemory))
  )

  it.effect("a token is renewed before it ends, without another 401", () =>
    Effect.gen(function* () {
      const { client, log } = tokenWorld()
      yield* request(client)
      yield* TestClock.adjust("294999 millis")
      yield* request(client)
      yield* TestClock.adjust("1 millis")
      yield* request(client)
      expect(log).toEqual([
        `GET ${manifest} -`,
        `${tokenRequest} -`,
        `GET ${manifest} Bearer t1`,
        `GET ${manifest} Bearer t1`,
        `${tokenRequest} -`,
        `GET ${manifest} Bearer t2`
      ])
    }).pipe(provided())
  )

  it.effect("a token that the registry refuses is not sent again", () =>
    Effect.gen(function* () {
      let revoked = false
      const { client, log } = tokenWorld({
        accepts: (authorization) => !(revoked && authorization === "Bearer t1")
      })
      yield* request(client)
      revoked = true
      log.length = 0
      expect(yield* request(client)).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} Bearer t1`,
        `${tokenRequest} -`,
        `GET ${manifest} Bearer t2`
      ])
    }).pipe(provided())
  )

  it.effect(
    "a refusal of the token server is Unauthorized, and the registry is not bothered again",
    () =>
      Effect.gen(function* () {
        const { client, log } = internet({
          [registry]: () => unauthorized(`Bearer realm="${realm}"`),
          "https://auth.example.com": () => json({ details: "incorrect username or password" }, 401)
        })
        const error = yield* Effect.flip(request(client))
        const answer = {
          origin: registry,
          method: "GET",
          url: `${realm}?client_id=REDACTED&account=REDACTED&scope=repository%3Aa%3Apull`,
          status: 401,
          errors: [{ message: "incorrect username or password" }]
        }
        expect(error).toMatchObject({ _tag: "Unauthorized", reason: "TokenServer", ...answer })
        expect(error).toHaveProperty("challenge._tag", "AuthChallenge")
        expect(error).toHaveProperty(
          "challenge",
          expect.objectContaining({ answerable: false, sent: "nothing" })
        )
        expect(error).toMatchObject({
          challenge: {
            ...answer,
            challenges: [{ scheme: "bearer", realm }],
            scopes: ["repository:a:pull"]
          }
        })
        expect(log).toEqual([
          `GET ${manifest} -`,
          `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`
        ])
      }).pipe(provided(alice))
  )
})

describe("redirects (T1)", () => {
  const redirect = (location: string, status = 307) =>
    new Response(null, { status, headers: { location } })
  it.effect(
    "a token is not sent along, nor forgotten when the other origin answers 401 (A11)",
    () =>
      Effect.gen(function* () {
        const { client, log } = internet({
          [registry]: ({ authorization }) =>
            authorization === undefined
              ? unauthorized(`Bearer realm="${realm}"`)
              : redirect("https://cdn.example.com/blob"),
          "https://auth.example.com": () => json({ token: "t" }),
          "https://cdn.example.com": () => unauthorized("Basic")
        })
        yield* request(following(client))
        log.length = 0
        expect(yield* request(following(client))).toBe(401)
        expect(log).toEqual([`GET ${manifest} Bearer t`, "GET https://cdn.example.com/blob -"])
      }).pipe(provided(alice))
  )

  it.effect("a token that was lost on a detour is not held to be refused", () =>
    Effect.gen(function* () {
      let detour = false
      const { client, log } = internet({
        [registry]: ({ authorization, url }) => {
          if (authorization === undefined) return unauthorized(`Bearer realm="${realm}"`)
          return detour && !url.pathname.endsWith("/back")
            ? redirect("https://cdn.example.com/")
            : ok()
        },
        "https://auth.example.com": () => json({ token: "t" }),
        "https://cdn.example.com": () => redirect(`${registry}/back`)
      })
      yield* request(following(client))
      detour = true
      log.length = 0
      expect(yield* Effect.flip(attempt(following(client)))).toMatchObject({
        _tag: "AuthChallenge",
        sent: "nothing",
        answerable: false
      })
      detour = false
      expect(yield* attempt(following(client))).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} Bearer t`,
        "GET https://cdn.example.com/ -",
        `GET ${registry}/back -`,
        `GET ${manifest} Bearer t`
      ])
    }).pipe(provided(alice))
  )
})

describe("a source that caches", () => {
  it.effect("is asked again when the registry refuses its password", () => {
    const { layer, rejections } = source()
    return Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: ({ authorization }) =>
          authorization === bobBasic ? ok() : unauthorized("Basic")
      })
      expect(yield* request(client)).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} -`,
        `GET ${manifest} ${aliceBasic}`,
        `GET ${manifest} ${bobBasic}`
      ])
      expect(rejections).toEqual([alice.identity])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is asked again when the token server refuses its password", () => {
    const { layer, rejections } = source()
    return Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: ({ authorization }) =>
          authorization === undefined ? unauthorized(`Bearer realm="${realm}"`) : ok(),
        "https://auth.example.com": ({ authorization }) =>
          authorization === aliceBasic ? json({}, 401) : json({ token: "t" })
      })
      expect(yield* request(client)).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} -`,
        `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`,
        `GET ${realm}?client_id=effect-oci&account=bob&scope=repository%3Aa%3Apull ${bobBasic}`,
        `GET ${manifest} Bearer t`
      ])
      expect(rejections).toEqual([alice.identity])
    }).pipe(Effect.provide(layer))
  })

  const refusingPasswords = (challenge: string, issuer = "https://auth.example.com") =>
    internet({
      [registry]: ({ authorization }) =>
        authorization === "Bearer rt" || authorization === bobBasic
          ? ok()
          : unauthorized(challenge),
      [issuer]: () => json({}, 401)
    })

  it.effect(
    "and may then have a registry token, for which there is nothing to ask the token server",
    () => {
      const { layer, rejections } = source(alice, Credentials.registryToken(Redacted.make("rt")))
      return Effect.gen(function* () {
        const { client, log } = refusingPasswords(`Bearer realm="${realm}"`)
        expect(yield* request(client)).toBe(200)
        expect(log).toEqual([
          `GET ${manifest} -`,
          `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`,
          `GET ${manifest} Bearer rt`
        ])
        expect(rejections).toEqual([alice.identity])
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect(
    "or a password, where the token server may not have it but the registry takes it",
    () => {
      const { layer, rejections } = source(Credentials.anonymous, bob)
      return Effect.gen(function* () {
        const { client, log } = refusingPasswords(
          'Bearer realm="https://elsewhere.example/token", Basic',
          "https://elsewhere.example"
        )
        expect(yield* request(client)).toBe(200)
        expect(log).toEqual([
          `GET ${manifest} -`,
          "GET https://elsewhere.example/token?client_id=effect-oci&scope=repository%3Aa%3Apull -",
          `GET ${manifest} ${bobBasic}`
        ])
        expect(rejections).toEqual([Credentials.anonymous.identity])
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect(
    "or a registry token that no header can carry, which is a broken configuration (T12)",
    () => {
      const { layer } = source(alice, Credentials.registryToken(Redacted.make("hunter2\n")))
      return Effect.gen(function* () {
        const { client, log } = refusingPasswords(`Bearer realm="${realm}"`)
        expect(yield* Effect.flip(request(client))).toMatchObject({ _tag: "CredentialsFailure" })
        expect(log.length).toBe(2)
      }).pipe(Effect.provide(layer))
    }
  )
})

describe("ECR, whose answer to a password that has expired is no 401", () => {
  const message = (text: string) => `{"errors":[{"code":"DENIED","message":"${text}"}]}`
  const world = (status: number, body: string) =>
    internet({
      [registry]: ({ authorization }) =>
        authorization === undefined
          ? unauthorized(
              'Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"'
            )
          : authorization === bobBasic
            ? ok()
            : new Response(body, { status, headers: { "x-seen": "1" } })
    })

  it.effect("who sent nothing is not told that it is invalid", () =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: () =>
          new Response(message("Your Authorization Token is invalid."), { status: 403 })
      })
      expect(yield* request(client)).toBe(403)
      expect(log).toEqual([`GET ${manifest} -`])
    }).pipe(provided(alice))
  )

  it.effect("any other 403 stays as it was, body and headers too", () =>
    Effect.gen(function* () {
      const body = message("User is not authorized to perform ecr:PutImage")
      const { client, log } = world(403, body)
      const response = yield* Effect.retry(authorized(demandOf())(client).get(manifest), {
        times: 1
      })
      expect(response.status).toBe(403)
      expect(response.headers["x-seen"]).toBe("1")
      expect(yield* response.text).toBe(body)
      expect(log).toEqual([`GET ${manifest} -`, `GET ${manifest} ${aliceBasic}`])
    }).pipe(provided(alice))
  )
})

describe("registries that change their minds", () => {
  it.effect.each([
    ["", "/v2/a/manifests/1"],
    ["/prefix", "/prefix/v2/a/v2/manifests/1"],
    ["", "/an/upload"]
  ] as const)("who is asked for nothing pings: with the prefix %j, for %s", ([prefix, path]) =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: ({ authorization, url }) =>
          url.pathname === `${prefix}/token`
            ? json({ token: "t" })
            : authorization !== undefined
              ? ok()
              : url.pathname === `${prefix}/v2/`
                ? unauthorized(
                    'Bearer realm="../token",service="gcr.io",scope="repository:user/image:pull"'
                  )
                : unauthorized()
      })
      expect(yield* request(client, registry + path)).toBe(200)
      expect(log).toEqual([
        `GET ${registry}${path} -`,
        `GET ${registry}${prefix}/v2/ -`,
        `GET ${registry}${prefix}/token?service=gcr.io&client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`,
        `GET ${registry}${path} Bearer t`
      ])
    }).pipe(provided(alice))
  )

  it.effect("a ping that leads elsewhere teaches nothing", () =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: ({ url }) =>
          url.pathname === "/v2/"
            ? new Response(null, { status: 307, headers: { location: "https://evil.example/" } })
            : unauthorized(),
        "https://evil.example": () => unauthorized('Bearer realm="https://evil.example/token"')
      })
      expect(yield* Effect.flip(request(following(client)))).toMatchObject({
        _tag: "AuthChallenge",
        challenges: []
      })
      expect(log).toEqual([
        `GET ${manifest} -`,
        `GET ${registry}/v2/ -`,
        "GET https://evil.example/ -"
      ])
    }).pipe(provided())
  )

  it.effect("nor does one that breaks off", () =>
    Effect.gen(function* () {
      const { client, log } = internet({ [registry]: () => unauthorized() })
      const breaking = HttpClient.transform(client, (sending, request) =>
        request.url === `${registry}/v2/`
          ? Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport" }))
          : sending
      )
      expect(yield* Effect.flip(request(breaking))).toMatchObject({
        _tag: "AuthChallenge",
        challenges: []
      })
      expect(log.filter((line) => line !== `GET ${registry}/v2/ -`)).toEqual([`GET ${manifest} -`])
    }).pipe(provided())
  )

  it.effect(
    "a token refused without a challenge is renewed where the ping said, not by the password",
    () =>
      Effect.gen(function* () {
        let revoked = ""
        let issued = 0
        const { client, log } = internet({
          [registry]: ({ authorization, url }) =>
            url.pathname === "/v2/" && authorization === undefined
              ? unauthorized(`Bearer realm="${realm}"`)
              : authorization === undefined || authorization === revoked
                ? unauthorized()
                : ok(),
          "https://auth.example.com": () => json({ token: `t${++issued}` })
        })
        yield* Effect.flip(attempt(client, `${registry}/v2/`, demandOf({ scopes: [] })))
        yield* request(client)
        revoked = "Bearer t1"
        log.length = 0
        expect(yield* request(client)).toBe(200)
        expect(log).toEqual([
          `GET ${manifest} Bearer t1`,
          `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`,
          `GET ${manifest} Bearer t2`
        ])
      }).pipe(provided(alice))
  )

  it.effect("a new token that is refused without a challenge is not followed by the password", () =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: ({ url }) =>
          url.pathname === "/v2/" ? unauthorized(`Bearer realm="${realm}"`) : unauthorized(),
        "https://auth.example.com": () => json({ token: "t" })
      })
      yield* Effect.flip(attempt(client, `${registry}/v2/`, demandOf({ scopes: [] })))
      log.length = 0
      expect(yield* Effect.flip(request(client))).toMatchObject({
        sent: "bearer",
        answerable: false
      })
      expect(log).toEqual([
        `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`,
        `GET ${manifest} Bearer t`
      ])
    }).pipe(provided(alice))
  )

  it.effect(
    "a token server in passing trouble is asked again without asking the registry first",
    () =>
      Effect.gen(function* () {
        let failures = 2
        const { client, log } = internet({
          [registry]: ({ authorization }) =>
            authorization === undefined ? unauthorized(`Bearer realm="${realm}"`) : ok(),
          "https://auth.example.com": () => (failures-- > 0 ? json({}, 503) : json({ token: "t" }))
        })
        const tokenLine = `GET ${realm}?client_id=effect-oci&scope=repository%3Aa%3Apull -`
        expect(yield* Effect.flip(request(client))).toMatchObject({
          _tag: "RegistryFailure",
          status: 503
        })
        expect(yield* Effect.flip(request(client))).toMatchObject({
          _tag: "RegistryFailure",
          status: 503
        })
        expect(yield* request(client)).toBe(200)
        expect(log).toEqual([
          `GET ${manifest} -`,
          tokenLine,
          tokenLine,
          tokenLine,
          `GET ${manifest} Bearer t`
        ])
      }).pipe(provided())
  )

  it.effect("a challenge that cannot be answered replaces none that can", () =>
    Effect.gen(function* () {
      let negotiates = true
      const { client, log } = internet({
        [registry]: ({ authorization }) =>
          authorization === undefined
            ? unauthorized(`Bearer realm="${realm}"`)
            : negotiates
              ? unauthorized("Negotiate")
              : ok(),
        "https://auth.example.com": () => json({ token: "t" })
      })
      expect(yield* Effect.flip(request(client))).toMatchObject({
        challenges: [{ scheme: "negotiate" }]
      })
      negotiates = false
      log.length = 0
      expect(yield* request(client)).toBe(200)
      expect(log).toEqual([
        `GET ${realm}?client_id=effect-oci&scope=repository%3Aa%3Apull -`,
        `GET ${manifest} Bearer t`
      ])
    }).pipe(provided())
  )

  it.effect("a token server that has moved is found again after one failure", () =>
    Effect.gen(function* () {
      let moved = false
      const { client, log } = internet({
        [registry]: ({ authorization }) =>
          authorization === "Bearer new" || (!moved && authorization === "Bearer old")
            ? ok()
            : unauthorized(`Bearer realm="${moved ? "https://new.example.com/token" : realm}"`),
        "https://auth.example.com": () => (moved ? json({}, 410) : json({ token: "old" })),
        "https://new.example.com": () => json({ token: "new" })
      })
      yield* request(client)
      moved = true
      yield* TestClock.adjust("5 minutes")
      expect(yield* Effect.flip(request(client))).toMatchObject({
        _tag: "Unauthorized",
        status: 410
      })
      log.length = 0
      expect(yield* request(client)).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} -`,
        "GET https://new.example.com/token?client_id=effect-oci&scope=repository%3Aa%3Apull -",
        `GET ${manifest} Bearer new`
      ])
    }).pipe(provided())
  )
})

describe("scopes", () => {
  const tokenLine = (scopes: ReadonlyArray<string>) =>
    `GET ${realm}?client_id=effect-oci${scopes.map((scope) => `&${new URLSearchParams({ scope })}`).join("")} -`

  /**
   * A registry that grants what `grants` says, and challenges with `challenge` of what was sent.
   */
  const world = (options: {
    readonly challenge: (authorization: string | undefined) => string | undefined
    readonly token: (scopes: ReadonlyArray<string>, n: number) => Response
  }) => {
    let n = 0
    return internet({
      [registry]: ({ authorization }) => {
        const challenge = options.challenge(authorization)
        return challenge === undefined ? ok() : unauthorized(challenge)
      },
      "https://auth.example.com": ({ url }) => options.token(url.searchParams.getAll("scope"), ++n)
    })
  }

  it.effect(
    "insufficient_scope widens once: new scopes are asked for, a second refusal ends it (A8)",
    () =>
      Effect.gen(function* () {
        const more = 'error="insufficient_scope",scope="repository:a:pull,push"'
        const { client, log } = world({
          challenge: (sent) => `Bearer realm="${realm}"${sent === undefined ? "" : `,${more}`}`,
          token: (_, n) => json({ token: `t${n}` })
        })
        expect(yield* Effect.flip(request(client))).toMatchObject({
          _tag: "AuthChallenge",
          answerable: false
        })
        expect(log).toEqual([
          `GET ${manifest} -`,
          tokenLine(["repository:a:pull"]),
          `GET ${manifest} Bearer t1`,
          tokenLine(["repository:a:pull,push"]),
          `GET ${manifest} Bearer t2`
        ])
      }).pipe(provided())
  )

  it.effect("a server that wants ever more is asked three times more at most", () =>
    Effect.gen(function* () {
      let n = 0
      const { client, log } = world({
        challenge: () =>
          `Bearer realm="${realm}",error="insufficient_scope",scope="repository:a${++n}:pull"`,
        token: (_, n) => json({ token: `t${n}` })
      })
      yield* Effect.flip(request(client))
      expect(log.filter((line) => line.startsWith(`GET ${manifest}`)).length).toBe(4)
    }).pipe(provided())
  )

  it.effect.each([400, 401])(
    "a union that the token server refuses with %d is narrowed to the challenge's",
    (status) =>
      Effect.gen(function* () {
        const { client, log } = world({
          challenge: (sent) =>
            sent === undefined ? `Bearer realm="${realm}",scope="odd:a:read"` : undefined,
          token: (scopes) => (scopes.length > 1 ? json({}, status) : json({ token: "t" }))
        })
        expect(yield* request(client)).toBe(200)
        expect(yield* request(client)).toBe(200)
        expect(log).toEqual([
          `GET ${manifest} -`,
          tokenLine(["odd:a:read", "repository:a:pull"]),
          tokenLine(["odd:a:read"]),
          `GET ${manifest} Bearer t`,
          `GET ${manifest} Bearer t`
        ])
      }).pipe(provided())
  )

  it.effect("a refusal of 403 is final", () =>
    Effect.gen(function* () {
      const { client, log } = world({
        challenge: () => `Bearer realm="${realm}",scope="odd:a:read"`,
        token: () => json({}, 403)
      })
      yield* Effect.flip(request(client))
      expect(log).toEqual([`GET ${manifest} -`, tokenLine(["odd:a:read", "repository:a:pull"])])
    }).pipe(provided())
  )

  const deletion = demandOf({ scopes: ["repository:a:delete,pull"] })

  it.effect("a deletion is not asked for as * where the challenge says nothing of scopes", () =>
    Effect.gen(function* () {
      const { client, log } = world({
        challenge: () => `Bearer realm="${realm}",scope="repository:a:delete"`,
        token: () => json({ token: "t" })
      })
      yield* Effect.flip(request(client, manifest, deletion))
      expect(log).toEqual([
        `GET ${manifest} -`,
        tokenLine(["repository:a:delete,pull"]),
        `GET ${manifest} Bearer t`
      ])
    }).pipe(provided())
  )

  it.effect("nor where a challenge calls the scopes of nobody insufficient", () =>
    Effect.gen(function* () {
      const { client, log } = world({
        challenge: (sent) =>
          sent === undefined
            ? `Bearer realm="${realm}",scope="repository:a:delete",error="insufficient_scope"`
            : undefined,
        token: () => json({ token: "t" })
      })
      expect(yield* request(client, manifest, deletion)).toBe(200)
      expect(log).toEqual([
        `GET ${manifest} -`,
        tokenLine(["repository:a:delete,pull"]),
        `GET ${manifest} Bearer t`
      ])
    }).pipe(provided())
  )

  it.effect("those of an application replace all others (RG5)", () =>
    Effect.gen(function* () {
      const { client, log } = world({
        challenge: (sent) =>
          sent === undefined ? `Bearer realm="${realm}",scope="repository:x:pull"` : undefined,
        token: (_, n) => json({ token: `t${n}` })
      })
      const fixed = (demand: Credentials.Demand) =>
        Effect.retry(authorized(demand, { scopes: ["mine"] })(client).get(manifest), { times: 1 })
      yield* fixed(demandOf())
      yield* fixed(deletion)
      expect(log).toEqual([
        `GET ${manifest} -`,
        tokenLine(["mine"]),
        `GET ${manifest} Bearer t1`,
        `GET ${manifest} Bearer t1`
      ])
    }).pipe(provided())
  )

  it.effect("and no others are asked for when they are refused", () =>
    Effect.gen(function* () {
      const { client, log } = world({
        challenge: () => `Bearer realm="${realm}",scope="repository:x:pull"`,
        token: () => json({}, 400)
      })
      yield* authorized(deletion, { scopes: ["mine"] })(client)
        .get(manifest)
        .pipe(Effect.retry({ times: 1 }), Effect.flip)
      expect(log).toEqual([`GET ${manifest} -`, tokenLine(["mine"])])
    }).pipe(provided())
  )
})

describe("a refresh token", () => {
  const offline = (refresh: (n: number) => unknown) => {
    let n = 0
    return internet({
      [registry]: ({ authorization }) =>
        authorization === undefined ? unauthorized(`Bearer realm="${realm}"`) : ok(),
      "https://other.example.com": ({ authorization }) =>
        authorization === undefined
          ? unauthorized('Bearer realm="https://auth2.example.com/token"')
          : ok(),
      "https://auth.example.com": ({ body, method }) =>
        method === "POST" && body.includes("refused")
          ? json({ error: "invalid_grant" }, 400)
          : json({ token: `t${++n}`, refresh_token: refresh(n) }),
      "https://auth2.example.com": () => json({ token: "other" })
    })
  }
  const first = `GET ${realm}?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`
  const later = Effect.provide(
    Layer.merge(
      TokenCache.layerMemory,
      Layer.orDie(Credentials.layer({ "registry.example.com": alice, "other.example.com": alice }))
    )
  )

  it.effect(
    "replaces the password, is replaced by its successor, and goes to its own realm only",
    () =>
      Effect.gen(function* () {
        const { client, log, seen } = offline((n) => (n === 3 ? undefined : `r${n}`))
        for (let n = 0; n < 4; n++) {
          yield* request(client)
          yield* TestClock.adjust("1 minutes")
        }
        const other = "https://other.example.com/v2/"
        yield* request(client, other, demandOf({ origin: "https://other.example.com" }))
        expect(log.filter((line) => line.includes("auth"))).toEqual([
          first,
          `POST ${realm} -`,
          `POST ${realm} -`,
          `POST ${realm} -`,
          `GET https://auth2.example.com/token?client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${aliceBasic}`
        ])
        const bodies = seen
          .map(({ body }) => new URLSearchParams(body).get("refresh_token"))
          .filter((r) => r !== null)
        expect(bodies).toEqual(["r1", "r2", "r2"])
      }).pipe(later)
  )

  it.effect("is forgotten when it is refused, and the password is used again", () =>
    Effect.gen(function* () {
      const { client, log } = offline((n) => (n === 1 ? "refused" : undefined))
      yield* request(client)
      yield* TestClock.adjust("1 minutes")
      expect(yield* request(client)).toBe(200)
      yield* TestClock.adjust("1 minutes")
      expect(yield* request(client)).toBe(200)
      expect(log.filter((line) => line.includes("auth"))).toEqual([
        first,
        `POST ${realm} -`,
        first,
        first
      ])
    }).pipe(later)
  )
})

it.effect(
  "a broken source is reported at once, and not asked again: it may be a helper that hangs",
  () =>
    Effect.gen(function* () {
      let asked = 0
      const { client, log } = internet({ [registry]: () => unauthorized("Basic") })
      const error = yield* Effect.provideService(
        Effect.flip(request(client)),
        Credentials.Credentials,
        {
          get: () => {
            asked++
            return new CredentialsFailure({
              source: "a file",
              problem: "it is broken",
              fix: "Mend it"
            })
          }
        }
      )
      expect(error).toMatchObject({ _tag: "CredentialsFailure" })
      expect(asked).toBe(1)
      expect(log).toEqual([`GET ${manifest} -`])
    }).pipe(Effect.provide(TokenCache.layerMemory))
)

describe("what passes untouched", () => {
  it.effect.each([200, 202, 307, 400, 403, 404, 500])("an answer with %d", (status) =>
    Effect.gen(function* () {
      const { client, log } = internet({
        [registry]: () =>
          new Response(null, { status, headers: { "www-authenticate": `Bearer realm="${realm}"` } })
      })
      expect(yield* request(client)).toBe(status)
      expect(yield* request(client)).toBe(status)
      expect(log).toEqual([`GET ${manifest} -`, `GET ${manifest} -`])
    }).pipe(provided(alice))
  )

  it.effect("the errors of the client", () =>
    Effect.gen(function* () {
      const failing = HttpClient.makeWith<"down", never, "down", never>(
        () => Effect.fail("down" as const),
        Effect.succeed
      )
      expect(yield* Effect.flip(attempt(failing))).toBe("down")
    }).pipe(provided())
  )
})

describe("the body of a 401", () => {
  const answering = (
    body: () => ReadableStream,
    headers: Record<string, string> = { "www-authenticate": "Basic" }
  ) =>
    HttpClient.make((request) =>
      Effect.sync(() =>
        HttpClientResponse.fromWeb(request, new Response(body(), { status: 401, headers }))
      )
    )

  it.effect("is read to the end, so that the connection can be used again", () =>
    Effect.gen(function* () {
      let pulled = 0
      const client = answering(
        () =>
          new ReadableStream({
            pull: (controller) =>
              pulled++ < 10 ? controller.enqueue(new Uint8Array(1024)) : controller.close()
          })
      )
      expect(yield* Effect.flip(attempt(client))).toMatchObject({ _tag: "AuthChallenge" })
      expect(pulled).toBe(11)
    }).pipe(provided())
  )

  it.effect("and so is that of the ping which asks for a challenge", () =>
    Effect.gen(function* () {
      let read = 0
      const body = () => {
        let left = 3
        return new ReadableStream({
          pull: (controller) => {
            if (left-- > 0) return controller.enqueue(new Uint8Array(1024))
            read++
            controller.close()
          }
        })
      }
      expect(yield* Effect.flip(attempt(answering(body, {})))).toMatchObject({
        _tag: "AuthChallenge"
      })
      expect(read).toBe(2)
    }).pipe(provided())
  )

  it.effect("is given up beyond 64 KiB (T6)", () =>
    Effect.gen(function* () {
      let pulled = 0
      let cancelled = false
      const client = answering(
        () =>
          new ReadableStream({
            pull: (controller) => {
              pulled++
              controller.enqueue(new Uint8Array(16_384))
            },
            cancel: () => {
              cancelled = true
            }
          })
      )
      expect(yield* Effect.flip(attempt(client))).toMatchObject({
        _tag: "AuthChallenge",
        errors: []
      })
      expect(pulled).toBeLessThan(10)
      expect(cancelled).toBe(true)
    }).pipe(provided())
  )

  it.effect("is given up after 5 seconds", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.flip(attempt(answering(() => new ReadableStream()))))
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "AuthChallenge" })
    }).pipe(provided())
  )
})

it.effect("no error shows a password or a token (T13)", () =>
  Effect.gen(function* () {
    const refused = (seen: Seen) =>
      unauthorized(seen.authorization === undefined ? `Bearer realm="${realm}"` : "Basic")
    const answers = [
      json({ token: "hunter2" }),
      json({ token: "hunter2\n" }),
      json({}, 401),
      json({}, 500)
    ]
    for (const answer of answers) {
      const { client } = internet({ [registry]: refused, "https://auth.example.com": () => answer })
      const error = yield* Effect.flip(Effect.provide(request(client), TokenCache.layerMemory))
      expect(inspect(error, { depth: 9 }) + JSON.stringify(error) + error.message).not.toMatch(
        /hunter2|YWxpY2U6aHVudGVyMg/
      )
    }
  }).pipe(provided(alice))
)
