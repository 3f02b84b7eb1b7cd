import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { MachineRegistries, NodeCredentials, NodeRegistry } from "effect-oci/node"

/** All registries as podman and docker reach them here, after a look at what their files say. */
export const layer = Layer.unwrapEffect(
  Effect.gen(function* () {
    const machine = yield* MachineRegistries.read
    yield* Console.log(MachineRegistries.format(machine))
    return NodeRegistry.layerRegistries({ machine })
  })
).pipe(Layer.provide(NodeCredentials.layer))
