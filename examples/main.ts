import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { NodeRegistry } from "effect-oci/node"
import { size } from "./size.js"

size(process.argv[2] ?? "ghcr.io/owner/name:tag").pipe(
  Effect.flatMap(Console.log),
  Effect.provide(NodeRegistry.layerDefault),
  NodeRuntime.runMain
)
