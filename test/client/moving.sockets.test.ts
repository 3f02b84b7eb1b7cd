/** Blobs that go from one registry into another over sockets, while connections break. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { type Fault, faultProxy } from "../support/faultProxy.js"
import { freshRepository, gather, generated } from "../support/fixtures.js"
import { clientOf } from "../support/listeners.js"
import { serving } from "../support/server.js"

const size = 3 * 1024 * 1024

/** A registry that is served, and the ranges of blobs that were read from it. */
const served = Effect.gen(function* () {
  const memory = yield* MemoryRegistry.make()
  const ranges: Array<number> = []
  const registry: Registry.Service = {
    ...memory,
    getBlobRange: (repository, digest, range) => {
      ranges.push(range.start)
      return memory.getBlobRange(repository, digest, range)
    }
  }
  return { memory, ranges, url: yield* serving(registry) }
})

/** Moves a blob between registries before which exchanges break. Returns the ranges read of it. */
const moved = (to: string, ofRead: ReadonlyArray<Fault>, ofWrite: ReadonlyArray<Fault>) =>
  Effect.gen(function* () {
    const { memory, ranges, url } = yield* served
    const [from, target] = [yield* faultProxy(url), yield* faultProxy(to)]
    const [source, destination] = [yield* clientOf(from.url), yield* clientOf(target.url)]
    const repository = yield* freshRepository
    const bytes = BlobSource.fromStream(generated(size), { size })
    const blob = yield* memory.putBlob(repository, bytes)
    from.faults = [...ofRead]
    // The blob is looked for and a session opened first.
    target.faults = [undefined, undefined, ...ofWrite]
    yield* destination.putBlob(repository, BlobSource.fromRegistry(source, repository, blob), {
      strategy: "patch"
    })
    const found = yield* gather(destination.getBlob(repository, blob))
    expect(Digest.fromBytes(found)).toBe(blob.digest)
    expect(from.faults).toEqual([])
    expect(target.faults).toEqual([])
    return ranges
  })

const reading: ReadonlyArray<Fault> = [
  { kind: "cut", up: false, at: 1_000_000 },
  { kind: "reset", up: false, at: 1_000_000 }
]
const writing: ReadonlyArray<Fault> = [{ kind: "cut", up: true, at: 2_000_000 }]
const cases = [
  ["the one that is read", reading, []],
  ["the one that is written", [], writing],
  ["both", reading, writing]
] as const

describe("BlobSource.fromRegistry, between embedded servers", () => {
  it.scopedLive.each(cases)("reads on by a range after faults of %s", ([, ofRead, ofWrite]) =>
    Effect.gen(function* () {
      const { url } = yield* served
      const ranges = yield* moved(url, ofRead, ofWrite)
      expect(ranges.length).toBeGreaterThan(0)
      for (const start of ranges) expect(start).toBeGreaterThan(0)
    })
  )
})

describeDebian("BlobSource.fromRegistry, to docker-registry", () => {
  it.scopedLive("gets there whole after faults of both", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      const ranges = yield* moved(url, reading, writing)
      expect(ranges.length).toBeGreaterThan(0)
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})
