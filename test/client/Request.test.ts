/** Requests in the terms of HTTP: what is sent, to whom, and what comes back. */
import { Readable } from "node:stream"
import { inspect } from "node:util"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import * as Response from "../../src/client/Response.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as Operation from "../../src/protocol/Operation.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { alice } from "../support/fake/Client.js"
import { basic, guarded, type Handler, inOrder, type Seen } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { origin } from "../support/fake/Sockets.js"
import { generated, utf8 } from "../support/fixtures.js"

const registry = "http://registry.test"
const uploads = "http://uploads.test"
const digest = Digest.fromBytes(utf8("hello"))

/** A client of `registry.test`, and the requests that came to any origin. */
const world = Effect.fnUntraced(function* (
  handler: Handler,
  {
    elsewhere = () => ({ status: 204 }),
    ...options
  }: Partial<RegistryClient.LayerOptions> & { readonly elsewhere?: Handler } = {}
) {
  const { client, log, seen } = internet({ [registry]: handler, [uploads]: elsewhere })
  const services = yield* Layer.build(
    RegistryClient.layer({
      url: registry,
      retry: { attempts: 2, base: "1 millis", maxDelay: "2 millis" },
      ...options
    }).pipe(
      Layer.provide([
        Layer.succeed(HttpClient.HttpClient, client),
        alice(registry),
        TokenCache.layerMemory
      ])
    )
  )
  return {
    client: yield* Effect.provide(RegistryClient.RegistryClient, services),
    log,
    seen
  }
})

const ok: Handler = () => ({ status: 200 })

const headersOf = ({ headers }: Seen) => Object.keys(headers).sort()

describe("headers that are secrets", () => {
  const secret = "hunter2-hunter2"
  const tenant = Request.setHeader("X-Tenant", Redacted.make(secret))

  it.scoped("are sent, and shown nowhere, whatever the registry repeats and when", () =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(({ line }) =>
        line === "GET /later"
          ? { status: 401, headers: { "www-authenticate": `Other realm="${secret}"` } }
          : { status: 418, body: `no ${secret}` }
      )
      const request = Request.get("/x").pipe(tenant)
      const response = yield* client.execute(request)
      expect(seen[0]?.headers["x-tenant"]).toBe(secret)
      expect((yield* Response.errorBody(response)).snippet).toBe("no REDACTED")
      const later = yield* Effect.flip(client.execute(Request.get("/later")))
      const agent = yield* client.execute(
        Request.get("/x").pipe(Request.setHeader("user-agent", Redacted.make("agent-of-mine")))
      )
      expect(seen.at(-1)?.headers["user-agent"]).toBe("agent-of-mine")
      for (const shown of [request, later, later.message, response.request.url, agent.status])
        expect(inspect(shown, { depth: 9 })).not.toContain(secret)
    })
  )

  it.scoped("take the place of others of their name, and are replaced", () =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(ok)
      const named = Request.get("/x").pipe(Request.setHeader("x-tenant", "blue"))
      yield* client.execute(named.pipe(tenant))
      yield* client.execute(named.pipe(tenant, Request.setHeaders([["X-TENANT", "red"]])))
      yield* client.execute(
        named.pipe(Request.setHeaders({ "X-Tenant": Redacted.make("green"), b: ["1", "2"] }))
      )
      expect(seen.map(({ headers }) => headers["x-tenant"])).toEqual([secret, "red", "green"])
      expect(seen[2]?.headers["b"]).toBe("1, 2")
    })
  )

  it.scoped("do not leave the registry's origin, and must be what a header can carry", () =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(
        () => ({ status: 202, headers: { location: `${uploads}/u` } }),
        { trust: { allowUploads: ["uploads.test"] } }
      )
      const opened = yield* client.execute(Request.post("/x").pipe(tenant))
      yield* client.execute(Request.to(opened, "PUT").pipe(tenant, Request.setHeader("a", "b")))
      expect(seen.map(({ headers }) => headers["x-tenant"])).toEqual([secret, undefined])
      expect(seen[1]?.headers["a"]).toBe("b")
      yield* client.execute(
        Request.get("/x").pipe(
          tenant,
          Request.mapHttp((request) => {
            expect(request.headers).not.toHaveProperty("x-tenant")
            return HttpClientRequest.setUrl(request, `${uploads}/y`)
          })
        )
      )
      expect(seen.pop()?.headers).not.toHaveProperty("x-tenant")
      const broken = Request.get("/x").pipe(Request.setHeader("x", Redacted.make(`${secret}\n`)))
      const error = yield* Effect.flip(client.execute(broken))
      expect(error).toMatchObject({ _tag: "InvalidUrl" })
      expect(error.message).not.toContain(secret)
      expect(seen).toHaveLength(2)
    })
  )
})

describe("the path of a request", () => {
  it.scoped.each([
    [
      "a name",
      Request.get("/v2/<name>/tags/list", { name: "megacorp/superapp" }),
      "GET /v2/megacorp/superapp/tags/list"
    ],
    ["no leading slash", Request.get("v2/<name>/tags/list", { name: "a" }), "GET /v2/a/tags/list"],
    ["the default name", Request.get("/v2/<name>/tags/list"), "GET /v2/default/name/tags/list"],
    [
      "a tag",
      Request.head("/v2/<name>/manifests/<reference>", { reference: "v1" }),
      "HEAD /v2/default/name/manifests/v1"
    ],
    [
      "a digest",
      Request.del("/v2/<name>/manifests/<reference>", { reference: digest }),
      `DELETE /v2/default/name/manifests/${digest}`
    ],
    [
      "the id of a session, escaped",
      Request.patch("/v2/<name>/blobs/uploads/<session_id>", { session_id: "a/b?c d" }),
      "PATCH /v2/default/name/blobs/uploads/a%2Fb%3Fc%20d"
    ],
    [
      "a placeholder that is there twice",
      Request.get("/api/<name>/of/<name>", { name: "a" }),
      "GET /api/a/of/a"
    ],
    [
      "a name that has a pattern of replacements",
      Request.post("/v2/<name>/blobs/uploads/<session_id>", { name: "a", session_id: "$&$'" }),
      "POST /v2/a/blobs/uploads/%24%26%24'"
    ],
    [
      "no placeholder, of a vendor's API",
      Request.options("/api/v1/health"),
      "OPTIONS /api/v1/health"
    ],
    [
      "a query of its own, and one that is set",
      Request.get("/v2/<name>/tags/list?x=%41").pipe(
        Request.setQuery("n", 3),
        Request.setQuery("last", "a&b c"),
        Request.setQuery("n", 4)
      ),
      "GET /v2/default/name/tags/list?x=%41&last=a%26b%20c&n=4"
    ]
  ] as ReadonlyArray<readonly [string, Request.Request, string]>)("%s", ([, request, line]) =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(ok, { defaultName: "default/name" })
      const response = yield* client.execute(request)
      expect(response.status).toBe(200)
      expect(seen.map(({ line }) => line)).toEqual([line])
    })
  )

  it.scoped.each([
    ["no name", Request.get("/v2/<name>/tags/list"), "InvalidReference", /<name>/],
    [
      "a name that is none",
      Request.get("/v2/<name>/tags/list", { name: "A" }),
      "InvalidReference",
      /"A" is not the name/
    ],
    [
      "a name that leads elsewhere",
      Request.get("/v2/<name>/x", { name: "../../b" }),
      "InvalidReference",
      /not the name/
    ],
    [
      "a tag that is none",
      Request.get("/v2/a/manifests/<reference>", { reference: "a b" }),
      "InvalidReference",
      /not a tag or a digest/
    ],
    [
      "a digest that is none",
      Request.get("/v2/a/blobs/<digest>", { digest: "latest" }),
      "InvalidReference",
      /not a digest/
    ],
    [
      "a session without an id",
      Request.get("/v2/a/blobs/uploads/<session_id>", { session_id: "" }),
      "InvalidReference",
      /id of an upload/
    ],
    [
      "a session that is a parent",
      Request.get("/v2/a/blobs/uploads/<session_id>", { session_id: ".." }),
      "InvalidReference",
      /id of an upload/
    ],
    [
      "a placeholder that there is not",
      Request.get("/v2/<repo>/x" as string),
      "InvalidUrl",
      /<repo>/
    ],
    ["white space", Request.get("/v2/a b"), "InvalidUrl", /white space/],
    ["a line break", Request.get("/v2/a\r\nx: y"), "InvalidUrl", /white space/],
    ["an empty segment", Request.get("/v2///x"), "InvalidUrl", /empty segment/],
    ["a segment that leads up", Request.get("/v2/a/../b"), "InvalidUrl", /segment "\.\."/],
    ["one that is escaped", Request.get("/v2/a/%2E./b"), "InvalidUrl", /segment "%2E\."/],
    [
      "a query that is not Unicode",
      Request.get("/x").pipe(Request.setQuery("a", "\ud800")),
      "InvalidUrl",
      /not valid Unicode/
    ],
    [
      "a header that no request can carry",
      Request.get("/v2/").pipe(Request.setHeader("x", "a\nb")),
      "InvalidUrl",
      /header x/
    ],
    [
      "a length that is not that of the body",
      Request.put("/x").pipe(Request.setBody("abc"), Request.setHeader("Content-Length", "4")),
      "InvalidUrl",
      /content-length/
    ]
  ] as ReadonlyArray<readonly [string, Request.Request, string, RegExp]>)(
    "that has %s is refused, and nothing is sent",
    ([, request, tag, message]) =>
      Effect.gen(function* () {
        const { client, log } = yield* world(ok)
        const error = yield* Effect.flip(client.execute(request))
        expect(error._tag).toBe(tag)
        expect(error.message).toMatch(message)
        expect(log).toEqual([])
      })
  )

  it.scoped("of another repository than the default one, for as long as it is asked", () =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(ok, { defaultName: "default/name" })
      yield* client.withDefaultName("other").execute(Request.get("/v2/<name>/tags/list"))
      yield* client.execute(Request.get("/v2/<name>/tags/list"))
      expect(seen.map(({ line }) => line)).toEqual([
        "GET /v2/other/tags/list",
        "GET /v2/default/name/tags/list"
      ])
    })
  )
})

describe("what is sent", () => {
  it.scoped(
    "has no header but what was set, and those of every request (distribution-spec#396)",
    () =>
      Effect.gen(function* () {
        const { client, seen } = yield* world(ok)
        yield* client.execute(Request.get("/v2/a/manifests/b"))
        yield* client.execute(
          Request.get("/v2/a/manifests/b").pipe(
            Request.setHeader("aCCept", "x/y"),
            Request.setHeaders({ "X-A": "1" })
          )
        )
        expect(seen.map(headersOf)).toEqual([
          ["accept-encoding", "user-agent"],
          ["accept", "accept-encoding", "user-agent", "x-a"]
        ])
      })
  )

  it.scoped.each([
    ["bytes", utf8("abc"), "application/octet-stream"],
    ["a text", "abc", "text/plain"],
    ["a stream", HttpBody.stream(Stream.make(utf8("abc")), "x/y", 3), "x/y"]
  ] as const)("has its body, of %s, and its type", ([, body, type]) =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(ok)
      const request = Request.put("/x").pipe(Request.setBody(body))
      yield* client.execute(request)
      yield* client.execute(
        request.pipe(Request.setHeaders({ "Content-Type": "a/b", "Content-Length": "3" }))
      )
      expect(
        seen.map(({ body, headers }) => [body, headers["content-type"], headers["content-length"]])
      ).toEqual([
        ["abc", type, "3"],
        ["abc", "a/b", "3"]
      ])
    })
  )

  it.scoped("is adjusted each time it is sent, its authenticated replay included (RG16)", () =>
    Effect.gen(function* () {
      let count = 0
      const visible: Array<string | undefined> = []
      const { client, log, seen } = yield* world(guarded(ok))
      yield* client.execute(
        Request.put("/v2/<name>/manifests/<reference>", { name: "a", reference: "b" }).pipe(
          Request.setBody("{}"),
          Request.mapHttp((request) => {
            visible.push(request.headers["authorization"])
            return HttpClientRequest.setHeader(request, "x-attempt", String(++count))
          })
        )
      )
      expect(log).toEqual([
        "PUT http://registry.test/v2/a/manifests/b -",
        `PUT http://registry.test/v2/a/manifests/b ${basic}`
      ])
      expect(seen.map(({ body, headers }) => [body, headers["x-attempt"]])).toEqual([
        ["{}", "1"],
        ["{}", "2"]
      ])
      expect(visible).toEqual([undefined, undefined])
      // What the replay has beside what the first one had.
      expect(
        headersOf(seen[1] as Seen).filter((name) => !(name in (seen[0] as Seen).headers))
      ).toEqual(["authorization"])
    })
  )
})

describe("a request that is sent elsewhere by mapHttp", () => {
  it.scoped("has no credentials and no headers of the application there", () =>
    Effect.gen(function* () {
      const { client, log, seen } = yield* world(guarded(ok), { headers: { "x-tenant": "blue" } })
      yield* client.execute(Request.get("/x"))
      log.length = 0
      seen.length = 0
      const elsewhere = Request.get("/x").pipe(
        Request.mapHttp(HttpClientRequest.setUrl(`${uploads}/y`))
      )
      expect((yield* client.execute(elsewhere)).status).toBe(204)
      expect(log).toEqual([`GET ${uploads}/y -`])
      expect(seen[0]?.headers).not.toHaveProperty("x-tenant")
    })
  )
})

describe("a stream as the body", () => {
  const put = (stream: Stream.Stream<Uint8Array, unknown>, length?: number) =>
    Request.put("/x").pipe(Request.setBody(HttpBody.stream(stream, "a/b", length)))

  it.scoped("is run again for the authenticated replay", () =>
    Effect.gen(function* () {
      const { client, seen } = yield* world(guarded(ok))
      yield* client.execute(put(Stream.make(utf8("ab"), utf8("c"))))
      expect(seen.map(({ body }) => body)).toEqual(["abc", "abc"])
    })
  )

  it.scoped.each([
    ["nothing", "abc", ""],
    ["its rest", "abcdef", "def"],
    ["other bytes", "abc", "abd"],
    ["other bytes in other pieces", "abc", "xbcd"]
  ] as const)("that has %s the second time is not replayable (HK)", ([, first, second]) =>
    Effect.gen(function* () {
      let runs = 0
      const { client, seen } = yield* world(guarded(ok))
      const error = yield* Effect.flip(
        client.execute(
          put(
            Stream.suspend(() =>
              Stream.fromIterable([...(runs++ === 0 ? first : second)].map(utf8))
            )
          )
        )
      )
      expect(error).toMatchObject({ _tag: "BodyNotReplayable" })
      // The replay broke off: the registry never had all of a body that nobody wrote.
      expect(seen.map(({ authorization }) => authorization)).toEqual([undefined])
      expect(runs).toBe(2)
    })
  )

  it.scoped("goes out once where the challenge was answered before", () =>
    Effect.gen(function* () {
      let runs = 0
      const { client, seen } = yield* world(guarded(ok))
      yield* client.execute(Request.post("/x"))
      seen.length = 0
      const response = yield* client.execute(
        put(Stream.suspend(() => (runs++ === 0 ? Stream.make(utf8("abc")) : Stream.empty)))
      )
      expect(response.status).toBe(200)
      expect(seen.map(({ body }) => body)).toEqual(["abc"])
    })
  )

  it.scoped("is not tried again for a failure of its own", () =>
    Effect.gen(function* () {
      let runs = 0
      const { client } = yield* world(ok)
      const error = yield* Effect.flip(
        client.execute(
          put(
            Stream.suspend(() => {
              runs++
              return Stream.fail(new Error("the disk is gone"))
            })
          ).pipe(Request.setRetry(true))
        )
      )
      expect(error).toMatchObject({ _tag: "TransportFailure" })
      expect(runs).toBe(1)
    })
  )
})

/** Sockets, nobody in particular, and a cache of its own. */
const live = Layer.mergeAll(
  NodeHttp.layer({ proxy: {} }),
  Credentials.layerAnonymous,
  TokenCache.layerMemory
)

describe("a body that a runtime reads once", () => {
  const readables: ReadonlyArray<readonly [string, () => unknown]> = [
    ["a stream of Node", () => Readable.from(["ab", "c"])],
    ["a stream of the web", () => new Blob(["abc"]).stream()]
  ]
  const put = (body: unknown) => Request.put("/x").pipe(Request.setBody(HttpBody.raw(body)))

  it.scopedLive.each(readables)("is sent as it is: %s", ([, make]) =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { url } = yield* origin(ok, (request) => seen.push(request))
      const endpoint = yield* RegistryClient.endpoint({ url })
      const body = make()
      const send = Effect.provide(RegistryClient.execute(endpoint, put(body)), live)
      expect((yield* send).status).toBe(200)
      expect(yield* Effect.flip(send)).toMatchObject({ _tag: "BodyNotReplayable" })
      expect(seen.map(({ body }) => body)).toEqual(["abc"])
    })
  )

  it.scopedLive.each(readables)("is not sent empty after a challenge: %s", ([, make]) =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { url } = yield* origin(guarded(ok), (request) => seen.push(request))
      const endpoint = yield* RegistryClient.endpoint({ url })
      const login = Layer.merge(live, alice(url))
      const ofRequest = Effect.provide(RegistryClient.execute(endpoint, put(make())), login)
      expect(yield* Effect.flip(ofRequest)).toMatchObject({ _tag: "BodyNotReplayable" })
      const operation = Operation.PutManifest({
        repository: Reference.unsafeParseRepositoryName("a"),
        reference: Reference.unsafeParseTag("v1"),
        mediaType: MediaType.imageManifest
      })
      const ofOperation = Effect.provide(
        RegistryClient.execute(endpoint, operation, { body: HttpBody.raw(make()) }),
        login
      )
      expect(yield* Effect.flip(ofOperation)).toMatchObject({ _tag: "TransportFailure" })
      // Nothing came to its end with a login.
      expect(seen.filter(({ authorization }) => authorization !== undefined)).toEqual([])
    })
  )

  it.scopedLive("is nothing else than a body that is not one of bytes", () =>
    Effect.gen(function* () {
      const { url } = yield* origin(ok)
      const endpoint = yield* RegistryClient.endpoint({ url })
      const send = RegistryClient.execute(endpoint, put(Readable.from([{ a: 1 }])))
      const error = yield* Effect.flip(Effect.provide(send, live))
      expect(error).toMatchObject({ _tag: "TransportFailure" })
    })
  )
})

describe("a form as the body", () => {
  it.scopedLive("is sent with its boundary, and the same again after a challenge", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { url } = yield* origin(guarded(ok), (request) => seen.push(request))
      const endpoint = yield* RegistryClient.endpoint({ url })
      const form = new FormData()
      form.append("name", "value")
      form.append("file", new Blob(["content"]), "file.txt")
      const request = Request.post("/x").pipe(Request.setBody(HttpBody.formData(form)))
      const send = RegistryClient.execute(endpoint, request)
      expect((yield* Effect.provide(send, Layer.merge(live, alice(url)))).status).toBe(200)
      const [first, second] = seen
      expect(second?.body).toBe(first?.body)
      const type = second?.headers["content-type"] ?? ""
      const sent = new globalThis.Response(second?.body, { headers: { "content-type": type } })
      const fields = yield* Effect.promise(() => sent.formData())
      expect([...fields.keys()]).toEqual(["name", "file"])
      expect(second?.headers["content-length"]).toBe(String(second?.bytes.length))
    })
  )
})

describe("a stream as the body, on sockets", () => {
  const size = 1024 * 1024

  const sent = (stream: () => Stream.Stream<Uint8Array>, length?: number) =>
    Effect.gen(function* () {
      const lengths: Array<number> = []
      const { url } = yield* origin(
        guarded(({ bytes }) => {
          lengths.push(bytes.length)
          return { status: 201 }
        })
      )
      const exit = yield* Effect.flatMap(RegistryClient.RegistryClient, ({ execute }) =>
        execute(
          Request.put("/x").pipe(
            Request.setBody(HttpBody.stream(Stream.suspend(stream), "a/b", length))
          )
        )
      ).pipe(
        Effect.either,
        Effect.provide(NodeRegistry.layer({ url, retry: { attempts: 0 } })),
        Effect.provide(alice(url))
      )
      return { exit, lengths }
    })

  it.scopedLive.each([size, undefined])("is sent again whole, of the length %s", (length) =>
    Effect.gen(function* () {
      const { exit, lengths } = yield* sent(() => generated(size), length)
      expect(exit).toMatchObject({ _tag: "Right", right: { status: 201 } })
      expect(lengths).toEqual([size])
    })
  )

  it.scopedLive.each([size, undefined])(
    "that can be read once never comes to its end the second time, of the length %s",
    (length) =>
      Effect.gen(function* () {
        let runs = 0
        const { exit, lengths } = yield* sent(
          () => (runs++ === 0 ? generated(size) : Stream.make(utf8("its rest"))),
          length
        )
        expect(exit).toMatchObject({ _tag: "Left", left: { _tag: "BodyNotReplayable" } })
        expect(lengths).toEqual([])
      })
  )
})

describe("a response", () => {
  it.scoped("is returned whatever its status, and says what went wrong", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ errors: [{ code: "NAME_UNKNOWN", detail: { a: 1 } }] })
      const { client } = yield* world(() => ({ status: 404, body }))
      const response = yield* client.execute(Request.get("/v2/a/tags/list"))
      expect(response.status).toBe(404)
      expect(yield* Response.errorBody(response)).toMatchObject({
        errors: [{ code: "NAME_UNKNOWN", detail: { a: 1 } }]
      })
    })
  )

  it.scopedLive(
    "of a temporary failure is asked for again, if it may be, and returned at last",
    () =>
      Effect.gen(function* () {
        const { client, log } = yield* world(() => ({ status: 503 }))
        expect((yield* client.execute(Request.get("/x"))).status).toBe(503)
        expect(log).toHaveLength(3)
        log.length = 0
        expect((yield* client.execute(Request.post("/x"))).status).toBe(503)
        expect(log).toHaveLength(1)
        log.length = 0
        expect(
          (yield* client.execute(Request.post("/x").pipe(Request.setRetry(true)))).status
        ).toBe(503)
        expect(log).toHaveLength(3)
        log.length = 0
        expect(
          (yield* client.execute(Request.get("/x").pipe(Request.setRetry(false)))).status
        ).toBe(503)
        expect(log).toHaveLength(1)
      })
  )

  it.scopedLive("that is lost is asked for again, and is an error at last", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(inOrder(["cut", { status: 200 }]))
      expect((yield* client.execute(Request.head("/x"))).status).toBe(200)
      expect(yield* Effect.flip(client.execute(Request.head("/x")))).toMatchObject({
        _tag: "TransportFailure"
      })
      expect(log).toHaveLength(5)
    })
  )

  it.scoped("has a location, a digest, a range and links", () =>
    Effect.gen(function* () {
      const { client } = yield* world(() => ({
        status: 202,
        headers: {
          location: "/v2/a/blobs/uploads/1?state=%2f'x",
          "docker-content-digest": digest,
          range: "0-41",
          "content-range": "bytes 1-2/3",
          link: '</v2/a/tags/list?last=x>; rel="next"'
        }
      }))
      const response = yield* client.execute(Request.post("/v2/a/blobs/uploads/"))
      expect(Response.location(response)).toEqual(
        Option.some({
          received: "/v2/a/blobs/uploads/1?state=%2f'x",
          relative: "/v2/a/blobs/uploads/1?state=%2f'x",
          absolute: `${registry}/v2/a/blobs/uploads/1?state=%2f'x`
        })
      )
      expect(Response.digest(response)).toEqual(Option.some(digest))
      expect(Response.range(response)).toEqual(Option.some({ start: 0, end: 41 }))
      expect(Response.contentRange(response)).toEqual(
        Option.some({ start: 1, end: 2, total: Option.some(3) })
      )
      expect(Response.links(response)).toMatchObject([{ target: "/v2/a/tags/list?last=x" }])
    })
  )

  it.scoped("that says nothing has none of them", () =>
    Effect.gen(function* () {
      const { client } = yield* world(ok)
      const response = yield* client.execute(Request.get("/x"))
      expect([
        Response.location(response),
        Response.digest(response),
        Response.range(response),
        Response.contentRange(response),
        Response.links(response)
      ]).toEqual([Option.none(), Option.none(), Option.none(), Option.none(), []])
    })
  )
})

describe("where a response leads", () => {
  const opened =
    (location: string): Handler =>
    ({ line }) =>
      line.startsWith("POST") ? { status: 202, headers: { location } } : { status: 202 }
  const open = Request.post("/v2/<name>/blobs/uploads/", { name: "a" })

  it.scoped("is followed with the query that was received, and what is added to it (trap 7)", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(guarded(opened("/u/1?state=%2f'+x")))
      const response = yield* client.execute(open)
      log.length = 0
      yield* client.execute(
        Request.to(response, "PUT").pipe(Request.setQuery("digest", digest), Request.setBody("x"))
      )
      expect(log).toEqual([
        `PUT http://registry.test/u/1?state=%2f'+x&digest=${encodeURIComponent(digest)} ${basic}`
      ])
    })
  )

  it.scoped(
    "is not another origin, unless the application allows it, and has no credentials there",
    () =>
      Effect.gen(function* () {
        const refusing = yield* world(guarded(opened(`${uploads}/u`)))
        const response = yield* refusing.client.execute(open)
        refusing.log.length = 0
        expect(yield* Effect.flip(refusing.client.execute(Request.to(response)))).toMatchObject({
          _tag: "UntrustedLocation",
          kind: "Upload",
          host: "uploads.test"
        })
        expect(refusing.log).toEqual([])

        const allowing = yield* world(guarded(opened(`${uploads}/u`)), {
          headers: { "x-tenant": "blue" },
          trust: { allowUploads: ["uploads.test"] }
        })
        const allowed = yield* allowing.client.execute(open)
        allowing.log.length = 0
        allowing.seen.length = 0
        yield* allowing.client.execute(Request.to(allowed, "PATCH").pipe(Request.setBody("x")))
        expect(allowing.log).toEqual(["PATCH http://uploads.test/u -"])
        expect(allowing.seen[0]?.headers).not.toHaveProperty("x-tenant")
      })
  )

  it.scoped("is an error where it does not say, and nothing is sent", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(ok)
      const response = yield* client.execute(Request.get("/x"))
      log.length = 0
      expect(yield* Effect.flip(client.execute(Request.to(response)))).toMatchObject({
        _tag: "ProtocolViolation"
      })
      expect(log).toEqual([])
    })
  )
})

describe("the scopes of a request", () => {
  const tokens = "http://registry.test/token"
  const challenge = (scope?: string) =>
    `Bearer realm="${tokens}",service="s"${scope === undefined ? "" : `,scope="${scope}"`}`

  /** A registry that wants tokens, and the scopes that were asked for. */
  const asked = Effect.fnUntraced(function* (
    request: Request.Request,
    scopes?: ReadonlyArray<string>,
    scope?: string,
    options: Partial<RegistryClient.LayerOptions> = {}
  ) {
    const { client, seen } = yield* world(
      ({ authorization, line }) =>
        line.startsWith("GET /token")
          ? { status: 200, body: JSON.stringify({ token: "t" }) }
          : authorization === "Bearer t"
            ? { status: 200 }
            : { status: 401, headers: { "www-authenticate": challenge(scope) } },
      options
    )
    expect((yield* client.execute(request, { scopes })).status).toBe(200)
    return seen
      .filter(({ url }) => url.pathname === "/token")
      .flatMap(({ url }) => url.searchParams.getAll("scope"))
  })

  it.scoped.each([
    ["a pull", Request.get("/v2/a/manifests/b"), ["repository:a:pull"]],
    ["a push", Request.put("/v2/a/manifests/b"), ["repository:a:pull,push"]],
    ["a deletion", Request.del(`/v2/a/blobs/${digest}`), ["repository:a:delete,pull"]],
    ["an upload", Request.post("/v2/a/blobs/uploads/"), ["repository:a:pull,push"]],
    ["the catalog", Request.get("/v2/_catalog"), ["registry:catalog:*"]],
    ["another path", Request.get("/api/x"), []]
  ] as const)("are those of %s", ([, request, scopes]) =>
    Effect.gen(function* () {
      expect(yield* asked(request)).toEqual(scopes)
    })
  )

  it.scoped("are those that are said, or the registry asks for, or the client's own", () =>
    Effect.gen(function* () {
      expect(yield* asked(Request.get("/api/x"), ["project:a:read"])).toEqual(["project:a:read"])
      expect(yield* asked(Request.get("/api/x"), undefined, "project:b:read")).toEqual([
        "project:b:read"
      ])
      expect(
        yield* asked(Request.get("/v2/a/manifests/b"), undefined, undefined, {
          authScope: "repository:x:*"
        })
      ).toEqual(["repository:x:*"])
    })
  )
})

describe("what a registry asks for", () => {
  it.scoped("is asked for by one request and not by another", () =>
    Effect.gen(function* () {
      const granted: Array<string> = []
      const { client, seen } = yield* world(({ authorization, line, url }) => {
        if (url.pathname === "/token") {
          const scopes = url.searchParams.getAll("scope").join(" ")
          granted.push(scopes)
          return { status: 200, body: JSON.stringify({ token: scopes.replaceAll(/\W/g, ".") }) }
        }
        const scope = `project:${line.replaceAll(/\W/g, ".")}:x`
        return authorization === `Bearer ${scope.replaceAll(/\W/g, ".")}`
          ? { status: 200 }
          : {
              status: 401,
              headers: {
                "www-authenticate": `Bearer realm="${registry}/token",service="s",scope="${scope}"`
              }
            }
      })
      for (const request of [Request.get("/api/x"), Request.post("/api/x"), Request.get("/api/y")])
        expect((yield* client.execute(request)).status).toBe(200)
      expect(granted).toEqual([
        "project:GET..api.x:x",
        "project:POST..api.x:x",
        "project:GET..api.y:x"
      ])
      seen.length = 0
      // Known by now: nothing is asked again.
      yield* client.execute(Request.get("/api/x"))
      expect(seen.map(({ line }) => line)).toEqual(["GET /api/x"])
    })
  )
})

describe("execute", () => {
  it.scoped("sends a request to an endpoint, with the services of the caller", () =>
    Effect.gen(function* () {
      const { client, log } = internet({ [registry]: guarded(ok) })
      const endpoint = yield* RegistryClient.endpoint({ url: registry })
      const response = yield* RegistryClient.execute(
        endpoint,
        Request.get("/v2/<name>/tags/list"),
        { defaultName: "a" }
      ).pipe(
        Effect.provide([
          Layer.succeed(HttpClient.HttpClient, client),
          Credentials.layerAnonymous,
          TokenCache.layerMemory
        ]),
        Effect.flip
      )
      expect(response).toMatchObject({ _tag: "Unauthorized" })
      expect(log).toEqual(["GET http://registry.test/v2/a/tags/list -"])
    })
  )
})
