/** Blobs that are read while they come into the cache, and what becomes of those who read them. */
import { expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../src/ByteStream.js"
import type { Registry } from "../../../src/Registry.js"
import { StorageFailure, TransportFailure } from "../../../src/RegistryError.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { gather, items } from "../../support/fixtures.js"
import { app, gated, pieces, put, same, watched, world } from "./world.js"

const parts = pieces(8)
const whole = ByteStream.concat(parts)
const isWhole = same(whole)
const reset = new TransportFailure({ reason: "Reset" })

/** A cache of one blob of eight pieces, which waits at a gate after some of them. */
const gatedWorld = (
  before: number,
  options: Partial<Parameters<typeof ComposedRegistry.cached>[1]> = {}
) =>
  Effect.gen(function* () {
    const origin = yield* MemoryRegistry.make()
    const blob = yield* put(origin, whole)
    const { arrived, gate, registry } = yield* gated(origin, parts, before)
    const { registry: upstream, seen } = watched(registry)
    const store = yield* MemoryRegistry.make()
    const cached = yield* ComposedRegistry.cached(upstream, { store, ...options })
    return { arrived, blob, cached, gate, seen, store, upstream }
  })

/** A reader whose arrays are counted as it takes them. */
const reader = (registry: Registry.Service, digest: Digest.Digest) =>
  Effect.gen(function* () {
    const taken = yield* Queue.unbounded<number>()
    const fiber = yield* Effect.fork(
      gather(Stream.tap(registry.getBlob(app, digest), (bytes) => Queue.offer(taken, bytes.length)))
    )
    return { fiber, taken: Queue.take(taken) }
  })

/** A store whose uploads cannot be read while they are written, as that of another registry. */
const opaque = (store: Registry.Service): Registry.Service => ({
  ...store,
  startUpload: (repository, options) =>
    Effect.map(store.startUpload(repository, options), (session) => ({
      state: session.state,
      status: session.status,
      write: session.write,
      commit: session.commit,
      detach: session.detach
    }))
})

it.scoped("feeds all readers as the bytes come, with one download", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate, seen, store } = yield* gatedWorld(3)
    const first = yield* reader(cached, blob.digest)
    expect(yield* first.taken).toBe(parts[0]?.length)
    yield* arrived
    expect(Option.isNone(yield* store.headBlob(app, blob.digest))).toBe(true)
    const second = yield* reader(cached, blob.digest)
    expect(yield* second.taken).toBe(parts[0]?.length)
    expect(yield* second.taken).toBe(parts[1]?.length)
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(first.fiber)).toSatisfy(isWhole)
    expect(yield* Fiber.join(second.fiber)).toSatisfy(isWhole)
    expect(yield* gather(cached.getBlob(app, blob))).toSatisfy(isWhole)
    expect(seen).toEqual(["headBlob app", "getBlob app"])
    expect(yield* gather(store.getBlob(app, blob))).toSatisfy(isWhole)
    expect(yield* store.uploads).toEqual([])
  })
)

it.scoped("downloads once for 100 readers, also when the first leaves in the middle (V23)", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate, seen } = yield* gatedWorld(3)
    const first = yield* reader(cached, blob.digest)
    yield* first.taken
    yield* arrived
    const others = yield* Effect.forEach(Array.from({ length: 99 }), () =>
      Effect.fork(gather(cached.getBlob(app, blob.digest)))
    )
    yield* Fiber.interrupt(first.fiber)
    yield* Deferred.succeed(gate, undefined)
    for (const other of others) expect(yield* Fiber.join(other)).toSatisfy(isWhole)
    expect(seen).toEqual(["headBlob app", "getBlob app"])
  })
)

it.scoped("stores a blob whose readers have all left", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate, seen, store } = yield* gatedWorld(3)
    const first = yield* reader(cached, blob.digest)
    yield* arrived
    yield* Fiber.interrupt(first.fiber)
    yield* Deferred.succeed(gate, undefined)
    expect(yield* gather(cached.getBlob(app, blob.digest))).toSatisfy(isWhole)
    expect(seen).toEqual(["headBlob app", "getBlob app"])
    expect(Option.isSome(yield* store.headBlob(app, blob.digest))).toBe(true)
  })
)

it.scoped.each([
  ["of the library's own", (store: Registry.Service) => store],
  ["whose uploads cannot be read", opaque]
] as const)("lets a slow reader delay nobody, in bounded memory: in a store %s", ([, of]) =>
  Effect.gen(function* () {
    const upstream = yield* MemoryRegistry.make()
    const big = ByteStream.concat(pieces(64))
    const { digest } = yield* put(upstream, big)
    const store = of(yield* MemoryRegistry.make())
    const cached = yield* ComposedRegistry.cached(upstream, { store, memory: 256 * 1024 })
    const [began, goOn] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
    const slow = yield* cached.getBlob(app, digest).pipe(
      Stream.tap(() => Effect.zipRight(Deferred.succeed(began, undefined), Deferred.await(goOn))),
      gather,
      Effect.fork
    )
    yield* Deferred.await(began)
    expect(yield* gather(cached.getBlob(app, digest))).toSatisfy(same(big))
    yield* Deferred.succeed(goOn, undefined)
    expect(yield* Fiber.join(slow)).toSatisfy(same(big))
  })
)

it.scoped("gives a reader that has fallen behind what is stored before the rest is there", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate } = yield* gatedWorld(6, { memory: 100_000 })
    const first = yield* Effect.fork(Stream.runDrain(cached.getBlob(app, blob.digest)))
    yield* arrived
    const late = yield* reader(cached, blob.digest)
    for (let n = 0; n < 5; n++) expect(yield* late.taken).toBe(parts[n]?.length)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(first)
    expect(yield* Fiber.join(late.fiber)).toSatisfy(isWhole)
  })
)

it.scoped("gives each reader arrays of its own", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate } = yield* gatedWorld(3)
    const spoiling = yield* Effect.fork(
      Stream.runForEach(cached.getBlob(app, blob.digest), (bytes) =>
        Effect.sync(() => bytes.fill(0))
      )
    )
    yield* arrived
    yield* Deferred.succeed(gate, undefined)
    expect(yield* gather(cached.getBlob(app, blob.digest))).toSatisfy(isWhole)
    yield* Fiber.join(spoiling)
    expect(yield* gather(cached.getBlob(app, blob.digest))).toSatisfy(isWhole)
  })
)

it.scoped("gives a range of what has arrived, and sends for any other", () =>
  Effect.gen(function* () {
    const { arrived, blob, cached, gate, seen } = yield* gatedWorld(3)
    const range = (start: number, end?: number) =>
      gather(cached.getBlobRange(app, blob.digest, { start, end }))
    const first = yield* Effect.fork(gather(cached.getBlob(app, blob.digest)))
    yield* arrived
    expect(yield* range(10, 100_000)).toSatisfy(same(whole.subarray(10, 100_001)))
    expect(seen).toEqual(["headBlob app", "getBlob app"])
    const crossing = yield* Effect.fork(range(100, 300_000))
    const toTheEnd = yield* Effect.fork(range(100))
    expect(yield* range(400_000, 400_001)).toSatisfy(same(whole.subarray(400_000, 400_002)))
    expect(seen).toEqual(["headBlob app", "getBlob app", "getBlobRange app"])
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(first)
    expect(yield* Fiber.join(crossing)).toSatisfy(same(whole.subarray(100, 300_001)))
    expect(yield* Fiber.join(toTheEnd)).toSatisfy(same(whole.subarray(100)))
    expect(yield* range(400_000, 400_001)).toSatisfy(same(whole.subarray(400_000, 400_002)))
    expect(seen.length).toBe(3)
  })
)

it.scoped.each([
  ["breaks off", Stream.concat(Stream.fromIterable(parts.slice(0, 3)), Stream.fail(reset)), reset],
  [
    "is other content",
    Stream.fromIterable([...parts.slice(0, 7), new Uint8Array(64 * 1024)]),
    { _tag: "DigestMismatch" }
  ],
  ["is too short", Stream.fromIterable(parts.slice(0, 7)), { _tag: "SizeMismatch" }]
] as const)(
  "fails all readers of a download that %s, stores nothing, and tries again (V22, V23)",
  ([, content, problem]) =>
    Effect.gen(function* () {
      const origin = yield* MemoryRegistry.make()
      const blob = yield* put(origin, whole)
      let broken = true
      const upstream: Registry.Service = {
        ...origin,
        getBlob: (repository, wanted) =>
          broken
            ? ByteStream.verify(Stream.rechunk(content, 1), {
                digest: blob.digest,
                size: blob.size
              })
            : origin.getBlob(repository, wanted)
      }
      const store = yield* MemoryRegistry.make()
      const cached = yield* ComposedRegistry.cached(upstream, { store })
      const readers = yield* Effect.forEach(Array.from({ length: 5 }), () =>
        Effect.fork(Effect.flip(gather(cached.getBlob(app, blob.digest))))
      )
      for (const reader of readers) expect(yield* Fiber.join(reader)).toMatchObject(problem)
      expect(Option.isNone(yield* store.headBlob(app, blob.digest))).toBe(true)
      expect(yield* store.uploads).toEqual([])
      broken = false
      expect(yield* gather(cached.getBlob(app, blob.digest))).toSatisfy(isWhole)
    })
)

it.scoped("reads past a store that fails, at any point", () =>
  Effect.gen(function* () {
    const upstream = yield* MemoryRegistry.make()
    const blob = yield* put(upstream, whole)
    const full = new StorageFailure({ path: "disk", cause: new Error("ENOSPC") })
    const store = yield* MemoryRegistry.make()
    const failing: ReadonlyArray<Partial<Registry.Service>> = [
      { startUpload: () => full },
      {
        startUpload: (repository) =>
          Effect.map(store.startUpload(repository), (session) => ({
            ...session,
            write: (bytes) =>
              bytes instanceof Uint8Array
                ? full
                : Effect.zipRight(Stream.runDrain(Stream.take(bytes, 4)), full)
          }))
      },
      {
        startUpload: (repository) =>
          Effect.map(store.startUpload(repository), (session) => ({
            ...session,
            commit: () => full
          }))
      },
      { getBlob: () => Stream.fail(full), getBlobRange: () => Stream.fail(full) }
    ]
    for (const operations of failing) {
      const cached = yield* ComposedRegistry.cached(upstream, {
        store: { ...store, ...operations },
        memory: 1
      })
      for (let n = 0; n < 3; n++)
        expect(yield* gather(cached.getBlob(app, blob.digest))).toSatisfy(isWhole)
      expect(yield* cached.getBlobBytes(app, blob)).toSatisfy(isWhole)
    }
  })
)

it.scoped("leaves nothing behind when its scope closes, and fails who still reads (V23)", () =>
  Effect.gen(function* () {
    const origin = yield* MemoryRegistry.make()
    const blob = yield* put(origin, whole)
    const { arrived, registry } = yield* gated(origin, parts, 3)
    const store = yield* MemoryRegistry.make()
    const scope = yield* Scope.make()
    const cached = yield* Scope.extend(ComposedRegistry.cached(registry, { store }), scope)
    const reading = yield* Effect.fork(Effect.flip(gather(cached.getBlob(app, blob.digest))))
    yield* arrived
    expect((yield* store.uploads).map(({ offset }) => offset)).toContain(3 * 64 * 1024)
    yield* Scope.close(scope, Exit.void)
    expect(yield* Fiber.join(reading)).toMatchObject({ _tag: "StorageFailure" })
    expect(yield* store.uploads).toEqual([])
    expect(Option.isNone(yield* store.headBlob(app, blob.digest))).toBe(true)
  })
)

it.scoped("changes nothing", () =>
  Effect.gen(function* () {
    const { cached } = yield* world
    const registry = yield* cached()
    const digest = Digest.fromBytes(whole)
    const writes: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
      put(registry, whole),
      registry.deleteBlob(app, digest),
      registry.deleteManifest(app, digest),
      registry.mountBlob(app, digest),
      Effect.scoped(registry.startUpload(app))
    ]
    for (const write of writes)
      expect(yield* Effect.flip(write)).toMatchObject({ _tag: "Unsupported" })
    expect(yield* items(registry.repositories())).toEqual([])
  })
)
