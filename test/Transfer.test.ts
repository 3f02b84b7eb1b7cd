import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as ByteStream from "../src/ByteStream.js"
import { Registry } from "../src/Registry.js"
import * as Digest from "../src/spec/Digest.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import * as Transfer from "../src/Transfer.js"
import { freshRepository, gather, generated, items, utf8 } from "./support/fixtures.js"
import { scripted } from "./support/scripted.js"

class Boom extends Data.TaggedError("Boom") {}

const subject = Effect.map(
  freshRepository,
  (repository): Transfer.Subject => ({ direction: "upload", repository })
)

const bytesEvents = (subject: Transfer.Subject, count: number): ReadonlyArray<Transfer.Event> =>
  Array.from({ length: count }, (_, offset) => ({ _tag: "Bytes", subject, offset, rate: 0 }))

/** An observer, and what it has seen. */
const recorder = () => {
  const seen: Array<Transfer.Event> = []
  const observe = Transfer.observe((event) => Effect.sync(() => seen.push(event)))
  return { seen, observe }
}

describe("UploadState", () => {
  it.effect("is stored as JSON with these names", () =>
    Effect.gen(function* () {
      const json = `{"repository":"team/app","location":"https://s.example/u?sig=a%2Fb'","offset":5}`
      const state = yield* Schema.decode(Schema.parseJson(Transfer.UploadState))(json)
      expect(state).toEqual({
        repository: "team/app",
        location: "https://s.example/u?sig=a%2Fb'",
        offset: 5
      })
      expect(yield* Schema.encode(Schema.parseJson(Transfer.UploadState))(state)).toBe(json)
    })
  )

  it.effect.each([
    `{"repository":"Team/App","location":"/u","offset":5}`,
    `{"repository":"team/app","location":"/u","offset":-1}`,
    `{"repository":"team/app","location":"/u","offset":1.5}`,
    `{"repository":"team/app","offset":5}`
  ])("does not take %s for one", (json) =>
    Effect.gen(function* () {
      expect(
        Exit.isFailure(
          yield* Effect.exit(Schema.decode(Schema.parseJson(Transfer.UploadState))(json))
        )
      ).toBe(true)
    })
  )
})

describe("events", () => {
  it.effect("streams what is emitted, in order, and the result last", () =>
    Effect.gen(function* () {
      const emitted = bytesEvents(yield* subject, 3)
      const program = Effect.as(Effect.forEach(emitted, Transfer.emit), "done")
      expect(yield* items(Transfer.events(program))).toEqual([
        ...emitted,
        { _tag: "Result", value: "done" }
      ])
    })
  )

  it.effect("holds the program back instead of the events when nobody takes them", () =>
    Effect.gen(function* () {
      const emitted = bytesEvents(yield* subject, 1_000)
      let count = 0
      const program = Effect.forEach(emitted, (event) =>
        Effect.zipRight(
          Transfer.emit(event),
          Effect.sync(() => count++)
        )
      )
      const [first, ...rest] = yield* Transfer.events(program).pipe(
        Stream.mapEffect((event) => Effect.as(Effect.yieldNow(), [event, count] as const)),
        items
      )
      expect(first?.[1]).toBeLessThan(200)
      expect(rest.length).toBe(1_000)
      expect(count).toBe(1_000)
    })
  )

  it.effect("yields every event before the program's own error", () =>
    Effect.gen(function* () {
      const emitted = bytesEvents(yield* subject, 3)
      const seen: Array<unknown> = []
      const program = Effect.zipRight(
        Effect.forEach(emitted, Transfer.emit),
        Effect.fail(new Boom())
      )
      const error = yield* Transfer.events(program).pipe(
        Stream.runForEach((event) => Effect.sync(() => void seen.push(event))),
        Effect.flip
      )
      expect(error).toEqual(new Boom())
      expect(seen).toEqual(emitted)
    })
  )

  it.effect("passes a defect and an interruption of the program on", () =>
    Effect.gen(function* () {
      const died = yield* Effect.exit(items(Transfer.events(Effect.die("defect"))))
      expect(died).toEqual(Exit.die("defect"))
      const interrupted = yield* Effect.exit(items(Transfer.events(Effect.interrupt)))
      expect(Exit.isInterrupted(interrupted)).toBe(true)
    })
  )

  it.effect("interrupts the program when the consumer stops", () =>
    Effect.gen(function* () {
      const [event] = bytesEvents(yield* subject, 1)
      if (event === undefined) throw new Error("one event")
      const interrupted = yield* Deferred.make<void>()
      const program = Transfer.emit(event).pipe(
        Effect.zipRight(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
      )
      expect(yield* items(Stream.take(Transfer.events(program), 1))).toEqual([event])
      yield* Deferred.await(interrupted)
    })
  )

  it.effect.each([2, 63, 64, 65, 500])(
    "ends when the consumer stops before the last of %s events",
    (count) =>
      Effect.gen(function* () {
        const emitted = bytesEvents(yield* subject, count)
        const program = Effect.forEach(emitted, Transfer.emit)
        const first = yield* Transfer.events(program).pipe(
          // One at a time, so that others are still waiting when the consumer stops.
          Stream.rechunk(1),
          Stream.mapEffect((event) => Effect.as(Effect.yieldNow(), event)),
          Stream.take(1),
          items
        )
        expect(first).toEqual(emitted.slice(0, 1))
      })
  )
})

describe("track", () => {
  const pieces = [utf8("hello"), utf8(", "), utf8("world")]

  it.effect("passes bytes on, observed or not", () =>
    Effect.gen(function* () {
      const tracked = Transfer.track(Stream.fromIterable(pieces), yield* subject)
      expect(yield* items(tracked)).toEqual(pieces)
      expect(yield* recorder().observe(items(tracked))).toEqual(pieces)
    })
  )

  it.effect("tells the total at the end, counted from the offset it started at", () =>
    Effect.gen(function* () {
      const about = yield* subject
      const { observe, seen } = recorder()
      yield* observe(Stream.fromIterable(pieces).pipe(Transfer.track(about, 100), Stream.runDrain))
      expect(seen).toEqual([{ _tag: "Bytes", subject: about, offset: 112, rate: 0 }])
    })
  )

  it.effect(
    "tells the total of a known size with its last byte: who sends it may not ask for more",
    () =>
      Effect.gen(function* () {
        const about = { ...(yield* subject), size: 12 }
        const { observe, seen } = recorder()
        const content = Stream.concat(Stream.fromIterable(pieces), Stream.never)
        yield* observe(
          Stream.runForEachWhile(Transfer.track(content, about), (bytes) =>
            Effect.succeed(bytes !== pieces[2])
          )
        )
        expect(seen).toEqual([{ _tag: "Bytes", subject: about, offset: 12, rate: 0 }])
      })
  )

  it.effect("tells how far it is every 200 ms, and only if it got further", () =>
    Effect.gen(function* () {
      const about = yield* subject
      const { observe, seen } = recorder()
      const slow = Stream.fromIterable(pieces).pipe(
        Stream.rechunk(1),
        Stream.mapEffect((bytes) => Effect.delay(Effect.succeed(bytes), "1 second"))
      )
      const fiber = yield* Effect.fork(observe(Stream.runDrain(Transfer.track(slow, about))))
      const offsets = () => seen.map((event) => (event._tag === "Bytes" ? event.offset : -1))
      yield* TestClock.adjust("999 millis")
      const before = offsets()
      yield* TestClock.adjust("201 millis")
      expect(offsets().slice(before.length)).toEqual([5])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      expect(offsets().filter((offset) => offset > 0)).toEqual([5, 7, 12])
    })
  )

  it.effect("tells how fast it goes, as a mean to which what is older counts less", () =>
    Effect.gen(function* () {
      const about = yield* subject
      const { observe, seen } = recorder()
      const everyTenth = (size: number, count: number) =>
        Stream.repeatValue(new Uint8Array(size)).pipe(
          Stream.rechunk(1),
          Stream.take(count),
          Stream.mapEffect((bytes) => Effect.delay(Effect.succeed(bytes), "100 millis"))
        )
      // A thousand bytes a second, and then three thousand.
      const bytes = Stream.concat(everyTenth(100, 60), everyTenth(300, 60))
      const fiber = yield* Effect.fork(observe(Stream.runDrain(Transfer.track(bytes, about))))
      const rate = () => {
        const last = seen.at(-1)
        return last?._tag === "Bytes" ? last.rate / 1000 : 0
      }
      const rates: Array<number> = []
      for (const wait of ["3 seconds", "3 seconds", "1500 millis", "4500 millis"] as const) {
        yield* TestClock.adjust(wait)
        rates.push(rate())
      }
      yield* Fiber.join(fiber)
      expect(rates.slice(0, 2)).toEqual([expect.closeTo(1, 1), expect.closeTo(1, 1)])
      expect(rates[2]).toBeGreaterThan(1.7)
      expect(rates[2]).toBeLessThan(2.3)
      expect(rates[3]).toBeGreaterThan(2.7)
    })
  )

  it.effect("stops sampling with its stream", () =>
    Effect.gen(function* () {
      const { observe, seen } = recorder()
      const endless = Stream.concat(Stream.fromIterable(pieces), Stream.never)
      const fiber = yield* Effect.fork(
        observe(Stream.runDrain(Transfer.track(endless, yield* subject)))
      )
      yield* TestClock.adjust("1 second")
      const count = seen.length
      expect(count).toBeGreaterThan(0)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 seconds")
      expect(seen.length).toBe(count)
    })
  )

  it.effect("passes the error of the stream on", () =>
    Effect.gen(function* () {
      const failing = Stream.concat(Stream.fromIterable(pieces), Stream.fail(new Boom()))
      const { observe } = recorder()
      expect(
        yield* Effect.flip(observe(Stream.runDrain(Transfer.track(failing, yield* subject))))
      ).toEqual(new Boom())
    })
  )
})

describe("emit", () => {
  it.effect("tells nobody by default", () =>
    Effect.flatMap(subject, (about) => Transfer.emit({ _tag: "Started", subject: about }))
  )

  it.effect("tells the observer of the fiber, and of its children", () =>
    Effect.gen(function* () {
      const event: Transfer.Event = { _tag: "Started", subject: yield* subject }
      const { observe, seen } = recorder()
      yield* observe(
        Effect.zipRight(
          Transfer.emit(event),
          Effect.flatMap(Effect.fork(Transfer.emit(event)), Fiber.join)
        )
      )
      expect(seen).toEqual([event, event])
    })
  )
})

describe("sink", () => {
  const built = Effect.map(Layer.build(MemoryRegistry.layer()), (context) =>
    Context.get(context, Registry)
  )

  it.scoped("stores what is run into it, and answers its descriptor", () =>
    Effect.gen(function* () {
      const registry = yield* built
      const repository = yield* freshRepository
      const bytes = yield* gather(generated(300_000))
      const put = yield* Stream.run(generated(300_000), Transfer.sink(registry, repository))
      expect(put).toMatchObject({ digest: Digest.fromBytes(bytes), size: 300_000 })
      expect(yield* gather(registry.getBlob(repository, put))).toEqual(bytes)
    })
  )

  it.scoped("takes no bytes for a blob without bytes", () =>
    Effect.gen(function* () {
      const put = yield* Stream.run(
        Stream.empty,
        Transfer.sink(yield* built, yield* freshRepository)
      )
      expect(put.size).toBe(0)
    })
  )

  it.scoped("fails as the upload does, without reading on", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = ByteStream.tap(Stream.forever(Stream.rechunk(generated(65_536), 1)), () => {
        pulled++
      })
      const sink = Transfer.sink(yield* built, yield* freshRepository, { size: 200_000 })
      expect(yield* Effect.flip(Stream.run(endless, sink))).toMatchObject({
        _tag: "SizeMismatch",
        expected: 200_000
      })
      expect(pulled).toBeLessThan(10)
    })
  )

  it.scoped("ends when the registry has the blob already", () =>
    Effect.gen(function* () {
      const registry = yield* built
      const repository = yield* freshRepository
      const put = yield* Stream.run(generated(300_000), Transfer.sink(registry, repository))
      const endless = Stream.forever(generated(65_536))
      expect(
        yield* Stream.run(endless, Transfer.sink(registry, repository, { digest: put.digest }))
      ).toMatchObject(put)
    })
  )

  it.scoped("passes on the failure of its stream, and stores nothing", () =>
    Effect.gen(function* () {
      const registry = yield* built
      const repository = yield* freshRepository
      const failing = Stream.concat(generated(100), Stream.fail("boom"))
      expect(yield* Effect.flip(Stream.run(failing, Transfer.sink(registry, repository)))).toBe(
        "boom"
      )
      const digest = Digest.fromBytes(yield* gather(generated(100)))
      expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
    })
  )

  it.live(
    "that comes to no end ends what it is sending, cancels its upload, and commits nothing",
    () =>
      Effect.gen(function* () {
        for (const ending of ["fails", "is interrupted"] as const) {
          const sent = yield* Deferred.make<void>()
          const { registry, wire } = yield* scripted(({ line }) =>
            line.startsWith("DELETE")
              ? { status: 204 }
              : { status: 202, headers: { location: "/u/1" } }
          )
          const last = Effect.zipRight(
            Deferred.succeed(sent, undefined),
            ending === "fails" ? Effect.fail("boom") : Effect.never
          )
          const endless = Stream.concat(generated(300_000), Stream.execute(last))
          const fiber = yield* Effect.fork(
            Stream.run(endless, Transfer.sink(registry, yield* freshRepository))
          )
          yield* Deferred.await(sent)
          const exit = yield* ending === "fails" ? Fiber.await(fiber) : Fiber.interrupt(fiber)
          expect(exit).toMatchObject({ _tag: "Failure" })
          expect(wire.map((line) => line.split(" ", 1).join())).toEqual(["POST", "PATCH", "DELETE"])
        }
      })
  )
})
