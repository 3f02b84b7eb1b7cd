/** What a copy tells of itself while it goes. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as BlobSource from "../../../src/BlobSource.js"
import * as Copy from "../../../src/content/Copy.js"
import { Progress } from "../../../src/content/internal/copy/Progress.js"
import type { Registry } from "../../../src/Registry.js"
import { TransportFailure } from "../../../src/RegistryError.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { items, tag } from "../../support/fixtures.js"
import { blob, image, platforms, repository, v1, v2 } from "../../support/graphs.js"

const world = Effect.gen(function* () {
  const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
  return {
    source,
    target,
    from: { registry: source, repository },
    to: { registry: target, repository }
  }
})

describe("the events of a copy", () => {
  it.effect("are those of each step, and end with all that is known being done", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      yield* platforms(source, ["linux/amd64"])
      const events = yield* items(Copy.events(Copy.between({ ...from, reference: v1 }, to)))
      const count = (name: string) => events.filter(({ _tag }) => _tag === name).length
      expect(count("Found")).toBe(8)
      expect(count("Started")).toBe(8)
      expect(count("Ended")).toBe(8)
      expect(count("Failed")).toBe(0)
      const [progress, result] = events.slice(-2)
      expect(progress).toMatchObject({ _tag: "Progress", summary: { fraction: 1, tags: 1 } })
      expect(result).toMatchObject({ _tag: "Result", value: { ok: true } })
      const at = (name: string, id: string) =>
        events.findIndex((event) => "step" in event && event._tag === name && event.step.id === id)
      for (const event of events) {
        if (event._tag !== "Started") continue
        const { id } = event.step
        expect(at("Found", id)).toBeLessThan(at("Started", id))
        expect(at("Started", id)).toBeLessThan(at("Ended", id))
        for (const before of "after" in event.step ? event.step.after : [])
          expect(at("Ended", before)).toBeLessThan(at("Started", id))
      }
    })
  )

  it.effect("say how many bytes have come, how fast, and how long the rest takes", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      const size = 10_000
      const layer = yield* blob(source, MediaType.layerTar, new Uint8Array(size).fill(7))
      const manifest = yield* image(source, [layer])
      const { digest } = manifest.descriptor
      // A thousand bytes in a second.
      const slow: Registry.Service = {
        ...source,
        getBlob: (name, wanted) =>
          typeof wanted !== "string" && wanted.size === size
            ? Stream.rechunk(source.getBlob(name, wanted), 1).pipe(
                Stream.flatMap((bytes) =>
                  Stream.fromIterable(
                    Array.from({ length: bytes.length / 1000 }, (_, n) =>
                      bytes.slice(n * 1000, n * 1000 + 1000)
                    )
                  )
                ),
                Stream.rechunk(1),
                Stream.mapEffect((bytes) => Effect.delay(Effect.succeed(bytes), "1 second"))
              )
            : source.getBlob(name, wanted)
      }
      const seen: Array<Copy.Event> = []
      const copy = Copy.between({ ...from, registry: slow, reference: digest }, to).pipe(
        Copy.observe((event) => Effect.sync(() => seen.push(event)))
      )
      const fiber = yield* Effect.fork(copy)
      while (seen.filter(({ _tag }) => _tag === "Started").length < 2)
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
      for (let n = 0; n < 60; n++) yield* TestClock.adjust("100 millis")
      const bytes = seen.filter((event) => event._tag === "Bytes")
      expect(bytes.map(({ offset }) => offset)).toEqual([1000, 2000, 3000, 4000, 5000])
      expect(bytes.at(-1)?.rate).toBeGreaterThan(300)
      expect(bytes.at(-1)?.rate).toBeLessThan(3000)
      const last = seen.filter((event) => event._tag === "Progress").at(-1)?.summary
      expect(last?.fraction).toBeGreaterThan(0.4)
      expect(last?.fraction).toBeLessThan(0.7)
      expect(last?.remaining).toBeGreaterThan(1000)
      expect(last?.moved.bytes).toBeGreaterThanOrEqual(5000)
      for (let n = 0; n < 60; n++) yield* TestClock.adjust("100 millis")
      expect((yield* Fiber.join(fiber)).summary.fraction).toBe(1)
      expect(seen.filter(({ _tag }) => _tag === "Progress").length).toBeGreaterThan(40)
    })
  )

  it.effect("CP24: end below all of it where something has failed", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      for (const name of [v1, v2]) {
        const manifest = yield* image(source, [yield* blob(source, MediaType.layerTar)])
        yield* source.putManifest(repository, manifest, { tags: [name] })
      }
      const last = (failing: Registry.Service) =>
        Copy.between({ ...from, registry: failing }, to, {
          tags: "all",
          continueOnError: true
        }).pipe(Effect.map(({ ok, summary: { fraction } }) => ({ ok, fraction })))
      const reset = Effect.fail(new TransportFailure({ reason: "Reset" }))
      const ofManifests = yield* last({ ...source, getManifest: () => reset })
      expect(ofManifests).toEqual({ ok: false, fraction: 0 })
      const ofOneTag = yield* last({
        ...source,
        headManifest: (name, reference) =>
          reference === v1 ? reset : source.headManifest(name, reference)
      })
      expect(ofOneTag.ok).toBe(false)
      expect(ofOneTag.fraction).toBeLessThan(1)
      expect(yield* last(source)).toEqual({ ok: true, fraction: 1 })
      const ofNothing = yield* Copy.between(from, to, { tags: [] })
      expect(ofNothing).toMatchObject({ ok: true, summary: { fraction: 1 } })
    })
  )

  it.effect("say which step has failed, and with what", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      const layer = yield* blob(source, MediaType.layerTar)
      const { descriptor } = yield* image(source, [layer])
      const broken: Registry.Service = {
        ...source,
        getBlob: () => Stream.fail(new TransportFailure({ reason: "Reset" }))
      }
      const seen: Array<Copy.Event> = []
      const copy = Copy.between({ ...from, registry: broken, reference: descriptor.digest }, to)
      const failure = yield* copy.pipe(
        Copy.observe((event) => Effect.sync(() => seen.push(event))),
        Effect.flip
      )
      expect(failure).toMatchObject({ side: "source", error: { _tag: "TransportFailure" } })
      expect(seen.find(({ _tag }) => _tag === "Failed")).toMatchObject({
        step: { kind: "blob" },
        failure: { side: "source" }
      })
    })
  )
})

describe("CP32: many equal tags", () => {
  it.live("let others run, and tell of their progress", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      const manifest = yield* image(source, [yield* blob(source, MediaType.layerTar)])
      const tags = yield* Effect.forEach(Array.from({ length: 1000 }), (_, n) => tag(`t${n}`))
      yield* source.putManifest(repository, manifest, { tags })
      yield* to.registry.putBlob(repository, BlobSource.fromBytes(new Uint8Array(1)))
      let turns = 0
      const counting = Effect.forever(
        Effect.async<void>((resume) => {
          const next = setImmediate(() => {
            turns++
            resume(Effect.void)
          })
          return Effect.sync(() => clearImmediate(next))
        })
      )
      const report = yield* Copy.between(from, to, { tags: "all" }).pipe(
        Effect.raceFirst(Effect.zipRight(counting, Effect.never))
      )
      expect(report.outcomes).toHaveLength(1000)
      expect(report.summary).toMatchObject({ moved: { nodes: 3 }, tags: 1000 })
      expect(turns).toBeGreaterThan(2)
    })
  )
})

describe("a summary", () => {
  it("counts nothing twice, and is at its end only when all is done", () => {
    const progress = new Progress(0)
    const descriptor = { mediaType: "a/b", digest: "sha256:0" as never, size: 100 }
    const transfer = { _tag: "Transfer", id: "blob", kind: "blob", descriptor } as const
    progress.found(transfer)
    expect(progress.summary()).toMatchObject({ fraction: 0, rate: 0 })
    progress.reached(transfer, 40)
    progress.sample(1000)
    expect(progress.summary()).toMatchObject({ fraction: 0.4, rate: 40, remaining: 1500 })
    // An upload that starts over.
    progress.reached(transfer, 10)
    expect(progress.summary().moved).toEqual({ nodes: 0, bytes: 10 })
    progress.done(transfer, "moved")
    expect(progress.summary()).toMatchObject({ fraction: 1, moved: { nodes: 1, bytes: 100 } })
    progress.failed()
    expect(progress.summary().fraction).toBe(0.5)
  })
})
