import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { StorageFailure } from "../../src/RegistryError.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Answer, type Send, sender } from "./wire.js"

const users = { alice: Redacted.make("open:sesame"), ["__proto__"]: Redacted.make("x") }

// alice:open:sesame
const alice = { authorization: "Basic YWxpY2U6b3BlbjpzZXNhbWU=" }
// alice:wrong
const wrongPassword = { authorization: "Basic YWxpY2U6d3Jvbmc=" }
// mallory:open:sesame
const wrongUser = { authorization: "Basic bWFsbG9yeTpvcGVuOnNlc2FtZQ==" }
// constructor:
const inheritedName = { authorization: "Basic Y29uc3RydWN0b3I6" }

const send = (authorization: ServerAuthorization.ServerAuthorization) =>
  Effect.map(webHandler({ authorization }), sender).pipe(Effect.provide(MemoryRegistry.layer()))

const withTokens = (options: Omit<Parameters<typeof ServerAuthorization.token>[0], "users"> = {}) =>
  Effect.flatMap(ServerAuthorization.token({ ...options, users }), send)

const challenge = (answer: Answer) => [answer.status, answer.headers["www-authenticate"]]

const token = (answer: Answer): string => JSON.parse(answer.body).token

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

const refusedBody = '{"errors":[{"code":"UNAUTHORIZED","message":"Authentication is required"}]}'

describe("basic", () => {
  it.scoped("no credentials are a 401 with a Basic challenge, on /v2/ as well (A1, A2)", () =>
    Effect.gen(function* () {
      const registry = yield* send(ServerAuthorization.basic({ users }))
      for (const path of ["/v2/", "/v2/a/tags/list", "/v2/_catalog", "/nowhere"]) {
        expect(yield* registry("GET", path)).toEqual({
          status: 401,
          headers: {
            "content-length": String(refusedBody.length),
            "content-type": "application/json",
            "www-authenticate": 'Basic realm="effect-oci"'
          },
          body: refusedBody
        })
      }
    })
  )

  it.scoped(
    "the right password may do everything; it may hold a colon, and the scheme be in any case",
    () =>
      Effect.gen(function* () {
        const registry = yield* send(ServerAuthorization.basic({ users }))
        expect((yield* registry("GET", "/v2/", { headers: alice })).status).toBe(200)
        expect((yield* registry("POST", "/v2/a/blobs/uploads/", { headers: alice })).status).toBe(
          202
        )
        const lower = { authorization: alice.authorization.replace("Basic", "basic") }
        expect((yield* registry("GET", "/v2/", { headers: lower })).status).toBe(200)
      })
  )

  it.scoped("names and passwords are in UTF-8", () =>
    Effect.gen(function* () {
      const registry = yield* send(
        ServerAuthorization.basic({ users: { älice: Redacted.make("sésame:€") } })
      )
      const authorization = `Basic ${Buffer.from("älice:sésame:€").toString("base64")}`
      expect((yield* registry("GET", "/v2/", { headers: { authorization } })).status).toBe(200)
    })
  )

  it.scoped.each([
    ["wrong password", wrongPassword.authorization],
    ["unknown user", wrongUser.authorization],
    ["name that every object has", inheritedName.authorization],
    ["text that is no base64", "Basic %%%"],
    ["text without a colon", "Basic YWxpY2U="],
    ["other scheme", "Bearer YWxpY2U6b3BlbjpzZXNhbWU="]
  ] as const)("a %s is a 401", ([, authorization]) =>
    Effect.gen(function* () {
      const registry = yield* send(ServerAuthorization.basic({ users }))
      expect((yield* registry("GET", "/v2/", { headers: { authorization } })).status).toBe(401)
    })
  )
})

describe("token: challenges", () => {
  const prefix = 'Bearer realm="http://registry.test/token",service="effect-oci"'

  it.scoped.each([
    ["GET", "/v2/", prefix],
    ["GET", "/v2/team/app/manifests/v1", `${prefix},scope="repository:team/app:pull"`],
    ["POST", "/v2/team/app/blobs/uploads/", `${prefix},scope="repository:team/app:pull,push"`],
    ["DELETE", "/v2/team/app/manifests/v1", `${prefix},scope="repository:team/app:delete,pull"`],
    ["GET", "/v2/_catalog", `${prefix},scope="registry:catalog:*"`],
    [
      "POST",
      `/v2/b/blobs/uploads/?mount=sha256:${"0".repeat(64)}&from=a`,
      `${prefix},scope="repository:a:pull repository:b:pull,push"`
    ]
  ] as const)("%s %s names the scopes it needs (A2, A9, A10)", ([method, path, expected]) =>
    Effect.gen(function* () {
      const registry = yield* withTokens({ anonymous: "pull" })
      expect(challenge(yield* registry(method, path))).toEqual([401, expected])
    })
  )

  it.scoped(
    "a token that is not ours is invalid_token, one for less is insufficient_scope (trap 69)",
    () =>
      Effect.gen(function* () {
        const registry = yield* withTokens()
        expect(challenge(yield* registry("GET", "/v2/", { headers: bearer("forged") }))).toEqual([
          401,
          `${prefix},error="invalid_token"`
        ])
        const pull = yield* registry("GET", "/token?scope=repository:a:pull", { headers: alice })
        const headers = bearer(token(pull))
        expect(challenge(yield* registry("POST", "/v2/a/blobs/uploads/", { headers }))).toEqual([
          401,
          `${prefix},scope="repository:a:pull,push",error="insufficient_scope"`
        ])
      })
  )
})

describe("token: GET /token", () => {
  it.scoped(
    "answers a token for the scopes asked for, with its lifetime and time of issue (A3, A4)",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5))
        const registry = yield* withTokens({ lifetime: "90 seconds" })
        const answer = yield* registry(
          "GET",
          "/token?account=alice&client_id=test&service=effect-oci&scope=repository:a:pull,push&scope=repository:b:pull",
          { headers: alice }
        )
        expect(answer.status).toBe(200)
        expect(answer.headers).toEqual({
          "cache-control": "no-store",
          "content-length": String(answer.body.length),
          "content-type": "application/json"
        })
        const issued = token(answer)
        expect(issued).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
        expect(JSON.parse(answer.body)).toEqual({
          token: issued,
          access_token: issued,
          expires_in: 90,
          issued_at: "2026-01-02T03:04:05.000Z"
        })
        const headers = bearer(issued)
        expect((yield* registry("GET", "/v2/", { headers })).status).toBe(200)
        expect((yield* registry("POST", "/v2/a/blobs/uploads/", { headers })).status).toBe(202)
        expect((yield* registry("POST", "/v2/b/blobs/uploads/", { headers })).status).toBe(401)
        expect((yield* registry("GET", "/v2/_catalog", { headers })).status).toBe(401)
        yield* TestClock.adjust("89 seconds")
        expect((yield* registry("GET", "/v2/", { headers })).status).toBe(200)
        yield* TestClock.adjust("1 second")
        expect((yield* registry("GET", "/v2/", { headers })).headers["www-authenticate"]).toContain(
          "invalid_token"
        )
      })
  )

  it.scoped("wrong credentials are a 401, even where anonymous clients may pull", () =>
    Effect.gen(function* () {
      const registry = yield* withTokens({ anonymous: "pull" })
      for (const headers of [
        wrongPassword,
        wrongUser,
        inheritedName,
        { authorization: "Basic %%%" }
      ]) {
        const answer = yield* registry("GET", "/token?scope=repository:a:pull", { headers })
        expect(challenge(answer)).toEqual([401, 'Basic realm="effect-oci"'])
        expect(answer.body).toBe(refusedBody)
      }
    })
  )

  it.scoped("anonymous clients get a token to pull and nothing else, or none at all (A8)", () =>
    Effect.gen(function* () {
      const path = "/token?scope=repository:a:pull,push&scope=registry:catalog:*&scope=*"
      const open = yield* withTokens({ anonymous: "pull" })
      const headers = bearer(token(yield* open("GET", path)))
      expect(
        (yield* open("GET", `/v2/a/referrers/sha256:${"0".repeat(64)}`, { headers })).status
      ).toBe(200)
      expect((yield* open("POST", "/v2/a/blobs/uploads/", { headers })).status).toBe(401)
      expect((yield* open("GET", "/v2/_catalog", { headers })).status).toBe(401)
      const closed = yield* withTokens()
      expect(challenge(yield* closed("GET", path))).toEqual([401, 'Basic realm="effect-oci"'])
    })
  )

  it.scoped("a token for another service is refused", () =>
    Effect.gen(function* () {
      const registry = yield* withTokens()
      expect((yield* registry("GET", "/token?service=other", { headers: alice })).status).toBe(400)
    })
  )

  it.scoped("tokens are good at the server that issued them only", () =>
    Effect.gen(function* () {
      const one = yield* withTokens()
      const other = yield* withTokens()
      const headers = bearer(token(yield* one("GET", "/token", { headers: alice })))
      expect((yield* one("GET", "/v2/", { headers })).status).toBe(200)
      expect((yield* other("GET", "/v2/", { headers })).status).toBe(401)
    })
  )

  it.scoped("only GET and POST", () =>
    Effect.gen(function* () {
      const registry = yield* withTokens()
      const answer = yield* registry("DELETE", "/token")
      expect([answer.status, answer.headers["allow"]]).toEqual([405, "GET, HEAD, POST"])
    })
  )
})

describe("token: POST /token", () => {
  const form = (registry: Send, fields: Record<string, string>) =>
    registry("POST", "/token", {
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(fields).toString()
    })

  const password = {
    grant_type: "password",
    username: "alice",
    password: "open:sesame",
    service: "effect-oci",
    client_id: "test"
  }

  it.scoped("the password grant answers a token for scopes separated by spaces (A5)", () =>
    Effect.gen(function* () {
      const registry = yield* withTokens()
      const answer = yield* form(registry, {
        ...password,
        scope: "repository:a:push,pull repository:b:pull"
      })
      const body = JSON.parse(answer.body)
      expect(body).toEqual({
        access_token: expect.any(String),
        scope: "repository:a:pull,push repository:b:pull",
        expires_in: 300,
        issued_at: "1970-01-01T00:00:00.000Z"
      })
      const headers = bearer(body.access_token)
      expect((yield* registry("POST", "/v2/a/blobs/uploads/", { headers })).status).toBe(202)
    })
  )

  it.scoped("scopes may be in fields of their own, and the service empty", () =>
    Effect.gen(function* () {
      const registry = yield* withTokens()
      const fields = new URLSearchParams({ ...password, service: "" })
      fields.append("scope", "repository:a:pull")
      fields.append("scope", "repository:b:pull repository:c:push")
      const answer = yield* registry("POST", "/token", { body: fields.toString() })
      expect(JSON.parse(answer.body).scope).toBe(
        "repository:a:pull repository:b:pull repository:c:push"
      )
    })
  )

  it.scoped(
    "offline access answers a refresh token, by POST and by GET, which gets other tokens (A5, A7)",
    () =>
      Effect.gen(function* () {
        const registry = yield* withTokens()
        const refreshTokens = [
          JSON.parse((yield* form(registry, { ...password, access_type: "offline" })).body)
            .refresh_token,
          JSON.parse((yield* registry("GET", "/token?offline_token=true", { headers: alice })).body)
            .refresh_token
        ]
        for (const refresh_token of refreshTokens) {
          const answer = yield* form(registry, {
            grant_type: "refresh_token",
            refresh_token,
            client_id: "test",
            scope: "repository:a:pull,push"
          })
          const headers = bearer(JSON.parse(answer.body).access_token)
          expect((yield* registry("POST", "/v2/a/blobs/uploads/", { headers })).status).toBe(202)
          // A refresh token is for the token endpoint only.
          expect((yield* registry("GET", "/v2/", { headers: bearer(refresh_token) })).status).toBe(
            401
          )
        }
      })
  )

  it.scoped.each([
    ["wrong password", { ...password, password: "wrong" }, 401],
    [
      "unknown refresh token",
      { grant_type: "refresh_token", refresh_token: "x", client_id: "test" },
      401
    ],
    ["missing client_id", { ...password, client_id: "" }, 400],
    ["unknown grant", { ...password, grant_type: "authorization_code" }, 400],
    ["other service", { ...password, service: "other" }, 400],
    ["form of more than 64 KiB", { ...password, padding: "x".repeat(65_536) }, 400]
  ] as const)("a %s is refused", ([, fields, status]) =>
    Effect.gen(function* () {
      const registry = yield* withTokens({ anonymous: "pull" })
      const answer = yield* form(registry, fields)
      expect(answer.status).toBe(status)
      expect(answer.body).not.toContain("wrong")
    })
  )
})

describe("secrets", () => {
  it.scoped("are in nothing that is logged or answered", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make<unknown, void>((options) => logged.push(options))
    return Effect.gen(function* () {
      const answers: Array<Answer> = []
      const broken = new StorageFailure({ path: "users" })
      const passwords = {
        verify: () => Effect.fail(broken),
        revision: () => Effect.fail(broken)
      }
      for (const authorization of [
        ServerAuthorization.basic({ users }),
        yield* ServerAuthorization.token({ users }),
        ServerAuthorization.basic({ users: passwords }),
        yield* ServerAuthorization.token({ users: passwords })
      ]) {
        const registry = yield* send(authorization)
        const login = Buffer.from("alice:hidden-1").toString("base64")
        for (const authorization of [`Basic ${login}`, "Bearer hidden-2", "Basic hidden-3"])
          for (const path of ["/v2/", "/token?scope=repository:a:pull", "/v2/a/tags/list"])
            answers.push(yield* registry("GET", path, { headers: { authorization } }))
        for (const [grant_type, field] of [
          ["password", "password"],
          ["refresh_token", "refresh_token"],
          ["hidden-4", "other"]
        ] as const) {
          const fields = { grant_type, [field]: "hidden-5", username: "alice", client_id: "test" }
          const body = new URLSearchParams(fields).toString()
          answers.push(yield* registry("POST", "/token", { body }))
        }
      }
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([400, 401, 500]))
      expect(logged.length).toBeGreaterThan(0)
      const shown = Inspectable.stringifyCircular([answers, logged])
      expect(shown).not.toContain("hidden")
      expect(shown).not.toContain(Buffer.from("hidden-1").toString("base64").slice(2, 10))
    }).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
  })
})
