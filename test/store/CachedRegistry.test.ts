import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import { make, Registry } from "../../src/Registry.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite } from "../suites/registry.js"
import { folder } from "../support/machine.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

/** What is put goes to the upstream registry, and all that is read comes through the cache. */
const readThrough = (upstream: Registry.Service, cached: Registry.Service) =>
  make({
    ...upstream,
    ping: cached.ping,
    getManifest: cached.getManifest,
    headManifest: cached.headManifest,
    tags: cached.tags,
    repositories: cached.repositories,
    referrers: cached.referrers,
    manifests: cached.manifests,
    headBlob: cached.headBlob,
    getBlob: cached.getBlob,
    getBlobBytes: cached.getBlobBytes,
    getBlobRange: cached.getBlobRange
  })

/** Asked each time, since what a suite has found to be absent it puts next. */
const uncached = { tagTimeToLive: 0, absenceTimeToLive: 0 }

const inMemory = Effect.gen(function* () {
  const [upstream, store] = yield* Effect.all([MemoryRegistry.make(), MemoryRegistry.make()])
  return readThrough(upstream, yield* ComposedRegistry.cached(upstream, { store, ...uncached }))
})

registrySuite("reads through a cache", {
  layer: Layer.scoped(Registry, inMemory),
  supports: { manifestList: true },
  largeBlob: 1024 * 1024
})

/** A client of a served registry. */
const served = (registry: Registry.Service) =>
  Effect.map(
    Layer.build(
      Layer.unwrapEffect(Effect.map(ServerUrl, (url) => RegistryClient.layer({ url }))).pipe(
        Layer.provide([TokenCache.layerMemory, Credentials.layerAnonymous]),
        Layer.provide(NodeHttp.layer()),
        Layer.provide(layerSocketServer({})),
        Layer.provide(Layer.succeed(Registry, registry))
      )
    ),
    Context.get(Registry)
  )

const overSockets = Effect.gen(function* () {
  const upstream = yield* served(yield* MemoryRegistry.make())
  const store = yield* NodeLayout.make({ path: yield* folder() })
  const cached = yield* ComposedRegistry.cached(upstream, { store, ...uncached })
  return readThrough(upstream, yield* served(cached))
})

registrySuite("a client over a served cache, on disk, of a client over a served registry", {
  layer: Layer.scoped(Registry, overSockets),
  largeBlob: 3 * 1024 * 1024
})
