/**
 * Copies between registries that fail now and then, by a seed: each ends with all that its report
 * says, or with a typed error, without a session left behind, and the same copy does what is left.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Copy from "../../../src/content/Copy.js"
import type { Registry } from "../../../src/Registry.js"
import { RegistryFailure, TransportFailure } from "../../../src/RegistryError.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { items } from "../../support/fixtures.js"
import { lacking, platforms, repository, v1 } from "../../support/graphs.js"

/** A registry of which every so many operations fail, before or after they are done. */
const failing = (registry: Registry.Service, random: Random.Random, oneIn: number) => {
  const fault = Effect.flatMap(random.nextIntBetween(0, oneIn * 2), (n) =>
    n === 0
      ? Effect.succeed("before" as const)
      : Effect.succeed(n === 1 ? ("after" as const) : undefined)
  )
  const error = Effect.flatMap(random.nextBoolean, (reset) =>
    Effect.fail(
      reset
        ? new TransportFailure({ reason: "Reset" })
        : new RegistryFailure({ status: 503, method: "GET", url: "https://registry.test/v2/" })
    )
  )
  const around = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.flatMap(fault, (when) =>
      when === "before" ? error : when === "after" ? Effect.zipRight(effect, error) : effect
    )
  const broken = <A, E>(stream: Stream.Stream<A, E>) =>
    Stream.unwrap(
      Effect.map(fault, (when) =>
        when === undefined
          ? stream
          : Stream.concat(Stream.take(stream, 1), Stream.fromEffect(error))
      )
    )
  return {
    ...registry,
    getManifest: (...of) => around(registry.getManifest(...of)),
    headManifest: (...of) => around(registry.headManifest(...of)),
    putManifest: (...of) => around(registry.putManifest(...of)),
    headBlob: (...of) => around(registry.headBlob(...of)),
    referrers: (...of) => broken(registry.referrers(...of)),
    getBlob: (...of) => broken(registry.getBlob(...of)),
    putBlob: (...of) =>
      Effect.flatMap(fault, (when) =>
        when === "before"
          ? error
          : when === "after"
            ? Effect.zipRight(registry.putBlob(...of), error)
            : registry.putBlob(...of)
      )
  } satisfies Registry.Service
}

const run = (seed: number) =>
  Effect.gen(function* () {
    const random = Random.make(seed)
    const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
    const { index } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
    const { digest } = index.descriptor
    const oneIn = yield* random.nextIntBetween(5, 200)
    const copy = (from: Registry.Service, to: Registry.Service) =>
      Copy.between(
        { registry: from, repository, reference: v1 },
        { registry: to, repository },
        { referrers: true, continueOnError: seed % 3 === 0 }
      )
    const outcome = yield* Effect.either(
      copy(failing(source, random, oneIn), failing(target, random, oneIn))
    )
    const tags = yield* Effect.orElseSucceed(items(target.tags(repository)), () => [])
    const isWhole = outcome._tag === "Right" && outcome.right.ok
    // A tag stands on what is whole, or not at all.
    if (isWhole || tags.length > 0) expect(yield* lacking(source, target, digest)).toEqual([])
    if (isWhole) expect(tags).toEqual([v1])
    if (outcome._tag === "Left") expect(outcome.left._tag).toBe("CopyFailure")
    expect(yield* target.uploads).toEqual([])
    expect((yield* copy(source, target)).ok).toBe(true)
    expect(yield* lacking(source, target, digest)).toEqual([])
    return isWhole
  })

const runs = Number(process.env["COPY_RUNS"] ?? 30)

it.live(
  `${runs} copies among faults`,
  () =>
    Effect.gen(function* () {
      const seeds = Array.from({ length: runs }, (_, n) => n + 1)
      const whole = yield* Effect.forEach(seeds, (seed) =>
        Effect.catchAllCause(run(seed), (cause) => Effect.dieMessage(`seed ${seed}: ${cause}`))
      )
      // Some fail, and some do not.
      expect(new Set(whole).size).toBe(2)
    }),
  600_000
)
