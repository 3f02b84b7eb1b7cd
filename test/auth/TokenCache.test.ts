import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
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
  repository: Option.none(),
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
  Effect.flatMap(TokenCache.TokenCache, (cache) => Effect.map(cache.getOrAcquire(key, acquire), Redacted.value))

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
    ["the same scopes, spelled otherwise", { scopes: ["repository:a:push", "repository:a:pull"] }, "t1"],
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
          Array.from({ length: 100 }, () => ask(keyOf(), Effect.zipRight(Deferred.await(gate), acquire))),
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

  it.effect("closing the layer ends the exchange and those who wait, also before it has begun", () =>
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
      for (let n = 0; n <= 1000; n++) yield* cache.remember(demand(n), { scheme: "basic", scopes: [] })
      yield* cache.remember(demand(1000), { scheme: "basic", scopes: [] })
      expect(Option.isSome(yield* cache.challenge(demand(1)))).toBe(true)
      expect(Option.isSome(yield* cache.challenge(demand(0)))).toBe(false)
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
      for (const [to, challenge] of steps) yield* cache.remember(to, challenge)
      return Option.getOrUndefined(yield* cache.challenge(demand))
    }).pipe(Effect.provide(layer))

  it.effect("are unknown before the first 401, and for other origins", () =>
    Effect.gen(function* () {
      expect(yield* remembered([], demandOf())).toBeUndefined()
      expect(yield* remembered([[demandOf({ origin: "https://other.example" }), bearer()]], demandOf())).toBeUndefined()
    })
  )

  it.effect("of an origin serve all its demands, but their scopes only the demand they were made to (rule 2)", () =>
    Effect.gen(function* () {
      const odd = bearer({ scopes: ["artifact-repository:a:*"] })
      expect(yield* remembered([[demandOf(), odd]], demandOf())).toEqual(odd)
      expect(yield* remembered([[demandOf(), odd]], demandOf({ scopes: [pushA] }))).toEqual(bearer())
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

  it.effect("of the scheme Bearer outlive Harbor's Basic for expired tokens", () =>
    Effect.gen(function* () {
      expect(
        yield* remembered(
          [
            [demandOf(), bearer()],
            [demandOf(), basic]
          ],
          demandOf()
        )
      ).toEqual(bearer())
      expect(
        yield* remembered(
          [
            [demandOf(), basic],
            [demandOf(), bearer()]
          ],
          demandOf()
        )
      ).toEqual(bearer())
      expect(yield* remembered([[demandOf(), basic]], demandOf())).toEqual(basic)
    })
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
