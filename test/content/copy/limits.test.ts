/** Copies from registries that say how many requests they allow (CP26). */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Copy from "../../../src/content/Copy.js"
import { Budget } from "../../../src/content/internal/copy/Budget.js"
import { RateLimitObserver } from "../../../src/internal/RateLimitObserver.js"
import type { Registry } from "../../../src/Registry.js"
import { TooManyRequests } from "../../../src/RegistryError.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { platforms, repository, v1 } from "../../support/graphs.js"

/** A registry that allows so many requests for manifests, and says so. */
const allowing = (registry: Registry.Service, allowed: { left: number }, reset?: number) => {
  const said = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.zipLeft(
      Effect.zipRight(Effect.yieldNow(), effect),
      Effect.map(RateLimitObserver, (observe) => observe(--allowed.left, reset))
    )
  return {
    ...registry,
    headManifest: (name, reference) => said(registry.headManifest(name, reference)),
    getManifest: (name, reference) => said(registry.getManifest(name, reference))
  } satisfies Registry.Service
}

const hour = 3_600_000

describe("a copy that is to leave requests", () => {
  it.effect("never takes those, and says how many there are and when there are more", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
      yield* platforms(source, ["linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"])
      const allowed = { left: 7 }
      const from = { registry: allowing(source, allowed, hour), repository, reference: v1 }
      const to = { registry: target, repository }
      const failure = yield* Effect.flip(Copy.between(from, to, { leave: 4 }))
      expect(failure).toMatchObject({
        _tag: "CopyFailure",
        side: "source",
        error: { _tag: "TooManyRequests", remaining: "4", retryAfter: hour }
      })
      expect(failure.message).toContain(
        "The registry limits the rate of requests, and the 4 that it still allows are left " +
          "alone; try again in 3600 s"
      )
      expect(allowed.left).toBe(4)
      const plan = yield* Effect.flip(Stream.runDrain(Copy.planBetween(from, to, { leave: 4 })))
      expect(plan).toMatchObject({ error: { remaining: "3" } })
      expect(allowed.left).toBe(3)
      allowed.left = 100
      expect(yield* Copy.between(from, to, { leave: 4 })).toMatchObject({ ok: true })
    })
  )

  it.effect("mounts within one registry as ever", () =>
    Effect.gen(function* () {
      const registry = yield* MemoryRegistry.make()
      yield* platforms(registry, ["linux/amd64"])
      const place = { registry, repository, reference: v1 }
      const copied = Reference.unsafeParseRepositoryName("team/copy")
      const report = yield* Copy.between(place, { ...place, repository: copied }, { leave: 1 })
      expect(report.summary.mounted.nodes).toBeGreaterThan(0)
    })
  )

  it.effect("is not held up by a source that says nothing", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
      yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const from = { registry: source, repository, reference: v1 }
      const report = yield* Copy.between(from, { registry: target, repository }, { leave: 1000 })
      expect(report.ok).toBe(true)
    })
  )
})

describe("a copy for no platform", () => {
  it.effect("fails before anything is asked, as a plan does", () =>
    Effect.gen(function* () {
      const registry = yield* MemoryRegistry.make()
      const from = { registry, repository, reference: v1 }
      const to = { registry, repository: Reference.unsafeParseRepositoryName("team/copy") }
      const all = [
        Copy.between(from, to, { platforms: [] }),
        Stream.runDrain(Copy.planBetween(from, to, { platforms: [] }))
      ]
      for (const failure of yield* Effect.forEach(all, Effect.flip))
        expect(failure).toMatchObject({
          _tag: "InvalidReference",
          message: expect.stringContaining("leave the option platforms out if all are meant")
        })
    })
  )
})

describe("requests that are left alone", () => {
  const ask = (registry: Registry.Service) => registry.headManifest(repository, v1)

  it.effect("are left by those at the same time, too, of whom one asks first", () =>
    Effect.gen(function* () {
      const source = yield* MemoryRegistry.make()
      yield* platforms(source, ["linux/amd64"])
      const allowed = { left: 6 }
      const registry = new Budget(3).guard(allowing(source, allowed))
      const results = yield* Effect.all(
        Array.from({ length: 10 }, () => Effect.either(ask(registry))),
        { concurrency: "unbounded" }
      )
      expect(allowed.left).toBe(3)
      const failures = results.flatMap((result) => (result._tag === "Left" ? [result.left] : []))
      expect(failures).toEqual(
        Array.from({ length: 7 }, () => expect.objectContaining({ _tag: "TooManyRequests" }))
      )
    })
  )

  it.effect("are asked for again when there are more", () =>
    Effect.gen(function* () {
      const source = yield* MemoryRegistry.make()
      yield* platforms(source, ["linux/amd64"])
      const allowed = { left: 2 }
      const registry = new Budget(1).guard(allowing(source, allowed, hour))
      yield* ask(registry)
      yield* TestClock.adjust("59 minutes")
      const failure = yield* Effect.flip(ask(registry))
      expect(failure).toEqual(new TooManyRequests({ remaining: "1", retryAfter: hour / 60 }))
      allowed.left = 100
      yield* TestClock.adjust("1 minute")
      yield* ask(registry)
      yield* ask(registry)
    })
  )
})
