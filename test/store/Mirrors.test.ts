/** Registries with mirrors: what happens when one hangs, fails in mid-blob or has other content. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as BlobSource from "../../src/BlobSource.js"
import { make, type Registry } from "../../src/Registry.js"
import {
  RegistryFailure,
  SizeMismatch,
  TransportFailure,
  Unsupported
} from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import { gather, items, utf8 } from "../support/fixtures.js"

const app = Reference.unsafeParseRepositoryName("app")
const content = utf8("0123456789")
const digest = Digest.fromBytes(content)
const reset = new TransportFailure({ reason: "Reset" })

/** A registry that has the blob, and what was read of it. */
const original = Effect.gen(function* () {
  const registry = yield* MemoryRegistry.make()
  yield* registry.putBlob(app, BlobSource.fromBytes(content))
  const log: Array<string> = []
  const reading: Registry.Service = {
    ...registry,
    getBlob: (repository, blob) => {
      log.push("whole")
      return registry.getBlob(repository, blob)
    },
    getBlobRange: (repository, digest, range) => {
      log.push(`${range.start}-${range.end ?? ""}`)
      return registry.getBlobRange(repository, digest, range)
    }
  }
  return { log, registry: reading }
})

/** A mirror that sends these bytes, and then fails. */
const failing = (text: string, error: Registry.GetBlobError = reset) => {
  const sent = Stream.concat(Stream.make(utf8(text)), Stream.fail(error))
  return make({
    getBlob: () => sent,
    getBlobRange: (_, __, { start }) =>
      Stream.concat(Stream.make(utf8(text).subarray(start)), Stream.fail(reset))
  })
}

const mirrored = (registry: Registry.Service, ...mirrors: ReadonlyArray<Registry.Service>) =>
  ComposedRegistry.mirrored(
    registry,
    mirrors.map((registry) => ({ registry }))
  )

describe("a mirror that fails in mid-blob (V31)", () => {
  it.effect.each([
    ["a broken connection", reset],
    ["a body that stalls", new TransportFailure({ reason: "Stall" })],
    ["a short body", new SizeMismatch({ expected: 10, actual: 4 })],
    ["an error of the server", new RegistryFailure({ status: 500 })]
  ] as const)("with %s is continued at the next from the bytes that have come", ([, error]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* original
      const through = mirrored(registry, failing("0123", error))
      expect(yield* gather(through.getBlob(app, digest))).toEqual(content)
      expect(log).toEqual(["4-"])
      const blob = { mediaType: "application/octet-stream", digest, size: content.length }
      expect(yield* gather(through.getBlob(app, blob))).toEqual(content)
      expect(yield* through.getBlobBytes(app, blob)).toEqual(content)
    })
  )

  it.effect("is continued over any number of mirrors, verified as one", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* original
      const through = mirrored(registry, failing("01"), failing("01234"), failing("0123456"))
      expect(yield* gather(through.getBlob(app, digest))).toEqual(content)
      expect(log).toEqual(["7-"])
    })
  )

  it.effect("is continued where there are no ranges by what comes after the bytes", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* original
      const without = {
        ...registry,
        getBlobRange: () => Stream.fail(new Unsupported({ operation: "ranges" }))
      }
      const through = mirrored(without, failing("0123"))
      expect(yield* gather(through.getBlob(app, digest))).toEqual(content)
      expect(log).toEqual(["whole"])
    })
  )

  it.effect("and has sent all of it is not asked for more", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* original
      const through = mirrored(registry, failing("0123456789"))
      const blob = { mediaType: "application/octet-stream", digest, size: content.length }
      expect(yield* gather(through.getBlob(app, blob))).toEqual(content)
      expect(log).toEqual([])
      // Without its size, the registry says that there is no more.
      expect(yield* gather(through.getBlob(app, digest))).toEqual(content)
    })
  )

  it.effect("with other content fails as a whole, whoever had the rest", () =>
    Effect.gen(function* () {
      const { registry } = yield* original
      const through = mirrored(registry, failing("01x3"))
      const seen: Array<number> = []
      const read = Stream.runForEach(through.getBlob(app, digest), (bytes) =>
        Effect.sync(() => seen.push(...bytes))
      )
      expect(yield* Effect.flip(read)).toMatchObject({ _tag: "DigestMismatch", expected: digest })
      // Not to the last byte.
      expect(seen.length).toBeLessThan(content.length)
      // Of what is read as a whole, nobody has seen anything.
      expect(yield* through.getBlobBytes(app, digest)).toEqual(content)
    })
  )

  it.effect("is continued in a range as well, to its end and no further", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* original
      const through = mirrored(registry, failing("0123"))
      const read = (end?: number) =>
        Effect.map(gather(through.getBlobRange(app, digest, { start: 2, end })), (bytes) =>
          new TextDecoder().decode(bytes)
        )
      expect(yield* read(6)).toBe("23456")
      expect(yield* read(3)).toBe("23")
      expect(yield* read()).toBe("23456789")
      expect(log).toEqual(["4-6", "4-"])
    })
  )

  it.effect("is one download to whoever watches it", () =>
    Effect.gen(function* () {
      const { registry } = yield* original
      const through = mirrored(registry, failing("0123"))
      const events = yield* items(Transfer.events(Stream.runDrain(through.getBlob(app, digest))))
      expect(events.filter(({ _tag }) => _tag !== "Bytes")).toMatchObject([
        { _tag: "Retried", offset: 4, problem: reset.message },
        { _tag: "Resumed", offset: 4, subject: { repository: app, digest } },
        { _tag: "Verified", digest },
        { _tag: "Completed", skipped: false },
        { _tag: "Result" }
      ])
      expect(events.flatMap((event) => (event._tag === "Bytes" ? [event.offset] : []))).toEqual([
        10
      ])
    })
  )
})

describe("a mirror that does not respond (V29)", () => {
  const silent = new TransportFailure({ reason: "Timeout" })

  it.effect("is left alone for a minute, for all that is read, and a warning says so", () =>
    Effect.gen(function* () {
      const { registry } = yield* original
      const asked: Array<string> = []
      const hanging = make({
        getBlob: () => Stream.unwrap(Effect.zipRight(note("blob"), silent)),
        getManifest: () => Effect.zipRight(note("manifest"), silent)
      })
      const note = (what: string) => Effect.sync(() => asked.push(what))
      const through = mirrored(registry, hanging)
      const warned: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel._tag === "Warning") warned.push(message)
      })
      yield* Effect.gen(function* () {
        for (const _ of "three times") {
          expect(yield* gather(through.getBlob(app, digest))).toEqual(content)
          expect(yield* Effect.flip(through.getManifest(app, digest))).toMatchObject({
            _tag: "ManifestUnknown"
          })
        }
        expect(asked).toEqual(["blob"])
        yield* TestClock.adjust("1 minute")
        yield* Effect.flip(through.getManifest(app, digest))
        expect(asked).toEqual(["blob", "manifest"])
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      expect(warned).toHaveLength(2)
      expect(String(warned[0])).toContain("does not respond")
    })
  )

  it.effect.each<[string, Registry.GetBlobError]>([
    ["lacks something", new RegistryFailure({ status: 404 })],
    ["fails", new RegistryFailure({ status: 503 })],
    ["breaks a connection", reset]
  ])("is not one that %s", ([, error]) =>
    Effect.gen(function* () {
      const { registry } = yield* original
      let asked = 0
      const counted = Effect.sync(() => {
        asked++
      })
      const through = mirrored(
        registry,
        make({ getBlob: () => Stream.concat(Stream.execute(counted), Stream.fail(error)) })
      )
      for (const _ of [1, 2]) yield* gather(through.getBlob(app, digest))
      expect(asked).toBe(2)
    })
  )
})
