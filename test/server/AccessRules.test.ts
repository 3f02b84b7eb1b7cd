/** Who may do what by rules, on the wire: by Basic and by tokens alike. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Registry } from "../../src/Registry.js"
import * as AccessRules from "../../src/server/internal/AccessRules.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Send, type Sent, sender, sha256 } from "./wire.js"

const password = Redacted.make("p")
const users = { alice: password, bob: password, carol: password }

const rules: ReadonlyArray<ServerAuthorization.Rule> = [
  { who: "anyone", repositories: "public/**", actions: ["pull"] },
  { who: "users", repositories: ["shared", "home/{user}/**"], actions: ["pull", "push"] },
  { who: ["alice"], repositories: "**", actions: ["pull", "push", "delete"] },
  { who: ["bob"], repositories: "team/*", actions: ["pull", "push"] },
  { who: ["bob"], repositories: "team/old", actions: ["delete"] }
]

describe("patterns", () => {
  const matches = (pattern: string, name: string, user?: string) =>
    AccessRules.make({
      rules: [{ who: "anyone", repositories: pattern, actions: ["pull"] }]
    }).allows(user, name, "pull")

  it.each([
    ["a", ["a"], ["b", "a/b", "aa", ""]],
    ["*", ["a", "a-b"], ["a/b"]],
    ["**", ["a", "a/b", "a/b/c"], []],
    ["team/*", ["team/a"], ["team", "team/a/b", "teams/a", "my/team/a"]],
    ["team/**", ["team/a", "team/a/b"], ["team", "teams/a"]],
    ["**/app", ["a/app", "a/b/app"], ["app", "a/happ"]],
    ["a*b", ["ab", "axb", "abab"], ["a/b", "abx"]],
    ["*-*/x", ["a-b/x", "-/x"], ["ab/x", "a/b-c/x"]],
    ["a.c", ["a.c"], ["abc"]],
    ["(a|b)+", [], ["a", "b", "ab"]]
  ] as const)("%s", (pattern, matched, others) => {
    expect(matched.filter((name) => !matches(pattern, name))).toEqual([])
    expect(others.filter((name) => matches(pattern, name))).toEqual([])
  })

  it("have the name of a user as it is, and nobody's nowhere", () => {
    expect(matches("home/{user}/**", "home/alice/a", "alice")).toBe(true)
    expect(matches("home/{user}/**", "home/alice/a", "bob")).toBe(false)
    expect(matches("home/{user}/**", "home/alice/a", "*")).toBe(false)
    expect(matches("home/{user}/**", "home/alice/a", "**")).toBe(false)
    expect(matches("home/{user}/**", "home/alice/a")).toBe(false)
    expect(matches("home/{user}/**", "home//a")).toBe(false)
  })

  it("take no time that grows with the number of their stars", () => {
    expect(matches(`${"*a".repeat(60)}b`, "a".repeat(255))).toBe(false)
    expect(matches(`${"**a".repeat(60)}b`, "a".repeat(255))).toBe(false)
    const { grant } = AccessRules.make({
      rules: [{ who: "anyone", repositories: "**a**a**a**", actions: ["pull"] }]
    })
    expect(grant(undefined, [`repository:${"a".repeat(60_000)}:pull`])).toEqual([])
  })
})

/** What requests need of one who sends them, by each kind of authorization. */
interface Kind {
  readonly authorization: Effect.Effect<ServerAuthorization.ServerAuthorization>
  /** The headers with which a user, or nobody, may do all of these scopes that the rules allow. */
  readonly headers: (
    send: Send,
    user: string | undefined,
    scopes: ReadonlyArray<string>
  ) => Effect.Effect<Record<string, string>>
  /** What is said to a user who may not. */
  readonly refused: readonly [status: number, code: string]
}

const basicOf = (user: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:p`).toString("base64")}`
})

const withBasic: Kind = {
  authorization: Effect.succeed(ServerAuthorization.basic({ users, rules })),
  headers: (_send, user) => Effect.succeed(user === undefined ? {} : basicOf(user)),
  refused: [403, "DENIED"]
}

const withTokens: Kind = {
  authorization: ServerAuthorization.token({ users, rules }),
  headers: (send, user, scopes) =>
    Effect.map(
      send("GET", `/token?${scopes.map((scope) => `scope=${scope}`).join("&")}`, {
        headers: user === undefined ? {} : basicOf(user)
      }),
      ({ body }) => ({ authorization: `Bearer ${JSON.parse(body).token}` })
    ),
  refused: [401, "UNAUTHORIZED"]
}

const blob = "some content"
const digest = sha256(blob)

const world = Effect.fnUntraced(function* (kind: Kind) {
  const handler = yield* webHandler({ authorization: yield* kind.authorization })
  const send = sender(handler)
  const as = (
    user: string | undefined,
    method: string,
    path: string,
    scopes: ReadonlyArray<string>,
    sent: Sent = {}
  ) =>
    Effect.flatMap(kind.headers(send, user, scopes), (headers) =>
      send(method, path, { ...sent, headers: { ...sent.headers, ...headers } })
    )
  /** Alice puts the blob into a repository. */
  const put = (repository: string) =>
    as(
      "alice",
      "POST",
      `/v2/${repository}/blobs/uploads/?digest=${digest}`,
      [`repository:${repository}:pull,push`],
      { body: blob, headers: { "content-length": String(blob.length) } }
    )
  return { as, put, send }
})

for (const [name, kind] of Object.entries({ basic: withBasic, tokens: withTokens })) {
  const scoped = <E>(title: string, test: Effect.Effect<void, E, Registry | Scope.Scope>) =>
    it.scoped(title, () => Effect.provide(test, MemoryRegistry.layer()))

  describe(`with ${name}`, () => {
    it.scoped.each([
      [undefined, "public/a", "pull"],
      ["carol", "public/a", "pull"],
      ["carol", "shared", "pull push"],
      ["carol", "home/carol/a", "pull push"],
      ["carol", "home/alice/a", ""],
      ["carol", "team/a", ""],
      [undefined, "shared", ""],
      ["bob", "team/a", "pull push"],
      ["bob", "team/old", "pull push delete"],
      ["bob", "team/a/b", ""],
      ["alice", "any/thing", "pull push delete"]
    ] as const)("%s in %s: %s", ([user, repository, allowed]) =>
      Effect.gen(function* () {
        const { as, put } = yield* world(kind)
        expect((yield* put(repository)).status).toBe(201)
        const may = Effect.fnUntraced(function* (
          method: string,
          path: string,
          scope: string,
          sent?: Sent
        ) {
          const scopes = [`repository:${repository}:${scope}`]
          const answer = yield* as(user, method, `/v2/${repository}/${path}`, scopes, sent)
          if (answer.status < 400) return true
          const [status, code] = user === undefined ? [401, "UNAUTHORIZED"] : kind.refused
          expect([answer.status, JSON.parse(answer.body).errors[0].code]).toEqual([status, code])
          expect(answer.headers["www-authenticate"] !== undefined).toBe(status === 401)
          if (user !== undefined) expect(answer.body).toContain(`repository:${repository}:`)
          return false
        })
        const found: Array<string> = []
        if (yield* may("GET", `blobs/${digest}`, "pull")) found.push("pull")
        expect(yield* may("GET", "tags/list", "pull")).toBe(found.includes("pull"))
        if (yield* may("POST", "blobs/uploads/", "pull,push")) found.push("push")
        if (yield* may("DELETE", `blobs/${digest}`, "pull,delete")) found.push("delete")
        expect(found.join(" ")).toBe(allowed)
      }).pipe(Effect.provide(MemoryRegistry.layer()))
    )

    scoped(
      "the catalog lists what a user may pull, page by page, and nothing to nobody",
      Effect.gen(function* () {
        const { as, put } = yield* world(kind)
        const names = ["home/bob/a", "home/carol/a", "public/a", "shared", "team/a", "team/a/b"]
        yield* Effect.forEach(names, put)
        const list = (user: string | undefined, query = "") =>
          as(user, "GET", `/v2/_catalog${query}`, ["registry:catalog:*"])
        const names_ = Effect.fnUntraced(function* (user: string, query?: string) {
          const { body, headers } = yield* list(user, query)
          return [JSON.parse(body).repositories, headers["link"]]
        })
        expect(yield* names_("alice")).toEqual([names, undefined])
        expect(yield* names_("carol")).toEqual([["home/carol/a", "public/a", "shared"], undefined])
        expect(yield* names_("carol", "?n=2")).toEqual([
          ["home/carol/a", "public/a"],
          '</v2/_catalog?n=2&last=public%2Fa>; rel="next"'
        ])
        expect(yield* names_("carol", "?n=2&last=public/a")).toEqual([["shared"], undefined])
        expect((yield* list(undefined)).status).toBe(401)
      })
    )

    scoped(
      "/v2/ is always challenged, though anybody may pull something (V16)",
      Effect.gen(function* () {
        const { as, put, send } = yield* world(kind)
        yield* put("public/a")
        const { headers, status } = yield* send("GET", "/v2/")
        expect([status, headers["www-authenticate"]?.split(" ")[0]]).toEqual([
          401,
          name === "basic" ? "Basic" : "Bearer"
        ])
        const path = `/v2/public/a/blobs/${digest}`
        const pull = ["repository:public/a:pull"]
        expect((yield* as(undefined, "GET", path, pull)).body).toBe(blob)
        // A name and a password that are empty are nobody's, and no login that is wrong.
        const nobody = `Basic ${Buffer.from(":").toString("base64")}`
        const sent = { headers: { authorization: nobody } }
        expect((yield* as(undefined, "GET", path, pull, sent)).body).toBe(blob)
        expect((yield* send("GET", "/v2/", sent)).status).toBe(401)
        expect((yield* send("GET", "/token", sent)).status).toBe(name === "basic" ? 401 : 200)
      })
    )

    scoped(
      "an upload belongs to its repository and its user: another's is unknown (V17)",
      Effect.gen(function* () {
        const { as } = yield* world(kind)
        const shared = ["repository:shared:pull,push"]
        const opened = yield* as("bob", "POST", "/v2/shared/blobs/uploads/", shared)
        const location = opened.headers["location"] ?? ""
        const unknown = yield* as("bob", "GET", "/v2/shared/blobs/uploads/no-such", shared)
        expect(unknown.status).toBe(404)
        const chunk = { body: "abc", headers: { "content-range": "0-2", "content-length": "3" } }
        for (const [method, path, sent] of [
          ["GET", location, {}],
          ["PATCH", location, chunk],
          ["PUT", `${location}?digest=${sha256("abc")}`, { ...chunk, headers: {} }],
          ["DELETE", location, {}]
        ] as const) {
          expect(yield* as("carol", method, path, shared, sent)).toEqual(unknown)
          const elsewhere = path.replace("/shared/", "/home/bob/a/")
          const scopes = ["repository:home/bob/a:pull,push"]
          const { body, status } = yield* as("bob", method, elsewhere, scopes, sent)
          expect([status, body]).toEqual([404, unknown.body])
        }
        expect((yield* as("bob", "GET", location, shared)).headers["range"]).toBe("0-0")
        yield* as("bob", "PATCH", location, shared, chunk)
        const done = `${location}?digest=${sha256("abc")}`
        expect((yield* as("bob", "PUT", done, shared)).status).toBe(201)
      })
    )

    scoped(
      "a mount from where a user may not pull is as one of a blob that is not there (V18)",
      Effect.gen(function* () {
        const { as, put } = yield* world(kind)
        yield* put("secret/a")
        yield* put("public/a")
        const mount = Effect.fnUntraced(function* (user: string, digest: string, from?: string) {
          const query = `mount=${digest}${from === undefined ? "" : `&from=${from}`}`
          const scopes = ["repository:shared:pull,push", `repository:${from}:pull`]
          const answer = yield* as(user, "POST", `/v2/shared/blobs/uploads/?${query}`, scopes)
          const { location, ...headers } = answer.headers
          return { ...answer, headers }
        })
        const absent = yield* mount("bob", sha256("nothing"), "public/a")
        expect(absent.status).toBe(202)
        expect(yield* mount("bob", digest, "secret/a")).toEqual(absent)
        expect(yield* mount("bob", digest)).toEqual(absent)
        const held = ["repository:shared:pull"]
        const isThere = Effect.map(
          as("bob", "HEAD", `/v2/shared/blobs/${digest}`, held),
          ({ status }) => status
        )
        expect(yield* isThere).toBe(404)
        expect((yield* mount("bob", digest, "public/a")).status).toBe(201)
        expect(yield* isThere).toBe(200)
        expect((yield* mount("alice", digest)).status).toBe(201)
      })
    )
  })
}

describe("a mount with a token", () => {
  it.scoped("from a repository that the token is not for is an upload (V18)", () =>
    Effect.gen(function* () {
      const { as, put } = yield* world(withTokens)
      yield* put("team/a")
      const path = `/v2/team/b/blobs/uploads/?mount=${digest}&from=team/a`
      expect((yield* as("bob", "POST", path, ["repository:team/b:pull,push"])).status).toBe(202)
      const both = ["repository:team/b:pull,push", "repository:team/a:pull"]
      expect((yield* as("bob", "POST", path, both)).status).toBe(201)
    }).pipe(Effect.provide(MemoryRegistry.layer()))
  )
})
