/** This library's own server over memory, in a process of its own: it sends its URL. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { NodeRegistryServer } from "effect-oci/node"
import { RegistryServer } from "effect-oci/RegistryServer"

const tell = Effect.flatMap(RegistryServer, ({ url }) => Effect.sync(() => process.send?.(url)))

Layer.effectDiscard(tell).pipe(
  Layer.provide(NodeRegistryServer.layer({ port: 0 })),
  Layer.provide(MemoryRegistry.layer()),
  Layer.launch,
  Effect.runFork
)
