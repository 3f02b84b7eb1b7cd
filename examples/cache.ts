import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { NodeRegistryServer } from "effect-oci/node"
import { Registries } from "effect-oci/Registries"
import { Registry } from "effect-oci/Registry"

/** What is read of a host comes from there once; the rest of the time from 4 GiB of memory. */
const cacheOf = (host: string) =>
  Effect.gen(function* () {
    const upstream = yield* Effect.flatMap(Registries, ({ get }) => get(host))
    const store = yield* MemoryRegistry.make()
    return yield* ComposedRegistry.cached(upstream, { store, capacity: 4 * 1024 ** 3 })
  })

/** A pull-through cache: `docker pull localhost:5000/library/alpine`. */
export const server = (host = "docker.io", port = 5000) =>
  NodeRegistryServer.layer({ port }).pipe(Layer.provide(Layer.scoped(Registry, cacheOf(host))))
