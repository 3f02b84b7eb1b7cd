/** What a cache keeps, evicts, finds again, and gets anew. */
import { generateKeyPairSync } from "node:crypto"
import { expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../src/ByteStream.js"
import type { Registry } from "../../../src/Registry.js"
import { RegistryFailure, StorageFailure } from "../../../src/RegistryError.js"
import type { Digest } from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as SignedManifest from "../../../src/spec/SignedManifest.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { freshBytes, gather, image, utf8 } from "../../support/fixtures.js"
import { app, gated, other, pieces, put, same, v1, watched, world } from "./world.js"

/** A blob of `size` bytes that no other test has. */
const sized = (size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  bytes.set(freshBytes("b"))
  return bytes
}

const isStored = (store: Registry.Service, digest: Digest) =>
  Effect.map(store.headBlob(app, digest), Option.isSome)

it.scoped("stays within its capacity, and deletes what was used least recently", () =>
  Effect.gen(function* () {
    const { cached, origin, seen, store } = yield* world
    const [b1, b2, b3, b4] = yield* Effect.all([1, 2, 3, 4].map(() => put(origin, sized(1000))))
    if (b1 === undefined || b2 === undefined || b3 === undefined || b4 === undefined) return
    const registry = yield* cached({ capacity: 3000 })
    const read = ({ digest }: { readonly digest: Digest }) => gather(registry.getBlob(app, digest))
    for (const blob of [b1, b2, b3]) yield* read(blob)
    yield* read(b1)
    yield* read(b4)
    const stored = yield* Effect.forEach([b1, b2, b3, b4], ({ digest }) => isStored(store, digest))
    expect(stored).toEqual([true, false, true, true])
    seen.length = 0
    yield* read(b2)
    expect(yield* isStored(store, b3.digest)).toBe(false)
    expect(seen.filter((one) => one === "getBlob app").length).toBe(1)
  })
)

it.scoped("reads what there is no room for without storing it, and evicts nothing for it", () =>
  Effect.gen(function* () {
    const { cached, origin, store } = yield* world
    const small = yield* put(origin, sized(1000))
    const large = sized(5000)
    const { digest } = yield* put(origin, large)
    const registry = yield* cached({ capacity: 3000 })
    yield* gather(registry.getBlob(app, small.digest))
    for (let n = 0; n < 2; n++)
      expect(yield* gather(registry.getBlob(app, digest))).toSatisfy(same(large))
    expect(yield* isStored(store, digest)).toBe(false)
    expect(yield* isStored(store, small.digest)).toBe(true)
    expect(yield* store.uploads).toEqual([])
  })
)

it.scoped("passes on signed manifests of schema 1, which have another digest (trap 36)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const { manifest } = yield* SignedManifest.sign(
      SignedManifest.make({
        schemaVersion: 1,
        name: app,
        tag: v1,
        architecture: "amd64",
        fsLayers: [],
        history: []
      }),
      { privateKey: Redacted.make(`${privateKey.export({ type: "pkcs8", format: "pem" })}`) }
    )
    yield* origin.putManifest(app, manifest, { tags: [v1] })
    const registry = yield* cached()
    const logged: Array<unknown> = []
    yield* Effect.gen(function* () {
      for (const reference of [v1, manifest.descriptor.digest, v1])
        expect(yield* registry.getManifest(app, reference)).toEqual(manifest)
    }).pipe(
      Effect.provide(
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ message }) => logged.push(message))
        )
      )
    )
    expect(logged).toEqual([])
    expect(seen.filter((one) => one === "getManifest app").length).toBe(3)
  })
)

it.scoped("does not evict what is being read", () =>
  Effect.gen(function* () {
    const { cached, origin, store } = yield* world
    const open = sized(200_000)
    const first = yield* put(origin, open)
    const second = yield* put(origin, sized(200_000))
    const registry = yield* cached({ capacity: 300_000 })
    yield* gather(registry.getBlob(app, first.digest))
    const [began, goOn] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
    const reading = yield* registry.getBlob(app, first.digest).pipe(
      Stream.tap(() => Effect.zipRight(Deferred.succeed(began, undefined), Deferred.await(goOn))),
      gather,
      Effect.fork
    )
    yield* Deferred.await(began)
    yield* gather(registry.getBlob(app, second.digest))
    expect(yield* isStored(store, first.digest)).toBe(true)
    expect(yield* isStored(store, second.digest)).toBe(false)
    yield* Deferred.succeed(goOn, undefined)
    expect(yield* Fiber.join(reading)).toSatisfy(same(open))
    yield* gather(registry.getBlob(app, second.digest))
    expect(yield* isStored(store, second.digest)).toBe(true)
    expect(yield* isStored(store, first.digest)).toBe(false)
  })
)

it.scoped("keeps for its other repositories a blob that was stored for one (V25)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const shared = sized(1000)
    const { digest } = yield* put(origin, shared)
    yield* put(origin, shared, other)
    const [old, next] = [yield* put(origin, sized(1000)), yield* put(origin, sized(1000))]
    const registry = yield* cached({ capacity: 2000 })
    yield* gather(registry.getBlob(app, digest))
    yield* gather(registry.getBlob(app, old.digest))
    // Its use elsewhere is its use: it counts once, and the other one goes.
    yield* gather(registry.getBlob(other, digest))
    yield* gather(registry.getBlob(app, next.digest))
    seen.length = 0
    expect(yield* gather(registry.getBlob(app, digest))).toSatisfy(same(shared))
    expect(yield* gather(registry.getBlob(other, digest))).toSatisfy(same(shared))
    expect(seen).toEqual([])
  })
)

it.scoped.each([
  ["gone", (store: Registry.Service, digest: Digest) => store.deleteBlob(app, digest)],
  ["other content", () => Effect.void]
] as const)("gets again what has turned out to be %s between HEAD and GET (V25)", ([what, lose]) =>
  Effect.gen(function* () {
    const { origin, store, upstream } = yield* world
    const b1 = sized(100_000)
    const { digest } = yield* put(origin, b1)
    let isCorrupt = false
    const corrupt = ByteStream.verify(
      Stream.rechunk(Stream.make(new Uint8Array(65_536), new Uint8Array(100_000 - 65_536)), 1),
      { digest }
    )
    const registry = yield* ComposedRegistry.cached(upstream, {
      store: {
        ...store,
        getBlob: (repository, blob) => (isCorrupt ? corrupt : store.getBlob(repository, blob))
      }
    })
    yield* gather(registry.getBlob(app, digest))
    for (const read of [
      gather(registry.getBlob(app, digest)),
      registry.getBlobBytes(app, digest),
      gather(registry.getBlobRange(app, digest, { start: 0 }))
    ]) {
      expect(Option.isSome(yield* registry.headBlob(app, digest))).toBe(true)
      if (what === "other content") {
        isCorrupt = true
        // What has been given out cannot be taken back: the reader fails, and the next does not.
        const broken = yield* Effect.flip(Stream.runDrain(registry.getBlob(app, digest)))
        expect(broken._tag).toBe("DigestMismatch")
        expect(yield* isStored(store, digest)).toBe(false)
        isCorrupt = false
      } else yield* lose(store, digest)
      expect(yield* read).toSatisfy(same(b1))
      yield* gather(registry.getBlob(app, digest))
      expect(yield* isStored(store, digest)).toBe(true)
    }
  })
)

it.scoped("evicts no child of an index that is used, and gets a missing one again (V26)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen, store } = yield* world
    const [m1, m2] = [yield* image(origin, app, "m1"), yield* image(origin, app, "m2")]
    for (const manifest of [m1, m2]) yield* origin.putManifest(app, manifest)
    const index = Manifest.index({ manifests: [m1.descriptor, m2.descriptor] })
    yield* origin.putManifest(app, index)
    const all = [m1, m2].flatMap(Manifest.references)
    const size = [index, m1, m2].reduce((sum, { bytes }) => sum + bytes.length, 0)
    const capacity = size + all.reduce((sum, blob) => sum + blob.size, 0) + 1000
    const registry = yield* cached({ capacity })
    // By digest only: nothing of it has a tag.
    for (const { digest } of [index, m1, m2].map(({ descriptor }) => descriptor))
      yield* registry.getManifest(app, digest)
    for (const { digest } of all) yield* gather(registry.getBlob(app, digest))
    for (let n = 0; n < 5; n++) {
      const { digest } = yield* put(origin, sized(900))
      yield* registry.getManifest(app, index.descriptor.digest)
      yield* gather(registry.getBlob(app, digest))
    }
    seen.length = 0
    for (const { digest } of [index, m1, m2].map(({ descriptor }) => descriptor))
      yield* registry.getManifest(app, digest)
    for (const { digest } of all) yield* gather(registry.getBlob(app, digest))
    expect(seen).toEqual([])
    yield* store.deleteBlob(app, m2.descriptor.digest)
    expect((yield* registry.getManifest(app, m2.descriptor.digest)).bytes).toEqual(m2.bytes)
    expect(seen).toEqual(["getManifest app"])
  })
)

it.scoped("never evicts what a manifest that stays refers to", () =>
  Effect.gen(function* () {
    const { cached, origin, store } = yield* world
    const images = yield* Effect.forEach([1, 2, 3], (n) => image(origin, app, `m${n}`))
    for (const manifest of images) yield* origin.putManifest(app, manifest)
    const [m1] = images
    if (m1 === undefined) return
    const one = m1.bytes.length + Manifest.references(m1).reduce((sum, { size }) => sum + size, 0)
    const registry = yield* cached({ capacity: Math.floor(one * 2.5) })
    for (const { descriptor } of images) {
      const manifest = yield* registry.getManifest(app, descriptor.digest)
      for (const { digest } of Manifest.references(manifest))
        yield* gather(registry.getBlob(app, digest))
      for (const kept of images) {
        if (!(yield* isStored(store, kept.descriptor.digest))) continue
        const missing = yield* Effect.filter(Manifest.references(kept), ({ digest }) =>
          Effect.map(isStored(store, digest), (stored) => !stored)
        )
        // Those of the one being pulled come one after the other.
        if (kept !== manifest && kept.descriptor.digest !== descriptor.digest)
          expect(missing).toEqual([])
      }
    }
  })
)

it.effect("finds again what it had stored, with its tags and in the order of its use", () =>
  Effect.gen(function* () {
    const { cached, origin, seen, store } = yield* world
    const m1 = yield* image(origin, app, "m1")
    yield* origin.putManifest(app, m1, { tags: [v1] })
    const [b1, b2] = [yield* put(origin, sized(1000)), yield* put(origin, sized(1000), other)]
    const first = cached().pipe(
      Effect.flatMap((registry) =>
        Effect.gen(function* () {
          yield* registry.getManifest(app, v1)
          for (const { digest } of Manifest.references(m1))
            yield* gather(registry.getBlob(app, digest))
          yield* gather(registry.getBlob(app, b1.digest))
          yield* gather(registry.getBlob(other, b2.digest))
          yield* gather(registry.getBlob(app, b1.digest))
        })
      ),
      Effect.scoped
    )
    yield* first
    seen.length = 0
    const down = new RegistryFailure({ status: 503 })
    const stale = ComposedRegistry.cached(
      { ...origin, headManifest: () => down, getManifest: () => down, headBlob: () => down },
      { store, staleTags: true }
    )
    yield* Effect.scoped(
      Effect.gen(function* () {
        const registry = yield* stale
        expect((yield* registry.getManifest(app, v1)).bytes).toEqual(m1.bytes)
        expect(yield* registry.headBlob(app, b1.digest)).toEqual(Option.some(b1))
        expect(yield* Effect.flip(registry.headBlob(other, b1.digest))).toBe(down)
      })
    )
    // What does not fit any more is evicted at once: the blob that was used least recently.
    const used = m1.bytes.length + Manifest.references(m1).reduce((sum, { size }) => sum + size, 0)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const registry = yield* cached({ capacity: used + 1500 })
        expect(Option.isNone(yield* store.headBlob(other, b2.digest))).toBe(true)
        yield* gather(registry.getBlob(app, b1.digest))
        for (const { digest } of Manifest.references(m1))
          yield* gather(registry.getBlob(app, digest))
        expect(seen).toEqual([])
      })
    )
  })
)

it.effect("clears at its start what a cache before it had not finished (V23)", () =>
  Effect.gen(function* () {
    const origin = yield* MemoryRegistry.make()
    const parts = pieces(4)
    const blob = yield* put(origin, ByteStream.concat(parts))
    const [small, lost] = [yield* put(origin, utf8("small")), yield* put(origin, utf8("lost"))]
    const { arrived, registry } = yield* gated(origin, parts, 2)
    const store = yield* MemoryRegistry.make()
    // Killed: its scope never closes.
    const killed = yield* Scope.make()
    const before = yield* Scope.extend(
      ComposedRegistry.cached(
        {
          ...registry,
          getBlob: (repository, wanted) =>
            typeof wanted !== "string" && wanted.digest === blob.digest
              ? registry.getBlob(repository, wanted)
              : origin.getBlob(repository, wanted)
        },
        { store }
      ),
      killed
    )
    for (const { digest } of [small, lost]) yield* gather(before.getBlob(app, digest))
    yield* Effect.fork(gather(before.getBlob(app, blob.digest)))
    yield* arrived
    yield* Effect.repeat(Effect.yieldNow(), { times: 200 })
    expect(Exit.isSuccess(yield* Effect.exit(store.deleteBlob(app, lost.digest)))).toBe(true)
    expect((yield* store.uploads).length).toBe(1)

    const { registry: upstream, seen } = watched(origin)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const after = yield* ComposedRegistry.cached(upstream, { store })
        expect(yield* store.uploads).toEqual([])
        expect(yield* gather(after.getBlob(app, small.digest))).toEqual(utf8("small"))
        expect(seen).toEqual([])
        expect(yield* gather(after.getBlob(app, lost.digest))).toEqual(utf8("lost"))
        expect((yield* gather(after.getBlob(app, blob.digest))).length).toBe(blob.size)
      })
    )
    yield* Scope.close(killed, Exit.void)
  })
)

it.effect("begins empty with a store whose inventory it cannot read, and fails with it", () =>
  Effect.gen(function* () {
    const { cached, origin, seen, store } = yield* world
    const b1 = yield* put(origin, utf8("b1"))
    const read = Effect.scoped(
      Effect.flatMap(cached(), (registry) => gather(registry.getBlob(app, b1.digest)))
    )
    yield* read
    const tag = "effect-oci.cache" as typeof v1
    const foreign = Manifest.image({
      config: b1,
      layers: [b1],
      artifactType: "application/vnd.effect-oci.cache.v1+json",
      annotations: { "dev.effect-oci.cache": "no list" }
    })
    yield* store.putManifest(app, foreign, { tags: [tag] })
    seen.length = 0
    expect(yield* read).toEqual(utf8("b1"))
    expect(seen).toContain("getBlob app")
    const failure = new StorageFailure({ path: "disk" })
    const broken = ComposedRegistry.cached(origin, {
      store: { ...store, getManifest: () => failure }
    })
    expect(yield* Effect.flip(Effect.scoped(broken))).toBe(failure)
  })
)

it.effect("gives the right bytes whatever is evicted, lost and read at once (V25)", () =>
  Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 1, max: 5 }),
        FastCheck.array(
          FastCheck.record({
            does: FastCheck.constantFrom("read", "read", "read", "range", "head", "lose", "leave"),
            blob: FastCheck.integer({ min: 0, max: 5 }),
            at: FastCheck.constantFrom(app, other),
            yields: FastCheck.integer({ min: 1, max: 30 })
          }),
          { minLength: 5, maxLength: 40 }
        ),
        (room, steps) =>
          Effect.runPromise(
            Logger.withMinimumLogLevel(Effect.scoped(disturbed(room, steps)), LogLevel.None)
          )
      ),
      { numRuns: 15, endOnFailure: true }
    )
  )
)

const disturbed = (
  room: number,
  steps: ReadonlyArray<{
    readonly does: string
    readonly blob: number
    readonly at: typeof app
    readonly yields: number
  }>
) =>
  Effect.gen(function* () {
    const { cached, origin, store } = yield* world
    const contents = Array.from({ length: 6 }, (_, n) => new Uint8Array(3000).fill(n))
    const blobs = yield* Effect.forEach(contents, (bytes) => put(origin, bytes))
    for (const bytes of contents) yield* put(origin, bytes, other)
    const registry = yield* cached({ capacity: room * 3000, memory: 2000 })
    const step = Effect.fnUntraced(function* ({ at, blob, does, yields }: (typeof steps)[number]) {
      const { digest } = blobs[blob] ?? { digest: "" as Digest }
      const expected = contents[blob] ?? new Uint8Array()
      yield* Effect.repeat(Effect.yieldNow(), { times: yields })
      switch (does) {
        case "read":
          return expect(yield* gather(registry.getBlob(at, digest))).toSatisfy(same(expected))
        case "range":
          return expect(
            yield* gather(registry.getBlobRange(at, digest, { start: 100, end: 2000 }))
          ).toSatisfy(same(expected.subarray(100, 2001)))
        case "head":
          return expect(yield* registry.headBlob(at, digest)).toMatchObject({
            value: { size: 3000 }
          })
        case "lose":
          return yield* Effect.ignore(store.deleteBlob(at, digest))
        default: {
          const reading = yield* Effect.fork(gather(registry.getBlob(at, digest)))
          yield* Effect.repeat(Effect.yieldNow(), { times: yields })
          return yield* Fiber.interrupt(reading)
        }
      }
    })
    yield* Effect.forEach(steps, step, { concurrency: 6, discard: true })
    // No reader is left, and all that is stored is within the capacity.
    let size = 0
    for (const repository of [app, other])
      for (const { digest } of blobs)
        size += Option.match(yield* store.headBlob(repository, digest), {
          onNone: () => 0,
          onSome: (found) => found.size
        })
    expect(size).toBeLessThanOrEqual(room * 3000)
    for (const [n, { digest }] of blobs.entries())
      expect(yield* gather(registry.getBlob(app, digest))).toSatisfy(
        same(contents[n] ?? new Uint8Array())
      )
  })
