import { expect } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Registry, type UploadSession } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import type { UploadState } from "../../src/Transfer.js"
import { freshBytes, freshDigest, freshRepository, gather, utf8 } from "../support/fixtures.js"
import type { It, Supports } from "./registry.js"

class Boom extends Data.TaggedError("Boom") {}

export const uploadSuite = (it: It, supports: Supports): void => {
  it.scoped("appends arrays and streams in order, and commits the whole (C51, C54)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository)
      expect(yield* session.state).toMatchObject({ repository, offset: 0 })
      expect(yield* session.write(utf8("hello"))).toMatchObject({ repository, offset: 5 })
      expect(yield* session.write(Stream.make(utf8(", "), utf8("wor")))).toMatchObject({
        offset: 10
      })
      expect(yield* session.write(utf8("ld"))).toMatchObject({ offset: 12 })
      expect(yield* session.state).toMatchObject({ offset: 12 })
      expect(yield* session.status).toMatchObject({ repository, offset: 12 })
      const digest = Digest.fromBytes(utf8("hello, world"))
      expect(yield* session.commit(digest)).toMatchObject({ digest, size: 12 })
      expect(yield* gather(registry.getBlob(repository, digest))).toEqual(utf8("hello, world"))
    })
  )

  it.scoped("does each step where it stands, in one expression built beforehand", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository)
      const content = freshBytes("b1")
      const digest = Digest.fromBytes(content)
      const commit = session.commit(digest)
      const { state, status } = session
      const all = session.write(content).pipe(Effect.zipRight(state), Effect.zip(status))
      const [states, descriptor] = yield* Effect.zip(all, commit)
      for (const { offset } of states) expect(offset).toBe(content.length)
      expect(descriptor).toMatchObject({ digest, size: content.length })
    })
  )

  it.scoped("answers the size of what was written, by arrays, streams and before a resume", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      for (const write of [
        (session: UploadSession, content: Uint8Array) => session.write(content),
        (session: UploadSession, content: Uint8Array) => session.write(Stream.make(content))
      ]) {
        const content = freshBytes("b1")
        const digest = Digest.fromBytes(content)
        const session = yield* registry.startUpload(repository)
        const { size } = yield* Effect.zipRight(write(session, content), session.commit(digest))
        expect(size).toBe(content.length)
      }
      const content = freshBytes("b2")
      const digest = Digest.fromBytes(content)
      const first = yield* registry.startUpload(repository)
      const { size } = yield* Effect.zipRight(first.write(content), first.detach).pipe(
        Effect.flatMap(registry.resumeUpload),
        Effect.flatMap((session) => session.commit(digest))
      )
      expect(size).toBe(content.length)
    })
  )

  it.scoped("writes nothing of an empty array or stream, and goes on (trap 15)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository)
      const content = freshBytes("b1")
      for (const nothing of [
        new Uint8Array(),
        Stream.empty,
        Stream.make(new Uint8Array(), new Uint8Array())
      ])
        expect(yield* session.write(nothing)).toMatchObject({ offset: 0 })
      yield* session.write(Stream.make(new Uint8Array(), content, new Uint8Array()))
      expect(yield* session.write(Stream.empty)).toMatchObject({ offset: content.length })
      expect(yield* session.commit(Digest.fromBytes(content))).toMatchObject({
        size: content.length
      })
    })
  )

  it.scoped("takes an array that its writer uses again", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository)
      const buffer = Buffer.from("abc")
      yield* session.write(buffer)
      buffer.write("def")
      yield* session.write(Stream.make(buffer))
      buffer.write("xyz")
      const digest = Digest.fromBytes(utf8("abcdef"))
      yield* session.commit(digest)
      expect(yield* gather(registry.getBlob(repository, digest))).toEqual(utf8("abcdef"))
    })
  )

  it.scoped("commits a session without bytes, under its sha512 digest", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository, { algorithm: "sha512" })
      const digest = Digest.fromBytes(new Uint8Array(), "sha512")
      expect(yield* session.commit(digest)).toMatchObject({ digest, size: 0 })
    })
  )

  it.effect("continues a detached session in another Scope (C52)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const digest = Digest.fromBytes(utf8("hello, world"))
      const state = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* registry.startUpload(repository)
          yield* session.write(utf8("hello"))
          return yield* session.detach
        })
      )
      expect(state).toMatchObject({ repository, offset: 5 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* registry.resumeUpload(state)
          expect(yield* session.state).toMatchObject({ repository, offset: 5 })
          yield* session.write(utf8(", world"))
          yield* session.commit(digest)
        })
      )
      expect(yield* gather(registry.getBlob(repository, digest))).toEqual(utf8("hello, world"))
    })
  )

  it.effect(
    "leaves a session open that a finalizer detaches when the program is interrupted (C52)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const sent = yield* Deferred.make<void>()
        const saved = yield* Deferred.make<UploadState>()
        const endless = Stream.concat(
          Stream.make(utf8("a"), utf8("a")),
          Stream.repeatEffect(
            Effect.zipRight(
              Deferred.succeed(sent, undefined),
              Effect.as(Effect.yieldNow(), utf8("a"))
            )
          )
        )
        const fiber = yield* Effect.forkScoped(
          Effect.scoped(
            Effect.gen(function* () {
              const session = yield* registry.startUpload(repository)
              yield* Effect.addFinalizer(() =>
                Effect.flatMap(session.detach, (state) => Deferred.succeed(saved, state))
              )
              yield* session.write(endless)
            })
          )
        )
        yield* Deferred.await(sent)
        yield* Fiber.interrupt(fiber)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* registry.resumeUpload(yield* Deferred.await(saved))
            const { offset } = yield* session.state
            expect(offset).toBeGreaterThanOrEqual(2)
            yield* session.commit(Digest.fromBytes(utf8("a".repeat(offset))))
          })
        )
      }).pipe(Effect.scoped)
  )

  it.effect("cancels a session when its Scope closes (C57)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const state = yield* Effect.scoped(
        Effect.flatMap(registry.startUpload(repository), (session) => session.write(utf8("hello")))
      )
      const error = yield* Effect.flip(Effect.scoped(registry.resumeUpload(state)))
      expect(error).toMatchObject({ _tag: "UploadUnknown", repository })
    })
  )

  it.effect("cancels a resumed session when its Scope closes", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const state = yield* Effect.scoped(
        Effect.flatMap(registry.startUpload(repository), (session) =>
          Effect.zipRight(session.write(utf8("hello")), session.detach)
        )
      )
      yield* Effect.scoped(registry.resumeUpload(state))
      expect(yield* Effect.flip(Effect.scoped(registry.resumeUpload(state)))).toMatchObject({
        _tag: "UploadUnknown"
      })
    })
  )

  it.scoped(
    "refuses to commit other content, stores nothing, and leaves no session behind (R13)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const b1 = freshBytes("b1")
        const expected = freshDigest()
        const state = yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* registry.startUpload(repository)
            const state = yield* session.write(b1)
            expect(yield* Effect.flip(session.commit(expected))).toMatchObject({
              _tag: "DigestMismatch",
              expected
            })
            return state
          })
        )
        for (const digest of [expected, Digest.fromBytes(b1)]) {
          expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
        }
        expect(yield* Effect.flip(registry.resumeUpload(state))).toMatchObject({
          _tag: "UploadUnknown"
        })
      })
  )

  it.scoped("knows a committed session no longer (C55)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const session = yield* registry.startUpload(repository)
      const b1 = freshBytes("b1")
      const state = yield* session.write(b1)
      yield* session.commit(Digest.fromBytes(b1))
      expect(yield* Effect.flip(registry.resumeUpload(state))).toMatchObject({
        _tag: "UploadUnknown"
      })
      expect(yield* Effect.flip(session.status)).toMatchObject({ _tag: "UploadUnknown" })
      expect(yield* Effect.flip(session.write(b1))).toMatchObject({ _tag: "UploadUnknown" })
      expect(yield* Effect.flip(session.write(Stream.make(b1)))).toMatchObject({
        _tag: "UploadUnknown"
      })
      expect(yield* Effect.flip(session.commit(Digest.fromBytes(b1)))).toMatchObject({
        _tag: "UploadUnknown"
      })
    })
  )

  it.scoped("fails with the error of the stream being written", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const session = yield* registry.startUpload(yield* freshRepository)
      const failing = Stream.concat(Stream.make(utf8("hello")), Stream.fail(new Boom()))
      expect(yield* Effect.flip(session.write(failing))).toEqual(new Boom())
    })
  )

  if (supports.staleLocations) {
    it.scoped("continues after a failed write from where the registry is (C52)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const content = utf8("hello, world")
        const session = yield* registry.startUpload(repository)
        yield* session.write(content.subarray(0, 3))
        yield* Effect.flip(
          session.write(Stream.concat(Stream.make(content.subarray(3, 7)), Stream.fail(new Boom())))
        )
        const { offset } = yield* session.status
        expect([3, 7]).toContain(offset)
        yield* session.write(content.subarray(offset))
        yield* session.commit(Digest.fromBytes(content))
        expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(content)))).toEqual(
          content
        )
      })
    )

    it.scoped(
      "refuses bytes out of order, keeps the session, and says where to continue (R20, C52)",
      () =>
        Effect.gen(function* () {
          const registry = yield* Registry
          const repository = yield* freshRepository
          const first = yield* registry.startUpload(repository)
          const state = yield* first.write(utf8("hello"))
          const second = yield* registry.resumeUpload(state)
          yield* second.write(utf8(", "))
          expect(yield* Effect.flip(first.write(utf8("XXXXX")))).toMatchObject({
            _tag: "RangeMismatch"
          })
          expect(yield* first.status).toMatchObject({ offset: 7 })
          yield* first.write(utf8("world"))
          const digest = Digest.fromBytes(utf8("hello, world"))
          yield* first.commit(digest)
          expect(yield* gather(registry.getBlob(repository, digest))).toEqual(utf8("hello, world"))
        })
    )
  }
}
