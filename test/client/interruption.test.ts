/**
 * Uploads that are interrupted at every step: the registry is left without a session, though it
 * knows none but by its newest location.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import { turn } from "../support/fixtures.js"
import { app, b2, base, big, source, tiny } from "./quirks/content.js"
import * as Mock from "./quirks/mock.js"
import { ignoresDigest, newestOnly, put } from "./quirks/uploading.js"
import { status } from "./world.js"

/** A fiber that is to be interrupted, once it is known. */
interface Victim {
  fiber?: Fiber.RuntimeFiber<unknown, unknown>
}

/** The interruption is a message: it has arrived a turn of the event loop later. */
const interrupt = (victim: Victim) =>
  Effect.zipRight(
    Effect.sync(() => victim.fiber?.unsafeInterruptAsFork(FiberId.none)),
    turn
  )

/**
 * Interrupts the victim when the registry has got so many requests, before it does as it is told or
 * after.
 */
const interrupting =
  (victim: Victim, request: number, moment: "before" | "after"): Mock.Quirk =>
  (healthy) => {
    let count = 0
    return (seen) =>
      count++ !== request
        ? healthy(seen)
        : moment === "before"
          ? Effect.zipRight(interrupt(victim), healthy(seen))
          : Effect.zipLeft(healthy(seen), interrupt(victim))
  }

type Run = (registry: Registry.Service, victim: Victim) => Effect.Effect<unknown, unknown>

/** What was sent, and what is left of it, when something is interrupted. */
const interrupted = (run: Run, quirks: (victim: Victim) => ReadonlyArray<Mock.Quirk>) =>
  Effect.gen(function* () {
    const victim: Victim = {}
    const world = yield* Mock.make({
      host: "registry.example",
      quirks: [...quirks(victim), newestOnly("_state")]
    })
    const exit = yield* world.patiently(
      Effect.flatMap(Effect.fork(run(world.registry, victim)), (fiber) => {
        victim.fiber = fiber
        return Fiber.await(fiber)
      })
    )
    return { exit, wire: world.wire(), left: yield* world.stored.uploads }
  })

describe("an upload that is interrupted leaves no session behind", () => {
  const session = (registry: Registry.Service) =>
    Effect.scoped(
      Effect.gen(function* () {
        const session = yield* registry.startUpload(app)
        yield* session.write(big.bytes.subarray(0, 50_000))
        yield* session.write(Stream.make(big.bytes.subarray(50_000)))
        yield* session.status
        return yield* session.commit(big.descriptor.digest)
      })
    )

  it.scoped.each([
    ["by a single POST", put(tiny), []],
    ["by a single POST that opened a session", put(tiny), [ignoresDigest]],
    ["by PUT", put(big), []],
    ["by PATCH", put(big, "nothing"), []],
    ["in chunks from its source", put(big, "size", { chunkSize: 40_000 }), []],
    ["in chunks from memory", put(big, "nothing", { chunkSize: 40_000 }), []],
    ["at the path of the blob", put(big, "both", { strategy: "direct" }), []],
    [
      "where it was not mounted",
      (registry) => registry.putBlob(app, source(tiny), { mountFrom: base }),
      []
    ],
    ["by a mount", (registry) => registry.mountBlob(app, b2.descriptor.digest, base), []],
    [
      "by a mount of nothing",
      (registry) => registry.mountBlob(app, tiny.descriptor.digest, base),
      []
    ],
    ["by hand", session, []]
  ] as ReadonlyArray<readonly [string, Run, ReadonlyArray<Mock.Quirk>]>)(
    "%s, before and after the answer to each request",
    ([, run, quirks]) =>
      Effect.gen(function* () {
        for (const moment of ["before", "after"] as const) {
          for (let request = 0; ; request++) {
            const { exit, left, wire } = yield* interrupted(run, (victim) => [
              interrupting(victim, request, moment),
              ...quirks
            ])
            expect(left, wire.join("\n")).toEqual([])
            if (Exit.isSuccess(exit)) break
            expect(Exit.isInterrupted(exit)).toBe(true)
          }
        }
      }),
    30_000
  )

  it.scoped.each([
    ["of unknown size: the stream ends where it is", {}, ["POST", "PATCH [40000]", "DELETE"]],
    [
      "of known size: it is sent to its end",
      { size: 100_000 },
      ["POST", "PATCH 0-99999 [100000]", "DELETE"]
    ]
  ] as const)("by its own source, %s", ([, known, requests]) =>
    Effect.gen(function* () {
      const { exit, left, wire } = yield* interrupted(
        (registry, victim) => {
          const bytes = Stream.fromIterable([0, 20_000, 40_000, 60_000, 80_000]).pipe(
            Stream.rechunk(1),
            Stream.mapEffect((at) =>
              Effect.as(
                at === 60_000 ? interrupt(victim) : Effect.void,
                big.bytes.subarray(at, at + 20_000)
              )
            )
          )
          return registry.putBlob(
            app,
            BlobSource.make(() => bytes, known)
          )
        },
        () => []
      )
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(wire.map((line) => line.replace(/ \/\S+/, ""))).toEqual(requests)
      expect(left).toEqual([])
    })
  )

  it.scoped.each([
    // Of what has come, the last chunk is held back until the next one or the end is seen.
    ["of unknown size: the stream ends where it is", {}, "PATCH [20000]"],
    ["of known size: zeros make up for the rest", { size: 100_000 }, "PATCH 0-99999 [100000]"]
  ] as const)("while its source has nothing to send, %s", ([, known, request]) =>
    Effect.gen(function* () {
      const victim: Victim = {}
      const world = yield* Mock.make({ host: "registry.example", quirks: [newestOnly("_state")] })
      const idle = Stream.concat(
        Stream.make(big.bytes.subarray(0, 20_000), big.bytes.subarray(20_000, 40_000)).pipe(
          Stream.rechunk(1)
        ),
        Stream.unwrap(Effect.as(interrupt(victim), Stream.never))
      )
      victim.fiber = yield* Effect.fork(
        world.registry.putBlob(
          app,
          BlobSource.make(() => idle, known)
        )
      )
      expect(Exit.isInterrupted(yield* world.patiently(Fiber.await(victim.fiber)))).toBe(true)
      expect(yield* Clock.currentTimeMillis).toBe(0)
      expect(world.wire().map((line) => line.replace(/ \/\S+/, ""))).toEqual([
        "POST",
        request,
        "DELETE"
      ])
      expect(yield* world.stored.uploads).toEqual([])
    })
  )

  it.scoped.each([
    ["without a body", put(big, "nothing"), 2],
    ["with all of it", put(big), 2]
  ] as ReadonlyArray<readonly [string, Run, number]>)(
    "while it is being closed %s, to the registry that cannot cancel that: it is closed",
    ([, run, request]) =>
      Effect.gen(function* () {
        const { left, wire } = yield* interrupted(run, (victim) => [
          interrupting(victim, request, "after"),
          Mock.answers("DELETE Upload", () => status(404))
        ])
        expect(wire.at(-1)).toContain("digest=big")
        expect(left).toEqual([])
      })
  )
})
