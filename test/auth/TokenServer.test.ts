import { inspect } from "node:util"
import { deflateSync, gzipSync } from "node:zlib"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenServer from "../../src/auth/internal/TokenServer.js"
import * as Trust from "../../src/protocol/Trust.js"
import { Unauthorized } from "../../src/RegistryError.js"
import { json } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { alice, realm, registry } from "./parties.js"

const wanted = (part: Partial<TokenServer.TokenRequest> = {}): TokenServer.TokenRequest => ({
  origin: registry,
  from: `${registry}/v2/a/manifests/1`,
  realm,
  service: "registry.example.com",
  scopes: ["repository:a:pull"],
  credential: Credentials.anonymous,
  trust: Trust.strict,
  userAgent: undefined,
  ...part
})

const tokenLine =
  "GET https://auth.example.com/token?service=registry.example.com&client_id=effect-oci&scope=repository%3Aa%3Apull -"

/** Every origin answers alike, so that a request that must not occur would succeed. */
const serving = (answer: () => Response) =>
  internet({
    "https://registry.example.com": answer,
    "http://registry.example.com": answer,
    "https://auth.example.com": answer,
    "http://auth.example.com": answer,
    "https://auth.evil.example": answer,
    "http://169.254.169.254": answer,
    "https://127.0.0.1": answer
  })

/** The only request that the token server sees. */
const sent = (part: Partial<TokenServer.TokenRequest>) =>
  Effect.gen(function* () {
    const { client, log } = serving(() => json({ token: "t" }))
    yield* TokenServer.requestToken(client, wanted(part))
    return log
  })

/**
 * The token that comes of one response. The token server is sent one request, and by Basic
 * credentials another one where it has no GET.
 */
const answered = (answer: () => Response, part: Partial<TokenServer.TokenRequest> = {}) => {
  const { client, log } = serving(answer)
  const request = wanted(part)
  const { credential } = request
  const login =
    credential._tag === "Basic" ? `alice:${Redacted.value(credential.password)}` : undefined
  const asked =
    login === undefined
      ? tokenLine
      : `${tokenLine.replace("&scope", "&account=alice&scope").slice(0, -1)}Basic ${btoa(login)}`
  const hasNoGet = login !== undefined && [404, 405].includes(answer().status)
  return TokenServer.requestToken(client, request).pipe(
    Effect.map(({ expiresAt, value }) => ({ token: Redacted.value(value), expiresAt })),
    Effect.ensuring(
      Effect.sync(() =>
        expect(log).toEqual([asked, ...(hasNoGet ? [`POST ${request.realm} -`] : [])])
      )
    )
  )
}

describe("the request by GET (A3)", () => {
  it.effect.each([
    [
      "anonymous: no Authorization, no account",
      {},
      "GET https://auth.example.com/token?service=registry.example.com&client_id=effect-oci&scope=repository%3Aa%3Apull -"
    ],
    [
      "with a password: Basic, and the account",
      { credential: alice },
      "GET https://auth.example.com/token?service=registry.example.com&client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull Basic YWxpY2U6aHVudGVyMg=="
    ],
    [
      "one parameter for each scope, in order (trap 66)",
      { scopes: ["repository:b:pull,push", "repository:a:pull"], service: "" },
      "GET https://auth.example.com/token?client_id=effect-oci&scope=repository%3Ab%3Apull%2Cpush&scope=repository%3Aa%3Apull -"
    ],
    [
      "the realm's own query stays as it was sent",
      { realm: "https://auth.example.com/token?a=b%20c&d='e'&f", scopes: [], service: "s" },
      "GET https://auth.example.com/token?a=b%20c&d='e'&f&service=s&client_id=effect-oci -"
    ],
    [
      "a realm that ends in a question mark",
      { realm: "https://auth.example.com/token?", scopes: [], service: "s" },
      "GET https://auth.example.com/token?service=s&client_id=effect-oci -"
    ],
    [
      "the realm's fragment is left out",
      { realm: "https://auth.example.com/token#x", scopes: [], service: "s" },
      "GET https://auth.example.com/token?service=s&client_id=effect-oci -"
    ],
    [
      "values cannot add parameters (T12)",
      { service: "s&scope=x y#\uD800", scopes: [] },
      "GET https://auth.example.com/token?service=s%26scope%3Dx+y%23%EF%BF%BD&client_id=effect-oci -"
    ],
    [
      "names and passwords are UTF-8 (RFC 7617)",
      { credential: Credentials.basic("zoë", Redacted.make("π:1")), scopes: [], service: "" },
      "GET https://auth.example.com/token?client_id=effect-oci&account=zo%C3%AB Basic em/DqzrPgDox"
    ]
  ] as const)("%s", ([, part, line]) =>
    Effect.map(sent(part), (log) => expect(log).toEqual([line]))
  )

  it.effect("says who is asking, and nothing that identifies a trace (T13)", () =>
    Effect.gen(function* () {
      const { client, seen } = serving(() => json({ token: "t" }))
      const spans: Array<string> = []
      const tracer = yield* Effect.tracer
      const recording = Tracer.make({
        span: (name, ...rest) => {
          spans.push(name)
          return tracer.span(name, ...rest)
        },
        context: tracer.context
      })
      yield* TokenServer.requestToken(
        client,
        wanted({ credential: alice, userAgent: "test/1" })
      ).pipe(Effect.withSpan("caller"), Effect.withTracer(recording))
      expect(spans).toEqual(["caller"])
      expect(seen.map(({ headers }) => ({ ...headers }))).toEqual([
        {
          accept: "application/json",
          "accept-encoding": "identity",
          "user-agent": "test/1",
          authorization: "Basic YWxpY2U6aHVudGVyMg=="
        }
      ])
    })
  )
})

it.effect("an identity token goes out by POST, as a refresh token in the body only (A5)", () =>
  Effect.gen(function* () {
    const { client, log, seen } = serving(() => json({ access_token: "t" }))
    const credential = Credentials.identityToken(Redacted.make("r+1"))
    yield* TokenServer.requestToken(
      client,
      wanted({ credential, scopes: ["repository:a:pull", "repository:b:pull"] })
    )
    expect(log).toEqual(["POST https://auth.example.com/token -"])
    expect(seen[0]?.body).toBe(
      "grant_type=refresh_token&refresh_token=r%2B1&service=registry.example.com&client_id=effect-oci&scope=repository%3Aa%3Apull+repository%3Ab%3Apull"
    )
  })
)

describe("fallbacks (A6)", () => {
  const identity = Credentials.identityToken(Redacted.make("id+1"))
  /**
   * Answers by method and grant, as in `{ GET: 404, password: "t" }`; the log shows the same names.
   */
  const endpoint = (
    answers: Readonly<Record<string, string | (() => Response)>>,
    part: Partial<TokenServer.TokenRequest>
  ) =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const { client, log } = internet({
        "https://auth.example.com": ({ authorization, body, method }) => {
          const form = new URLSearchParams(body)
          const grant = form.get("grant_type")
          const secret = form.get("password") ?? form.get("refresh_token") ?? authorization ?? "-"
          asked.push(`${grant ?? method} ${secret}`)
          const answer = answers[`${grant ?? method} ${secret}`] ?? answers[grant ?? method]
          return typeof answer === "string"
            ? json({ token: answer })
            : (answer?.() ?? json({}, 404))
        }
      })
      const result = yield* Effect.either(TokenServer.requestToken(client, wanted(part)))
      // Nobody else was asked.
      expect(log.length).toBe(asked.length)
      return { asked, result }
    })
  const status =
    (code: number, body: unknown = {}) =>
    () =>
      json(body, code)
  const get = "GET Basic YWxpY2U6aHVudGVyMg=="

  it.effect.each([
    [
      "a server without GET gets the password by POST",
      { GET: status(404), password: "t" },
      alice,
      [get, "password hunter2"],
      "t"
    ],
    [
      "also if it says 405",
      { GET: status(405), password: "t" },
      alice,
      [get, "password hunter2"],
      "t"
    ],
    [
      "one with neither failed at GET",
      { GET: status(404), password: status(405) },
      alice,
      [get, "password hunter2"],
      "GET 404"
    ],
    [
      "a refused password is not sent again by POST",
      { GET: status(401), password: "t" },
      alice,
      [get],
      "GET 401"
    ],
    [
      "nor one that is sent with a bad scope",
      { GET: status(400), password: "t" },
      alice,
      [get],
      "GET 400"
    ],
    [
      "nor by GET",
      { GET: status(404), password: status(401) },
      alice,
      [get, "password hunter2"],
      "POST 401"
    ],
    [
      "a server without POST gives an identity token an anonymous token (A6)",
      { refresh_token: status(404), GET: "t" },
      identity,
      ["refresh_token id+1", "GET -"],
      "t"
    ],
    [
      "also if it says 405",
      { refresh_token: status(405), GET: "t" },
      identity,
      ["refresh_token id+1", "GET -"],
      "t"
    ],
    [
      "also if it does not understand",
      { refresh_token: status(400), GET: "t" },
      identity,
      ["refresh_token id+1", "GET -"],
      "t"
    ],
    [
      "also if it does not know the grant",
      { refresh_token: status(400, { error: "unsupported_grant_type" }), GET: "t" },
      identity,
      ["refresh_token id+1", "GET -"],
      "t"
    ],
    [
      "but not if it refuses the token",
      { refresh_token: status(400, { error: "invalid_grant" }), GET: "t" },
      identity,
      ["refresh_token id+1"],
      "POST 400"
    ],
    [
      "nor with 401",
      { refresh_token: status(401), GET: "t" },
      identity,
      ["refresh_token id+1"],
      "POST 401"
    ]
  ] as const)("%s", ([, answers, credential, expected, outcome]) =>
    Effect.gen(function* () {
      const { asked, result } = yield* endpoint(answers, { credential })
      expect(asked).toEqual(expected)
      expect(
        Either.match(result, {
          onLeft: (error) =>
            error instanceof Unauthorized ? `${error.method} ${error.status}` : error._tag,
          onRight: ({ value }) => Redacted.value(value)
        })
      ).toBe(outcome)
    })
  )

  const held = Redacted.make("held")
  const next = (refresh: unknown) => () => json({ access_token: "t", refresh_token: refresh })

  it.effect.each([
    [
      "is tried before the password, and kept",
      { refresh_token: next(undefined) },
      alice,
      ["refresh_token held"],
      "held"
    ],
    [
      "is replaced by its successor",
      { refresh_token: next("r2") },
      alice,
      ["refresh_token held"],
      "r2"
    ],
    [
      "is not replaced by nonsense",
      { refresh_token: next(1) },
      alice,
      ["refresh_token held"],
      "held"
    ],
    [
      "gives way to the password when it is refused, and is dropped",
      { refresh_token: status(401), GET: "t" },
      alice,
      ["refresh_token held", get],
      undefined
    ],
    [
      "also where the server has no POST any more",
      { refresh_token: status(404), GET: "t" },
      alice,
      ["refresh_token held", get],
      undefined
    ],
    [
      "gives way to the identity token",
      {
        "refresh_token held": status(400, { error: "invalid_grant" }),
        "refresh_token id+1": next("r3")
      },
      identity,
      ["refresh_token held", "refresh_token id+1"],
      "r3"
    ],
    ["goes nowhere for nobody", { GET: next("r4") }, Credentials.anonymous, ["GET -"], undefined]
  ] as const)(
    "a refresh token of the realm %s",
    ([, answers, credential, expected, refreshToken]) =>
      Effect.gen(function* () {
        const { asked, result } = yield* endpoint(answers, { credential, refreshToken: held })
        expect(asked).toEqual(expected)
        const token = yield* result
        expect(
          token.refreshToken === undefined ? undefined : Redacted.value(token.refreshToken)
        ).toBe(refreshToken)
      })
  )

  it.effect("a refresh token waits while the server is in passing trouble", () =>
    Effect.gen(function* () {
      const { asked, result } = yield* endpoint(
        { refresh_token: status(503), GET: "t" },
        { credential: alice, refreshToken: held }
      )
      expect(asked).toEqual(["refresh_token held"])
      expect(Either.isLeft(result) && result.left._tag).toBe("RegistryFailure")
    })
  )

  it.effect("what OAuth servers say is reported, freed of control characters", () =>
    Effect.gen(function* () {
      const { result } = yield* endpoint(
        {
          refresh_token: status(400, {
            error: "invalid_grant",
            error_description: "expired\r\nlong ago"
          })
        },
        { credential: identity }
      )
      expect(Either.isLeft(result) && result.left).toMatchObject({
        errors: [{ code: "invalid_grant", message: "expired long ago" }]
      })
    })
  )

  it.effect.each([
    ["GET", alice, ["hunter2", "Basic YWxpY2U6aHVudGVyMg=="]],
    ["password", alice, ["hunter2"]],
    ["refresh_token", identity, ["id+1", "id%2B1"]]
  ] as const)(
    "a server that repeats what it was sent is not repeated: %s",
    ([grant, credential, sent]) =>
      Effect.gen(function* () {
        const echo = status(401, {
          errors: [
            { code: "UNAUTHORIZED", message: `no: ${sent.join(" ")}`, detail: sent.join(" ") },
            { code: "OTHER", message: "harmless" }
          ]
        })
        const { result } = yield* endpoint(
          { GET: grant === "password" ? status(404) : echo, [grant]: echo },
          { credential }
        )
        const shown = inspect(result, { depth: 9 }) + JSON.stringify(result)
        for (const secret of sent) expect(shown).not.toContain(secret.replace(/^Basic |=*$/g, ""))
        expect(shown).toContain("harmless")
      })
  )
})

it.effect("a password is hidden in whatever form a server repeats it", () =>
  Effect.gen(function* () {
    const password = 'p"q\\r &s'
    const forms = [password, new URLSearchParams({ password }).toString()]
    const errors = forms.map((message) => ({ code: "UNAUTHORIZED", message }))
    const credential = Credentials.basic("alice", Redacted.make(password))
    const error = yield* Effect.flip(answered(() => json({ errors }, 401), { credential }))
    expect(error).toMatchObject({
      errors: [{ message: "REDACTED" }, { message: "password=REDACTED" }]
    })
  })
)

it.effect("a refresh token for nobody is not kept, since it could go where no password may", () =>
  Effect.gen(function* () {
    const { client } = internet({
      "https://auth.example.com": ({ method }) =>
        method === "POST" ? json({}, 404) : json({ token: "t", refresh_token: "r" })
    })
    const credential = Credentials.identityToken(Redacted.make("id+1"))
    expect(
      (yield* TokenServer.requestToken(client, wanted({ credential }))).refreshToken
    ).toBeUndefined()
  })
)

describe("a realm that is not to be trusted gets nothing (T2)", () => {
  it.effect.each([
    [
      "another domain, with a password",
      { realm: "https://auth.evil.example/token", credential: alice },
      "trust.allowTokens"
    ],
    [
      "another domain, with an identity token",
      {
        realm: "https://auth.evil.example/token",
        credential: Credentials.identityToken(Redacted.make("r"))
      },
      "trust.allowTokens"
    ],
    [
      "http from https, even without credentials",
      { realm: "http://auth.example.com/token" },
      undefined
    ],
    [
      "a metadata address, even without credentials",
      {
        realm: "http://169.254.169.254/token",
        origin: "http://registry.example.com",
        from: "http://registry.example.com/v2/"
      },
      "trust.allowTokens"
    ],
    [
      "this machine, even without credentials",
      { realm: "https://127.0.0.1/token" },
      "trust.allowTokens"
    ],
    ["a user name inside", { realm: "https://u:p@auth.example.com/token" }, undefined],
    ["no http at all", { realm: "file:///etc/passwd" }, undefined],
    ["not a URL", { realm: "https://" }, undefined]
  ] as const)("%s", ([, part, option]) =>
    Effect.gen(function* () {
      const { client, log } = serving(() => json({ token: "t" }))
      const error = yield* Effect.flip(TokenServer.requestToken(client, wanted(part)))
      expect(error).toMatchObject({ _tag: "UntrustedLocation", kind: "Realm" })
      expect(error).toHaveProperty("option", option)
      expect(log).toEqual([])
    })
  )

  it.effect("unless it is listed in allowTokens", () =>
    Effect.gen(function* () {
      const log = yield* sent({
        realm: "https://auth.evil.example/token",
        credential: alice,
        scopes: [],
        service: "",
        trust: { ...Trust.strict, allowTokens: ["auth.evil.example"] }
      })
      expect(log).toEqual([
        "GET https://auth.evil.example/token?client_id=effect-oci&account=alice Basic YWxpY2U6aHVudGVyMg=="
      ])
    })
  )

  it.effect("and without credentials another domain is asked anonymously", () =>
    Effect.gen(function* () {
      const log = yield* sent({ realm: "https://auth.evil.example/token", scopes: [], service: "" })
      expect(log).toEqual(["GET https://auth.evil.example/token?client_id=effect-oci -"])
    })
  )
})

describe("the answer (A4)", () => {
  it.effect.each([
    ["token", { token: "a" }, "a"],
    ["access_token alone (ACR)", { access_token: "b" }, "b"],
    ["both: token", { token: "a", access_token: "b" }, "a"],
    ["an empty access_token (Harbor)", { token: "a", access_token: "" }, "a"],
    ["an empty token", { token: "", access_token: "b" }, "b"],
    ["a token that is no text", { token: 1, access_token: "b" }, "b"],
    ["unknown members", { token: "a", __proto__: null, refresh_token: 1, scope: [] }, "a"]
  ] as const)("gives a token: %s", ([, body, token]) =>
    Effect.map(
      answered(() => json(body)),
      (answer) => expect(answer.token).toBe(token)
    )
  )

  const received = Date.parse("2026-03-01T12:00:00Z")
  it.effect.each([
    ["nothing said: 60 s", {}, 60],
    ["an integer", { expires_in: 300 }, 300],
    ["a numeric string", { expires_in: "300" }, 300],
    ["a fraction", { expires_in: 300.9 }, 300.9 - 0.9],
    ["less than 60", { expires_in: 5 }, 60],
    ["negative", { expires_in: -1 }, 60],
    ["null", { expires_in: null }, 60],
    ["no number", { expires_in: "5m" }, 60],
    ["beyond all numbers", { expires_in: 1e308 }, 60],
    ["issued a while ago", { expires_in: 300, issued_at: "2026-03-01T11:59:00Z" }, 240],
    [
      "issued with nanoseconds and offset",
      { expires_in: 300, issued_at: "2026-03-01T12:59:00.123456789+01:00" },
      240.123
    ],
    ["issued in the future", { expires_in: 300, issued_at: "2026-03-01T12:00:01Z" }, 300],
    [
      "issued longer ago than it lives",
      { expires_in: 300, issued_at: "2026-03-01T11:55:00Z" },
      300
    ],
    [
      "issued so long ago that it could not be used",
      { expires_in: 300, issued_at: "2026-03-01T11:55:05Z" },
      300
    ],
    ["or for so long", { expires_in: 300, issued_at: "2026-03-01T11:55:06Z" }, 6],
    ["issued at no time", { expires_in: 300, issued_at: "yesterday" }, 300],
    ["issued at a date alone", { expires_in: 300, issued_at: "2026-03-01" }, 300],
    ["issued at a number", { expires_in: 300, issued_at: 1 }, 300]
  ] as const)("sets the end of the token: %s", ([, body, seconds]) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(received)
      const { expiresAt } = yield* answered(() => json({ token: "a", ...body }))
      expect((expiresAt - received) / 1000).toBe(seconds)
    })
  )

  it.effect.each([
    ["no JSON", "<html>hunter2</html>"],
    ["empty", ""],
    ["null", "null"],
    ["an array", '[{"token":"hunter2"}]'],
    ["a string", '"hunter2"'],
    ["no token", '{"tokens":"hunter2"}'],
    ["only empty tokens", '{"token":"","access_token":""}'],
    ["a token on two lines", '{"token":"hunter2\\r\\nX-Evil: 1"}'],
    ["a token with a space", '{"token":"hunter2 "}'],
    ["a token beyond ASCII", '{"token":"hunter2é"}'],
    ["deeply nested", `{"a":${"[".repeat(60_000)}${"]".repeat(60_000)}}`]
  ] as const)(
    "is Unauthorized without a usable token, and shows nothing of a success: %s",
    ([, body]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(answered(() => new Response(body), { credential: alice }))
        expect(error).toMatchObject({ _tag: "Unauthorized", reason: "TokenServer", status: 200 })
        expect(inspect(error, { depth: 9 }) + JSON.stringify(error) + error.message).not.toMatch(
          /hunter2|YWxpY2U6aHVudGVyMg|Evil/
        )
      })
  )

  it.effect("over 128 KiB is LimitExceeded, exactly 128 KiB is not (T6)", () =>
    Effect.gen(function* () {
      const padded = (size: number) => () => new Response('{"token":"t"}'.padEnd(size, " "))
      expect((yield* answered(padded(131_072))).token).toBe("t")
      expect(yield* Effect.flip(answered(padded(131_073)))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 131_072,
        status: 200
      })
    })
  )

  it.effect.each([200, 201, 202, 203, 206, 226, 299])("may bring a token with %d", (status) =>
    Effect.gen(function* () {
      const { client, log } = serving(() => json({ token: "t", access_token: null }, status))
      const { value } = yield* TokenServer.requestToken(client, wanted())
      expect(Redacted.value(value)).toBe("t")
      expect(log).toEqual([tokenLine])
    })
  )

  it.effect.each([
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["identity", (body: string) => Buffer.from(body)],
    ["gzip, deflate", (body: string) => deflateSync(gzipSync(body))]
  ] as const)("may come compressed: %s", ([coding, encode]) =>
    Effect.gen(function* () {
      const { client, log } = serving(
        () => new Response(encode('{"token":"t"}'), { headers: { "content-encoding": coding } })
      )
      const { value } = yield* TokenServer.requestToken(client, wanted())
      expect(Redacted.value(value)).toBe("t")
      expect(log).toEqual([tokenLine])
    })
  )

  it.effect("is no larger for being compressed", () =>
    Effect.gen(function* () {
      const bomb = gzipSync(`{"token":"t"${" ".repeat(200 * 1024)}}`)
      expect(bomb.length).toBeLessThan(1024)
      const { client, log } = serving(
        () => new Response(bomb, { headers: { "content-encoding": "gzip" } })
      )
      expect(yield* Effect.flip(TokenServer.requestToken(client, wanted()))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 128 * 1024
      })
      expect(log).toEqual([tokenLine])
    })
  )

  it.effect("a refusal may come compressed as well", () =>
    Effect.gen(function* () {
      const { client, log } = serving(
        () =>
          new Response(gzipSync('{"details":"incorrect password"}'), {
            status: 401,
            headers: { "content-encoding": "gzip" }
          })
      )
      const error = yield* Effect.flip(TokenServer.requestToken(client, wanted()))
      expect(error.message).toContain("incorrect password")
      expect(log).toEqual([tokenLine])
    })
  )

  it.effect("that stalls is TransportFailure after 30 seconds", () =>
    Effect.gen(function* () {
      const stalled = () =>
        new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array([123])) }))
      const fiber = yield* Effect.fork(Effect.flip(answered(stalled)))
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("30 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "TransportFailure", reason: "Stall" })
    })
  )

  it.effect("that breaks off is TransportFailure", () =>
    Effect.gen(function* () {
      const broken = () =>
        new Response(new ReadableStream({ start: (c) => c.error(new Error("reset")) }))
      expect(yield* Effect.flip(answered(broken))).toMatchObject({
        _tag: "TransportFailure",
        reason: "Reset"
      })
    })
  )
})

describe("a refusal", () => {
  it.effect.each([
    [400, '{"details":"invalid repository name"}', "invalid repository name"],
    [401, '{"details":"incorrect username or password"}', "incorrect username or password"],
    [403, '{"errors":[{"code":"DENIED","message":"denied"}]}', "denied"],
    [404, "not found", undefined],
    [204, null, undefined],
    [302, "", undefined],
    [400, '{"error":"invalid_scope","error_description":null}', ""]
  ] as const)("with %d is Unauthorized with what the server says", ([status, body, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        answered(() => new Response(body, { status }), { credential: alice })
      )
      expect(error).toMatchObject({
        _tag: "Unauthorized",
        reason: "TokenServer",
        origin: "https://registry.example.com",
        method: "GET",
        url: "https://auth.example.com/token?service=registry.example.com&client_id=REDACTED&account=REDACTED&scope=repository%3Aa%3Apull",
        status
      })
      expect((error as { errors?: ReadonlyArray<{ message?: string }> }).errors?.[0]?.message).toBe(
        message
      )
    })
  )

  it.effect.each([408, 500, 502, 503, 504])(
    "with %d can be retried: the credentials were not judged",
    (status) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(answered(() => new Response("", { status })))
        expect(error).toMatchObject({ _tag: "RegistryFailure", status })
      })
  )

  it.effect.each([
    [429, "TooManyRequests"],
    [503, "RegistryFailure"]
  ] as const)("with %d says when to come back, in milliseconds", ([status, tag]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        answered(() => new Response("", { status, headers: { "retry-after": "7" } }))
      )
      expect(error).toMatchObject({ _tag: tag, status, retryAfter: 7000 })
    })
  )
})

it.effect("errors of the client pass through as they are", () =>
  Effect.gen(function* () {
    const failing = HttpClient.makeWith<"down", never, "down", never>(
      () => Effect.fail("down" as const),
      Effect.succeed
    )
    expect(yield* Effect.flip(TokenServer.requestToken(failing, wanted()))).toBe("down")
  })
)
