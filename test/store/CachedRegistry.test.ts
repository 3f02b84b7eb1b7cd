import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { make, Registry } from "../../src/Registry.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite } from "../suites/registry.js"

const memory = MemoryRegistry.make()

/** What is put goes to the upstream registry, and all that is read comes through the cache. */
const readThrough = Effect.gen(function* () {
  const [upstream, store] = yield* Effect.all([memory, memory])
  const cached = yield* ComposedRegistry.cached(upstream, {
    store,
    tagTimeToLive: 0,
    absenceTimeToLive: 0
  })
  return make({
    ...upstream,
    ping: cached.ping,
    getManifest: cached.getManifest,
    headManifest: cached.headManifest,
    tags: cached.tags,
    repositories: cached.repositories,
    referrers: cached.referrers,
    headBlob: cached.headBlob,
    getBlob: cached.getBlob,
    getBlobBytes: cached.getBlobBytes,
    getBlobRange: cached.getBlobRange
  })
})

registrySuite("reads through a cache", {
  layer: Layer.scoped(Registry, readThrough),
  largeBlob: 1024 * 1024
})
