import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import { Registries } from "../../src/Registries.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
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
  unverifiableDigest,
  utf8
} from "../support/fixtures.js"

registrySuite("MemoryRegistry", {
  layer: MemoryRegistry.layer(),
  supports: { manifestList: true }
})

const fresh = Effect.all({ registry: MemoryRegistry.make(), repository: freshRepository })

describe("names", () => {
  it.effect("tells an unknown repository from unknown content", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const digest = freshDigest()
      const latest = yield* tag("latest")
      const unknownName = { _tag: "NameUnknown", repository }
      expect(yield* Effect.flip(registry.getManifest(repository, latest))).toMatchObject(
        unknownName
      )
      expect(yield* Effect.flip(registry.deleteManifest(repository, digest))).toMatchObject(
        unknownName
      )
      expect(yield* Effect.flip(registry.deleteTag(repository, latest))).toMatchObject(unknownName)
      expect(yield* Effect.flip(gather(registry.getBlob(repository, digest)))).toMatchObject(
        unknownName
      )
      expect(yield* Effect.flip(registry.deleteBlob(repository, digest))).toMatchObject(unknownName)
      yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      expect(yield* Effect.flip(registry.getManifest(repository, latest))).toMatchObject({
        _tag: "ManifestUnknown"
      })
      expect(yield* Effect.flip(gather(registry.getBlob(repository, digest)))).toMatchObject({
        _tag: "BlobUnknown"
      })
    })
  )

  it.effect("a repository needs content to exist, and then stays, without tags (C82)", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      yield* Effect.scoped(
        Effect.flatMap(registry.startUpload(repository), (session) => session.write(utf8("x")))
      )
      yield* Effect.flip(
        registry.putManifest(repository, Manifest.index({ manifests: [absentManifest()] }))
      )
      expect(yield* items(registry.repositories())).toEqual([])
      const { digest } = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      yield* registry.deleteBlob(repository, digest)
      expect(yield* items(registry.repositories())).toEqual([repository])
      expect(yield* items(registry.tags(repository))).toEqual([])
    })
  )

  it.effect("a page of no items ends a list (C83)", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      yield* registry.putManifest(repository, Manifest.index({ manifests: [] }), {
        tags: [yield* tag("a")]
      })
      expect(yield* items(registry.tags(repository, { pageSize: 0 }))).toEqual([])
      expect(yield* items(registry.repositories({ pageSize: 0 }))).toEqual([])
    })
  )
})

describe("manifests", () => {
  it.effect("names the content that is missing", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const absent = absentManifest()
      const error = yield* Effect.flip(
        registry.putManifest(repository, Manifest.index({ manifests: [absent] }))
      )
      expect(error).toMatchObject({ _tag: "BlobUnknown", repository, digest: absent.digest })
    })
  )

  it.effect("accepts a manifest with missing content if told to (R12)", () =>
    Effect.gen(function* () {
      const registry = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const repository = yield* freshRepository
      const index = Manifest.index({ manifests: [absentManifest()] })
      yield* registry.putManifest(repository, index)
      expect((yield* registry.getManifest(repository, index.descriptor.digest)).bytes).toEqual(
        index.bytes
      )
    })
  )

  it.effect("trusts the bytes of a manifest, and nothing beside them", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const empty = Manifest.index({ manifests: [] })
      const put = (changes: Partial<Manifest.Manifest["descriptor"]>, bytes = empty.bytes) =>
        registry.putManifest(repository, {
          ...empty,
          bytes,
          descriptor: { ...empty.descriptor, ...changes }
        })
      expect(yield* Effect.flip(put({ digest: freshDigest() }))).toMatchObject({
        _tag: "DigestMismatch",
        actual: empty.descriptor.digest
      })
      expect(yield* Effect.flip(put({ mediaType: MediaType.imageManifest }))).toMatchObject({
        _tag: "InvalidManifest",
        reason: "MediaType"
      })
      expect(yield* Effect.flip(put({}, utf8("{")))).toMatchObject({
        _tag: "InvalidManifest",
        reason: "Json"
      })
      expect(yield* Effect.flip(put({ digest: yield* unverifiableDigest }))).toMatchObject({
        _tag: "InvalidDigest"
      })
      expect(yield* items(registry.repositories())).toEqual([])
      // A view and a size that the caller made up do not get in.
      const absent = absentManifest()
      const lying = { ...empty, content: Manifest.index({ manifests: [absent] }).content }
      expect(yield* registry.putManifest(repository, lying)).toEqual(empty.descriptor)
      expect(
        (yield* registry.getManifest(repository, empty.descriptor.digest)).content
      ).toMatchObject({
        manifests: []
      })
      expect(yield* put({ size: 1 })).toEqual(empty.descriptor)
    })
  )

  it.effect("does not give out stored bytes that are not what their digest says (C26)", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const digest = freshDigest()
      const bytes = utf8("something else")
      yield* registry.restore({
        [repository]: { tags: {}, manifests: {}, blobs: { [digest]: bytes } }
      })
      const mismatch = { _tag: "DigestMismatch", expected: digest }
      expect(yield* Effect.flip(gather(registry.getBlob(repository, digest)))).toMatchObject(
        mismatch
      )
      expect(yield* Effect.flip(registry.getBlobBytes(repository, digest))).toMatchObject(mismatch)
      // Whoever has the arrays of a snapshot can write to them.
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("b1")))
      const { [repository]: stored } = yield* registry.snapshot
      stored?.blobs[put.digest]?.fill(0)
      expect(yield* Effect.flip(gather(registry.getBlob(repository, put)))).toMatchObject({
        _tag: "DigestMismatch"
      })
    })
  )

  it.scoped("gives out a blob that came in several writes, and every range of it", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const writes = [1, 65_535, 65_537, 200_000, 3].map((size, n) =>
        new Uint8Array(size).fill(n + 1)
      )
      const whole = Buffer.concat(writes)
      const session = yield* registry.startUpload(repository)
      for (const bytes of writes) yield* session.write(bytes)
      const { digest } = yield* session.commit(Digest.fromBytes(whole))
      for (const [start, end] of [
        [0, 0],
        [0, 1],
        [1, 65_535],
        [65_536, 131_072],
        [65_530, 331_074],
        [331_073, 400_000],
        [331_075, undefined]
      ] as const) {
        const range = yield* gather(registry.getBlobRange(repository, digest, { start, end }))
        expect(whole.subarray(start, (end ?? whole.length) + 1).equals(range)).toBe(true)
      }
      expect(whole.equals(yield* gather(registry.getBlob(repository, digest)))).toBe(true)
    })
  )

  it.effect("keeps its bytes when the caller's array changes", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const empty = Manifest.index({ manifests: [] })
      const bytes = Buffer.from(empty.bytes)
      yield* registry.putManifest(repository, { ...empty, bytes })
      bytes.fill(0)
      expect((yield* registry.getManifest(repository, empty.descriptor.digest)).bytes).toEqual(
        empty.bytes
      )
    })
  )

  it.effect("stores any type of manifest without reading it (I3, I4)", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const unknown = yield* Manifest.fromBytes(utf8("not even JSON"), {
        mediaType: "application/vnd.example.thing"
      })
      yield* registry.putManifest(repository, unknown)
      expect(yield* registry.getManifest(repository, unknown.descriptor.digest)).toEqual(unknown)
    })
  )

  it.effect("an index may refer to what is stored as a blob", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      const index = Manifest.index({
        manifests: [{ ...blob, mediaType: "application/vnd.example.thing" }]
      })
      expect(yield* registry.putManifest(repository, index)).toEqual(index.descriptor)
    })
  )
})

describe("uploads", () => {
  it.effect("no way for a blob to arrive, or not to, leaves a session open", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const b1 = freshBytes("b1")
      const other = yield* freshRepository
      yield* registry.putBlob(repository, BlobSource.fromStream(Stream.make(b1)))
      yield* registry.putBlob(other, BlobSource.fromBytes(b1), { mountFrom: repository })
      yield* registry.mountBlob(other, freshDigest())
      for (const source of [
        BlobSource.fromStream(Stream.make(b1), { digest: freshDigest() }),
        BlobSource.fromStream(Stream.make(b1), { digest: yield* unverifiableDigest }),
        BlobSource.fromStream(Stream.make(b1), { size: 1 }),
        BlobSource.fromStream(Stream.concat(Stream.make(b1), Stream.fail("broken")))
      ]) {
        yield* Effect.flip(registry.putBlob(yield* freshRepository, source))
      }
      expect(yield* registry.uploads).toEqual([])
    })
  )

  it.effect("an interrupted upload is open until then, and cancelled by it", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const waiting = yield* Deferred.make<void>()
      const stalled = Stream.concat(
        Stream.make(utf8("hello")),
        Stream.execute(Effect.zipRight(Deferred.succeed(waiting, undefined), Effect.never))
      )
      const fiber = yield* Effect.fork(registry.putBlob(repository, BlobSource.fromStream(stalled)))
      yield* Deferred.await(waiting)
      expect(yield* registry.uploads).toMatchObject([{ repository }])
      yield* Fiber.interrupt(fiber)
      expect(yield* registry.uploads).toEqual([])
    })
  )

  it.effect(
    "a session's location is a path of the registry (R14), and its state can be stored",
    () =>
      Effect.gen(function* () {
        const { registry, repository } = yield* fresh
        const state = yield* Effect.scoped(
          Effect.flatMap(registry.startUpload(repository), (session) =>
            Effect.zipRight(session.write(utf8("hello")), session.detach)
          )
        )
        expect(state.location.startsWith(`/v2/${repository}/blobs/uploads/`)).toBe(true)
        expect(yield* registry.uploads).toEqual([state])
        const stored = yield* Schema.encode(Schema.parseJson(Transfer.UploadState))(state)
        const restored = yield* Schema.decode(Schema.parseJson(Transfer.UploadState))(stored)
        // The registry knows better how far it is.
        yield* Effect.scoped(
          Effect.flatMap(registry.resumeUpload({ ...restored, offset: 99 }), (session) =>
            Effect.map(session.state, (resumed) => expect(resumed).toEqual(state))
          )
        )
      })
  )

  it.effect("a session belongs to one repository", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const other = yield* freshRepository
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { location } = yield* Effect.flatMap(
            registry.startUpload(repository),
            (session) => session.state
          )
          const error = yield* Effect.flip(
            registry.resumeUpload({ repository: other, location, offset: 0 })
          )
          expect(error).toMatchObject({ _tag: "UploadUnknown", repository: other })
        })
      )
    })
  )

  it.scoped("a failing stream leaves the bytes that came before it", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const session = yield* registry.startUpload(repository)
      yield* Effect.flip(
        session.write(Stream.concat(Stream.make(utf8("hello")), Stream.fail("broken")))
      )
      expect(yield* session.state).toMatchObject({ offset: 5 })
    })
  )

  it.scoped("an endless source is stopped at its declared size", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const endless = BlobSource.fromStream(Stream.repeatValue(utf8("hello")), { size: 12 })
      expect(yield* Effect.flip(registry.putBlob(repository, endless))).toMatchObject({
        _tag: "SizeMismatch",
        expected: 12
      })
    })
  )

  it.scoped("a digest that cannot be verified is refused, and the session stays", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const session = yield* registry.startUpload(repository)
      yield* session.write(utf8("hello"))
      expect(yield* Effect.flip(session.commit(yield* unverifiableDigest))).toMatchObject({
        _tag: "InvalidDigest"
      })
      const digest = Digest.fromBytes(utf8("hello"))
      expect(yield* session.commit(digest)).toMatchObject({ digest, size: 5 })
    })
  )
})

describe("blobs", () => {
  it.effect("are read in pieces of at most 64 KiB", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const { digest } = yield* registry.putBlob(
        repository,
        BlobSource.fromBytes(new Uint8Array(150_000))
      )
      const sizes = (yield* items(registry.getBlob(repository, digest))).map(
        (piece) => piece.length
      )
      expect(sizes).toEqual([65_536, 65_536, 18_928])
    })
  )

  it.effect("a range that cannot be had is named as on the wire", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* fresh
      const { digest } = yield* registry.putBlob(
        repository,
        BlobSource.fromBytes(utf8("0123456789"))
      )
      const error = yield* Effect.flip(
        gather(registry.getBlobRange(repository, digest, { start: 10, end: 12 }))
      )
      expect(error).toMatchObject({
        _tag: "RangeMismatch",
        expected: "bytes=10-12",
        actual: "bytes */10"
      })
    })
  )
})

describe("layerRegistries", () => {
  it.effect("answers one registry per host, Docker Hub being one under all its names", () =>
    Effect.gen(function* () {
      const registries = yield* Registries
      const hub = yield* registries.get("docker.io")
      expect(yield* registries.get("registry-1.docker.io")).toBe(hub)
      expect(yield* registries.get("index.docker.io")).toBe(hub)
      const ghcr = yield* registries.get("ghcr.io")
      expect(yield* registries.get("GHCR.io")).toBe(ghcr)
      expect(yield* registries.get("localhost:5000")).not.toBe(
        yield* registries.get("localhost:5001")
      )
      const repository = yield* freshRepository
      yield* ghcr.putManifest(repository, yield* image(ghcr, repository, "m1"))
      expect(yield* items(ghcr.repositories())).toEqual([repository])
      expect(yield* items(hub.repositories())).toEqual([])
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect.each(["", "ghcr.io/owner", "https://ghcr.io", "a b.example", "host:99999"])(
    "refuses %o",
    (host) =>
      Effect.gen(function* () {
        const registries = yield* Registries
        expect(yield* Effect.flip(registries.get(host))).toMatchObject({
          _tag: "InvalidUrl",
          url: host
        })
      }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("passes its options on", () =>
    Effect.gen(function* () {
      const registry = yield* Effect.flatMap(Registries, (registries) => registries.get("ghcr.io"))
      yield* registry.putManifest(
        yield* freshRepository,
        Manifest.index({ manifests: [absentManifest()] })
      )
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries({ missingReferences: "accept" })))
  )
})

const absentManifest = () => ({
  mediaType: MediaType.imageManifest,
  digest: freshDigest(),
  size: 7
})
