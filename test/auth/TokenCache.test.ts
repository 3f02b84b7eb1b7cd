import { inspect } from "node:util"
import { SystemError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { Demand } from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import type { Challenge } from "../../src/protocol/Challenge.js"

const pullA = "repository:a:pull"
const pushA = "repository:a:pull,push"

const keyOf = (part: Partial<TokenCache.TokenKey> = {}): TokenCache.TokenKey => ({
  origin: "https://registry.example",
  realm: "https://auth.example/token",
  service: "registry.example",
  identity: "alice",
  scopes: [pullA],
  ...part
})

const demandOf = (part: Partial<Demand> = {}): Demand => ({
  origin: "https://registry.example",
  scopes: [pullA],
  ...part
})

/** Issues `t1`, `t2`, … that live for `seconds` from the time 0 of the TestClock. */
const issuer = (seconds = 300) => {
  const state = { issued: 0 }
  const acquire = Effect.sync(() => ({
    value: Redacted.make(`t${++state.issued}`),
    expiresAt: seconds * 1000
  }))
  return { state, acquire }
}

const ask = <E>(key: TokenCache.TokenKey, acquire: Effect.Effect<TokenCache.Token, E>) =>
  Effect.flatMap(TokenCache.TokenCache, (cache) =>
    Effect.map(
      cache.getOrAcquire(key, () => acquire),
      ({ value }) => Redacted.value(value)
    )
  )

const memory = Effect.provide(TokenCache.layerMemory)

describe("tokens are found by who issued them, for whom and for what (T14)", () => {
  it.effect.each([
    ["the same key", {}, "t1"],
    ["another origin", { origin: "https://other.example" }, "t2"],
    ["another realm", { realm: "https://auth.example/other" }, "t2"],
    ["another service", { service: "other" }, "t2"],
    ["another user", { identity: "bob" }, "t2"],
    ["fewer actions", { scopes: ["repository:a:push"] }, "t1"],
    ["no scopes at all", { scopes: [] }, "t1"],
    [
      "the same scopes, spelled otherwise",
      { scopes: ["repository:a:push", "repository:a:pull"] },
      "t1"
    ],
    ["more actions", { scopes: ["repository:a:delete,pull,push"] }, "t2"],
    ["another repository", { scopes: ["repository:b:pull"] }, "t2"],
    ["one repository more", { scopes: [pushA, "repository:b:pull"] }, "t2"],
    ["a repository whose name starts alike", { scopes: ["repository:a/b:pull"] }, "t2"]
  ] as const)("%s", ([, part, expected]) =>
    Effect.gen(function* () {
      const { acquire } = issuer()
      yield* ask(keyOf({ scopes: [pushA] }), acquire)
      expect(yield* ask(keyOf({ scopes: [pushA], ...part }), acquire)).toBe(expected)
    }).pipe(memory)
  )

  it.effect("two users never share a token, nor the wait for one", () =>
    Effect.gen(function* () {
      const { acquire } = issuer()
      const slow = Effect.zipRight(Effect.yieldNow(), acquire)
      const tokens = yield* Effect.forEach(
        ["alice", "bob", "alice", "bob"],
        (identity) => ask(keyOf({ identity }), slow),
        { concurrency: "unbounded" }
      )
      expect(tokens).toEqual(["t1", "t2", "t1", "t2"])
    }).pipe(memory)
  )
})

it.effect("a token is new to all who waited for it, and to nobody after them", () =>
  Effect.gen(function* () {
    const { acquire } = issuer()
    const cache = yield* TokenCache.TokenCache
    const isNew = (key: TokenCache.TokenKey) =>
      Effect.map(
        cache.getOrAcquire(key, () => Effect.zipRight(Effect.yieldNow(), acquire)),
        (token) => token.isNew
      )
    expect(
      yield* Effect.all([isNew(keyOf()), isNew(keyOf())], { concurrency: "unbounded" })
    ).toEqual([true, true])
    expect(yield* isNew(keyOf())).toBe(false)
    expect(yield* isNew(keyOf({ scopes: [] }))).toBe(false)
  }).pipe(memory)
)

describe("expiry", () => {
  it.effect("a token is renewed 5 seconds before its end", () =>
    Effect.gen(function* () {
      const { acquire } = issuer(60)
      expect(yield* ask(keyOf(), acquire)).toBe("t1")
      yield* TestClock.adjust("54999 millis")
      expect(yield* ask(keyOf(), acquire)).toBe("t1")
      yield* TestClock.adjust("1 millis")
      expect(yield* ask(keyOf(), acquire)).toBe("t2")
    }).pipe(memory)
  )

  it.effect("an expired token is not found by containment either", () =>
    Effect.gen(function* () {
      const { acquire } = issuer(60)
      yield* ask(keyOf({ scopes: [pushA] }), acquire)
      yield* TestClock.adjust("56 seconds")
      expect(yield* ask(keyOf(), acquire)).toBe("t2")
    }).pipe(memory)
  )

  it.effect("a token that is about to end still serves the request it was obtained for", () =>
    Effect.gen(function* () {
      const { acquire } = issuer(1)
      expect(yield* ask(keyOf(), acquire)).toBe("t1")
      expect(yield* ask(keyOf(), acquire)).toBe("t2")
    }).pipe(memory)
  )
})

describe("single flight", () => {
  it.effect("100 callers of one scope share one exchange", () =>
    Effect.gen(function* () {
      const { acquire, state } = issuer()
      const gate = yield* Deferred.make<void>()
      const callers = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 100 }, () =>
            ask(keyOf(), Effect.zipRight(Deferred.await(gate), acquire))
          ),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      expect(new Set(yield* Fiber.join(callers))).toEqual(new Set(["t1"]))
      expect(state.issued).toBe(1)
    }).pipe(memory)
  )

  it.effect("interrupting the first caller fails no other and begins no second exchange", () =>
    Effect.gen(function* () {
      const { acquire, state } = issuer()
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const gated = Deferred.succeed(begun, undefined).pipe(
        Effect.zipRight(Deferred.await(gate)),
        Effect.zipRight(acquire)
      )
      const first = yield* Effect.fork(ask(keyOf(), gated))
      yield* Deferred.await(begun)
      const second = yield* Effect.fork(ask(keyOf(), gated))
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(first))).toBe(true)
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(second)).toBe("t1")
      expect(state.issued).toBe(1)
    }).pipe(memory)
  )

  it.effect("a caller that comes after all others were interrupted is served", () =>
    Effect.gen(function* () {
      const { acquire } = issuer()
      const gate = yield* Deferred.make<void>()
      const gated = Effect.zipRight(Deferred.await(gate), acquire)
      const first = yield* Effect.fork(ask(keyOf(), gated))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      const later = yield* Effect.fork(ask(keyOf(), gated))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(later)).toBe("t1")
    }).pipe(memory)
  )

  it.effect("a failure reaches all who wait, and is not kept", () =>
    Effect.gen(function* () {
      let attempts = 0
      const failing = Effect.suspend(() => {
        attempts++
        return Effect.zipRight(Effect.yieldNow(), Effect.fail("refused" as const))
      })
      const results = yield* Effect.all(
        Array.from({ length: 10 }, () => Effect.flip(ask(keyOf(), failing))),
        { concurrency: "unbounded" }
      )
      expect(results).toEqual(Array.from({ length: 10 }, () => "refused"))
      expect(attempts).toBe(1)
      expect(yield* ask(keyOf(), issuer().acquire)).toBe("t1")
    }).pipe(memory)
  )

  it.effect("a defect reaches those who wait instead of leaving them waiting", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(ask(keyOf(), Effect.die("bug")))
      expect(exit).toEqual(Exit.die("bug"))
      expect(yield* ask(keyOf(), issuer().acquire)).toBe("t1")
    }).pipe(memory)
  )

  it.effect(
    "closing the layer ends the exchange and those who wait, also before it has begun",
    () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(TokenCache.layerMemory, scope)
        const waiting = yield* Effect.fork(Effect.provide(ask(keyOf(), Effect.never), context))
        yield* Effect.yieldNow()
        yield* Scope.close(scope, Exit.void)
        expect(Exit.isInterrupted(yield* Fiber.await(waiting))).toBe(true)
        const late = yield* Effect.exit(Effect.provide(ask(keyOf(), Effect.never), context))
        expect(Exit.isInterrupted(late)).toBe(true)
      })
  )
})

describe("reject", () => {
  it.effect("forgets the refused token of that origin, and no other", () =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      const { acquire } = issuer()
      const keys = [keyOf(), keyOf({ identity: "bob" }), keyOf({ origin: "https://other.example" })]
      yield* Effect.forEach(keys, (key) => ask(key, acquire))
      yield* cache.reject(demandOf(), Redacted.make("t1"))
      yield* cache.reject(demandOf(), Redacted.make("t3"))
      expect(yield* Effect.forEach(keys, (key) => ask(key, acquire))).toEqual(["t4", "t2", "t3"])
    }).pipe(memory)
  )
})

describe("bounds", () => {
  it.effect("of 1,001 tokens the oldest is forgotten (T21)", () =>
    Effect.gen(function* () {
      const { acquire, state } = issuer()
      const key = (n: number) => keyOf({ scopes: [`repository:r${n}:pull`] })
      for (let n = 0; n <= 1000; n++) yield* ask(key(n), acquire)
      expect(yield* ask(key(1), acquire)).toBe("t2")
      expect(state.issued).toBe(1001)
      expect(yield* ask(key(0), acquire)).toBe("t1002")
    }).pipe(memory)
  )

  it.effect("expired tokens make room before the oldest does", () =>
    Effect.gen(function* () {
      const key = (n: number) => keyOf({ scopes: [`repository:r${n}:pull`] })
      yield* ask(key(0), issuer(3600).acquire)
      for (let n = 1; n < 1000; n++) yield* ask(key(n), issuer(60).acquire)
      yield* TestClock.adjust("1 minutes")
      yield* ask(key(1000), issuer(3600).acquire)
      expect(yield* ask(key(0), Effect.fail("forgotten"))).toBe("t1")
    }).pipe(memory)
  )

  it.effect("of 1,001 origins the oldest is forgotten", () =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      const demand = (n: number) => demandOf({ origin: `https://r${n}.example` })
      for (let n = 0; n <= 1000; n++)
        yield* cache.remember(demand(n), [{ scheme: "basic", scopes: [] }])
      yield* cache.remember(demand(1000), [{ scheme: "basic", scopes: [] }])
      expect(yield* cache.challenges(demand(1))).toHaveLength(1)
      expect(yield* cache.challenges(demand(0))).toHaveLength(0)
    }).pipe(memory)
  )
})

describe.each([
  ["layerMemory", TokenCache.layerMemory],
  ["layerNone", TokenCache.layerNone]
])("the challenges of %s", (_, layer) => {
  const bearer = (part: Partial<Challenge> = {}): Challenge => ({
    scheme: "bearer",
    realm: "https://auth.example/token",
    service: "registry.example",
    scopes: [],
    ...part
  })
  const basic: Challenge = { scheme: "basic", realm: "harbor", scopes: [] }

  const remembered = (steps: ReadonlyArray<readonly [Demand, Challenge]>, demand: Demand) =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      for (const [to, challenge] of steps) yield* cache.remember(to, [challenge])
      return (yield* cache.challenges(demand))[0]
    }).pipe(Effect.provide(layer))

  it.effect("are unknown before the first 401, and for other origins", () =>
    Effect.gen(function* () {
      expect(yield* remembered([], demandOf())).toBeUndefined()
      expect(
        yield* remembered([[demandOf({ origin: "https://other.example" }), bearer()]], demandOf())
      ).toBeUndefined()
    })
  )

  it.effect(
    "of an origin serve all its demands, but their scopes the demand they were made to (rule 2)",
    () =>
      Effect.gen(function* () {
        const odd = bearer({ scopes: ["artifact-repository:a:*"] })
        expect(yield* remembered([[demandOf(), odd]], demandOf())).toEqual(odd)
        expect(yield* remembered([[demandOf(), odd]], demandOf({ scopes: [pushA] }))).toEqual(
          bearer()
        )
      })
  )

  it.effect("to the ping leave no scopes behind: GHCR's are a placeholder", () =>
    Effect.gen(function* () {
      const ping = demandOf({ scopes: [] })
      const placeholder = bearer({ scopes: ["repository:user/image:pull"] })
      expect(yield* remembered([[ping, placeholder]], demandOf())).toEqual(bearer())
      expect(yield* remembered([[ping, placeholder]], ping)).toEqual(bearer())
    })
  )

  it.effect(
    "of the scheme Bearer outlive one for a password, which is kept for its demand alone (Harbor)",
    () =>
      Effect.gen(function* () {
        const catalog = demandOf({ scopes: ["registry:catalog:*"] })
        const steps = [
          [demandOf(), bearer()],
          [catalog, basic]
        ] as const
        expect(yield* remembered(steps, demandOf())).toEqual(bearer())
        expect(yield* remembered(steps, catalog)).toEqual(basic)
        expect(yield* remembered([...steps, [catalog, bearer()]], catalog)).toEqual(bearer())
        const first = [
          [demandOf(), basic],
          [demandOf(), bearer()]
        ] as const
        expect(yield* remembered(first, demandOf())).toEqual(bearer())
        expect(yield* remembered([[demandOf(), basic]], catalog)).toEqual(basic)
      })
  )

  it.effect("keep their scopes apart: a password has none", () =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      const odd = bearer({ scopes: ["artifact-repository:a:*"] })
      yield* cache.remember(demandOf(), [basic, odd])
      expect(yield* cache.challenges(demandOf())).toEqual([basic, odd])
    }).pipe(Effect.provide(layer))
  )

  it.effect("are forgotten by remembering none", () =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      yield* cache.remember(demandOf(), [bearer(), basic])
      expect(yield* cache.challenges(demandOf())).toEqual([bearer(), basic])
      yield* cache.remember(demandOf(), [])
      expect(yield* cache.challenges(demandOf())).toEqual([])
    }).pipe(Effect.provide(layer))
  )

  it.effect("follow a token server that has moved", () =>
    Effect.gen(function* () {
      const moved = bearer({ realm: "https://auth2.example/token" })
      expect(
        yield* remembered(
          [
            [demandOf(), bearer()],
            [demandOf(), moved]
          ],
          demandOf()
        )
      ).toEqual(moved)
    })
  )
})

describe("layerNone", () => {
  it.effect("obtains a token for every request", () =>
    Effect.gen(function* () {
      const { acquire } = issuer()
      expect([yield* ask(keyOf(), acquire), yield* ask(keyOf(), acquire)]).toEqual(["t1", "t2"])
    }).pipe(Effect.provide(TokenCache.layerNone))
  )
})

it.effect("nothing that can be shown of the cache holds a token (T13)", () =>
  Effect.gen(function* () {
    const cache = yield* TokenCache.TokenCache
    yield* ask(keyOf(), Effect.succeed({ value: Redacted.make("hunter2"), expiresAt: 300_000 }))
    expect(inspect(cache, { depth: 9, showHidden: true })).not.toContain("hunter2")
    expect(JSON.stringify(cache)).not.toContain("hunter2")
  }).pipe(memory)
)

describe("refresh tokens", () => {
  const refreshed = (refreshToken?: string) => (held: Redacted.Redacted | undefined) =>
    Effect.succeed({
      value: Redacted.make(`with ${held === undefined ? "nothing" : Redacted.value(held)}`),
      expiresAt: 0,
      refreshToken: refreshToken === undefined ? undefined : Redacted.make(refreshToken)
    })

  it.effect("are offered to the next exchange of the same issue, and to no other (T14)", () =>
    Effect.gen(function* () {
      const cache = yield* TokenCache.TokenCache
      const ask = (part: Partial<TokenCache.TokenKey>, next?: string) =>
        Effect.map(cache.getOrAcquire(keyOf(part), refreshed(next)), ({ value }) =>
          Redacted.value(value)
        )
      expect(yield* ask({}, "r1")).toBe("with nothing")
      expect(yield* ask({ scopes: ["repository:b:pull"] }, "r2")).toBe("with r1")
      expect(yield* ask({ realm: "https://auth.example/other" })).toBe("with nothing")
      expect(yield* ask({ service: "other" })).toBe("with nothing")
      expect(yield* ask({ identity: "bob" })).toBe("with nothing")
      expect(yield* ask({ origin: "https://other.example" })).toBe("with nothing")
      expect(yield* ask({})).toBe("with r2")
      expect(yield* ask({})).toBe("with nothing")
    }).pipe(memory)
  )
})

describe("layerKeyValueStore", () => {
  /** A store that outlives the caches over it, and what it holds. */
  const shared = () => {
    const entries = new Map<string, string>()
    let isBroken = false
    let isFrozen = false
    let accesses = 0
    const access = <A>(run: () => A) =>
      Effect.suspend(() =>
        isBroken
          ? Effect.fail(
              new SystemError({
                reason: "Unknown",
                module: "KeyValueStore",
                method: "any",
                description: "hunter2"
              })
            )
          : Effect.zipRight(
              Effect.yieldNow(),
              Effect.sync(() => {
                accesses++
                return run()
              })
            )
      )
    const store = KeyValueStore.makeStringOnly({
      get: (key) => access(() => Option.fromNullable(entries.get(key))),
      set: (key, value) => access(() => (isFrozen ? undefined : void entries.set(key, value))),
      remove: (key) => access(() => void entries.delete(key)),
      clear: access(() => entries.clear()),
      size: access(() => entries.size)
    })
    return {
      entries,
      accesses: () => accesses,
      breakDown: () => {
        isBroken = true
      },
      freeze: () => {
        isFrozen = true
      },
      /** As another process would. */
      process: <A, E>(effect: Effect.Effect<A, E, TokenCache.TokenCache>) =>
        Effect.provide(
          effect,
          Layer.provide(
            Layer.fresh(TokenCache.layerKeyValueStore),
            Layer.succeed(KeyValueStore.KeyValueStore, store)
          )
        )
    }
  }
  const bearer: Challenge = { scheme: "bearer", realm: "https://auth.example/token", scopes: [] }

  it.effect("shares tokens, by containment, between processes", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const { acquire } = issuer()
      expect(yield* process(ask(keyOf({ scopes: [pushA] }), acquire))).toBe("t1")
      expect(yield* process(ask(keyOf(), acquire))).toBe("t1")
      expect(yield* process(ask(keyOf({ identity: "bob" }), acquire))).toBe("t2")
      expect(yield* process(ask(keyOf({ scopes: ["repository:b:pull"] }), acquire))).toBe("t3")
      expect(yield* process(ask(keyOf(), acquire))).toBe("t1")
    })
  )

  it.effect("a token of another process is not new", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const isNew = Effect.flatMap(TokenCache.TokenCache, (cache) =>
        Effect.map(
          cache.getOrAcquire(keyOf(), () => issuer().acquire),
          (token) => token.isNew
        )
      )
      expect([yield* process(isNew), yield* process(isNew)]).toEqual([true, false])
    })
  )

  it.effect("does not take a token that ends within 5 seconds", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const { acquire } = issuer(60)
      yield* process(ask(keyOf(), acquire))
      yield* TestClock.adjust("54999 millis")
      expect(yield* process(ask(keyOf(), acquire))).toBe("t1")
      yield* TestClock.adjust("1 millis")
      expect(yield* process(ask(keyOf(), acquire))).toBe("t2")
    })
  )

  it.effect("forgets what has ended", () =>
    Effect.gen(function* () {
      const { entries, process } = shared()
      yield* process(ask(keyOf({ scopes: ["repository:b:pull"] }), issuer(60).acquire))
      yield* TestClock.adjust("1 minutes")
      yield* process(ask(keyOf(), issuer().acquire))
      expect([...entries.values()].map((entry) => JSON.parse(entry).tokens.length)).toEqual([1])
    })
  )

  it.effect("forgets what a token for more has made needless", () =>
    Effect.gen(function* () {
      const { entries, process } = shared()
      const { acquire } = issuer()
      yield* process(ask(keyOf(), acquire))
      yield* process(ask(keyOf({ scopes: [pushA] }), acquire))
      expect([...entries.values()].map((entry) => JSON.parse(entry).tokens.length)).toEqual([1])
      expect(yield* process(ask(keyOf(), acquire))).toBe("t2")
    })
  )

  it.effect("two tokens that arrive together are both kept", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const { acquire, state } = issuer()
      const keys = [keyOf(), keyOf({ scopes: ["repository:b:pull"] })]
      yield* process(Effect.forEach(keys, (key) => ask(key, acquire), { concurrency: "unbounded" }))
      yield* process(Effect.forEach(keys, (key) => ask(key, acquire)))
      expect(state.issued).toBe(2)
    })
  )

  it.effect("a rejected token is gone for all, and the others stay", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const { acquire } = issuer()
      const other = keyOf({ scopes: ["repository:b:pull"] })
      yield* process(ask(other, acquire))
      yield* process(
        Effect.gen(function* () {
          yield* ask(keyOf(), acquire)
          yield* (yield* TokenCache.TokenCache).reject(demandOf(), Redacted.make("t2"))
        })
      )
      expect(yield* process(ask(keyOf(), acquire))).toBe("t3")
      expect(yield* process(ask(other, acquire))).toBe("t1")
    })
  )

  it.effect("a rejected token is not taken again from a store that cannot be written", () =>
    Effect.gen(function* () {
      const { freeze, process } = shared()
      const { acquire } = issuer()
      yield* process(ask(keyOf(), acquire))
      freeze()
      yield* process(
        Effect.gen(function* () {
          expect(yield* ask(keyOf(), acquire)).toBe("t1")
          yield* (yield* TokenCache.TokenCache).reject(demandOf(), Redacted.make("t1"))
          expect(yield* ask(keyOf(), acquire)).toBe("t2")
        })
      )
    })
  )

  it.effect("keeps the refresh token for the issue that gave it", () =>
    Effect.gen(function* () {
      const { process } = shared()
      const offered: Array<string> = []
      const exchange = (identity: string) =>
        Effect.flatMap(TokenCache.TokenCache, (cache) =>
          cache.getOrAcquire(keyOf({ identity }), (held) =>
            Effect.sync(() => {
              offered.push(held === undefined ? "-" : Redacted.value(held))
              return { value: Redacted.make("t"), expiresAt: 0, refreshToken: Redacted.make("r") }
            })
          )
        )
      yield* process(exchange("alice"))
      yield* process(exchange("bob"))
      yield* process(exchange("alice"))
      expect(offered).toEqual(["-", "-", "r"])
    })
  )

  it.effect("shares the challenges of origins, without their scopes", () =>
    Effect.gen(function* () {
      const { accesses, entries, process } = shared()
      const remember = (challenges: ReadonlyArray<Challenge>) =>
        process(
          Effect.flatMap(TokenCache.TokenCache, (cache) => cache.remember(demandOf(), challenges))
        )
      const known = process(
        Effect.flatMap(TokenCache.TokenCache, (cache) => cache.challenges(demandOf()))
      )
      yield* remember([{ ...bearer, scopes: ["repository:a:pull"] }])
      expect([...entries.values()].join()).not.toContain("repository:a:pull")
      expect(yield* known).toEqual([bearer])
      const before = accesses()
      yield* remember([bearer])
      expect(accesses() - before).toBe(1)
      yield* remember([])
      expect(yield* known).toEqual([])
    })
  )

  it.effect.each([
    ["", "no text"],
    ["{", "no JSON"],
    ["[]", "another form"],
    [
      '{"tokens":[{"scopes":[],"value":"a b","expiresAt":9e9}]}',
      "a token that no header can carry"
    ],
    ['{"tokens":[{"scopes":[],"value":"x","expiresAt":"soon"}]}', "no time"],
    [
      `{"tokens":[{"scopes":[],"value":"x","expiresAt":9000000}]}${" ".repeat(1_048_576)}`,
      "a mebibyte"
    ]
  ] as const)("an entry that is broken counts as missing and is replaced: %s", ([entry]) =>
    Effect.gen(function* () {
      const { entries, process } = shared()
      const { acquire } = issuer()
      yield* process(ask(keyOf(), acquire))
      for (const key of entries.keys()) entries.set(key, entry)
      expect(yield* process(ask(keyOf({ scopes: [] }), acquire))).toBe("t2")
      expect(yield* process(ask(keyOf({ scopes: [] }), acquire))).toBe("t2")
    })
  )

  it.effect("a store that fails costs a token request, and shows nothing (T13)", () =>
    Effect.gen(function* () {
      const { breakDown, process } = shared()
      breakDown()
      const lines: Array<string> = []
      const logger = Logger.make(
        ({ cause, message }) => void lines.push(inspect([message, cause], { depth: 9 }))
      )
      const result = yield* process(
        Effect.gen(function* () {
          yield* (yield* TokenCache.TokenCache).remember(demandOf(), [bearer])
          const first = yield* ask(keyOf(), issuer().acquire)
          return [first, yield* ask(keyOf(), Effect.fail("not kept"))]
        })
      ).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.All)
      )
      expect(result).toEqual(["t1", "t1"])
      expect(lines.length).toBeGreaterThan(0)
      expect(lines.join()).not.toMatch(/hunter2|t1/)
    })
  )

  it.effect("has one entry for each issue and each origin, under keys that show neither", () =>
    Effect.gen(function* () {
      const { entries, process } = shared()
      yield* process(
        Effect.gen(function* () {
          yield* (yield* TokenCache.TokenCache).remember(demandOf(), [bearer])
          for (let n = 0; n <= 100; n++)
            yield* ask(keyOf({ scopes: [`repository:r${n}:pull`] }), issuer().acquire)
        })
      )
      expect(
        [...entries.keys()].map((key) => key.replace(/[0-9a-f]{64}$/, "…")).toSorted()
      ).toEqual(["effect-oci-challenges-…", "effect-oci-tokens-…"])
      const tokens = [...entries].find(([key]) => key.includes("tokens"))?.[1] ?? ""
      expect(JSON.parse(tokens).tokens.length).toBe(100)
      expect(tokens).not.toContain("repository:r0:pull")
    })
  )

  it.effect(
    "100 callers of one scope share one exchange, and one that is interrupted fails no other",
    () =>
      Effect.gen(function* () {
        const { process } = shared()
        const { acquire, state } = issuer()
        yield* process(
          Effect.gen(function* () {
            const gate = yield* Deferred.make<void>()
            const gated = Effect.zipRight(Deferred.await(gate), acquire)
            const first = yield* Effect.fork(ask(keyOf(), gated))
            const rest = yield* Effect.fork(
              Effect.all(
                Array.from({ length: 99 }, () => ask(keyOf(), gated)),
                { concurrency: "unbounded" }
              )
            )
            yield* Effect.yieldNow()
            yield* Fiber.interrupt(first)
            yield* Deferred.succeed(gate, undefined)
            expect(new Set(yield* Fiber.join(rest))).toEqual(new Set(["t1"]))
          })
        )
        expect(state.issued).toBe(1)
      })
  )
})
