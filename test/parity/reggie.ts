/** bloodorangeio/reggie: its rows and its defects. */

import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { push } from "../../examples/requests.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import * as Response from "../../src/client/Response.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as ProxySettings from "../../src/node/ProxySettings.js"
import { isUnauthorized } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import { basic, guarded, type Handler, type Seen } from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { utf8 } from "../support/fixtures.js"
import { serve } from "../support/https.js"
import { debug, embedded, info, logged, type Row, repository, url, world } from "./world.js"

const ok: Handler = () => ({ status: 200 })
const digest = Digest.fromBytes(utf8("hello"))
const tags = Request.get("/v2/<name>/tags/list", { name: "owner/name" })

/** A registry that wants a token, from a token server that says `answer`. */
const withToken =
  (challenge: string, answer: object = { token: "t" }): Handler =>
  ({ authorization, url }) =>
    url.pathname.endsWith("/token")
      ? { status: 200, body: JSON.stringify(answer) }
      : authorization === "Bearer t"
        ? { status: 200 }
        : { status: 401, headers: { "www-authenticate": challenge } }

const bearer = (rest = "") => `Bearer realm="${url}/token",service="s"${rest}`

/** A server whose certificate nobody knows, reached with its check off, says so in the log. */
export const uncheckedTls = Effect.gen(function* () {
  const host = yield* serve((_, response) => response.end())
  const ping = (tls?: { readonly rejectUnauthorized: boolean }) =>
    Effect.flatMap(RegistryClient.RegistryClient, ({ execute }) =>
      execute(Request.get("/v2/"))
    ).pipe(
      Effect.provide(
        NodeRegistry.layer({ url: `https://${host}`, tls, retry: { attempts: 0 } }).pipe(
          Layer.provide(Credentials.layerAnonymous)
        )
      )
    )
  expect(yield* Effect.flip(ping())).toMatchObject({ _tag: "TransportFailure", reason: "Tls" })
  const lines = yield* logged(ping({ rejectUnauthorized: false }), info)
  expect(lines.join()).toMatch(/certificate/)
})

export const rows: Readonly<Record<string, Row>> = {
  RG1: Effect.gen(function* () {
    expect(yield* RegistryClient.endpoint({ url: "https://r.example/" })).toMatchObject({
      base: "https://r.example"
    })
  }),
  RG2: Effect.gen(function* () {
    for (const url of ["", "not a url", "https://"])
      expect(yield* Effect.flip(RegistryClient.endpoint({ url }))).toMatchObject({
        _tag: "InvalidUrl"
      })
  }),
  RG3: Effect.gen(function* () {
    const standard = yield* world(ok)
    yield* standard.client.execute(tags)
    const own = yield* world(ok, { userAgent: "mine/1" })
    yield* own.client.execute(tags)
    expect([standard, own].map(({ seen }) => seen[0]?.headers["user-agent"])).toEqual([
      RegistryClient.defaultUserAgent,
      "mine/1"
    ])
  }),
  RG4: Effect.gen(function* () {
    const { client, log } = yield* world(guarded(ok), { login: true })
    yield* client.execute(tags)
    expect(log.map((line) => line.split(" ").slice(2).join(" "))).toEqual(["-", basic])
  }),
  RG5: Effect.gen(function* () {
    const { client, seen } = yield* world(withToken(bearer(',scope="a:b:c"')), {
      authScope: "repository:x:*"
    })
    yield* client.execute(tags)
    expect(seen[1]?.url.searchParams.getAll("scope")).toEqual(["repository:x:*"])
  }),
  RG6: Effect.gen(function* () {
    const { client, seen } = yield* world(ok, { defaultName: "a" })
    yield* client.execute(Request.get("/v2/<name>/tags/list"))
    yield* client.withDefaultName("b").execute(Request.get("/v2/<name>/tags/list"))
    yield* client.execute(Request.get("/v2/<name>/tags/list", { name: "c" }))
    expect(seen.map(({ url }) => url.pathname)).toEqual(
      ["a", "b", "c"].map((name) => `/v2/${name}/tags/list`)
    )
  }),
  RG7: Effect.gen(function* () {
    const { client } = yield* world(guarded(ok), { login: true })
    const lines = yield* logged(client.execute(tags), debug)
    expect(lines.join("\n")).toContain(`GET ${url}/v2/owner/name/tags/list 200`)
    expect(lines.join("\n")).not.toMatch(/hunter2|YWxpY2U6/)
  }),
  RG8: uncheckedTls,
  RG9: Effect.gen(function* () {
    const { client } = yield* world(ok, { defaultName: "a" })
    expect(client).toMatchObject({ defaultName: "a", endpoint: { base: url, origin: url } })
  }),
  // The HTTP client is a service: any other, or one that is transformed, is provided.
  RG10: Effect.gen(function* () {
    let count = 0
    const { client } = yield* world(ok, {
      transformClient: (http) => {
        count++
        return http
      }
    })
    yield* client.execute(tags)
    expect(count).toBe(1)
  }),
  RG11: Effect.gen(function* () {
    const seen: Array<Seen> = []
    const { counted, url } = yield* origin((request) => {
      seen.push(request)
      return { status: 200 }
    })
    const asked = Effect.gen(function* () {
      const { execute } = yield* RegistryClient.RegistryClient
      for (let n = 0; n < 5; n++) yield* execute(tags)
    })
    const layer = NodeRegistry.layer({ url }).pipe(Layer.provide(Credentials.layerAnonymous))
    yield* Effect.provide(asked, layer)
    expect(counted.made).toBe(1)
    expect(seen.map(({ headers }) => headers["accept-encoding"])).toEqual(
      seen.map(() => "identity")
    )
    // The proxies are those of the environment by default.
    const proxied = NodeRegistry.layer({
      url: "http://registry.test",
      http: { proxy: ProxySettings.fromEnvironment({ HTTP_PROXY: url }) }
    }).pipe(Layer.provide(Credentials.layerAnonymous))
    yield* Effect.provide(asked, proxied)
    expect(seen.length).toBe(10)
  }),
  RG12: Effect.gen(function* () {
    const chain =
      (last: number): Handler =>
      ({ url }) => {
        const n = Number(url.searchParams.get("n") ?? 0)
        return n === last ? { status: 200 } : { status: 307, headers: { location: `?n=${n + 1}` } }
      }
    const some = yield* world(chain(20), { limits: { redirects: 20 } })
    expect((yield* some.client.execute(tags)).status).toBe(200)
    const many = yield* world(chain(21), { limits: { redirects: 20 } })
    expect(yield* Effect.flip(many.client.execute(tags))).toMatchObject({ _tag: "LimitExceeded" })
  }),
  RG13: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    yield* client.execute(tags)
    yield* client.execute(tags.pipe(Request.setHeader("aCCept", "a/b")))
    expect(seen.map(({ headers }) => headers["accept"])).toEqual([undefined, "a/b"])
  }),
  RG14: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    yield* client.execute(Request.get("v2/<name>/tags/list", { name: "a" }))
    expect(seen[0]?.line).toBe("GET /v2/a/tags/list")
  }),
  RG15: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    const name = "a"
    for (const request of [
      Request.get("/v2/<name>/tags/list", { name }),
      Request.get("/v2/<name>/manifests/<reference>", { name, reference: "b" }),
      Request.get("/v2/<name>/blobs/<digest>", { name, digest }),
      Request.patch("/v2/<name>/blobs/uploads/<session_id>", { name, session_id: "c" })
    ])
      yield* client.execute(request)
    expect(seen.map(({ line }) => line)).toEqual([
      "GET /v2/a/tags/list",
      "GET /v2/a/manifests/b",
      `GET /v2/a/blobs/${digest}`,
      "PATCH /v2/a/blobs/uploads/c"
    ])
  }),
  // A function that fails would be an effect before `execute`; bodies are sent again as they were.
  RG16: Effect.gen(function* () {
    let count = 0
    const { client, seen } = yield* world(guarded(ok), { login: true })
    yield* client.execute(
      Request.put("/x").pipe(
        Request.setBody("body"),
        Request.mapHttp(HttpClientRequest.setHeader("x-a", "b")),
        Request.mapHttp((request) => {
          count++
          return request
        })
      )
    )
    expect(count).toBe(2)
    expect(seen.map(({ body, headers }) => [body, headers["x-a"]])).toEqual([
      ["body", "b"],
      ["body", "b"]
    ])
  }),
  RG17: Effect.gen(function* () {
    const { client, log } = yield* world(
      () => ({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="r"' }
      }),
      { login: true }
    )
    expect(yield* Effect.flip(client.execute(tags))).toMatchObject({ _tag: "Unauthorized" })
    expect(log).toHaveLength(2)
  }),
  RG18: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    yield* client.execute(
      Request.post("/x").pipe(
        Request.setBody("b"),
        Request.setHeader("x-a", "1"),
        Request.setQuery("q", "2")
      )
    )
    expect(seen[0]).toMatchObject({ line: "POST /x?q=2", body: "b", headers: { "x-a": "1" } })
  }),
  RG19: Effect.gen(function* () {
    const { client, log } = yield* world(ok)
    const unknown: string = "/v2/<name>/manifests/<reference>"
    expect(yield* Effect.flip(client.execute(Request.get(unknown, { name: "a" })))).toMatchObject({
      _tag: "InvalidReference"
    })
    expect(yield* Effect.flip(client.execute(Request.get("/v2///tags")))).toMatchObject({
      _tag: "InvalidUrl"
    })
    expect(log).toEqual([])
  }),
  RG20: Effect.gen(function* () {
    const { client, seen } = yield* world(ok)
    for (const method of [
      Request.get,
      Request.put,
      Request.patch,
      Request.del,
      Request.post,
      Request.head,
      Request.options
    ])
      yield* client.execute(method("/x"))
    expect(seen.map(({ method }) => method)).toEqual([
      "GET",
      "PUT",
      "PATCH",
      "DELETE",
      "POST",
      "HEAD",
      "OPTIONS"
    ])
  }),
  RG21: Effect.gen(function* () {
    const { client } = yield* world(({ url }) => ({
      status: 202,
      headers: url.pathname === "/none" ? {} : { location: "http://registry.test/u/1?a=%2F" }
    }))
    const relative = (path: string) =>
      Effect.map(client.execute(Request.post(path)), (response) =>
        Option.map(Response.location(response), ({ relative }) => relative)
      )
    expect(yield* relative("/x")).toEqual(Option.some("/u/1?a=%2F"))
    expect(yield* relative("/none")).toEqual(Option.none())
  }),
  RG22: Effect.gen(function* () {
    const { client } = yield* world(() => ({ status: 202, headers: { location: "/u/1?a=%2F" } }))
    expect(Response.location(yield* client.execute(Request.post("/x")))).toMatchObject(
      Option.some({ received: "/u/1?a=%2F", absolute: `${url}/u/1?a=%2F` })
    )
  }),
  RG23: Effect.gen(function* () {
    const { client } = yield* world(guarded(ok))
    const error = yield* Effect.flip(client.execute(tags))
    expect(isUnauthorized(error)).toBe(true)
    expect(error).toMatchObject({ status: 401 })
  }),
  RG24: Effect.gen(function* () {
    const { client } = yield* world(({ url }) => ({
      status: 404,
      body: url.pathname === "/page" ? "<html>" : '{"errors":[{"code":"NAME_UNKNOWN"}]}'
    }))
    const errors = (path: string) =>
      Effect.flatMap(client.execute(Request.get(path)), Response.errorBody)
    expect((yield* errors("/x")).errors).toMatchObject([{ code: "NAME_UNKNOWN" }])
    // Why there are none, the text tells.
    expect(yield* errors("/page")).toMatchObject({ errors: [] })
  }),
  RG25: Effect.gen(function* () {
    const { client } = yield* world(() => ({
      status: 400,
      body: '{"errors":[{"code":"X","message":"m","detail":{"a":[1]}}]}'
    }))
    const { errors } = yield* Response.errorBody(yield* client.execute(tags))
    expect(errors).toMatchObject([{ code: "X", message: "m", detail: { a: [1] } }])
  }),
  RG26: Effect.gen(function* () {
    const { client, seen } = yield* world(withToken(bearer(), { access_token: "t" }), {
      login: true
    })
    yield* client.execute(
      Request.put("/v2/a/manifests/b").pipe(
        Request.setQuery("q", "1"),
        Request.setHeader("Content-Type", "a/b"),
        Request.setBody("{}")
      )
    )
    const [first, token, last] = seen
    expect(first?.authorization).toBeUndefined()
    expect(token).toMatchObject({ method: "GET", authorization: basic })
    expect(Object.fromEntries(token?.url.searchParams ?? [])).toMatchObject({
      service: "s",
      scope: "repository:a:pull,push"
    })
    expect(last).toMatchObject({ line: first?.line, body: "{}", authorization: "Bearer t" })
    expect(Object.keys(last?.headers ?? {}).sort()).toEqual([
      "accept-encoding",
      "authorization",
      "content-length",
      "content-type",
      "user-agent"
    ])
  }),
  RG27: Effect.gen(function* () {
    const { client, registry } = yield* embedded({ defaultName: "owner/name" })
    const put = yield* Effect.provideService(
      push("latest", utf8("a"), utf8("b")),
      RegistryClient.RegistryClient,
      client
    )
    expect(Option.isSome(put)).toBe(true)
    expect(yield* registry.getBlobBytes(repository, Digest.fromBytes(utf8("ab")))).toEqual(
      utf8("ab")
    )
  }),
  "RG defect 1": Effect.gen(function* () {
    const { client, log } = yield* world(
      withToken(`Bearer realm="${url}/basic/token",service="s"`),
      { login: true }
    )
    expect((yield* client.execute(tags)).status).toBe(200)
    expect(log.filter((line) => line.includes("/v2/") && line.includes("Basic"))).toEqual([])
  }),
  "RG defect 2": Effect.gen(function* () {
    const { client, seen } = yield* world(
      withToken(`Bearer realm="${url}/token",service="",scope=a:b:c`)
    )
    expect((yield* client.execute(Request.get("/x"))).status).toBe(200)
    expect(seen[1]?.url.searchParams.getAll("scope")).toEqual(["a:b:c"])
  }),
  "RG defect 3": Effect.gen(function* () {
    const { client } = yield* world(withToken(`Negotiate, ${bearer()}`))
    expect((yield* client.execute(tags)).status).toBe(200)
    const strange = yield* world(() => ({
      status: 401,
      headers: { "www-authenticate": "Negotiate" }
    }))
    expect(yield* Effect.flip(strange.client.execute(tags))).toMatchObject({
      _tag: "Unauthorized",
      challenge: { challenges: [{ scheme: "negotiate" }] }
    })
  }),
  "RG defect 4": Effect.gen(function* () {
    const { client, seen } = yield* world(withToken(bearer()))
    yield* client.execute(tags)
    expect(seen[1]?.authorization).toBeUndefined()
  }),
  "RG defect 5": Effect.gen(function* () {
    const refused = yield* world(({ url }) =>
      url.pathname === "/token"
        ? { status: 401, body: "{}" }
        : { status: 401, headers: { "www-authenticate": bearer() } }
    )
    expect(yield* Effect.flip(refused.client.execute(tags))).toMatchObject({
      _tag: "Unauthorized",
      reason: "TokenServer"
    })
    expect(refused.log.filter((line) => /Bearer/.test(line))).toEqual([])
    const { client, seen } = yield* world(withToken(bearer(), { token: "t", expires_in: 300 }))
    yield* client.execute(tags)
    yield* client.execute(tags)
    expect(seen.filter(({ url }) => url.pathname === "/token")).toHaveLength(1)
  }),
  "RG defect 6": Effect.gen(function* () {
    const { client, seen } = yield* world(guarded(ok), { login: true })
    const request = tags.pipe(Request.setQuery("n", 3))
    yield* client.execute(request)
    expect(request.query).toEqual([["n", "3"]])
    expect(seen.map(({ url }) => url.search)).toEqual(["?n=3", "?n=3"])
  }),
  "RG defect 7": Effect.gen(function* () {
    const { client, log } = yield* world(
      () => ({ status: 202, headers: { location: "http://uploads.test/u%2F1" } }),
      {
        others: { "http://uploads.test": ok },
        trust: { allowUploads: ["uploads.test"] }
      }
    )
    yield* client.execute(Request.to(yield* client.execute(Request.post("/x")), "PUT"))
    expect(log[1]).toBe("PUT http://uploads.test/u%2F1 -")
  }),
  "RG defect 8": Effect.gen(function* () {
    const { client, log } = yield* world(ok)
    for (const name of ["../x", "a?b", "A", "a b"])
      expect(
        yield* Effect.flip(client.execute(Request.get("/v2/<name>/tags/list", { name })))
      ).toMatchObject({ _tag: "InvalidReference" })
    expect(log).toEqual([])
    yield* client.execute(
      Request.get("/v2/<name>/blobs/uploads/<session_id>", { name: "a", session_id: "<name>?" })
    )
    expect(log[0]).toBe(`GET ${url}/v2/a/blobs/uploads/%3Cname%3E%3F -`)
  }),
  "RG defect 9": Effect.gen(function* () {
    const { registry } = yield* world(() => ({
      status: 200,
      headers: { "content-length": "5" },
      body: "other"
    }))
    // Verified and streamed, by a client with limits and timeouts.
    expect(yield* Effect.flip(Stream.runDrain(registry.getBlob(repository, digest)))).toMatchObject(
      { _tag: "DigestMismatch" }
    )
    const slow = yield* world(() => Effect.never, { timeouts: { overall: "20 millis" } })
    expect(yield* Effect.flip(slow.client.execute(tags))).toMatchObject({
      _tag: "TransportFailure",
      reason: "Timeout"
    })
  }),
  // Nothing is mutable: `withDefaultName` returns another client.
  "RG defect 10": Effect.gen(function* () {
    const { client } = yield* world(ok, { defaultName: "a" })
    expect(client.withDefaultName("b").defaultName).toBe("b")
    expect(client.defaultName).toBe("a")
  })
}
