/**
 * Registries and token servers that change their mind or fail for a while, over real sockets. Each
 * log has every request to every origin, and so shows what was not sent.
 */
import { gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Registry } from "../../src/Registry.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import type { Seen } from "../support/fake/Handler.js"
import { utf8 } from "../support/fixtures.js"
import { alice, aliceBasic, pull } from "./parties.js"
import { type Reply, tokenRequest, unauthorized, world } from "./wire.js"

const a = Effect.runSync(parseRepositoryName("a"))
const list = "registry GET /v2/a/tags/list"
const bearer = (realm: string, more = "") =>
  unauthorized(`Bearer realm="${realm}",service="s"${more}`)
const someTags: Reply = [200, { name: "a", tags: ["v1"] }]

const tags = (registry: Registry.Service) =>
  Effect.map(Stream.runCollect(registry.tags(a)), (found) => [...found])

describe("a token server that breaks off", () => {
  const failing = (replies: ReadonlyArray<Reply>) => {
    const left = [...replies]
    return {
      registry: ({ authorization }: Seen, realm: string) =>
        authorization === "Bearer t" ? someTags : bearer(realm),
      tokens: (): Reply => left.shift() ?? [200, { token: "t" }]
    }
  }
  const retry = { attempts: 4, base: "1 millis", maxDelay: "2 millis" } as const
  const halfway: Reply = {
    status: 200,
    headers: { "content-length": "100" },
    body: () =>
      new ReadableStream({
        start: (controller) => controller.enqueue(utf8('{"token":')),
        pull: (controller) => controller.error("broken")
      })
  }

  it.scopedLive.each([
    ["before it answers", ["cut", "cut", "cut"]],
    ["in the middle of its answer", [halfway, halfway]],
    ["with 503, 429 and nothing at all", [[503], [429], "cut"]]
  ] as const)("%s costs no request without authorization", ([, replies]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(failing(replies), { credential: alice })
      const registry = yield* client({ retry })
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([
        `${list} -`,
        ...replies.map(() => tokenRequest(pull)),
        tokenRequest(pull),
        `${list} Bearer t`
      ])
    })
  )

  it.scopedLive("is asked first by the next operation, too", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(failing(["cut"]), { credential: alice })
      const registry = yield* client()
      expect(yield* Effect.flip(tags(registry))).toMatchObject({ _tag: "TransportFailure" })
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([`${list} -`, tokenRequest(pull), tokenRequest(pull), `${list} Bearer t`])
    })
  )

  it.scoped("has the registry asked again after a minute, since it may have another by then", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(failing(["cut", "cut", "cut"]), { credential: alice })
      const registry = yield* client()
      yield* Effect.flip(tags(registry))
      yield* TestClock.adjust("59 seconds")
      yield* Effect.flip(tags(registry))
      yield* TestClock.adjust("1 seconds")
      yield* Effect.flip(tags(registry))
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([
        `${list} -`,
        tokenRequest(pull),
        tokenRequest(pull),
        tokenRequest(pull),
        `${list} -`,
        tokenRequest(pull),
        `${list} Bearer t`
      ])
    })
  )

  it.scoped("has a minute again after each token", () =>
    Effect.gen(function* () {
      const token: Reply = [200, { token: "t", expires_in: 60 }]
      const { client, log } = yield* world(failing(["cut", token, "cut"]), { credential: alice })
      const registry = yield* client()
      yield* Effect.flip(tags(registry))
      yield* tags(registry)
      yield* TestClock.adjust("5 minutes")
      log.length = 0
      yield* Effect.flip(tags(registry))
      yield* tags(registry)
      expect(log).toEqual([tokenRequest(pull), tokenRequest(pull), `${list} Bearer t`])
    })
  )

  it.scopedLive("one that refuses has the registry asked again, which may have another", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(failing([[401]]), { credential: alice })
      const registry = yield* client()
      expect(yield* Effect.flip(tags(registry))).toMatchObject({ _tag: "Unauthorized" })
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([
        `${list} -`,
        tokenRequest(pull),
        `${list} -`,
        tokenRequest(pull),
        `${list} Bearer t`
      ])
    })
  )
})

describe("a 403 with insufficient_scope and a new scope (RFC 6750 §3.1)", () => {
  const asksFor = (realm: string, scope: string): Reply => [
    403,
    { errors: [{ code: "DENIED" }] },
    {
      "www-authenticate": `Bearer realm="${realm}",service="s",error="insufficient_scope",scope="${scope}"`
    }
  ]
  const issuing = () => {
    let count = 0
    return (): Reply => [200, { token: `t${++count}`, expires_in: 300 }]
  }

  it.scopedLive("is answered with a token for it, which the next request has at once", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === undefined
              ? bearer(realm)
              : authorization === "Bearer t1"
                ? asksFor(realm, "org:x:read")
                : someTags,
          tokens: issuing()
        },
        { credential: alice }
      )
      const registry = yield* client()
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(yield* tags(registry)).toEqual(["v1"])
      expect(log).toEqual([
        `${list} -`,
        tokenRequest(pull),
        `${list} Bearer t1`,
        tokenRequest(`scope=org%3Ax%3Aread&${pull}`),
        `${list} Bearer t2`,
        `${list} Bearer t2`
      ])
    })
  )

  it.scopedLive("is answered once, whatever new scope the next one names", () =>
    Effect.gen(function* () {
      let count = 0
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === undefined ? bearer(realm) : asksFor(realm, `org:x${++count}:read`),
          tokens: issuing()
        },
        { credential: alice }
      )
      expect(yield* Effect.flip(tags(yield* client()))).toMatchObject({
        _tag: "Denied",
        status: 403
      })
      expect(log).toEqual([
        `${list} -`,
        tokenRequest(pull),
        `${list} Bearer t1`,
        tokenRequest(`scope=org%3Ax1%3Aread&${pull}`),
        `${list} Bearer t2`
      ])
    })
  )

  it.scopedLive.each([
    ["a scope that the token has", "repository:a:pull"],
    ["no scope", ""]
  ] as const)("with %s is final", ([, scope]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === undefined ? bearer(realm) : asksFor(realm, scope),
          tokens: issuing()
        },
        { credential: alice }
      )
      expect(yield* Effect.flip(tags(yield* client()))).toMatchObject({ _tag: "Denied" })
      expect(log).toEqual([`${list} -`, tokenRequest(pull), `${list} Bearer t1`])
    })
  )

  it.scopedLive("of another error is final", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === undefined
              ? bearer(realm)
              : [
                  403,
                  "",
                  {
                    "www-authenticate": `Bearer realm="${realm}",error="invalid_token",scope="b:c:d"`
                  }
                ],
          tokens: issuing()
        },
        { credential: alice }
      )
      expect(yield* Effect.flip(tags(yield* client()))).toMatchObject({ _tag: "Denied" })
      expect(log).toEqual([`${list} -`, tokenRequest(pull), `${list} Bearer t1`])
    })
  )

  it.scopedLive("to a password is final", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === undefined ? unauthorized("Basic") : asksFor(realm, "org:x:read"),
          tokens: issuing()
        },
        { credential: alice }
      )
      expect(yield* Effect.flip(tags(yield* client()))).toMatchObject({ _tag: "Denied" })
      expect(log).toEqual([`${list} -`, `${list} ${aliceBasic}`])
    })
  )
})

describe("a token in a response", () => {
  it.scopedLive.each([
    ["201", [201, { token: "t" }]],
    ["203", [203, { token: "t", access_token: null, refresh_token: null, expires_in: null }]],
    ["gzip", [200, gzipSync('{"token":"t"}'), { "content-encoding": "gzip" }]]
  ] as ReadonlyArray<readonly [string, Reply]>)("%s is taken", ([, reply]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) =>
            authorization === "Bearer t" ? someTags : bearer(realm),
          tokens: () => reply
        },
        { credential: alice }
      )
      expect(yield* tags(yield* client())).toEqual(["v1"])
      expect(log).toEqual([`${list} -`, tokenRequest(pull), `${list} Bearer t`])
    })
  )

  it.scopedLive(
    "what a proxy has compressed of a 401 says whether ECR's password has expired",
    () =>
      Effect.gen(function* () {
        const { client, log } = yield* world(
          {
            registry: ({ authorization }) =>
              authorization === undefined
                ? unauthorized("Basic")
                : [
                    403,
                    gzipSync(
                      '{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
                    ),
                    { "content-encoding": "gzip" }
                  ],
            tokens: () => "cut"
          },
          { credential: alice }
        )
        expect(yield* Effect.flip(tags(yield* client()))).toMatchObject({
          _tag: "Unauthorized",
          errors: [{ message: "Your Authorization Token is invalid." }]
        })
        expect(log).toEqual([`${list} -`, `${list} ${aliceBasic}`])
      })
  )
})

describe("Harbor, which asks for passwords while it cannot read its tokens", () => {
  it.scoped("gets tokens again after a minute", () =>
    Effect.gen(function* () {
      let bad = false
      let count = 0
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) => {
            if (authorization === undefined && !bad) return bearer(realm)
            if (authorization === aliceBasic) return someTags
            return bad || authorization === undefined
              ? unauthorized('Basic realm="harbor"')
              : someTags
          },
          tokens: () => [200, { token: `t${++count}`, expires_in: 1800 }]
        },
        { credential: alice }
      )
      const registry = yield* client()
      yield* tags(registry)
      bad = true
      log.length = 0
      yield* tags(registry)
      expect(log).toEqual([
        `${list} Bearer t1`,
        tokenRequest(pull),
        `${list} Bearer t2`,
        `${list} ${aliceBasic}`
      ])
      log.length = 0
      yield* TestClock.adjust("59 seconds")
      yield* tags(registry)
      expect(log).toEqual([`${list} ${aliceBasic}`])
      bad = false
      log.length = 0
      yield* TestClock.adjust("1 seconds")
      yield* tags(registry)
      yield* tags(registry)
      expect(log).toEqual([tokenRequest(pull), `${list} Bearer t3`, `${list} Bearer t3`])
    })
  )

  it.scoped("is asked what it wants after a minute, where it had forgotten its tokens at all", () =>
    Effect.gen(function* () {
      let bad = false
      let count = 0
      const { client, log } = yield* world(
        {
          registry: ({ authorization }, realm) => {
            if (authorization === undefined)
              return bad ? unauthorized('Basic realm="harbor"') : bearer(realm)
            return bad && authorization !== aliceBasic
              ? unauthorized('Basic realm="harbor"')
              : someTags
          },
          tokens: () => (bad ? [401] : [200, { token: `t${++count}`, expires_in: 60 }])
        },
        { credential: alice }
      )
      const registry = yield* client()
      yield* tags(registry)
      yield* TestClock.adjust("1 minutes")
      bad = true
      log.length = 0
      yield* Effect.flip(tags(registry))
      yield* tags(registry)
      yield* tags(registry)
      expect(log).toEqual([
        tokenRequest(pull),
        `${list} -`,
        `${list} ${aliceBasic}`,
        `${list} ${aliceBasic}`
      ])
      bad = false
      log.length = 0
      yield* TestClock.adjust("1 minutes")
      yield* tags(registry)
      expect(log).toEqual([`${list} -`, tokenRequest(pull), `${list} Bearer t2`])
    })
  )

  it.scoped("a registry that never took tokens is not asked again", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        {
          registry: ({ authorization }) =>
            authorization === undefined ? unauthorized("Basic") : someTags,
          tokens: () => "cut"
        },
        { credential: alice }
      )
      const registry = yield* client()
      yield* tags(registry)
      yield* TestClock.adjust("1 hours")
      yield* tags(registry)
      expect(log).toEqual([`${list} -`, `${list} ${aliceBasic}`, `${list} ${aliceBasic}`])
    })
  )
})
