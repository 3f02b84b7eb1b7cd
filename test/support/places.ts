/** A place for content in a registry of each kind. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Copy from "../../src/content/Copy.js"
import * as NodeArchive from "../../src/node/NodeArchive.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import type { Registry } from "../../src/Registry.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, layerDebianRegistry } from "./debian.js"
import { clientOf } from "./fake/Client.js"
import { freshRepository } from "./fixtures.js"
import { folder } from "./machine.js"
import { serving } from "./server.js"

export const memory = MemoryRegistry.make()

export const layout = Effect.flatMap(folder(), (path) => NodeLayout.make({ path }))

/** A client of a server over a registry, over sockets. */
export const clientOfServed = (registry: Registry.Service) =>
  Effect.flatMap(serving(registry), (url) => clientOf(url))

/** A client of the embedded server, over sockets. */
export const embeddedServer = Effect.flatMap(memory, clientOfServed)

/** A client of Debian's docker-registry. */
export const dockerRegistry = Effect.gen(function* () {
  const services = yield* Layer.build(layerDebianRegistry)
  return yield* clientOf(Context.get(services, DebianRegistry).url)
})

/** Fills a repository of its own. Returns where what it was filled with is read. */
export type Fill = (
  put: (to: Copy.Place) => Effect.Effect<unknown, { readonly _tag: string }>
) => Effect.Effect<Copy.Place>

const fresh = (registry: Registry.Service, read: Registry.Service): Fill =>
  Effect.fnUntraced(function* (put) {
    const repository = yield* freshRepository
    yield* put({ registry, repository })
    return { registry: read, repository }
  }, Effect.orDie)

/** Repositories of a registry. */
export const inRegistry = Effect.map((registry: Registry.Service) => fresh(registry, registry))

/** Repositories of a registry that are read through a cache. */
export const cache = Effect.gen(function* () {
  const [upstream, store] = [yield* memory, yield* memory]
  return fresh(upstream, yield* ComposedRegistry.cached(upstream, { store, capacity: 1e9 }))
})

/** Archives, each of which has one repository. */
export const archive = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const fill = Effect.fnUntraced(function* (put: Parameters<Fill>[0]) {
    const path = `${yield* folder()}/images.tar`
    yield* NodeArchive.writeFilled(path, put)
    const registry = yield* NodeArchive.read(path)
    return { registry, repository: registry.repository }
  }, Effect.orDie)
  return (put: Parameters<Fill>[0]) => Scope.extend(fill(put), scope)
})
