import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { NodeRegistryServer } from "effect-oci/node"
import { RegistryServer } from "effect-oci/RegistryServer"
import * as ServerAuthorization from "effect-oci/ServerAuthorization"

const [path = "users.htpasswd", port = "5000"] = process.argv.slice(2)

/** Whoever is in the file may log in; what they may do then is what a rule allows. */
const authorization = Effect.flatMap(ServerAuthorization.htpasswd(path), (users) =>
  ServerAuthorization.token({
    users,
    rules: [
      { who: "anyone", repositories: "public/**", actions: ["pull"] },
      { who: "users", repositories: ["public/**", "home/{user}/**"], actions: ["pull", "push"] },
      { who: ["admin"], repositories: "**", actions: ["pull", "push", "delete"] }
    ]
  })
)

const server = Layer.unwrapEffect(
  Effect.map(authorization, (authorization) =>
    NodeRegistryServer.layer({ port: Number(port), authorization })
  )
)

const greeting = Effect.flatMap(RegistryServer, ({ url }) => Console.log(`serving at ${url}`))

Layer.effectDiscard(greeting).pipe(
  Layer.provide(server),
  Layer.provide([MemoryRegistry.layer(), NodeContext.layer]),
  Layer.launch,
  NodeRuntime.runMain
)
