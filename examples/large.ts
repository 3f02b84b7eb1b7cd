import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Descriptor } from "effect-oci/Descriptor"
import { BlobFile, NodeCredentials, NodeRegistry } from "effect-oci/node"
import type { Reference } from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"

/** Large blobs over up to four connections, and over eight from a host known to be slow. */
export const layer = NodeRegistry.layerRegistries({
  defaults: { parallelDownloads: true },
  hosts: { "models.example.com": { parallelDownloads: { connections: 8 }, concurrency: 8 } }
}).pipe(Layer.provide(NodeCredentials.layer))

/** Nothing else changes: the file appears when it is verified, and goes on where it was cut off. */
export const download = (reference: Reference, weights: Descriptor, path: string) =>
  Effect.flatMap(Registries.open(reference), ({ registry, repository }) =>
    BlobFile.download(registry, repository, weights, path)
  )
