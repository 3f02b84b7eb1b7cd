import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Credentials from "effect-oci/Credentials"
import { NodeRegistry } from "effect-oci/node"
import { Registry } from "effect-oci/Registry"
import { RegistryClient } from "effect-oci/RegistryClient"
import * as Request from "effect-oci/Request"

// NewRegistryClient("http://localhost/v2", 5*time.Second)
export const client = (url: string) =>
  NodeRegistry.layer({ url, timeouts: { overall: "5 seconds" } }).pipe(
    Layer.provide(Credentials.layerAnonymous)
  )

// client.Check()
export const check = Effect.gen(function* () {
  const { execute } = yield* RegistryClient
  return (yield* execute(Request.get("/v2/"))).status
})

// client.GetRepositories(), GetTags(name), GetManifest(name, tag): of the first of each
export const walk = Effect.gen(function* () {
  const registry = yield* Registry
  const [repository] = yield* Stream.runCollect(Stream.take(registry.repositories(), 1))
  if (repository === undefined) return undefined
  const [tag] = yield* Stream.runCollect(Stream.take(registry.tags(repository), 1))
  return tag === undefined ? undefined : yield* registry.getManifest(repository, tag)
})
