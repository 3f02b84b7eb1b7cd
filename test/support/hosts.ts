/** A registry on a host, and all registries as a program reaches them: embedded, or Debian's. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import { layerRegistries } from "../../src/node/NodeRegistry.js"
import { DebianRegistry, layerDebianRegistry } from "./debian.js"
import { freshRepository } from "./fixtures.js"
import { registryOn } from "./server.js"

/** The name and port of the registry's host. */
export class Host extends Context.Tag("test/Host")<Host, string>() {}

/** A repository of its own on the host: `127.0.0.1:1234/test/…`. */
export const repositoryOnHost = Effect.zipWith(
  Host,
  freshRepository,
  (host, repository) => `${host}/${repository}`
)

const registries = layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))

export const layerEmbeddedHost = Layer.scoped(
  Host,
  Effect.map(registryOn(), ({ port }) => `127.0.0.1:${port}`)
).pipe(Layer.merge(registries))

export const layerDebianHost = Layer.effect(
  Host,
  Effect.map(DebianRegistry, ({ url }) => url.replace("http://", ""))
).pipe(Layer.provide(layerDebianRegistry), Layer.merge(registries))
