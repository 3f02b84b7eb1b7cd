/** This library's client with each kind of credential, and everything that the server is asked. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { utf8 } from "../support/fixtures.js"

const users = { alice: Redacted.make("open:sesame"), bob: Redacted.make("builder") }

const rules: ReadonlyArray<ServerAuthorization.Rule> = [
  { who: "anyone", repositories: "public/*", actions: ["pull"] },
  { who: ["alice"], repositories: "**", actions: ["pull", "push", "delete"] },
  { who: ["bob"], repositories: "team/*", actions: ["pull"] }
]

const host = "registry.test"

const server = (authorization: RegistryServer.Options["authorization"]) =>
  RegistryServer.layerTest({ authorization }).pipe(Layer.provideMerge(MemoryRegistry.layer()))

const withBasic = server(ServerAuthorization.basic({ users, rules }))
const withTokens = server(ServerAuthorization.token({ users, rules }))

/** A refresh token, as `docker login` gets one. */
const refreshToken = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  const form = {
    grant_type: "password",
    username: "bob",
    password: "builder",
    client_id: "test",
    access_type: "offline"
  }
  const text = new URLSearchParams(form).toString()
  const response = yield* http.post(`http://${host}/token`, {
    body: HttpBody.text(text, "application/x-www-form-urlencoded")
  })
  return Credentials.identityToken(Redacted.make(JSON.parse(yield* response.text).refresh_token))
})

/** What is left of a program: its answer, or the tag of its error. */
const outcome = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: ({ _tag }) => _tag, onSuccess: (value) => value })

/** What may be done with a credential, and what the server was asked for it. */
const attempts = Effect.fnUntraced(function* (credential: Credentials.Credential) {
  const { requests } = yield* RegistryServer.RegistryServer
  const stored = yield* Registry
  const open = yield* parseRepositoryName("public/a")
  const closed = yield* parseRepositoryName("team/a")
  const { digest } = yield* stored.putBlob(open, BlobSource.fromBytes(utf8("b1")))
  yield* stored.putBlob(closed, BlobSource.fromBytes(utf8("b1")))
  const before = (yield* requests).length
  const done = yield* Effect.gen(function* () {
    const registry = yield* Registry
    const read = (repository: typeof open) =>
      outcome(Stream.mkString(Stream.decodeText(registry.getBlob(repository, digest))))
    return {
      open: yield* read(open),
      closed: yield* read(closed),
      list: yield* outcome(
        Effect.map(Stream.runCollect(registry.repositories()), (all) => [...all])
      ),
      push: yield* outcome(
        Effect.as(registry.putBlob(closed, BlobSource.fromBytes(utf8("b2"))), "pushed")
      ),
      remove: yield* outcome(Effect.as(registry.deleteBlob(closed, digest), "removed"))
    }
  }).pipe(
    Effect.provide(
      RegistryClient.layer({ url: `http://${host}` }).pipe(
        Layer.provide([TokenCache.layerMemory, Credentials.layer({ [host]: credential })])
      )
    )
  )
  const wire = (yield* requests).slice(before).map(({ headers, method, status, url }) => {
    const header = headers["authorization"]
    const text = Redacted.isRedacted(header) ? Redacted.value(header) : `${header ?? "nothing"}`
    const [scheme = ""] = `${text}`.split(" ")
    const path = url.replace(/sha256:\w+/g, "b").replace(/uploads\/.+/, "uploads/s")
    return `${method} ${decodeURIComponent(path)} ${scheme} ${status}`
  })
  return { done, wire }
})

const alice = Credentials.basic("alice", users.alice)
const bob = Credentials.basic("bob", users.bob)
const wrong = Credentials.basic("alice", Redacted.make("wrong"))

const everything = {
  open: "b1",
  closed: "b1",
  list: ["public/a", "team/a"],
  push: "pushed",
  remove: "removed"
}

describe("with passwords", () => {
  it.scoped.each([
    ["a user who may do everything", alice, everything],
    ["a user who may pull", bob, { ...everything, push: "Denied", remove: "Denied" }],
    [
      "nobody",
      Credentials.anonymous,
      {
        open: "b1",
        closed: "Unauthorized",
        list: "Unauthorized",
        push: "Unauthorized",
        remove: "Unauthorized"
      }
    ],
    [
      "a wrong password, which is not sent where nobody asks for one",
      wrong,
      {
        open: "b1",
        closed: "Unauthorized",
        list: "Unauthorized",
        push: "Unauthorized",
        remove: "Unauthorized"
      }
    ]
  ] as const)("%s", ([, credential, expected]) =>
    Effect.gen(function* () {
      const { done } = yield* attempts(credential)
      expect(done).toEqual(expected)
    }).pipe(Effect.provide(withBasic))
  )
})

describe("with tokens", () => {
  it.scoped("a user who may do everything asks for a token for each need", () =>
    Effect.gen(function* () {
      const { done, wire } = yield* attempts(alice)
      expect(done).toEqual(everything)
      // The password goes to the token endpoint alone, and one request is refused to begin with.
      expect(
        wire.map((line) => line.replace(/\?.*&scope=/, " ").replace(/\?digest=b/, ""))
      ).toEqual([
        "GET /v2/public/a/blobs/b nothing 401",
        "GET /token repository:public/a:pull Basic 200",
        "GET /v2/public/a/blobs/b Bearer 200",
        "GET /token repository:team/a:pull Basic 200",
        "GET /v2/team/a/blobs/b Bearer 200",
        "GET /token registry:catalog:* Basic 200",
        "GET /v2/_catalog Bearer 200",
        "HEAD /v2/team/a/blobs/b Bearer 404",
        "GET /token repository:team/a:pull,push Basic 200",
        "POST /v2/team/a/blobs/uploads/s Bearer 201",
        "GET /token repository:team/a:delete,pull Basic 200",
        "DELETE /v2/team/a/blobs/b Bearer 202"
      ])
    }).pipe(Effect.provide(withTokens))
  )

  it.scoped("a user who may pull is refused with what the token lacks", () =>
    Effect.gen(function* () {
      const { done } = yield* attempts(bob)
      expect(done).toEqual({ ...everything, push: "Unauthorized", remove: "Unauthorized" })
    }).pipe(Effect.provide(withTokens))
  )

  it.scoped("an identity token is sent to the token endpoint alone", () =>
    Effect.gen(function* () {
      const { done, wire } = yield* attempts(yield* refreshToken)
      expect(done).toMatchObject({ open: "b1", closed: "b1", list: ["public/a", "team/a"] })
      const asked = /^POST \/token nothing 200$|^\w+ \/v2\/\S+ (Bearer|nothing) \d+$/
      expect(wire.filter((line) => !asked.test(line))).toEqual([])
      expect(wire.filter((line) => line.startsWith("POST /token")).length).toBeGreaterThan(2)
    }).pipe(Effect.provide(withTokens))
  )

  it.scoped("nobody gets tokens without a login, for what anyone may do", () =>
    Effect.gen(function* () {
      const { done, wire } = yield* attempts(Credentials.anonymous)
      expect(done).toEqual({
        open: "b1",
        closed: "Unauthorized",
        list: "Unauthorized",
        push: "Unauthorized",
        remove: "Unauthorized"
      })
      const tokens = wire.filter((line) => line.includes("/token"))
      expect(tokens.length).toBeGreaterThan(0)
      expect(tokens.filter((line) => !line.endsWith(" nothing 200"))).toEqual([])
    }).pipe(Effect.provide(withTokens))
  )

  it.scoped("a wrong password gets no token", () =>
    Effect.gen(function* () {
      const { done, wire } = yield* attempts(wrong)
      expect(new Set(Object.values(done))).toEqual(new Set(["Unauthorized"]))
      expect(wire.some((line) => line.includes("Bearer"))).toBe(false)
    }).pipe(Effect.provide(withTokens))
  )
})
