import { basename } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Artifact from "effect-oci/Artifact"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { BlobFile } from "effect-oci/node"
import * as Registries from "effect-oci/Registries"
import { Registry } from "effect-oci/Registry"
import * as RegistryServer from "effect-oci/RegistryServer"

/** Serves a host at the edge, for reading, and keeps so many bytes of what was read in memory. */
export const edge = (host: string, capacity: number) => {
  const cached = Effect.gen(function* () {
    const store = yield* MemoryRegistry.make()
    return yield* ComposedRegistry.cached(yield* Registry, { store, capacity })
  })
  return RegistryServer.layer().pipe(
    Layer.provide(Layer.scoped(Registry, cached)),
    Layer.provide(Registries.layerRegistry(host))
  )
}

/** Pushes a file past a limit on bodies, in bytes: no request has more than `limit`. */
export const publish = (reference: string, path: string, limit: number) =>
  Effect.gen(function* () {
    return yield* Artifact.push(reference, {
      artifactType: "application/vnd.example.edge.v1",
      files: [{ title: basename(path), source: yield* BlobFile.source(path) }],
      chunkSize: limit
    })
  })
