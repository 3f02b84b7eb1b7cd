import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import { NodeLayout, NodeRegistryServer } from "effect-oci/node"
import { Registries } from "effect-oci/Registries"
import { Registry } from "effect-oci/Registry"

/** What is read of a host comes from there once, and then from a folder of at most 50 GiB. */
const cacheOf = (host: string, path: string) =>
  Effect.gen(function* () {
    const upstream = yield* Effect.flatMap(Registries, ({ get }) => get(host))
    const store = yield* NodeLayout.make({ path })
    return yield* ComposedRegistry.cached(upstream, { store, capacity: 50 * 1024 ** 3 })
  })

/** A pull-through cache: `docker pull localhost:5000/library/alpine`. */
export const server = (host = "docker.io", path = "cache", port = 5000) =>
  NodeRegistryServer.layer({ port }).pipe(
    Layer.provide(Layer.scoped(Registry, cacheOf(host, path)))
  )
