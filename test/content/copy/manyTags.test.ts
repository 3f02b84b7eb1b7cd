/** Repositories with very many tags, of which nobody wants to wait for the whole list (CP32). */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Copy from "../../../src/content/Copy.js"
import type { Registry } from "../../../src/Registry.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { blob, image, repository } from "../../support/graphs.js"

const all = 10_000
const pageSize = 100

/** A source of one image under all tags, and a target, which has them as well or has nothing. */
const world = Effect.gen(function* () {
  const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
  const { descriptor } = yield* image(source, [yield* blob(source, MediaType.layerTar)])
  const counts = { pages: 0, asked: 0 }
  /** Has the image under any tag. */
  const tagged = (registry: Registry.Service, count: () => void): Registry.Service => ({
    ...registry,
    headManifest: (name, reference) =>
      Reference.isTag(reference)
        ? Effect.sync(() => {
            count()
            return Option.some(descriptor)
          })
        : registry.headManifest(name, reference)
  })
  const listed: Registry.Service = {
    ...tagged(source, () => counts.asked++),
    tags: () =>
      Stream.paginateChunk(0, (page) => {
        counts.pages++
        const tags = Array.from({ length: pageSize }, (_, n) =>
          Reference.unsafeParseTag(`t${page * pageSize + n}`)
        )
        const isLast = page + 1 === all / pageSize
        return [Chunk.unsafeFromArray(tags), isLast ? Option.none() : Option.some(page + 1)]
      })
  }
  return {
    counts,
    from: { registry: listed, repository },
    empty: { registry: target, repository },
    equal: { registry: tagged(target, () => {}), repository }
  }
})

/** Waits until everybody had several turns of the event loop. */
const turns = (count: number) =>
  Effect.promise(async () => {
    for (let n = 0; n < count; n++) await new Promise((resolve) => setTimeout(resolve, 1))
  })

describe("CP32: 10,000 tags", () => {
  it.live("are planned from the first page on", () =>
    Effect.gen(function* () {
      const { counts, empty, from } = yield* world
      const steps = yield* Copy.planBetween(from, empty, { tags: "all" }).pipe(
        Stream.take(10),
        Stream.runCollect
      )
      expect(steps.length).toBe(10)
      expect(counts.pages).toBeLessThan(5)
    })
  )

  it.live("are not asked for while nobody takes the steps", () =>
    Effect.gen(function* () {
      const { counts, empty, from } = yield* world
      const [begun, goesOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let taken = 0
      const taking = yield* Copy.planBetween(from, empty, { tags: "all" }).pipe(
        Stream.tap(() =>
          ++taken === 10
            ? Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(goesOn))
            : Effect.void
        ),
        Stream.take(1000),
        Stream.runDrain,
        Effect.fork
      )
      yield* Deferred.await(begun)
      yield* turns(20)
      const ahead = counts.asked
      // What is in the buffer, what was taken of it at once, and the tags under way.
      expect(ahead).toBeLessThan(10 + 2 * 64 + 4 * 16)
      expect(counts.pages).toBeLessThan(5)
      yield* turns(20)
      expect(counts.asked).toBe(ahead)
      yield* Deferred.succeed(goesOn, undefined)
      yield* Fiber.join(taking)
      expect(taken).toBe(1000)
      expect(counts.asked).toBeGreaterThan(ahead)
      expect(counts.asked).toBeLessThan(1000 + 2 * 64 + 4 * 16)
    })
  )

  it.live("are compared while others run", () =>
    Effect.gen(function* () {
      const { counts, equal, from } = yield* world
      const seen: Array<number> = []
      const watching = Effect.forever(
        Effect.zipRight(
          Effect.sync(() => seen.push(counts.asked)),
          Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        )
      )
      const report = yield* Copy.between(from, equal, { tags: "all" }).pipe(
        Effect.raceFirst(Effect.zipRight(watching, Effect.never))
      )
      expect(report).toMatchObject({ ok: true, summary: { present: { nodes: 1 }, tags: 0 } })
      expect(report.outcomes.filter(({ status }) => status === "present")).toHaveLength(all)
      expect(counts).toEqual({ pages: all / pageSize, asked: all })
      // Nobody waits for a fifth of them.
      const gaps = [...seen, all].map((asked, n) => asked - (seen[n - 1] ?? 0))
      expect(Math.max(...gaps)).toBeLessThan(all / 5)
    })
  )
})
