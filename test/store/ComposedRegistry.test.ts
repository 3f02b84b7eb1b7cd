import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { make, Registry } from "../../src/Registry.js"
import { BlobUnknown, NameUnknown, RegistryFailure } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import { registrySuite } from "../suites/registry.js"
import {
  freshBytes,
  freshDigest,
  freshRepository,
  gather,
  image,
  items,
  tag,
  utf8
} from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const name = Reference.unsafeParseRepositoryName
const memory = MemoryRegistry.make()
const provide = <E>(registry: Effect.Effect<Registry.Service, E>) =>
  Layer.effect(Registry, registry)

const prefixed = Effect.map(memory, ComposedRegistry.prefixed(name("teams/blue")))
const selected = Effect.map(Effect.all([memory, memory]), ([tools, own]) =>
  ComposedRegistry.select([
    { registry: tools, has: (repository) => repository.startsWith("tools/") },
    { registry: own, has: () => true }
  ])
)
const union = Effect.map(Effect.all([memory, memory]), ([first, second]) =>
  ComposedRegistry.union(first, second)
)

const supports = { mountFromAnywhere: false }
const local = { ...supports, manifestList: true }
const largeBlob = 1024 * 1024

registrySuite("prefixed", { layer: provide(prefixed), supports: local, largeBlob })
registrySuite("select", { layer: provide(selected), supports: local, largeBlob })
registrySuite("union", { layer: provide(union), largeBlob })
registrySuite("limited", {
  layer: provide(
    Effect.flatMap(
      memory,
      ComposedRegistry.limited({
        bytes: 10 ** 10,
        rate: { operations: 10 ** 6, per: "1 second" }
      })
    )
  ),
  supports: local,
  largeBlob
})
registrySuite("logged and observed, with a mirror", {
  layer: provide(
    Effect.map(Effect.all([memory, memory]), ([registry, mirror]) =>
      pipe(
        ComposedRegistry.mirrored(registry, [{ registry: mirror }]),
        ComposedRegistry.observed({ host: "registry.lan", onOperation: () => Effect.void }),
        ComposedRegistry.logged({ level: LogLevel.Trace })
      )
    )
  ),
  supports: { manifestList: true },
  largeBlob
})
registrySuite("a client over a served union of a prefixed registry and another one", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, (url) => RegistryClient.layer({ url }))).pipe(
    Layer.provide([TokenCache.layerMemory, Credentials.layerAnonymous]),
    Layer.provide(NodeHttp.layer()),
    Layer.provide(layerSocketServer({})),
    Layer.provide(
      provide(
        Effect.map(Effect.all([prefixed, memory]), ([first, second]) =>
          ComposedRegistry.union(first, second)
        )
      )
    )
  ),
  supports,
  largeBlob
})

describe("readOnly", () => {
  it.effect("reads everything and changes nothing", () =>
    Effect.gen(function* () {
      const inner = yield* memory
      const repository = yield* freshRepository
      const v1 = yield* tag("v1")
      const manifest = yield* image(inner, repository, "m1")
      yield* inner.putManifest(repository, manifest, { tags: [v1] })
      const { digest } = yield* inner.putBlob(repository, BlobSource.fromBytes(utf8("hello")))
      const registry = ComposedRegistry.readOnly(inner)
      yield* registry.ping
      expect((yield* registry.getManifest(repository, v1)).bytes).toEqual(manifest.bytes)
      expect(yield* items(registry.tags(repository))).toEqual(["v1"])
      expect(yield* items(registry.repositories())).toEqual([repository])
      expect(yield* gather(registry.getBlob(repository, digest))).toEqual(utf8("hello"))
      expect(yield* registry.getBlobBytes(repository, digest)).toEqual(utf8("hello"))

      const state = { repository, location: "/v2/x/blobs/uploads/1", offset: 0 }
      const writes: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
        registry.putManifest(repository, manifest),
        registry.deleteTag(repository, v1),
        registry.deleteManifest(repository, manifest.descriptor.digest),
        registry.putBlob(repository, BlobSource.fromBytes(utf8("new"))),
        registry.deleteBlob(repository, digest),
        registry.mountBlob(repository, digest),
        Effect.scoped(registry.startUpload(repository)),
        Effect.scoped(registry.resumeUpload(state))
      ]
      for (const write of writes)
        expect(yield* Effect.flip(write)).toMatchObject({ _tag: "Unsupported" })
      expect(yield* inner.uploads).toEqual([])
      expect(yield* items(inner.tags(repository))).toEqual(["v1"])
      expect(Option.isSome(yield* inner.headBlob(repository, digest))).toBe(true)
    })
  )
})

describe("prefixed", () => {
  const app = name("app")
  const inside = name("teams/blue/app")
  const outside = name("teams/red/app")

  const fresh = Effect.map(memory, (inner) => ({
    inner,
    registry: ComposedRegistry.prefixed(inner, name("teams/blue"))
  }))

  it.effect("has what is below the prefix, and says names without it", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* fresh
      const blue = yield* inner.putBlob(inside, BlobSource.fromBytes(utf8("blue")))
      const red = yield* inner.putBlob(outside, BlobSource.fromBytes(utf8("red")))
      yield* inner.putBlob(name("teams/blue"), BlobSource.fromBytes(utf8("the prefix itself")))
      yield* inner.putBlob(name("teams/blueish/app"), BlobSource.fromBytes(utf8("alike")))
      yield* registry.putBlob(name("b"), BlobSource.fromBytes(utf8("b")))
      expect(yield* items(registry.repositories())).toEqual(["app", "b"])
      expect(yield* items(registry.repositories({ after: app, pageSize: 1 }))).toEqual(["b"])
      expect(yield* registry.getBlobBytes(app, blue.digest)).toEqual(utf8("blue"))
      expect(yield* Effect.flip(registry.getBlobBytes(app, red.digest))).toMatchObject({
        _tag: "BlobUnknown",
        repository: "app"
      })
      const unknown = yield* Effect.flip(registry.getManifest(name("c"), yield* tag("v1")))
      expect(unknown).toMatchObject({ _tag: "NameUnknown", repository: "c" })
      expect(unknown).toBeInstanceOf(NameUnknown)
      expect(unknown.message).toBe("Repository c is unknown")
      expect(unknown.stack).toContain("NameUnknown")
    })
  )

  it.effect("mounts nothing that lies outside of the prefix", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* fresh
      const red = yield* inner.putBlob(outside, BlobSource.fromBytes(utf8("red")))
      expect(yield* registry.mountBlob(app, red.digest)).toBe(false)
      expect(yield* registry.mountBlob(app, red.digest, outside)).toBe(false)
      expect(Option.isNone(yield* inner.headBlob(inside, red.digest))).toBe(true)
      yield* inner.putBlob(name("teams/blue/base"), BlobSource.fromBytes(utf8("red")))
      expect(yield* registry.mountBlob(app, red.digest, name("base"))).toBe(true)
    })
  )

  it.scoped("shows its own names in uploads and their events, and resumes by them", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* fresh
      const session = yield* registry.startUpload(app)
      const written = yield* session.write(utf8("hello"))
      const detached = yield* session.detach
      for (const state of [written, detached, yield* session.state, yield* session.status])
        expect(state).toMatchObject({ repository: "app", offset: 5 })
      expect(yield* inner.uploads).toMatchObject([{ repository: inside }])
      const resumed = yield* registry.resumeUpload(detached)
      const digest = Digest.fromBytes(utf8("hello"))
      expect(yield* resumed.commit(digest)).toMatchObject({ digest })

      const seen: Array<Transfer.Event> = []
      yield* Effect.zipRight(
        registry.putBlob(app, BlobSource.fromBytes(freshBytes("b1"))),
        Stream.runDrain(registry.getBlob(app, digest))
      ).pipe(Transfer.observe((event) => Effect.sync(() => seen.push(event))))
      expect(seen.length).toBeGreaterThan(4)
      expect(new Set(seen.map(({ subject }) => subject.repository))).toEqual(new Set(["app"]))
    })
  )

  it.effect("does not know a repository whose whole name would be too long", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* fresh
      const long = name("a".repeat(250))
      const digest = freshDigest()
      const unknown = { _tag: "NameUnknown", repository: long }
      expect(yield* Effect.flip(registry.getBlobBytes(long, digest))).toMatchObject(unknown)
      expect(yield* Effect.flip(items(registry.tags(long)))).toMatchObject(unknown)
      expect(
        yield* Effect.flip(registry.putBlob(long, BlobSource.fromBytes(utf8("x"))))
      ).toMatchObject(unknown)
      expect(Option.isNone(yield* registry.headBlob(long, digest))).toBe(true)
      expect(Option.isNone(yield* registry.headManifest(long, digest))).toBe(true)
      expect(yield* items(registry.referrers(long, digest))).toEqual([])
      expect(yield* items(inner.repositories())).toEqual([])
      yield* registry.putBlob(app, BlobSource.fromBytes(utf8("x")))
      expect(yield* items(registry.repositories({ after: long }))).toEqual(["app"])
      expect(yield* items(registry.repositories({ after: name("b".repeat(250)) }))).toEqual([])
    })
  )
})

describe("select", () => {
  it.effect("asks the first that has a repository, and no other", () =>
    Effect.gen(function* () {
      const tools = yield* memory
      const own = yield* memory
      const registry = ComposedRegistry.select([
        { registry: tools, has: (repository) => repository.startsWith("tools/") },
        { registry: own, has: (repository) => repository !== "hidden" }
      ])
      const hammer = name("tools/hammer")
      const { digest } = yield* registry.putBlob(hammer, BlobSource.fromBytes(utf8("iron")))
      yield* registry.putBlob(name("app"), BlobSource.fromBytes(utf8("own")))
      yield* own.putBlob(name("tools/saw"), BlobSource.fromBytes(utf8("in the wrong registry")))
      yield* own.putBlob(name("hidden"), BlobSource.fromBytes(utf8("iron")))
      expect(yield* items(registry.repositories())).toEqual(["app", "tools/hammer"])
      expect(yield* items(tools.repositories())).toEqual(["tools/hammer"])
      // The blob is in another registry, from which nothing can be mounted: it is uploaded.
      expect(yield* registry.mountBlob(name("app"), digest, hammer)).toBe(false)
      yield* registry.putBlob(name("app"), BlobSource.fromBytes(utf8("iron")), {
        mountFrom: hammer
      })
      expect(yield* own.getBlobBytes(name("app"), digest)).toEqual(utf8("iron"))
      expect(yield* Effect.flip(registry.getBlobBytes(name("hidden"), digest))).toMatchObject({
        _tag: "NameUnknown",
        repository: "hidden"
      })
    })
  )
})

describe("union", () => {
  const app = name("app")
  const fresh = Effect.gen(function* () {
    const first = yield* memory
    const second = yield* memory
    return { first, second, registry: ComposedRegistry.union(first, second) }
  })

  it.effect("reads what the first lacks from the next, and lists each item once", () =>
    Effect.gen(function* () {
      const { first, registry, second } = yield* fresh
      const [a, b, c] = yield* Effect.all([tag("a"), tag("b"), tag("c")])
      const old = yield* image(second, app, "old")
      yield* second.putManifest(app, old, { tags: [c, b] })
      expect((yield* registry.getManifest(app, b)).bytes).toEqual(old.bytes)
      const current = yield* image(first, app, "new")
      yield* registry.putManifest(app, current, { tags: [b, a] })
      expect((yield* registry.getManifest(app, b)).bytes).toEqual(current.bytes)
      expect((yield* registry.getManifest(app, c)).bytes).toEqual(old.bytes)
      expect(Option.getOrThrow(yield* registry.headManifest(app, c))).toEqual(old.descriptor)
      expect(yield* items(registry.tags(app))).toEqual(["a", "b", "c"])
      expect(yield* items(registry.tags(app, { after: a, pageSize: 1 }))).toEqual(["b", "c"])
      yield* second.putBlob(name("other"), BlobSource.fromBytes(utf8("x")))
      expect(yield* items(registry.repositories())).toEqual(["app", "other"])
      expect(yield* items(second.tags(app))).toEqual(["b", "c"])

      const subject = old.descriptor
      const both = yield* image(first, app, "sbom", { subject, artifactType: "application/x" })
      yield* first.putManifest(app, both)
      const alone = yield* image(second, app, "sig", { subject, artifactType: "application/y" })
      yield* second.putManifest(app, alone)
      const accepting = yield* MemoryRegistry.make({ missingReferences: "accept" })
      yield* accepting.putManifest(app, both)
      const three = ComposedRegistry.union(first, second, accepting)
      expect(
        (yield* items(three.referrers(app, subject.digest))).map(({ digest }) => digest)
      ).toEqual([both.descriptor.digest, alone.descriptor.digest])
    })
  )

  it.effect("says what is absent as the one does that knows most of it", () =>
    Effect.gen(function* () {
      const { first, registry, second } = yield* fresh
      const digest = freshDigest()
      expect(yield* Effect.flip(registry.getBlobBytes(app, digest))).toMatchObject({
        _tag: "NameUnknown"
      })
      expect(yield* Effect.flip(items(registry.tags(app)))).toMatchObject({ _tag: "NameUnknown" })
      yield* first.putBlob(app, BlobSource.fromBytes(utf8("x")))
      expect(yield* Effect.flip(registry.getBlobBytes(app, digest))).toMatchObject({
        _tag: "BlobUnknown"
      })
      expect(yield* Effect.flip(gather(registry.getBlob(app, digest)))).toMatchObject({
        _tag: "BlobUnknown"
      })
      yield* second.putBlob(name("far"), BlobSource.fromBytes(utf8("x")))
      expect(yield* Effect.flip(registry.getManifest(name("far"), digest))).toMatchObject({
        _tag: "ManifestUnknown"
      })
    })
  )

  it.effect(
    "takes nothing from the next once the first byte has come, even if the rest is gone",
    () =>
      Effect.gen(function* () {
        const second = yield* memory
        const { digest } = yield* second.putBlob(app, BlobSource.fromBytes(utf8("whole")))
        const gone = new BlobUnknown({ repository: app, digest })
        const cut = Stream.concat(Stream.make(utf8("wh")), Stream.fail(gone))
        const registry = ComposedRegistry.union(
          make({ getBlob: () => cut, getBlobRange: () => cut }),
          second
        )
        expect(yield* Effect.flip(gather(registry.getBlob(app, digest)))).toBe(gone)
        const range = registry.getBlobRange(app, digest, { start: 0 })
        expect(yield* Effect.flip(gather(range))).toBe(gone)
      })
  )

  it.effect("shows a blob that is had from the next as one download", () =>
    Effect.gen(function* () {
      const { registry, second } = yield* fresh
      const { digest } = yield* second.putBlob(app, BlobSource.fromBytes(utf8("x")))
      const subject: Transfer.Subject = { direction: "download", repository: app, digest }
      const looking = Transfer.emit({ _tag: "Started", subject })
      const first = make({
        getBlob: () => Stream.unwrap(Effect.as(looking, Stream.fail(new BlobUnknown(subject)))),
        getBlobBytes: () => Effect.zipRight(looking, new BlobUnknown(subject))
      })
      for (const read of [
        Stream.runDrain(ComposedRegistry.union(first, registry).getBlob(app, digest)),
        Effect.asVoid(ComposedRegistry.union(first, registry).getBlobBytes(app, digest))
      ]) {
        const events = (yield* items(Transfer.events(read))).map(({ _tag }) => _tag)
        expect(events.filter((event) => event === "Started")).toEqual(["Started"])
        expect(events.slice(-2)).toEqual(["Completed", "Result"])
      }
    })
  )

  it.effect("takes nothing from the next because one fails", () =>
    Effect.gen(function* () {
      const { second } = yield* fresh
      const down = new RegistryFailure({ status: 503 })
      const first = make({
        getManifest: () => down,
        headManifest: () => down,
        getBlob: () => Stream.fail(down),
        getBlobBytes: () => down,
        tags: () => Stream.fail(down)
      })
      const registry = ComposedRegistry.union(first, second)
      const v1 = yield* tag("v1")
      const manifest = yield* image(second, app, "m1")
      yield* second.putManifest(app, manifest, { tags: [v1] })
      const [layer] = Manifest.references(manifest)
      const digest = layer?.digest ?? freshDigest()
      const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        registry.getManifest(app, v1),
        registry.headManifest(app, v1),
        gather(registry.getBlob(app, digest)),
        registry.getBlobBytes(app, digest),
        items(registry.tags(app))
      ]
      for (const read of reads) expect(yield* Effect.flip(read)).toBe(down)
    })
  )

  it.effect("deletes nothing that would still be there", () =>
    Effect.gen(function* () {
      const { first, registry, second } = yield* fresh
      const v1 = yield* tag("v1")
      const manifest = yield* image(first, app, "m1")
      yield* first.putManifest(app, manifest, { tags: [v1] })
      const blob = yield* first.putBlob(app, BlobSource.fromBytes(utf8("x")))
      yield* second.putBlob(app, BlobSource.fromBytes(utf8("x")))
      expect(yield* Effect.flip(registry.deleteBlob(app, blob.digest))).toMatchObject({
        _tag: "Unsupported"
      })
      expect(Option.isSome(yield* first.headBlob(app, blob.digest))).toBe(true)
      yield* registry.deleteTag(app, v1)
      yield* registry.deleteManifest(app, manifest.descriptor.digest)
      expect(Option.isNone(yield* first.headManifest(app, manifest.descriptor.digest))).toBe(true)
      yield* second.deleteBlob(app, blob.digest)
      yield* registry.deleteBlob(app, blob.digest)
    })
  )
})

describe("mirrored", () => {
  it.effect("reads content from a mirror below its prefix, and puts to the registry itself", () =>
    Effect.gen(function* () {
      const app = name("app")
      const [original, mirror] = yield* Effect.all([memory, memory])
      const registry = ComposedRegistry.mirrored(original, [
        { registry: make({}) },
        { registry: mirror, prefix: name("hub") }
      ])
      const copy = yield* mirror.putBlob(name("hub/app"), BlobSource.fromBytes(utf8("copy")))
      expect(yield* registry.getBlobBytes(app, copy.digest)).toEqual(utf8("copy"))
      expect(yield* gather(registry.getBlob(app, copy.digest))).toEqual(utf8("copy"))
      const own = yield* registry.putBlob(app, BlobSource.fromBytes(utf8("own")))
      expect(yield* original.getBlobBytes(app, own.digest)).toEqual(utf8("own"))
      expect(yield* registry.getBlobBytes(app, own.digest)).toEqual(utf8("own"))
      expect(yield* items(mirror.repositories())).toEqual(["hub/app"])
      expect(Option.isNone(yield* registry.headBlob(app, copy.digest))).toBe(true)
    })
  )
})
