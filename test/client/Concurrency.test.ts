import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Concurrency from "../../src/client/http/Concurrency.js"
import * as Digest from "../../src/spec/Digest.js"
import { items, utf8 } from "../support/fixtures.js"
import { manifestAnswer, registryUrl, repository, status, tag, world } from "./world.js"

/** Work that counts how many of its kind are under way, and ends when it is told to. */
const makeWork = Effect.gen(function* () {
  const begun: Array<number> = []
  const gates: Array<Deferred.Deferred<void>> = []
  let now = 0
  let most = 0
  const run = (n: number) =>
    Effect.gen(function* () {
      begun.push(n)
      most = Math.max(most, ++now)
      const gate = yield* Deferred.make<void>()
      gates[n] = gate
      yield* Deferred.await(gate)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          now--
        })
      )
    )
  const end = (n: number) =>
    Effect.suspend(() => {
      const gate = gates[n]
      return gate === undefined
        ? Effect.die(`${n} has not begun`)
        : Effect.zipRight(Deferred.succeed(gate, undefined), settle)
    })
  return { begun, run, end, most: () => most }
})

const settle = TestClock.adjust(0)
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

describe("exchanges", () => {
  it.effect("run so many at a time, the others in the order of their arrival", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(2)
      const work = yield* makeWork
      const fibers = yield* Effect.forEach(numbers(5), (n) =>
        Effect.fork(permits.exchange(work.run(n)))
      )
      yield* settle
      expect(work.begun).toEqual([0, 1])
      yield* work.end(1)
      expect(work.begun).toEqual([0, 1, 2])
      yield* work.end(0)
      yield* work.end(2)
      expect(work.begun).toEqual([0, 1, 2, 3, 4])
      yield* work.end(3)
      yield* work.end(4)
      yield* Fiber.joinAll(fibers)
      expect(work.most()).toBe(2)
    })
  )

  it.effect("are not overtaken by one that comes just when a permit becomes free", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const order: Array<string> = []
      const note = (name: string) => permits.exchange(Effect.sync(() => void order.push(name)))
      const work = yield* makeWork
      yield* Effect.fork(Effect.zipRight(permits.exchange(work.run(0)), note("late")))
      yield* settle
      yield* Effect.fork(note("early"))
      yield* settle
      yield* work.end(0)
      expect(order).toEqual(["early", "late"])
    })
  )

  it.effect("release their permit when they fail or are interrupted, waiting or not", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const work = yield* makeWork
      const running = yield* Effect.fork(permits.exchange(work.run(0)))
      yield* settle
      const waiting = yield* Effect.fork(permits.exchange(work.run(1)))
      yield* settle
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(running)
      expect(yield* Effect.flip(permits.exchange(Effect.fail("f")))).toBe("f")
      yield* permits.exchange(Effect.void)
      expect(work.begun).toEqual([0])
    })
  )

  it.effect("pass on a permit that was given to one who is interrupted in the same moment", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const gate = yield* Deferred.make<Fiber.RuntimeFiber<never>>()
      const last = Effect.map(Deferred.await(gate), (waiting) =>
        waiting.unsafeInterruptAsFork(FiberId.none)
      )
      yield* Effect.fork(permits.exchange(last))
      yield* settle
      const waiting = yield* Effect.fork(permits.exchange(Effect.never))
      const next = yield* Effect.fork(permits.exchange(Effect.succeed("next")))
      yield* settle
      // The permit is handed over before the interrupted fiber runs again.
      yield* Deferred.succeed(gate, waiting)
      yield* settle
      expect(yield* Fiber.poll(next)).toMatchObject({ _tag: "Some", value: { value: "next" } })
    })
  )

  it.effect("number at least one at a time, whatever is asked for", () =>
    Effect.map(Concurrency.make(0).exchange(Effect.succeed(1)), (one) => expect(one).toBe(1))
  )
})

const download = <A, E, R>(permits: Concurrency.Concurrency, stream: Stream.Stream<A, E, R>) =>
  permits.download(({ revocable }) => revocable(stream))

describe("downloads", () => {
  it.effect("may release their permit before their end, and release no other then", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const early = permits.download((permit) => {
        permit.release()
        return Stream.never
      })
      const first = yield* Effect.fork(Stream.runDrain(early))
      yield* settle
      yield* Effect.fork(Stream.runDrain(download(permits, Stream.never)))
      yield* settle
      yield* Fiber.interrupt(first)
      const third = yield* Effect.fork(items(download(permits, Stream.make(3))))
      yield* TestClock.adjust(Duration.minutes(1))
      expect(yield* Fiber.poll(third)).toMatchObject({ _tag: "None" })
    })
  )

  it.effect("take another permit only if one is free, and release it to whoever waits", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(2)
      const taken: Array<(() => void) | undefined> = []
      yield* Effect.fork(
        Stream.runDrain(
          permits.download((permit) => {
            taken.push(permit.another(), permit.another())
            return Stream.never
          })
        )
      )
      yield* settle
      const [release, none] = taken
      expect(none).toBeUndefined()
      const waiting = yield* Effect.fork(items(download(permits, Stream.make(1))))
      yield* TestClock.adjust(Duration.minutes(1))
      expect(yield* Fiber.poll(waiting)).toMatchObject({ _tag: "None" })
      release?.()
      expect(yield* Fiber.join(waiting)).toEqual([1])
    })
  )

  it.effect("hold a permit from the first pull to the end, failure or abandonment", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const numbers = download(permits, Stream.make(1, 2, 3))
      expect(yield* items(numbers)).toEqual([1, 2, 3])
      expect(yield* items(Stream.take(numbers, 1))).toEqual([1])
      expect(yield* Effect.flip(Stream.runDrain(download(permits, Stream.fail("f"))))).toBe("f")
      const never = yield* Effect.fork(Stream.runDrain(download(permits, Stream.never)))
      yield* settle
      yield* Fiber.interrupt(never)
      expect(yield* items(numbers)).toEqual([1, 2, 3])
    })
  )

  it.effect("that wait for the registry keep their permit, however long", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      yield* Effect.fork(
        Stream.runDrain(download(permits, Stream.concat(Stream.make(1), Stream.never)))
      )
      yield* settle
      const second = yield* Effect.fork(items(download(permits, Stream.make(2))))
      yield* TestClock.adjust(Duration.minutes(1))
      expect(yield* Fiber.poll(second)).toMatchObject({ _tag: "None" })
    })
  )

  it.effect(
    "within downloads of the same registry go on: an idle one loses its permit after a second",
    () =>
      Effect.gen(function* () {
        const permits = Concurrency.make(2)
        const nested = (depth: number): Stream.Stream<number> =>
          depth === 0
            ? Stream.make(0)
            : Stream.flatMap(download(permits, Stream.make(depth)), (n) =>
                Stream.concat(nested(depth - 1), Stream.make(n))
              )
        const fibers = yield* Effect.forEach(numbers(3), () => Effect.fork(items(nested(4))))
        yield* TestClock.adjust(Duration.millis(900))
        for (const fiber of fibers) expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "None" })
        yield* TestClock.adjust(Duration.minutes(1))
        for (const fiber of fibers) expect(yield* Fiber.join(fiber)).toEqual([0, 1, 2, 3, 4])
      })
  )

  it.effect("that lost their permit have none to release", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const work = yield* makeWork
      const idle = yield* Effect.fork(
        Stream.runForEach(download(permits, Stream.make(0)), work.run)
      )
      yield* settle
      const borrower = yield* Effect.fork(Stream.runDrain(download(permits, Stream.never)))
      yield* TestClock.adjust(Duration.seconds(1))
      const third = yield* Effect.fork(items(download(permits, Stream.make(3))))
      yield* work.end(0)
      yield* Fiber.join(idle)
      yield* TestClock.adjust(Duration.minutes(1))
      expect(yield* Fiber.poll(third)).toMatchObject({ _tag: "None" })
      yield* Fiber.interrupt(borrower)
      expect(yield* Fiber.join(third)).toEqual([3])
    })
  )

  it.effect("do not wait for exchanges or uploads, nor those for them", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      const content = download(permits, Stream.make("a", "b"))
      const copied = permits.upload((reading) =>
        Effect.zipRight(permits.exchange(Effect.void), Stream.runCount(reading(content)))
      )
      expect(yield* copied).toBe(2)
    })
  )
})

describe("uploads", () => {
  it.effect("run so many at a time, and one that waits for its source loses its permit", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      yield* Effect.fork(permits.upload((reading) => Stream.runDrain(reading(Stream.never))))
      yield* settle
      const second = yield* Effect.fork(permits.upload(() => Effect.succeed("second")))
      yield* settle
      expect(yield* Fiber.poll(second)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust(Duration.seconds(2))
      expect(yield* Fiber.join(second)).toBe("second")
    })
  )

  it.effect("that wait for the registry keep their permit", () =>
    Effect.gen(function* () {
      const permits = Concurrency.make(1)
      yield* Effect.fork(
        permits.upload((reading) =>
          Stream.runForEach(reading(Stream.make("a")), () => Effect.never)
        )
      )
      yield* settle
      const second = yield* Effect.fork(permits.upload(() => Effect.succeed("second")))
      yield* TestClock.adjust(Duration.minutes(1))
      expect(yield* Fiber.poll(second)).toMatchObject({ _tag: "None" })
    })
  )
})

describe("a client", () => {
  it.effect("has six requests under way at a time, and as many as `concurrency` says", () =>
    Effect.gen(function* () {
      for (const [concurrency, expected] of [
        [undefined, 6],
        [2, 2]
      ] as const) {
        let now = 0
        let most = 0
        const { registry } = yield* world(
          {
            [registryUrl]: () =>
              Effect.suspend(() => {
                most = Math.max(most, ++now)
                return Effect.sleep(Duration.seconds(1)).pipe(
                  Effect.map(() => {
                    now--
                    return manifestAnswer()
                  })
                )
              })
          },
          { concurrency }
        )
        const fiber = yield* Effect.fork(
          Effect.forEach(numbers(20), () => registry.headManifest(repository, tag), {
            concurrency: "unbounded"
          })
        )
        yield* TestClock.adjust(Duration.seconds(60))
        yield* Fiber.interrupt(fiber)
        expect(most).toBe(expected)
      }
    })
  )

  it.live("has six downloads under way at a time, each to the end of its body", () =>
    Effect.gen(function* () {
      let now = 0
      let most = 0
      const b1 = utf8("b1")
      const body = () =>
        new ReadableStream<Uint8Array>(
          {
            start: () => {
              most = Math.max(most, ++now)
            },
            pull: async (controller) => {
              await new Promise((resolve) => setTimeout(resolve, 5))
              now--
              controller.enqueue(b1)
              controller.close()
            }
          },
          { highWaterMark: 0 }
        )
      const { registry } = yield* world({ [registryUrl]: () => new Response(body()) })
      yield* Effect.forEach(
        numbers(20),
        () => Stream.runDrain(registry.getBlob(repository, Digest.fromBytes(b1))),
        {
          concurrency: "unbounded"
        }
      )
      expect(most).toBe(6)
    })
  )

  it.effect("does not hold a permit between two attempts", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        {
          [registryUrl]: ({ url }) => (url.pathname.endsWith("v1") ? status(503) : manifestAnswer())
        },
        { concurrency: 1 }
      )
      yield* Effect.fork(registry.headManifest(repository, tag))
      yield* settle
      const other = yield* Effect.fork(
        registry.headManifest(repository, Digest.fromBytes(utf8("x")))
      )
      yield* settle
      yield* Fiber.interrupt(other)
      expect(log[1]).toContain("sha256:")
    })
  )
})
