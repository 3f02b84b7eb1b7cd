import { expect } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import { Registry, verifyBlob } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Transfer from "../../src/Transfer.js"
import {
  freshBytes,
  freshDigest,
  freshRepository,
  gather,
  generated,
  items,
  unverifiableDigest,
  utf8
} from "../support/fixtures.js"
import type { It, Supports } from "./registry.js"

class Boom extends Data.TaggedError("Boom")<{ readonly n: number }> {}

/** A source that must not be opened. */
const unopened = (digest: Digest.Digest, size: number) =>
  BlobSource.make(() => Stream.dieMessage("the source was opened"), { digest, size })

export const blobSuite = (it: It, supports: Supports, largeBlob: number): void => {
  it.effect("gives back the blob it was given (end-2, end-4)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      expect(put).toMatchObject({ digest: Digest.fromBytes(b1), size: b1.length })
      expect(yield* gather(registry.getBlob(repository, put.digest))).toEqual(b1)
      expect(yield* gather(registry.getBlob(repository, put))).toEqual(b1)
      expect(Option.getOrUndefined(yield* registry.headBlob(repository, put.digest))).toMatchObject(
        {
          digest: put.digest,
          size: b1.length
        }
      )
    })
  )

  it.effect("verifies a blob without keeping it", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      yield* verifyBlob(registry, repository, put)
      yield* verifyBlob(registry, repository, put.digest)
      const failures = [freshDigest(), { ...put, size: put.size + 1 }].map((blob) =>
        Effect.flip(verifyBlob(registry, repository, blob))
      )
      expect((yield* Effect.all(failures)).map(({ _tag }) => _tag)).toEqual([
        "BlobUnknown",
        "SizeMismatch"
      ])
    })
  )

  it.effect("describes a blob with the media type it was put as, however it got there", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [repository, mountFrom] = [yield* freshRepository, yield* freshRepository]
      const b1 = freshBytes("b1")
      const digest = Digest.fromBytes(b1)
      const mediaType = "application/vnd.example.config.v1+json"
      const uploaded = { mediaType, digest, size: b1.length }
      const stream = BlobSource.fromStream(Stream.make(b1))
      expect(yield* registry.putBlob(mountFrom, stream, { mediaType })).toEqual(uploaded)
      const source = BlobSource.fromBytes(b1)
      for (const way of ["mounted", "there"])
        expect(yield* registry.putBlob(repository, source, { mediaType, mountFrom }), way).toEqual(
          uploaded
        )
      // The registry knows nothing of it.
      expect(yield* registry.putBlob(repository, source)).toEqual({
        ...uploaded,
        mediaType: "application/octet-stream"
      })
    })
  )

  it.effect("takes a blob of no bytes", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(new Uint8Array()))
      expect(put).toMatchObject({
        digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        size: 0
      })
      expect(yield* gather(registry.getBlob(repository, put))).toEqual(new Uint8Array())
      expect(Option.isSome(yield* registry.headBlob(repository, put.digest))).toBe(true)
    })
  )

  it.effect.each([
    { knows: "nothing", size: false, digest: false },
    { knows: "its size", size: true, digest: false },
    { knows: "its digest", size: false, digest: true },
    { knows: "both", size: true, digest: true }
  ])("takes a stream that declares $knows, one-shot or not, whole or in chunks", (known) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const bytes = yield* gather(generated(300_000))
      const declared = {
        ...(known.size ? { size: bytes.length } : {}),
        ...(known.digest ? { digest: Digest.fromBytes(bytes) } : {})
      }
      const stream = generated(bytes.length)
      for (const source of [
        BlobSource.fromStream(stream, declared),
        ...(supports.chunks ? [BlobSource.fromStreamOnce(stream, declared)] : [])
      ]) {
        for (const chunkSize of supports.chunks ? [undefined, 100_000, 400_000] : [undefined]) {
          const repository = yield* freshRepository
          const put = yield* registry.putBlob(repository, source, { chunkSize })
          expect(put).toMatchObject({ digest: Digest.fromBytes(bytes), size: bytes.length })
          expect(Digest.fromBytes(yield* gather(registry.getBlob(repository, put)))).toBe(
            put.digest
          )
        }
      }
    })
  )

  it.effect("takes a blob under its sha512 digest (C16)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const digest = Digest.fromBytes(b1, "sha512")
      const source = BlobSource.fromStream(Stream.make(b1), { digest })
      expect((yield* registry.putBlob(repository, source)).digest).toBe(digest)
      expect(yield* gather(registry.getBlob(repository, digest))).toEqual(b1)
    })
  )

  it.effect("refuses other content than was declared, and stores neither (R13, T7)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [b1, b2] = [freshBytes("b1"), freshBytes("b2")]
      const [expected, actual] = [Digest.fromBytes(b2), Digest.fromBytes(b1)]
      for (const chunkSize of [undefined, 10]) {
        const repository = yield* freshRepository
        const source = BlobSource.fromStream(Stream.make(b1), { digest: expected, size: b1.length })
        const error = yield* Effect.flip(registry.putBlob(repository, source, { chunkSize }))
        expect(error).toMatchObject({ _tag: "DigestMismatch", expected })
        expect(yield* registry.headBlob(repository, expected)).toEqual(Option.none())
        expect(yield* registry.headBlob(repository, actual)).toEqual(Option.none())
      }
    })
  )

  it.effect.each([
    { than: "shorter", size: 1_000 },
    { than: "longer", size: 20 },
    { than: "longer (and nothing was expected)", size: 0 }
  ])("refuses a source that is $than than it declares, and stores nothing (C29)", ({ size }) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const b1 = freshBytes("b1")
      for (const declared of [{ size }, { size, digest: Digest.fromBytes(b1) }]) {
        for (const chunkSize of [undefined, 10]) {
          const repository = yield* freshRepository
          const source = BlobSource.fromStream(
            Stream.make(b1.subarray(0, 15), b1.subarray(15)),
            declared
          )
          const error = yield* Effect.flip(registry.putBlob(repository, source, { chunkSize }))
          expect(error).toMatchObject({ _tag: "SizeMismatch", expected: size })
          expect(yield* registry.headBlob(repository, Digest.fromBytes(b1))).toEqual(Option.none())
        }
      }
    })
  )

  it.effect("fails with the source's own error, and stores nothing", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const b1 = freshBytes("b1")
      const stream = Stream.concat(Stream.make(b1), Stream.fail(new Boom({ n: 7 })))
      for (const known of [{}, { size: b1.length + 1 }, { digest: Digest.fromBytes(b1) }]) {
        for (const source of [
          BlobSource.fromStream(stream, known),
          BlobSource.fromStreamOnce(stream, known)
        ]) {
          const repository = yield* freshRepository
          const error = yield* Effect.flip(registry.putBlob(repository, source))
          expect(error).toEqual(new Boom({ n: 7 }))
          expect(yield* registry.headBlob(repository, Digest.fromBytes(b1))).toEqual(Option.none())
        }
      }
    })
  )

  it.effect("reads a source in its caller's environment", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const observed: Array<string> = []
      // The observer is a service of the caller, as any other that a source's stream may need.
      const stream = Stream.fromEffect(
        Effect.as(
          Transfer.emit({
            _tag: "Bytes",
            subject: { direction: "upload", repository },
            offset: -1,
            rate: 0
          }),
          b1
        )
      )
      yield* Transfer.observe(
        registry.putBlob(repository, BlobSource.fromStream(stream)),
        (event) =>
          Effect.sync(() => observed.push("offset" in event ? `${event.offset}` : event._tag))
      )
      expect(observed).toContain("-1")
    })
  )

  it.effect("does not read a source whose blob is there, and says that it was skipped", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      const events = yield* items(
        Transfer.events(registry.putBlob(repository, unopened(Digest.fromBytes(b1), b1.length)))
      )
      expect(events).toMatchObject([
        { _tag: "Started", subject: { direction: "upload", repository, digest: put.digest } },
        { _tag: "Completed", skipped: true },
        { _tag: "Result", value: { digest: put.digest, size: b1.length } }
      ])
    })
  )

  it.effect(
    "reads what a descriptor holds from there, verified, and not from the registry (I6)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const held = { digest: Digest.fromBytes(utf8("held")), size: 4, mediaType: "" }
        const inline = { ...held, data: Buffer.from("held").toString("base64") }
        expect(yield* gather(registry.getBlob(repository, inline))).toEqual(utf8("held"))
        expect(yield* registry.getBlobBytes(repository, inline)).toEqual(utf8("held"))
        const other = { ...inline, data: Buffer.from("hold").toString("base64") }
        expect((yield* Effect.flip(gather(registry.getBlob(repository, other))))._tag).toBe(
          "DigestMismatch"
        )
      })
  )

  it.effect("uploads a blob that is there if it is told to", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const { digest, size } = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      let opened = 0
      const source = BlobSource.make(
        () => {
          opened++
          return Stream.make(b1)
        },
        { digest, size }
      )
      const options = { ifPresent: "upload", mountFrom: repository } as const
      expect(yield* registry.putBlob(repository, source, options)).toMatchObject({ digest, size })
      expect(opened).toBe(1)
      expect(yield* registry.getBlobBytes(repository, digest)).toEqual(b1)
    })
  )

  it.effect("tells how an upload and a download go", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const size = 200_000
      const up = yield* items(
        Transfer.events(registry.putBlob(repository, BlobSource.fromStream(generated(size))))
      )
      const result = up.at(-1)
      if (result?._tag !== "Result") throw new Error("the last event is the result")
      const { digest } = result.value
      const download = Stream.runDrain(registry.getBlob(repository, digest))
      const down = yield* items(Transfer.events(download))
      for (const [direction, events] of [
        ["upload", up],
        ["download", down]
      ] as const) {
        expect(events.map(({ _tag }) => _tag).filter((tag) => tag !== "Bytes")).toEqual([
          "Started",
          "Verified",
          "Completed",
          "Result"
        ])
        expect(events[0]).toMatchObject({ subject: { direction, repository } })
        const offsets = events.flatMap((event) => (event._tag === "Bytes" ? [event.offset] : []))
        expect(offsets).toEqual(offsets.toSorted((self, that) => self - that))
        expect(offsets.at(-1)).toBe(size)
        expect(events).toContainEqual(expect.objectContaining({ _tag: "Verified", digest }))
        expect(events).toContainEqual(
          expect.objectContaining({ _tag: "Completed", skipped: false })
        )
      }
    })
  )

  if (supports.mounts)
    it.effect("mounts a blob of another repository, without reading the source (C59, R24)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const [from, first, second] = [
          yield* freshRepository,
          yield* freshRepository,
          yield* freshRepository
        ]
        const b1 = freshBytes("b1")
        const put = yield* registry.putBlob(from, BlobSource.fromBytes(b1))
        const source = unopened(put.digest, b1.length)
        expect(yield* registry.putBlob(first, source, { mountFrom: from })).toMatchObject({
          digest: put.digest,
          size: b1.length
        })
        expect(yield* registry.mountBlob(second, put.digest, from)).toBe(true)
        for (const repository of [first, second]) {
          expect(yield* gather(registry.getBlob(repository, put.digest))).toEqual(b1)
        }
      })
    )
  else
    it.effect("uploads a blob of another repository, and says that it did not mount it", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const [from, to] = [yield* freshRepository, yield* freshRepository]
        const b1 = freshBytes("b1")
        const { digest } = yield* registry.putBlob(from, BlobSource.fromBytes(b1))
        expect(yield* registry.mountBlob(to, digest, from)).toBe(false)
        yield* registry.putBlob(to, BlobSource.fromBytes(b1), { mountFrom: from })
        expect(yield* gather(registry.getBlob(to, digest))).toEqual(b1)
      })
    )

  it.effect("uploads what cannot be mounted, and says that it did not mount it (R26)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [from, to] = [yield* freshRepository, yield* freshRepository]
      yield* registry.putBlob(from, BlobSource.fromBytes(freshBytes("b1")))
      const b2 = freshBytes("b2")
      const digest = Digest.fromBytes(b2)
      expect(yield* registry.mountBlob(to, digest, from)).toBe(false)
      expect(yield* registry.mountBlob(to, digest, yield* freshRepository)).toBe(false)
      expect(yield* registry.mountBlob(to, digest)).toBe(false)
      expect(yield* registry.headBlob(to, digest)).toEqual(Option.none())
      expect(
        yield* registry.putBlob(to, BlobSource.fromBytes(b2), { mountFrom: from })
      ).toMatchObject({ digest })
      expect(yield* gather(registry.getBlob(to, digest))).toEqual(b2)
    })
  )

  if (supports.mountFromAnywhere) {
    it.effect("finds a blob to mount wherever it is (C60, R25)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const [from, to] = [yield* freshRepository, yield* freshRepository]
        const b1 = freshBytes("b1")
        const { digest } = yield* registry.putBlob(from, BlobSource.fromBytes(b1))
        const mount = registry.mountBlob(to, digest)
        expect([yield* mount, yield* mount]).toEqual([true, true])
        expect(yield* gather(registry.getBlob(to, digest))).toEqual(b1)
      })
    )
  }

  if (supports.blobDelete) {
    it.effect("deletes a blob in one repository and leaves it in others (C99, R39)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const [first, second, mounted] = [
          yield* freshRepository,
          yield* freshRepository,
          yield* freshRepository
        ]
        const b1 = freshBytes("b1")
        const { digest } = yield* registry.putBlob(first, BlobSource.fromBytes(b1))
        yield* registry.putBlob(second, BlobSource.fromBytes(b1))
        if (!(yield* registry.mountBlob(mounted, digest, first)))
          yield* registry.putBlob(mounted, BlobSource.fromBytes(b1))
        yield* registry.deleteBlob(first, digest)
        expect(yield* registry.headBlob(first, digest)).toEqual(Option.none())
        expect(yield* Effect.flip(gather(registry.getBlob(first, digest)))).toMatchObject({
          _tag: "BlobUnknown",
          digest
        })
        expect(yield* Effect.flip(registry.deleteBlob(first, digest))).toMatchObject({
          _tag: "BlobUnknown",
          digest
        })
        for (const repository of [second, mounted]) {
          expect(yield* gather(registry.getBlob(repository, digest))).toEqual(b1)
        }
      })
    )
  } else {
    it.effect("says that it cannot delete a blob, and leaves it", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const b1 = freshBytes("b1")
        const { digest } = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
        expect((yield* Effect.flip(registry.deleteBlob(repository, digest)))._tag).toBe(
          "Unsupported"
        )
        expect(yield* gather(registry.getBlob(repository, digest))).toEqual(b1)
      })
    )
  }

  it.effect("reports an unknown blob (R8)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      const digest = freshDigest()
      expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
      const unknown = { _tag: "BlobUnknown", repository, digest }
      expect(yield* Effect.flip(gather(registry.getBlob(repository, digest)))).toMatchObject(
        unknown
      )
      expect(
        yield* Effect.flip(gather(registry.getBlobRange(repository, digest, { start: 0 })))
      ).toMatchObject(unknown)
      if (supports.blobDelete)
        expect(yield* Effect.flip(registry.deleteBlob(repository, digest))).toMatchObject(unknown)
    })
  )

  it.effect("reports a blob of an unknown repository as absent (R8)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const digest = freshDigest()
      expect(yield* registry.headBlob(repository, digest)).toEqual(Option.none())
      const error = yield* Effect.flip(gather(registry.getBlob(repository, digest)))
      expect(["NameUnknown", "BlobUnknown"]).toContain(error._tag)
    })
  )

  it.effect("refuses to get what cannot be verified (C17, C26)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const error = yield* Effect.flip(
        gather(registry.getBlob(repository, yield* unverifiableDigest))
      )
      expect(error).toMatchObject({ _tag: "InvalidDigest", reason: "Algorithm" })
    })
  )

  it.effect.each([1, 1_000_000])("fails when a descriptor gives the wrong size: %s (C29)", (size) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      expect(
        yield* Effect.flip(gather(registry.getBlob(repository, { ...put, size })))
      ).toMatchObject({
        _tag: "SizeMismatch",
        expected: size
      })
    })
  )

  it.effect.each([0, 1, 65_536, 65_537, 300_000])(
    "gives a blob of %s bytes as a whole, by digest and by descriptor",
    (size) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const content = yield* gather(generated(size))
        const put = yield* registry.putBlob(repository, BlobSource.fromBytes(content))
        for (const blob of [put.digest, put]) {
          for (const options of [undefined, {}, { limit: size }, { limit: undefined }]) {
            const bytes = yield* registry.getBlobBytes(repository, blob, options)
            expect(bytes.constructor).toBe(Uint8Array)
            expect(Buffer.compare(bytes, content)).toBe(0)
          }
        }
      })
  )

  it.effect("gives each reader of a blob arrays of its own", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const put = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      const first = yield* registry.getBlobBytes(repository, put)
      first.fill(0)
      for (const chunk of yield* items(registry.getBlob(repository, put))) chunk.fill(0)
      expect(yield* registry.getBlobBytes(repository, put)).toEqual(b1)
      expect(yield* gather(registry.getBlob(repository, put))).toEqual(b1)
    })
  )

  it.effect.each([10, 65_537, 300_000])(
    "gives no whole blob of more bytes than the limit: of %s (T10)",
    (size) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const put = yield* registry.putBlob(repository, BlobSource.fromStream(generated(size)))
        for (const blob of [put.digest, put]) {
          const read = registry.getBlobBytes(repository, blob, { limit: size - 1 })
          for (const run of [read, Stream.runDrain(Transfer.events(read))])
            expect(yield* Effect.flip(run)).toMatchObject({
              _tag: "LimitExceeded",
              limit: size - 1,
              message: expect.stringContaining(
                `Blob ${put.digest} exceeds the limit of ${size - 1} bytes; the option limit allows more`
              )
            })
        }
      })
  )

  it.effect("gives whole blobs of up to 4 MiB where nothing is said", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const most = 4 * 1024 * 1024
      const largest = yield* registry.putBlob(repository, BlobSource.fromStream(generated(most)))
      const larger = yield* registry.putBlob(repository, BlobSource.fromStream(generated(most + 1)))
      expect((yield* registry.getBlobBytes(repository, largest.digest)).length).toBe(most)
      for (const blob of [larger.digest, larger])
        expect(yield* Effect.flip(registry.getBlobBytes(repository, blob))).toMatchObject({
          _tag: "LimitExceeded",
          limit: most
        })
      // What the descriptor says is enough: this one is not there.
      expect(
        yield* Effect.flip(registry.getBlobBytes(repository, { ...larger, digest: freshDigest() }))
      ).toMatchObject({ _tag: "LimitExceeded" })
    })
  )

  it.effect.each([1, 1_000_000])(
    "gives no whole blob whose descriptor has the wrong size: %s (C29)",
    (size) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const b1 = freshBytes("b1")
        const put = yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
        const read = registry.getBlobBytes(repository, { ...put, size })
        for (const run of [read, Stream.runDrain(Transfer.events(read))])
          expect(yield* Effect.flip(run)).toMatchObject({ _tag: "SizeMismatch", expected: size })
      })
  )

  it.effect("reports whole blobs that are unknown or cannot be verified as streams are (R8)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [repository, empty] = [yield* freshRepository, yield* freshRepository]
      yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      const digest = freshDigest()
      expect(yield* Effect.flip(registry.getBlobBytes(repository, digest))).toMatchObject({
        _tag: "BlobUnknown",
        repository,
        digest
      })
      expect(["NameUnknown", "BlobUnknown"]).toContain(
        (yield* Effect.flip(registry.getBlobBytes(empty, digest)))._tag
      )
      expect(
        yield* Effect.flip(registry.getBlobBytes(repository, yield* unverifiableDigest))
      ).toMatchObject({ _tag: "InvalidDigest", reason: "Algorithm" })
    })
  )

  it.effect.each([300, 300_000])("tells how the read of a whole blob of %s bytes goes", (size) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const put = yield* registry.putBlob(repository, BlobSource.fromStream(generated(size)))
      const events = yield* items(Transfer.events(registry.getBlobBytes(repository, put)))
      const subject = { direction: "download", repository, digest: put.digest, size }
      expect(events.filter(({ _tag }) => _tag !== "Bytes")).toMatchObject([
        { _tag: "Started", subject },
        { _tag: "Verified", subject, digest: put.digest },
        { _tag: "Completed", subject, skipped: false },
        { _tag: "Result", value: { length: size } }
      ])
      expect(events.filter(({ _tag }) => _tag === "Bytes").at(-1)).toMatchObject({ offset: size })
    })
  )

  it.effect.each([
    { range: { start: 0, end: 0 }, bytes: "0" },
    { range: { start: 0, end: 3 }, bytes: "0123" },
    { range: { start: 2, end: 5 }, bytes: "2345" },
    { range: { start: 9, end: 9 }, bytes: "9" },
    { range: { start: 0 }, bytes: "0123456789" },
    { range: { start: 7 }, bytes: "789" },
    { range: { start: 7, end: 99 }, bytes: "789" }
  ])("gives the range $range (R9)", ({ bytes, range }) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const { digest } = yield* registry.putBlob(
        repository,
        BlobSource.fromBytes(utf8("0123456789"))
      )
      expect(yield* gather(registry.getBlobRange(repository, digest, range))).toEqual(utf8(bytes))
    })
  )

  it.effect.each([{ start: 10 }, { start: 10, end: 12 }, { start: 1_000_000 }])(
    "reports a range beyond the end as RangeMismatch: %o",
    (range) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const { digest } = yield* registry.putBlob(
          repository,
          BlobSource.fromBytes(utf8("0123456789"))
        )
        const error = yield* Effect.flip(gather(registry.getBlobRange(repository, digest, range)))
        expect(error._tag).toBe("RangeMismatch")
      })
  )

  it.effect.each([
    { start: 4, end: 2 },
    { start: -1 },
    { start: -3, end: -1 },
    { start: 0, end: -1 },
    { start: 0.5 },
    { start: 0, end: 1.5 },
    { start: Number.NaN },
    { start: 0, end: Number.POSITIVE_INFINITY }
  ])(
    "reports what is no range as RangeMismatch, of a blob that is not there as well: %o",
    (range) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const { digest } = yield* registry.putBlob(
          repository,
          BlobSource.fromBytes(utf8("0123456789"))
        )
        for (const asked of [digest, freshDigest()]) {
          const error = yield* Effect.flip(gather(registry.getBlobRange(repository, asked, range)))
          expect(error).toMatchObject({
            _tag: "RangeMismatch",
            actual: "",
            message: expect.stringMatching("is not a range")
          })
        }
      })
  )

  it.effect("stores nothing of an upload that is interrupted, and takes the blob afterwards", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const b1 = freshBytes("b1")
      const [waiting, released] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const stalled = Stream.make(b1).pipe(
        Stream.concat(
          Stream.execute(Effect.zipRight(Deferred.succeed(waiting, undefined), Effect.never))
        ),
        Stream.ensuring(Deferred.succeed(released, undefined))
      )
      const fiber = yield* Effect.fork(registry.putBlob(repository, BlobSource.fromStream(stalled)))
      yield* Deferred.await(waiting)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(released)
      expect(yield* registry.headBlob(repository, Digest.fromBytes(b1))).toEqual(Option.none())
      yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(b1)))).toEqual(b1)
    })
  )

  it.effect("takes the same blob, and others, at once", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const blobs = [...Array.from({ length: 8 }, (_, n) => freshBytes(`b${n}`))]
      const put = yield* Effect.forEach(
        [...blobs, ...blobs],
        (bytes) => registry.putBlob(repository, BlobSource.fromBytes(bytes)),
        { concurrency: 8 }
      )
      expect(put.map(({ digest }) => digest)).toEqual(
        [...blobs, ...blobs].map((bytes) => Digest.fromBytes(bytes))
      )
      for (const bytes of blobs) {
        expect(yield* gather(registry.getBlob(repository, Digest.fromBytes(bytes)))).toEqual(bytes)
      }
    })
  )

  it.effect(
    "sends a large stream and gets it back, verified on the way",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const put = yield* registry.putBlob(repository, BlobSource.fromStream(generated(largeBlob)))
        expect(put.size).toBe(largeBlob)
        const hasher = Digest.hasher("sha256")
        let count = 0
        yield* registry.getBlob(repository, put).pipe(
          ByteStream.tap((bytes) => {
            count += bytes.length
            hasher.update(bytes)
          }),
          Stream.runDrain
        )
        expect(count).toBe(largeBlob)
        expect(hasher.digest()).toBe(put.digest)
        const last = { start: largeBlob - 10 }
        const tail = yield* gather(registry.getBlobRange(repository, put.digest, last))
        expect(tail.length).toBe(10)
      }),
    120_000
  )
}
