import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeCredentials, NodeRegistry } from "effect-oci/node"
import { size } from "./size.js"

const Registries = NodeRegistry.layerRegistries().pipe(Layer.provide(NodeCredentials.layer))

size(process.argv[2] ?? "ghcr.io/owner/name:tag").pipe(
  Effect.flatMap(Console.log),
  Effect.provide(Registries),
  NodeRuntime.runMain
)
