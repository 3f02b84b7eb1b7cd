/** Downloads over several connections into files and stores. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as BlobSource from "../../src/BlobSource.js"
import * as ParallelPlan from "../../src/client/blobs/ParallelPlan.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { clientOf } from "../support/fake/Client.js"
import { gather } from "../support/fixtures.js"
import { folder } from "../support/machine.js"
import {
  bytes,
  descriptor,
  digest,
  eager,
  rangeRegistry,
  repository,
  size,
  slowly
} from "../support/ranges.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const tuned = Effect.provideService(ParallelPlan.Tuning, eager)

const contents = (path: string) => Effect.promise(() => Fs.readFile(path))

describe("a download to a file", () => {
  it.scopedLive("comes over several connections, to its last byte", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
      const { counts, registry } = yield* rangeRegistry(slowly())
      yield* tuned(BlobFile.download(registry, repository, descriptor, path))
      expect(Buffer.compare(yield* contents(path), bytes)).toBe(0)
      expect(counts.most).toBe(4)
    })
  )

  it.scopedLive("that is interrupted at any moment leaves a beginning, and goes on from it", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const { ranges, registry } = yield* rangeRegistry(slowly())
      const download = tuned(BlobFile.download(registry, repository, descriptor, path))
      const starts: Array<number> = []
      const partials = Effect.promise(async () =>
        Promise.all(
          (await Fs.readdir(root)).map(async (name) => Fs.readFile(Path.join(root, name)))
        )
      )
      for (let last = 0; last < size; ) {
        ranges.length = 0
        const fiber = yield* Effect.fork(download)
        yield* Effect.repeat(partials, {
          until: (partials) => partials.some(({ length }) => length > last),
          schedule: Schedule.spaced("5 millis")
        })
        yield* Fiber.interrupt(fiber)
        // Requests that are on their way are those of segments.
        const rest = ranges.find((range) => range?.endsWith("-"))
        if (rest !== undefined) starts.push(Number(/\d+/.exec(rest)?.[0]))
        for (const partial of yield* partials) {
          expect(Buffer.compare(partial, bytes.subarray(0, partial.length))).toBe(0)
          last = Math.max(last, partial.length)
        }
      }
      yield* download
      expect(Buffer.compare(yield* contents(path), bytes)).toBe(0)
      expect(yield* Effect.promise(() => Fs.readdir(root))).toEqual(["blob"])
      // Each time from where the last one was.
      expect(starts.length).toBeGreaterThan(0)
      expect(starts).toEqual([...starts].sort((a, b) => a - b))
    })
  )
})

it.scopedLive("a copy into a store comes over several connections, from any byte on", () =>
  Effect.gen(function* () {
    const { counts, registry } = yield* rangeRegistry(slowly())
    const store = yield* MemoryRegistry.make()
    const source = BlobSource.fromRegistry(registry, repository, descriptor)
    expect(yield* tuned(store.putBlob(repository, source))).toMatchObject({ digest, size })
    expect(Buffer.compare(yield* gather(store.getBlob(repository, digest)), bytes)).toBe(0)
    expect(counts.most).toBe(4)
    counts.most = 0
    const rest = yield* tuned(gather(source.open(100_000)))
    expect(Buffer.compare(rest, bytes.subarray(100_000))).toBe(0)
    expect(counts.most).toBe(4)
  })
)

describe("real registries", () => {
  /** What was pushed comes back over connections that are always added. */
  const comesBack = (url: string) =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
      const registry = yield* clientOf(url, { parallelDownloads: true })
      yield* registry.putBlob(repository, BlobSource.fromBytes(bytes))
      for (let n = 0; n < 3; n++) {
        yield* tuned(BlobFile.download(registry, repository, descriptor, path))
        expect(Buffer.compare(yield* contents(path), bytes)).toBe(0)
        yield* Effect.promise(() => Fs.rm(path))
      }
    })

  it.scopedLive("such as the embedded server", () =>
    Effect.flatMap(ServerUrl, comesBack).pipe(
      Effect.provide(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer())))
    )
  )

  describeDebian("Debian's docker-registry", () => {
    it.scopedLive("such as docker-registry", () =>
      Effect.flatMap(DebianRegistry, ({ url }) => comesBack(url)).pipe(
        Effect.provide(layerDebianRegistry)
      )
    )
  })
})
