/** A cache that stores in layouts on a disk. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../src/ByteStream.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import type { Registry } from "../../src/Registry.js"
import { RegistryFailure } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { app, gated, pieces, put, same, v1, watched } from "../store/cache/world.js"
import { gather, generated, image } from "../support/fixtures.js"
import { folder } from "../support/machine.js"

const MiB = 1024 * 1024

it.scopedLive(
  "gives a reader that has fallen behind what is on the disk before the rest is there",
  () =>
    Effect.gen(function* () {
      const parts = pieces(8, MiB)
      const origin = yield* MemoryRegistry.make()
      const blob = yield* put(origin, ByteStream.concat(parts))
      const { arrived, gate, registry: upstream } = yield* gated(origin, parts, 6)
      const store = yield* NodeLayout.make({ path: yield* folder() })
      const cached = yield* ComposedRegistry.cached(upstream, { store, memory: 2 * MiB })
      const first = yield* Effect.fork(Stream.runDrain(cached.getBlob(app, blob.digest)))
      yield* arrived
      const taken = yield* Queue.unbounded<number>()
      const late = yield* cached.getBlob(app, blob.digest).pipe(
        Stream.tap((bytes) => Queue.offer(taken, bytes.length)),
        gather,
        Effect.fork
      )
      let size = 0
      while (size < 5 * MiB) size += yield* Queue.take(taken)
      expect(Option.isNone(yield* store.headBlob(app, blob.digest))).toBe(true)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(first)
      expect(yield* Fiber.join(late)).toSatisfy(same(ByteStream.concat(parts)))
    })
)

it.scopedLive("finds again on the disk what it had, and clears what was not finished (V23)", () =>
  Effect.gen(function* () {
    const path = yield* folder()
    const layouts = NodeLayout.make({ path })
    const origin = yield* MemoryRegistry.make()
    const m1 = yield* image(origin, app, "m1")
    yield* origin.putManifest(app, m1, { tags: [v1] })
    const parts = pieces(4, MiB)
    const unfinished = yield* put(origin, ByteStream.concat(parts))
    const b1 = yield* put(origin, new Uint8Array(1000))
    const { arrived, registry } = yield* gated(origin, parts, 2)
    // Killed: its scope never closes.
    const killed = yield* Scope.make()
    const before = yield* Scope.extend(
      ComposedRegistry.cached(
        {
          ...origin,
          getBlob: (repository, blob) =>
            (typeof blob !== "string" && blob.digest === unfinished.digest
              ? registry
              : origin
            ).getBlob(repository, blob)
        },
        { store: yield* layouts }
      ),
      killed
    )
    yield* before.getManifest(app, v1)
    yield* gather(before.getBlob(app, b1.digest))
    yield* Effect.fork(gather(before.getBlob(app, unfinished.digest)))
    yield* arrived
    // What it had is written when it is idle.
    const store = yield* layouts
    const inventory = Effect.map(
      store.getManifest(app, "effect-oci.cache" as typeof v1),
      ({ bytes }) => new TextDecoder().decode(bytes)
    )
    yield* Effect.repeat(
      Effect.zipLeft(
        Effect.orElseSucceed(inventory, () => ""),
        Effect.sleep("10 millis")
      ),
      { until: (text) => text.includes(b1.digest) && text.includes("/v2/app/blobs/uploads/") }
    )
    const uploads = () => readdirSync(join(path, "app", ".effect-oci", "uploads")).length
    expect(uploads()).toBe(1)

    const down = new RegistryFailure({ status: 503 })
    const { registry: upstream, seen } = watched({
      ...origin,
      headManifest: () => down,
      getManifest: () => down
    })
    const after = yield* ComposedRegistry.cached(upstream, { store, staleTags: true })
    expect(uploads()).toBe(0)
    expect((yield* after.getManifest(app, v1)).bytes).toEqual(m1.bytes)
    expect(yield* gather(after.getBlob(app, b1.digest))).toEqual(new Uint8Array(1000))
    expect(seen).not.toContain("getBlob app")
    yield* Scope.close(killed, Exit.void)
  })
)

it.scopedLive(
  "passes on and stores more than it may hold in memory, to a slow reader too",
  () =>
    Effect.gen(function* () {
      const size = 192 * MiB
      const hasher = Digest.hasher("sha256")
      yield* Stream.runForEach(generated(size), (bytes) => Effect.sync(() => hasher.update(bytes)))
      const digest = hasher.digest()
      const upstream: Registry.Service = {
        ...(yield* MemoryRegistry.make()),
        headBlob: () => Effect.succeedSome({ mediaType: "application/octet-stream", digest, size }),
        getBlob: () => ByteStream.verify(generated(size), { digest, size })
      }
      const store = yield* NodeLayout.make({ path: yield* folder() })
      const cached = yield* ComposedRegistry.cached(upstream, { store, memory: 8 * MiB })
      let most = 0
      const before = process.memoryUsage().arrayBuffers
      const sample = Effect.sync(() => {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(sample, Effect.sleep("20 millis"))))
      const [began, goOn] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const slow = yield* cached.getBlob(app, digest).pipe(
        Stream.tap(() => Effect.zipRight(Deferred.succeed(began, undefined), Deferred.await(goOn))),
        Stream.runDrain,
        Effect.fork
      )
      yield* Deferred.await(began)
      yield* Stream.runDrain(cached.getBlob(app, digest))
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(slow)
      // What is not collected yet counts as well; all of the blob would be more.
      expect(most).toBeLessThan(160 * MiB)
      expect(Option.isSome(yield* store.headBlob(app, digest))).toBe(true)
    }),
  60_000
)
