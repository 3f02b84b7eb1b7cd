/**
 * When a client goes without a login that it has, and when it finds out that it should use one.
 * Each log has every request to every origin, over real sockets, and so shows what was not sent.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import type { Seen } from "../support/fake/Handler.js"
import { turn } from "../support/fixtures.js"
import { alice, aliceBasic, pull } from "./parties.js"
import { type Reply, tokenRequest, unauthorized, world } from "./wire.js"

const a = Effect.runSync(parseRepositoryName("a"))
const v1 = Effect.runSync(parseTag("v1"))
const list = "registry GET /v2/a/tags/list"
const someTags: Reply = [200, { name: "a", tags: ["v1"] }]
const content = new TextEncoder().encode("content")
const digest = Digest.fromBytes(content)

const tags = (registry: Registry.Service) =>
  Effect.map(Stream.runCollect(registry.tags(a)), (found) => [...found])

/** An effect with the warnings that it logs. */
const warned = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  return Effect.map(
    Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)),
    (result) => ({ result, warnings })
  )
}

describe("a login that the token server refuses", () => {
  const refusing = {
    registry: ({ authorization }: Seen, realm: string) =>
      authorization === "Bearer anyone"
        ? someTags
        : unauthorized(`Bearer realm="${realm}",service="s"`),
    tokens: ({ authorization, method }: Seen): Reply =>
      authorization === undefined && method === "GET"
        ? [200, { token: "anyone", expires_in: 300 }]
        : [401, { details: "incorrect username or password" }]
  }

  it.scopedLive("hides public content by default, and the error says from which operation", () =>
    Effect.gen(function* () {
      const { client, log, registry } = yield* world(refusing, { credential: alice })
      const error = yield* Effect.flip(tags(yield* client()))
      expect(error).toMatchObject({
        _tag: "Unauthorized",
        reason: "TokenServer",
        operation: `GET ${registry}/v2/a/tags/list`,
        challenge: { scopes: ["repository:a:pull"] }
      })
      expect(error.message).toContain(
        `gave no token for GET ${registry}/v2/a/tags/list, which needs repository:a:pull, ` +
          'with the password of "alice" from the Credentials layer: log in'
      )
      expect(log).toEqual([`${list} -`, tokenRequest(pull)])
    })
  )

  it.scoped("is left out of pulls where it may be, is named in a warning, and tried again", () =>
    Effect.gen(function* () {
      const { client, log, registry: url } = yield* world(refusing, { credential: alice })
      const registry = yield* client({ anonymousPulls: true })
      const { result, warnings } = yield* warned(Effect.all([tags(registry), tags(registry)]))
      expect(result).toEqual([["v1"], ["v1"]])
      expect(warnings).toEqual([
        `${url} refuses the login of "alice" from the Credentials layer, and content is pulled without it: log in again`
      ])
      expect(log).toEqual([
        `${list} -`,
        tokenRequest(pull),
        tokenRequest(pull, "nobody"),
        `${list} Bearer anyone`,
        `${list} Bearer anyone`
      ])
      log.length = 0
      yield* TestClock.adjust("1 minutes")
      expect((yield* warned(tags(registry))).warnings).toEqual([])
      expect(log).toEqual([tokenRequest(pull), `${list} Bearer anyone`])
    })
  )

  it.scopedLive.each([
    [
      "an identity token",
      Credentials.identityToken(Redacted.make("stale-token")),
      "the identity token of its login",
      [
        `tokens POST /token - grant_type=refresh_token&refresh_token=stale-token&service=s&client_id=effect-oci&${pull}`
      ]
    ],
    [
      "a registry token",
      Credentials.registryToken(Redacted.make("stale-token")),
      "the registry token that is configured for it",
      [`${list} Bearer stale-token`]
    ]
  ] as const)("may be %s", ([, credential, name, refused]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(refusing, { credential })
      const { result, warnings } = yield* warned(tags(yield* client({ anonymousPulls: true })))
      expect(result).toEqual(["v1"])
      expect(warnings.join()).toContain(`refuses ${name} from the Credentials layer, and`)
      expect(log).toEqual([
        `${list} -`,
        ...refused,
        tokenRequest(pull, "nobody"),
        `${list} Bearer anyone`
      ])
    })
  )

  it.scopedLive("is what the error is about, where nobody may pull", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        { ...refusing, tokens: () => [401, { details: "no" }] },
        { credential: alice }
      )
      const { result } = yield* warned(Effect.flip(tags(yield* client({ anonymousPulls: true }))))
      expect(result.message).toContain("account=REDACTED")
      expect(log).toEqual([`${list} -`, tokenRequest(pull), tokenRequest(pull, "nobody")])
    })
  )

  it.scopedLive("fails whatever is not a pull", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(refusing, { credential: alice })
      const registry = yield* client({ anonymousPulls: true })
      expect(yield* Effect.flip(registry.deleteTag(a, v1))).toMatchObject({ _tag: "Unauthorized" })
      expect(yield* Effect.flip(Stream.runDrain(registry.repositories()))).toMatchObject({
        _tag: "Unauthorized"
      })
      expect(log.filter((line) => line.startsWith("tokens") && !line.includes(aliceBasic))).toEqual(
        []
      )
    })
  )
})

describe("a login that the registry refuses", () => {
  const refusing = (realm: string) => ({
    registry: ({ authorization, url }: Seen): Reply =>
      authorization === undefined && !url.pathname.includes("/private/")
        ? someTags
        : unauthorized(realm),
    tokens: (): Reply => [500]
  })
  const b = Effect.runSync(parseRepositoryName("private/b"))

  it.scopedLive("is left out of a pull that began with it", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization, method }) =>
            authorization === undefined && method === "GET" ? someTags : unauthorized("Basic"),
          tokens: () => [500]
        },
        { credential: alice }
      )
      const registry = yield* client({ anonymousPulls: true })
      const { result } = yield* warned(
        Effect.zipRight(Effect.flip(registry.deleteTag(a, v1)), tags(registry))
      )
      expect(result).toEqual(["v1"])
      expect(log).toEqual([
        "registry DELETE /v2/a/manifests/v1 -",
        `registry DELETE /v2/a/manifests/v1 ${aliceBasic}`,
        `${list} ${aliceBasic}`,
        `${list} -`
      ])
    })
  )

  it.scopedLive("is left out of pulls as well", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(refusing("Basic"), { credential: alice })
      const registry = yield* client({ anonymousPulls: true })
      const { result, warnings } = yield* warned(
        Effect.gen(function* () {
          const hidden = yield* Effect.flip(Stream.runDrain(registry.tags(b)))
          return [hidden._tag, yield* tags(registry)] as const
        })
      )
      expect(result).toEqual(["Unauthorized", ["v1"]])
      expect(warnings.length).toBe(1)
      expect(log).toEqual([
        "registry GET /v2/private/b/tags/list -",
        `registry GET /v2/private/b/tags/list ${aliceBasic}`,
        "registry GET /v2/private/b/tags/list -",
        `${list} -`
      ])
    })
  )
})

describe("a registry that says 404 to strangers, and asks who they are at /v2/ alone", () => {
  const hiding = {
    registry: ({ authorization, url }: Seen, realm: string): Reply =>
      url.pathname === "/v2/" && authorization === undefined
        ? unauthorized(`Bearer realm="${realm}",service="s"`)
        : authorization !== "Bearer t"
          ? [404, { errors: [{ code: "NAME_UNKNOWN" }] }]
          : url.pathname.endsWith("/tags/list")
            ? someTags
            : url.pathname.includes("/blobs/")
              ? [200, Buffer.from(content), { "content-length": String(content.length) }]
              : [404, { errors: [{ code: "MANIFEST_UNKNOWN" }] }],
    tokens: (): Reply => [200, { token: "t", expires_in: 300 }]
  }
  const ping = "registry GET /v2/ -"

  it.scopedLive("is asked there once, where credentials for it are known", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(hiding, { credential: alice })
      const registry = yield* client()
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([
        `${list} -`,
        ping,
        tokenRequest(pull),
        `${list} Bearer t`,
        `${list} Bearer t`
      ])
    })
  )

  const blob = `/v2/a/blobs/${digest}`
  it.scopedLive.each([
    ["getBlob", (r: Registry.Service) => Stream.runDrain(r.getBlob(a, digest)), `GET ${blob}`],
    [
      "headBlob",
      (r: Registry.Service) =>
        Effect.map(r.headBlob(a, digest), (found) => expect(Option.isSome(found)).toBe(true)),
      `HEAD ${blob}`
    ],
    ["headManifest", (r: Registry.Service) => r.headManifest(a, v1), "HEAD /v2/a/manifests/v1"],
    [
      "getManifest",
      (r: Registry.Service) => Effect.flip(r.getManifest(a, v1)),
      "GET /v2/a/manifests/v1"
    ]
  ] as const)("whatever is read: %s", ([, read, line]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(hiding, { credential: alice })
      yield* read(yield* client())
      expect(log).toEqual([
        `registry ${line} -`,
        ping,
        tokenRequest(pull),
        `registry ${line} Bearer t`
      ])
    })
  )

  it.scopedLive("is not asked where nobody is known", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(hiding)
      const registry = yield* client()
      expect(yield* Effect.flip(tags(registry))).toMatchObject({ _tag: "NameUnknown" })
      expect(log).toEqual([`${list} -`])
    })
  )

  it.scopedLive("is asked once, if it lets strangers in there, too", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        { ...hiding, registry: ({ url }) => (url.pathname === "/v2/" ? [200, {}] : [404]) },
        { credential: alice }
      )
      const registry = yield* client()
      for (let n = 0; n < 3; n++)
        expect(yield* Effect.flip(tags(registry))).toMatchObject({ _tag: "NameUnknown" })
      expect(log).toEqual([`${list} -`, ping, `${list} -`, `${list} -`])
    })
  )

  it.scopedLive("is asked once by many at a time, which all read again", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(hiding, { credential: alice })
      const registry = yield* client()
      const found = yield* Effect.all([tags(registry), tags(registry), tags(registry)], {
        concurrency: "unbounded"
      })
      expect(found).toEqual([["v1"], ["v1"], ["v1"]])
      expect(log.filter((line) => line === ping)).toEqual([ping])
    })
  )

  /** The same registry, whose first `count` pings come to what `first` says. */
  const late = (count: number, first: Effect.Effect<Reply>) => {
    let pings = 0
    return {
      ...hiding,
      registry: (seen: Seen, realm: string) =>
        seen.url.pathname === "/v2/" && ++pings <= count ? first : hiding.registry(seen, realm)
    }
  }

  it.scopedLive("is waited for by whoever reads while it is asked", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const answered = yield* Deferred.make<void>()
      const { client, log } = yield* world(
        {
          ...hiding,
          registry: (seen: Seen, realm: string) =>
            seen.url.pathname === "/v2/"
              ? Effect.as(
                  Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(answered)),
                  hiding.registry(seen, realm)
                )
              : hiding.registry(seen, realm)
        },
        { credential: alice }
      )
      const registry = yield* client()
      const first = yield* Effect.fork(tags(registry))
      yield* Deferred.await(asked)
      const second = yield* Effect.fork(tags(registry))
      while (log.filter((line) => line === `${list} -`).length < 2) yield* turn
      yield* turn
      yield* Deferred.succeed(answered, undefined)
      expect(yield* Fiber.join(first)).toEqual(["v1"])
      expect(yield* Fiber.join(second)).toEqual(["v1"])
      expect(log.filter((line) => line === ping)).toEqual([ping])
    })
  )

  it.scopedLive("is asked again where the first to ask was interrupted", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const stuck = Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
      const { client } = yield* world(late(1, stuck), { credential: alice })
      const registry = yield* client()
      const first = yield* Effect.fork(tags(registry))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(first)
      expect(yield* tags(registry)).toEqual(["v1"])
    })
  )

  it.scopedLive("is asked again where it failed for the moment", () =>
    Effect.gen(function* () {
      const { client } = yield* world(late(1, Effect.succeed([503, {}])), { credential: alice })
      const registry = yield* client()
      expect(yield* Effect.flip(tags(registry))).toMatchObject({ _tag: "NameUnknown" })
      expect(yield* tags(registry)).toEqual(["v1"])
    })
  )

  it.scopedLive("is not asked for what an upload finds missing, nor for referrers", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          ...hiding,
          registry: ({ method, url }) =>
            method === "POST" || method === "PUT" ? [201] : url.pathname === "/v2/" ? [500] : [404]
        },
        { credential: alice }
      )
      const registry = yield* client()
      yield* registry.putBlob(a, BlobSource.fromBytes(content))
      yield* Stream.runDrain(registry.referrers(a, digest))
      expect(log.filter((line) => line === ping)).toEqual([])
      expect(log.filter((line) => line.startsWith("tokens"))).toEqual([])
      expect(log[0]).toBe(`registry HEAD ${blob} -`)
    })
  )
})
