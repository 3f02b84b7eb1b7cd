/** Streams that are pulls: to the combinators of `Stream` they are streams like any other. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as PullStream from "../src/internal/PullStream.js"

/** A stream of chunks that tells what becomes of it. */
const told = <E = never>(
  log: Array<string>,
  name: string,
  chunks: ReadonlyArray<ReadonlyArray<number>>,
  then: PullStream.Pull<number, E> = PullStream.end
): Stream.Stream<number, E> =>
  PullStream.make((scope) => {
    log.push(`${name} begins`)
    const left = [...chunks]
    let isOver = false
    const pull: PullStream.Pull<number, E> = Effect.suspend(() => {
      if (isOver) throw new Error("pulled after its end")
      const next = left.shift()
      log.push(`${name} is pulled`)
      if (next !== undefined) return Effect.succeed(Chunk.fromIterable(next))
      isOver = true
      return then
    })
    return PullStream.opening(
      Scope.addFinalizer(
        scope,
        Effect.sync(() => log.push(`${name} is closed`))
      ),
      pull
    )
  })

const failing = <E>(error: E): PullStream.Pull<never, E> => PullStream.failed(Cause.fail(error))

const collected = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.map(Stream.runCollect(stream), (all) => [...all])

describe("a stream that is a pull", () => {
  it.effect("does nothing before it is read, and is closed at its end", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const stream = told(log, "a", [[1, 2], [], [3]])
      expect(log).toEqual([])
      expect(yield* collected(Stream.map(stream, (n) => n * 2))).toEqual([2, 4, 6])
      expect(log.filter((line) => line === "a is closed")).toHaveLength(1)
      expect(yield* collected(stream)).toEqual([1, 2, 3])
    })
  )

  it.effect("is opened anew for each run, and two runs share nothing", () =>
    Effect.gen(function* () {
      const stream = PullStream.mapChunks(told([], "a", [[1], [2]]), (chunk) => chunk)
      expect(yield* collected(Stream.zip(stream, stream))).toEqual([
        [1, 1],
        [2, 2]
      ])
    })
  )

  it.effect("is closed when its consumer wants no more, or is interrupted", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      expect(yield* collected(Stream.take(told(log, "a", [[1], [2]]), 1))).toEqual([1])
      expect(log.at(-1)).toBe("a is closed")
      const begun = yield* Deferred.make<void>()
      const waiting = told(
        log,
        "b",
        [],
        Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
      )
      const fiber = yield* Effect.fork(PullStream.runForEachChunk(waiting, () => undefined))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(log.at(-1)).toBe("b is closed")
    })
  )

  it.effect("has the failures and defects of effects that make it", () =>
    Effect.gen(function* () {
      const streams: ReadonlyArray<Stream.Stream<number, string>> = [
        PullStream.unwrap(Effect.fail("no")),
        PullStream.unwrap(Effect.die("broken")),
        PullStream.suspend(() => {
          throw "thrown"
        }),
        PullStream.fail("never")
      ]
      const exits = yield* Effect.forEach(streams, (stream) => Effect.exit(Stream.runDrain(stream)))
      expect(exits).toEqual([
        Exit.fail("no"),
        Exit.die("broken"),
        Exit.die("thrown"),
        Exit.fail("never")
      ])
    })
  )

  it.effect("keeps the Scope of what makes it open until its end", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const stream = PullStream.unwrapScoped(
        Effect.as(
          Effect.addFinalizer(() => Effect.sync(() => log.push("released"))),
          Stream.make(1, 2).pipe(Stream.tap((n) => Effect.sync(() => log.push(`${n}`))))
        )
      )
      yield* Stream.runDrain(stream)
      expect(log).toEqual(["1", "2", "released"])
    })
  )

  it.effect("holds foreign streams no longer than it is read", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const foreign = Stream.ensuring(
        Stream.make(1, 2),
        Effect.sync(() => log.push("closed"))
      )
      const stream = PullStream.mapError(foreign, () => "no")
      expect(log).toEqual([])
      expect(yield* collected(stream)).toEqual([1, 2])
      expect(yield* Stream.runHead(stream)).toMatchObject({ value: 1 })
      expect(log).toEqual(["closed", "closed"])
    })
  )
})

describe("catchAll", () => {
  it.effect("closes what has failed before it opens what comes instead, once", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const stream = PullStream.catchAll(told(log, "a", [[1]], failing("no")), (error) =>
        told(log, "b", [[2]], failing(`${error}, again`))
      )
      expect(yield* Effect.exit(collected(stream))).toEqual(Exit.fail("no, again"))
      expect(log).toEqual([
        "a begins",
        "a is pulled",
        "a is pulled",
        "a is closed",
        "b begins",
        "b is pulled",
        "b is pulled",
        "b is closed"
      ])
    })
  )

  it.effect("leaves defects and interruptions alone", () =>
    Effect.gen(function* () {
      for (const cause of [Cause.die("broken"), Cause.interrupt(yield* Effect.fiberId)]) {
        const stream = PullStream.catchAll(told([], "a", [], PullStream.failed(cause)), () =>
          PullStream.succeed(1)
        )
        expect(yield* Effect.exit(Stream.runDrain(stream))).toEqual(Exit.failCause(cause))
      }
    })
  )
})

describe("ensuring", () => {
  it.effect.each([
    ["an end", PullStream.end, undefined, { isOver: true, ok: true }],
    ["a failure", failing("no"), undefined, { isOver: true, ok: false }],
    ["a consumer that wants no more", PullStream.end, 1, { isOver: false, ok: true }]
  ] as const)("runs its effect once for %s", ([, then, most, expected]) =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const stream = PullStream.ensuring(told<string>([], "a", [[1], [2]], then), (exit, isOver) =>
        Effect.sync(() => seen.push({ isOver, ok: Exit.isSuccess(exit) }))
      )
      yield* Effect.exit(Stream.runDrain(most === undefined ? stream : Stream.take(stream, most)))
      expect(seen).toEqual([expected])
    })
  )

  it.effect(
    "runs it at the end, before the consumer goes on, and not at the end of the whole",
    () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const first = PullStream.ensuring(told([], "a", [[1]]), () =>
          Effect.sync(() => log.push("over"))
        )
        yield* Stream.concat(first, Stream.make(2)).pipe(
          Stream.runForEach((n) => Effect.sync(() => log.push(`${n}`)))
        )
        expect(log).toEqual(["1", "over", "2"])
      })
  )
})

describe("ending", () => {
  it.effect("runs its effect after the last chunk, and not after a failure", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const told_ = Effect.sync(() => log.push("ended"))
      yield* Stream.runDrain(PullStream.ending(told([], "a", [[1]]), told_))
      expect(log).toEqual(["ended"])
      yield* Effect.exit(Stream.runDrain(PullStream.ending(PullStream.fail("no"), told_)))
      expect(log).toEqual(["ended"])
    })
  )
})

describe("runForEachChunk and runFlushing", () => {
  const bytes = (...sizes: ReadonlyArray<number>) =>
    Stream.fromIterable(sizes.map((size) => new Uint8Array(size)))

  it.effect("a chunk of which false comes is the last that is read", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      yield* PullStream.runForEachChunk(told(log, "a", [[1], [2]]), () => false)
      expect(log).toEqual(["a begins", "a is pulled", "a is closed"])
    })
  )

  it.effect("a flush that fails is the failure, unless the stream has failed itself", () =>
    Effect.gen(function* () {
      const flush = Effect.fail("full")
      const run = <E>(stream: Stream.Stream<Uint8Array, E>, isFull: boolean) =>
        Effect.exit(PullStream.runFlushing(stream, () => isFull, flush))
      expect(yield* run(bytes(1), true)).toEqual(Exit.fail("full"))
      expect(yield* run(bytes(1), false)).toEqual(Exit.fail("full"))
      expect(yield* run(Stream.concat(bytes(1), Stream.fail("no")), false)).toEqual(Exit.fail("no"))
    })
  )
})
