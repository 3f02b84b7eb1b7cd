/** What a cache asks the upstream registry, when, and what it makes of the answers. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Registry } from "../../../src/Registry.js"
import {
  BlobUnknown,
  Denied,
  ManifestUnknown,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized
} from "../../../src/RegistryError.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { freshBytes, freshDigest, gather, image, items } from "../../support/fixtures.js"
import { app, other, put, v1, watched, world } from "./world.js"

/** Reads an image as container engines do: its tag, its manifest, and all that this refers to. */
const pull = Effect.fnUntraced(function* (registry: Registry.Service, repository = app) {
  const head = yield* registry.headManifest(repository, v1)
  const manifest = yield* registry.getManifest(repository, v1)
  expect(Option.getOrUndefined(head)?.digest).toBe(manifest.descriptor.digest)
  for (const { digest } of Manifest.references(manifest)) {
    yield* registry.headBlob(repository, digest)
    yield* gather(registry.getBlob(repository, digest))
  }
  return manifest
})

const tagged = Effect.fnUntraced(function* (registry: Registry.Service, symbol: string) {
  const manifest = yield* image(registry, app, symbol)
  yield* registry.putManifest(app, manifest, { tags: [v1] })
  return manifest
})

it.scoped("asks with no GET in 100 warm pulls, and with one HEAD in the time of a tag (V28)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const registry = yield* cached({ tagTimeToLive: "1 minute" })
    yield* pull(registry)
    expect(seen).toEqual([
      "headManifest app",
      "getManifest app",
      "headBlob app",
      "getBlob app",
      "headBlob app",
      "getBlob app"
    ])
    seen.length = 0
    for (let n = 0; n < 100; n++) {
      expect((yield* pull(registry)).bytes).toEqual(m1.bytes)
      yield* TestClock.adjust("6 seconds")
    }
    expect(seen).toEqual(Array.from({ length: 9 }, () => "headManifest app"))
  })
)

it.scoped("reads a tag that has moved by its digest, once (V28)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const registry = yield* cached({ tagTimeToLive: "1 minute" })
    yield* registry.getManifest(app, v1)
    const m2 = yield* tagged(origin, "m2")
    expect((yield* registry.getManifest(app, v1)).descriptor).toEqual(m1.descriptor)
    yield* TestClock.adjust("1 minute")
    seen.length = 0
    const moved = yield* Effect.all(
      Array.from({ length: 20 }, () => registry.getManifest(app, v1)),
      { concurrency: "unbounded" }
    )
    for (const { descriptor } of moved) expect(descriptor).toEqual(m2.descriptor)
    expect(seen).toEqual(["headManifest app", "getManifest app"])
    expect((yield* registry.getManifest(app, m1.descriptor.digest)).bytes).toEqual(m1.bytes)
    expect(seen.length).toBe(2)
  })
)

it.scoped("reads a tag that moves between HEAD and GET", () =>
  Effect.gen(function* () {
    const { origin, store } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const m2 = yield* tagged(origin, "m2")
    yield* origin.deleteManifest(app, m1.descriptor.digest)
    const registry = yield* ComposedRegistry.cached(
      { ...origin, headManifest: () => Effect.succeedSome(m1.descriptor) },
      { store }
    )
    expect((yield* registry.getManifest(app, v1)).descriptor).toEqual(m2.descriptor)
  })
)

const failures = [
  new Unauthorized({ reason: "Challenge", origin: "https://a" }),
  new TooManyRequests({ status: 429 }),
  new RegistryFailure({ status: 503 }),
  new TransportFailure({ reason: "Timeout" })
]

it.scoped.each(failures)("remembers no failure but an absence: $_tag (V27)", (failure) =>
  Effect.gen(function* () {
    const { origin, store } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const blob = yield* put(origin, freshBytes("b1"))
    let isDown = true
    const down: Partial<Registry.Service> = {
      getManifest: () => failure,
      headManifest: () => failure,
      headBlob: () => failure,
      getBlob: () => Stream.fail(failure),
      getBlobRange: () => Stream.fail(failure)
    }
    const upstream = new Proxy(origin, {
      get: (target, name) => Reflect.get(isDown ? { ...target, ...down } : target, name)
    })
    const registry = yield* ComposedRegistry.cached(upstream, { store })
    const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
      registry.getManifest(app, v1),
      registry.headManifest(app, v1),
      registry.getManifest(app, m1.descriptor.digest),
      registry.headManifest(app, m1.descriptor.digest),
      registry.headBlob(app, blob.digest),
      gather(registry.getBlob(app, blob)),
      registry.getBlobBytes(app, blob)
    ]
    for (const read of reads) expect(yield* Effect.flip(read)).toBe(failure)
    isDown = false
    for (const read of reads) yield* read
    isDown = true
    // By digest, and while the time of the tag has not come, nobody is asked.
    for (const read of reads) yield* read
  })
)

it.scoped.each(failures)(
  "serves a tag as it was while the registry fails with $_tag, asked once in its time (V27)",
  (failure) =>
    Effect.gen(function* () {
      const { origin, store } = yield* world
      const m1 = yield* tagged(origin, "m1")
      let asked = 0
      let isDown = false
      const failing = Effect.suspend(() => {
        asked++
        return Effect.fail(failure)
      })
      const upstream: Registry.Service = {
        ...origin,
        ping: failing,
        headManifest: (...of) => (isDown ? failing : origin.headManifest(...of)),
        getManifest: (...of) => (isDown ? Effect.fail(failure) : origin.getManifest(...of))
      }
      const strict = yield* ComposedRegistry.cached(upstream, {
        store: yield* MemoryRegistry.make()
      })
      const registry = yield* ComposedRegistry.cached(upstream, { store, staleTags: true })
      yield* pull(registry)
      yield* pull(strict)
      isDown = true
      yield* TestClock.adjust("61 seconds")
      expect(yield* Effect.flip(strict.getManifest(app, v1))).toBe(failure)
      expect(yield* Effect.flip(strict.ping)).toBe(failure)
      asked = 0
      for (let n = 0; n < 10; n++) {
        const pulls = Array.from({ length: 5 }, () => pull(registry))
        for (const { bytes } of yield* Effect.all(pulls, { concurrency: 5 }))
          expect(bytes).toEqual(m1.bytes)
        yield* TestClock.adjust("12 seconds")
      }
      expect(asked).toBe(2)
      yield* registry.ping
      isDown = false
      const m2 = yield* tagged(origin, "m2")
      yield* TestClock.adjust("61 seconds")
      expect((yield* registry.getManifest(app, v1)).bytes).toEqual(m2.bytes)
      yield* origin.deleteTag(app, v1)
      yield* TestClock.adjust("61 seconds")
      expect(yield* Effect.flip(registry.getManifest(app, v1))).toMatchObject({
        _tag: "ManifestUnknown"
      })
    })
)

it.scoped("serves the tag as it was when what it is now cannot be had", () =>
  Effect.gen(function* () {
    const { origin, store } = yield* world
    const m1 = yield* tagged(origin, "m1")
    let isDown = false
    const failure = new RegistryFailure({ status: 500 })
    const registry = yield* ComposedRegistry.cached(
      {
        ...origin,
        getManifest: (...of) => (isDown ? Effect.fail(failure) : origin.getManifest(...of))
      },
      { store, staleTags: true }
    )
    yield* registry.getManifest(app, v1)
    yield* tagged(origin, "m2")
    isDown = true
    yield* TestClock.adjust("1 minute")
    expect((yield* registry.getManifest(app, v1)).bytes).toEqual(m1.bytes)
    expect(Option.getOrUndefined(yield* registry.headManifest(app, v1))).toEqual(m1.descriptor)
  })
)

it.scoped("remembers for a short time that something is absent", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    yield* tagged(origin, "m1")
    const registry = yield* cached({ absenceTimeToLive: "10 seconds" })
    const digest = freshDigest()
    const reads = [
      Effect.flip(registry.getManifest(app, digest)),
      Effect.flip(gather(registry.getBlob(app, digest))),
      Effect.flip(registry.getBlobBytes(app, digest))
    ]
    for (let n = 0; n < 3; n++) {
      for (const read of reads)
        expect(["BlobUnknown", "ManifestUnknown"]).toContain((yield* read)._tag)
      expect(yield* registry.headManifest(app, digest)).toEqual(Option.none())
      expect(yield* registry.headBlob(app, digest)).toEqual(Option.none())
    }
    const asked = ["getManifest app", "headBlob app", "getBlob app"]
    expect(seen.filter((one) => one !== "headManifest app")).toEqual(asked)
    yield* TestClock.adjust("10 seconds")
    for (const read of reads) yield* read
    expect(seen.filter((one) => one !== "headManifest app")).toEqual([...asked, ...asked])
  })
)

const refused = [
  ["says that it is absent", Effect.succeedNone],
  ["is refused", new Unauthorized({ reason: "Challenge", origin: "https://a" })],
  ["is denied", new Denied({ status: 403 })],
  ["is not offered", new RegistryFailure({ status: 405 })]
] as const

it.scoped.each(refused)("believes GET where HEAD %s (V24)", ([, head]) =>
  Effect.gen(function* () {
    const { origin, store } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const b1 = freshBytes("b1")
    const blob = yield* put(origin, b1)
    const shared = yield* put(origin, b1, other)
    const { registry: upstream } = watched({
      ...origin,
      headManifest: () => head,
      headBlob: () => head
    })
    const registry = yield* ComposedRegistry.cached(upstream, { store })
    for (const reference of [v1, m1.descriptor.digest])
      expect(yield* registry.headManifest(app, reference)).toEqual(Option.some(m1.descriptor))
    expect(yield* registry.headBlob(app, blob.digest)).toEqual(Option.some(blob))
    expect(yield* registry.headBlob(other, blob.digest)).toEqual(Option.some(shared))
    expect(yield* gather(registry.getBlob(app, blob))).toEqual(b1)
    const layer = Manifest.references(m1)[1]
    expect(yield* registry.headBlob(app, layer?.digest ?? freshDigest())).toMatchObject({
      value: { size: layer?.size }
    })
    expect(yield* registry.headBlob(app, freshDigest())).toEqual(Option.none())
    expect(yield* registry.headManifest(app, freshDigest())).toEqual(Option.none())
  })
)

it.scoped("works cold behind another cache (V24)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const behind = yield* cached()
    const registry = yield* ComposedRegistry.cached(behind, { store: yield* MemoryRegistry.make() })
    expect((yield* pull(registry)).bytes).toEqual(m1.bytes)
    expect(seen.filter((one) => one === "getBlob app").length).toBe(2)
    seen.length = 0
    yield* pull(registry)
    expect(seen).toEqual([])
  })
)

it.scoped("asks for a repository before it gives what is stored for another (V18, V21)", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const b1 = freshBytes("b1")
    const { digest } = yield* put(origin, b1)
    const registry = yield* cached()
    yield* gather(registry.getBlob(app, digest))
    expect(yield* registry.headBlob(other, digest)).toEqual(Option.none())
    const unknown = yield* Effect.flip(gather(registry.getBlob(other, digest)))
    expect(["BlobUnknown", "NameUnknown"]).toContain(unknown._tag)
    yield* put(origin, b1, other)
    yield* TestClock.adjust("10 seconds")
    seen.length = 0
    expect(yield* gather(registry.getBlob(other, digest))).toEqual(b1)
    expect(yield* registry.getBlobBytes(other, digest)).toEqual(b1)
    expect(seen).toEqual(["headBlob other"])
  })
)

it.scoped("has the lists of the upstream registry", () =>
  Effect.gen(function* () {
    const { cached, origin } = yield* world
    const m1 = yield* tagged(origin, "m1")
    const referrer = yield* image(origin, app, "sbom", { subject: m1.descriptor })
    yield* origin.putManifest(app, referrer)
    const registry = yield* cached()
    expect(yield* items(registry.tags(app))).toEqual(["v1"])
    expect(yield* items(registry.repositories())).toEqual(["app"])
    expect(
      (yield* items(registry.referrers(app, m1.descriptor.digest))).map(({ digest }) => digest)
    ).toEqual([referrer.descriptor.digest])
  })
)

it.scoped("does not download a blob of more bytes than a reader takes as a whole", () =>
  Effect.gen(function* () {
    const { cached, origin, seen } = yield* world
    const { digest } = yield* put(origin, freshBytes("b1"))
    const registry = yield* cached()
    const read = registry.getBlobBytes(app, digest, { limit: 3 })
    expect(yield* Effect.flip(read)).toMatchObject({ _tag: "LimitExceeded" })
    expect(seen).toEqual(["headBlob app"])
  })
)

it.scoped("says what is absent as the upstream registry does", () =>
  Effect.gen(function* () {
    const absent = new BlobUnknown({ repository: app, digest: freshDigest(), status: 404 })
    const unknown = new ManifestUnknown({ repository: app, reference: v1, status: 404 })
    const { origin, store } = yield* world
    const registry = yield* ComposedRegistry.cached(
      { ...origin, getManifest: () => unknown, getBlob: () => Stream.fail(absent) },
      { store }
    )
    expect(yield* Effect.flip(registry.getManifest(app, v1))).toBe(unknown)
    expect(yield* Effect.flip(gather(registry.getBlob(app, freshDigest())))).toBe(absent)
  })
)
