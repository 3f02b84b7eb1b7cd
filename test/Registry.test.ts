/** Registries made of operations, and of other registries: what they do not name is refused. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../src/BlobSource.js"
import { make, type Registry } from "../src/Registry.js"
import * as Digest from "../src/spec/Digest.js"
import * as Manifest from "../src/spec/Manifest.js"
import * as ComposedRegistry from "../src/store/ComposedRegistry.js"
import { deferred } from "../src/store/internal/DeferredRegistry.js"
import * as LimitedRegistry from "../src/store/internal/LimitedRegistry.js"
import { mirrored } from "../src/store/internal/Mirrors.js"
import { observed } from "../src/store/internal/ObservedRegistry.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { freshRepository, tag, utf8 } from "./support/fixtures.js"

const digest = Digest.fromBytes(utf8("b1"))

/** Every operation, with some arguments. */
const operations = Effect.gen(function* () {
  const repository = yield* freshRepository
  const v1 = yield* tag("v1")
  const state = { repository, location: "/v2/a/blobs/uploads/1", offset: 0 }
  const all: {
    readonly [K in keyof Registry.Service]: (
      registry: Registry.Service
    ) => Effect.Effect<unknown, { readonly _tag: string }>
  } = {
    ping: (registry) => registry.ping,
    getManifest: (registry) => registry.getManifest(repository, v1),
    getChangedManifest: (registry) => registry.getChangedManifest(repository, v1, digest),
    headManifest: (registry) => registry.headManifest(repository, v1),
    putManifest: (registry) => registry.putManifest(repository, Manifest.index({ manifests: [] })),
    deleteTag: (registry) => registry.deleteTag(repository, v1),
    deleteManifest: (registry) => registry.deleteManifest(repository, digest),
    tags: (registry) => Stream.runDrain(registry.tags(repository)),
    repositories: (registry) => Stream.runDrain(registry.repositories()),
    referrers: (registry) => Stream.runDrain(registry.referrers(repository, digest)),
    manifests: (registry) => Stream.runDrain(registry.manifests(repository)),
    headBlob: (registry) => registry.headBlob(repository, digest),
    getBlob: (registry) => Stream.runDrain(registry.getBlob(repository, digest)),
    getBlobBytes: (registry) => registry.getBlobBytes(repository, digest),
    getBlobRange: (registry) =>
      Stream.runDrain(registry.getBlobRange(repository, digest, { start: 0 })),
    putBlob: (registry) => registry.putBlob(repository, BlobSource.fromBytes(utf8("b1"))),
    deleteBlob: (registry) => registry.deleteBlob(repository, digest),
    startUpload: (registry) => Effect.scoped(registry.startUpload(repository)),
    resumeUpload: (registry) => Effect.scoped(registry.resumeUpload(state)),
    mountBlob: (registry) => registry.mountBlob(repository, digest)
  }
  return Object.entries(all)
})

describe("a registry made of operations", () => {
  it.effect("fails with Unsupported for every operation that it was not given", () =>
    Effect.gen(function* () {
      for (const [operation, run] of yield* operations) {
        for (const registry of [make({}), make({ [operation]: undefined })])
          expect(yield* Effect.flip(run(registry))).toMatchObject({
            _tag: "Unsupported",
            operation,
            message: `The registry does not support ${operation}`
          })
      }
    })
  )

  it.effect("has those that it was given, and none that the interface does not have", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const later = { ...memory, anOperationOfLater: Effect.void }
      const registry = make(later)
      expect(Object.keys(registry)).not.toContain("anOperationOfLater")
      for (const [operation, run] of yield* operations) {
        expect(yield* Effect.either(Effect.flip(run(registry)))).not.toMatchObject({
          right: { _tag: "Unsupported" }
        })
        const [only] = Object.entries(memory).filter(([name]) => name === operation)
        const one = make(Object.fromEntries([only ?? ["", undefined]]))
        expect(yield* Effect.either(Effect.flip(run(one)))).not.toMatchObject({
          right: { _tag: "Unsupported" }
        })
      }
    })
  )
})

describe("a registry made of others", () => {
  const made: ReadonlyArray<readonly [string, (registry: Registry.Service) => Registry.Service]> = [
    ["with mirrors", (registry) => mirrored(registry, [{ registry: make({}), prefix: undefined }])],
    ["observed", (registry) => observed({ address: "r", port: 443, labels: () => [] }, registry)],
    ["observed as one of a host", ComposedRegistry.observed({ host: "r" })],
    ["logged", ComposedRegistry.logged()],
    ["deferred", (registry) => deferred(Effect.succeed(registry))],
    [
      "limited",
      (registry) => {
        const { used: _, ...limited } = LimitedRegistry.limited(registry, { bytes: 1024 })
        return limited
      }
    ]
  ]

  it.effect.each(made)("%s offers all that there is today, and nothing else", ([, wrap]) =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const later = { ...memory, anOperationOfLater: Effect.void }
      const registry = wrap(later)
      expect(Object.keys(registry).sort()).toEqual(Object.keys(make({})).sort())
      for (const [, run] of yield* operations)
        expect(yield* Effect.either(Effect.flip(run(registry)))).not.toMatchObject({
          right: { _tag: "Unsupported" }
        })
    })
  )
})
