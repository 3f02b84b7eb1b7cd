/** Registries that take so many bytes and operations: what counts, and what gives bytes back. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import { LimitExceeded } from "../../src/RegistryError.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { image } from "../support/fixtures.js"

const [app, other] = [
  Reference.unsafeParseRepositoryName("app"),
  Reference.unsafeParseRepositoryName("other")
]
const bytesOf = (size: number, fill = size) => new Uint8Array(size).fill(fill)
const source = (size: number, fill?: number) => BlobSource.fromBytes(bytesOf(size, fill))
const digestOf = (size: number, fill?: number) => Digest.fromBytes(bytesOf(size, fill))

const limited = (limits: ComposedRegistry.Limits) =>
  Effect.gen(function* () {
    const inner = yield* MemoryRegistry.make()
    return { inner, registry: yield* ComposedRegistry.limited(inner, limits) }
  })

describe("a quota (V12)", () => {
  it.effect("refuses what is too much before anything is sent, and says what to do", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* limited({ bytes: 100 })
      yield* registry.putBlob(app, source(60))
      const failure = yield* Effect.flip(registry.putBlob(app, source(50)))
      expect(failure).toBeInstanceOf(LimitExceeded)
      expect(failure.message).toBe(
        "The content of this registry, 60 bytes and 50 more, exceeds the limit of 100 bytes; " +
          "deleting content makes room, and the option bytes allows more"
      )
      expect(yield* inner.uploads).toEqual([])
      expect(yield* registry.used).toBe(60)
      yield* registry.putBlob(app, source(40))
      expect(yield* registry.used).toBe(100)
    })
  )

  it.effect("counts what is assembled, of whatever size an upload said that it was", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* limited({ bytes: 100 })
      const chunks = Stream.make(...Array.from({ length: 11 }, (_, n) => bytesOf(10, n)))
      const once = BlobSource.fromStreamOnce(chunks)
      expect(yield* Effect.flip(registry.putBlob(app, once))).toBeInstanceOf(LimitExceeded)
      expect(yield* inner.uploads).toEqual([])
      expect(yield* registry.used).toBe(0)
      yield* registry.putBlob(app, BlobSource.fromStream(Stream.take(chunks, 10)))
      expect(yield* registry.used).toBe(100)
    })
  )

  it.effect.each([
    ["an array", bytesOf(30)],
    ["a stream", Stream.make(bytesOf(10), bytesOf(20))]
  ] as const)(
    "counts open uploads together, detached ones too, and ends the one that goes too far by %s",
    ([, more]) =>
      Effect.gen(function* () {
        const { inner, registry } = yield* limited({ bytes: 100 })
        const begun = Effect.scoped(
          Effect.gen(function* () {
            const session = yield* registry.startUpload(app)
            yield* session.write(bytesOf(40))
            return yield* session.detach
          })
        )
        const [one, two] = [yield* begun, yield* begun]
        expect(yield* registry.used).toBe(80)
        expect(yield* Effect.flip(registry.putBlob(app, source(30)))).toBeInstanceOf(LimitExceeded)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* registry.resumeUpload(two)
            const failure = yield* Effect.flip(session.write<never, never>(more))
            expect(failure).toBeInstanceOf(LimitExceeded)
            for (const step of [session.write(bytesOf(1)), session.status])
              expect(yield* Effect.flip(step)).toMatchObject({ _tag: "UploadUnknown" })
            // A server leaves sessions open whatever happened to a request.
            yield* session.detach
          })
        )
        expect(yield* inner.uploads).toEqual([one])
        expect(yield* registry.used).toBe(40)
        // Closing its Scope cancels the other.
        yield* Effect.scoped(registry.resumeUpload(one))
        expect(yield* inner.uploads).toEqual([])
        expect(yield* registry.used).toBe(0)
      })
  )

  it.effect("forgets an upload that the registry has forgotten", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* limited({ bytes: 100 })
      const state = yield* Effect.scoped(
        Effect.flatMap(registry.startUpload(app), (session) =>
          Effect.zipRight(session.write(bytesOf(40)), session.detach)
        )
      )
      yield* Effect.scoped(inner.resumeUpload(state))
      expect(yield* registry.used).toBe(40)
      expect(yield* Effect.flip(Effect.scoped(registry.resumeUpload(state)))).toMatchObject({
        _tag: "UploadUnknown"
      })
      expect(yield* registry.used).toBe(0)
    })
  )

  it.scoped("keeps what an upload was committed with", () =>
    Effect.gen(function* () {
      const { registry } = yield* limited({ bytes: 100 })
      const upload = Effect.gen(function* () {
        const session = yield* registry.startUpload(app)
        yield* session.write(bytesOf(40))
        expect(yield* session.commit(digestOf(40))).toMatchObject({ size: 40 })
      })
      yield* upload
      expect(yield* registry.used).toBe(40)
      // The same again takes nothing.
      yield* Effect.scoped(upload)
      expect(yield* registry.used).toBe(40)
      const failed = Effect.gen(function* () {
        const session = yield* registry.startUpload(app)
        yield* session.write(bytesOf(30))
        expect(yield* Effect.flip(session.commit(digestOf(1)))).toMatchObject({
          _tag: "DigestMismatch"
        })
      })
      yield* Effect.scoped(failed)
      expect(yield* registry.used).toBe(40)
    })
  )

  it.effect("counts content once in each repository, and gives it back when it is deleted", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* limited({ bytes: 2000 })
      yield* Effect.all(
        Array.from({ length: 4 }, () => registry.putBlob(app, source(10))),
        { concurrency: "unbounded" }
      )
      yield* registry.putBlob(app, BlobSource.fromStream(Stream.make(bytesOf(10))))
      expect(yield* registry.used).toBe(10)
      expect(yield* registry.mountBlob(other, digestOf(10), app)).toBe(true)
      expect(yield* registry.mountBlob(other, digestOf(10), app)).toBe(true)
      expect(yield* registry.mountBlob(other, digestOf(99), app)).toBe(false)
      expect(yield* registry.used).toBe(20)
      yield* registry.deleteBlob(other, digestOf(10))
      yield* Effect.flip(registry.deleteBlob(other, digestOf(10)))
      yield* registry.deleteBlob(app, digestOf(10))
      expect(yield* registry.used).toBe(0)

      const manifest = yield* image(inner, app, "m1")
      yield* registry.putManifest(app, manifest)
      yield* registry.putManifest(app, manifest)
      expect(yield* registry.used).toBe(manifest.bytes.length)
      yield* registry.deleteManifest(app, manifest.descriptor.digest)
      expect(yield* registry.used).toBe(0)
    })
  )

  it.effect("begins with what was there before, which is given back too", () =>
    Effect.gen(function* () {
      const inner = yield* MemoryRegistry.make()
      yield* inner.putBlob(app, source(60))
      const registry = yield* ComposedRegistry.limited(inner, { bytes: 100, used: 60 })
      yield* registry.putBlob(app, source(60))
      expect(yield* registry.used).toBe(60)
      expect(yield* Effect.flip(registry.putBlob(app, source(50)))).toBeInstanceOf(LimitExceeded)
      yield* registry.deleteBlob(app, digestOf(60))
      yield* registry.putBlob(app, source(50))
      expect(yield* registry.used).toBe(50)
    })
  )

  it.effect("gives back what was reserved by who fails or is interrupted", () =>
    Effect.gen(function* () {
      const { registry } = yield* limited({ bytes: 100 })
      const short = BlobSource.make(() => Stream.make(bytesOf(10)), { size: 50 })
      expect(yield* Effect.flip(registry.putBlob(app, short))).toMatchObject({
        _tag: "SizeMismatch"
      })
      const hanging = BlobSource.make(() => Stream.never, { size: 50 })
      const fiber = yield* Effect.fork(registry.putBlob(app, hanging))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* registry.used).toBe(0)
    })
  )

  it.scoped("is a 413 of a server, which ends the upload and frees its bytes", () =>
    Effect.gen(function* () {
      const { inner, registry } = yield* limited({ bytes: 100 })
      const services = yield* Layer.build(
        Layer.mergeAll(
          Layer.provide(RegistryServer.layerTest(), Layer.succeed(Registry, registry)),
          TokenCache.layerMemory,
          Credentials.layerAnonymous
        )
      )
      const client = yield* Effect.provide(
        RegistryClient.make({ url: "https://registry.test" }),
        services
      )
      const session = yield* client.startUpload(app)
      yield* session.write(bytesOf(60))
      expect(yield* registry.used).toBe(60)
      expect(yield* Effect.flip(session.write(bytesOf(50)))).toMatchObject({ status: 413 })
      expect(yield* inner.uploads).toEqual([])
      expect(yield* registry.used).toBe(0)
      expect(yield* Effect.flip(session.status)).toMatchObject({ _tag: "UploadUnknown" })
      for (const strategy of ["single", "put", "patch", "chunked"] as const) {
        const failure = yield* Effect.flip(client.putBlob(app, source(101), { strategy }))
        expect(failure).toMatchObject({ status: 413 })
        expect(yield* registry.used).toBe(0)
      }
      expect(Option.isNone(yield* inner.headBlob(app, digestOf(101)))).toBe(true)
    })
  )
})

describe("a rate", () => {
  it.effect("lets so many begin at once, and says when the next may", () =>
    Effect.gen(function* () {
      const { registry } = yield* limited({ rate: { operations: 4, per: "2 seconds" } })
      const digest = digestOf(1)
      yield* registry.ping
      yield* registry.headBlob(app, digest)
      yield* Stream.runDrain(registry.repositories())
      yield* Effect.exit(Stream.runDrain(registry.getBlob(app, digest)))
      const failure = yield* Effect.flip(registry.ping)
      expect(failure).toMatchObject({ _tag: "TooManyRequests", retryAfter: 500 })
      expect(failure.message).toContain("try again in 1 s")
      yield* TestClock.adjust("500 millis")
      yield* registry.ping
      expect(yield* Effect.flip(registry.ping)).toMatchObject({ retryAfter: 500 })
      yield* TestClock.adjust("1 hour")
      for (const _ of [1, 2, 3, 4]) yield* registry.ping
      expect(yield* Effect.flip(registry.ping)).toMatchObject({ _tag: "TooManyRequests" })
    })
  )
})
