/**
 * Registries on Node, ready-made: over undici, with tokens kept in memory. What is left to choose is who is asking: a `Credentials` layer.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import type { Credentials } from "../auth/Credentials.js"
import * as TokenCache from "../auth/TokenCache.js"
import * as RegistryClient from "../client/RegistryClient.js"
import type { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { InvalidUrl } from "../RegistryError.js"
import * as NodeHttp from "./NodeHttp.js"

const services = Layer.merge(NodeHttp.layerHttpClient, TokenCache.layerMemory)

/**
 * The client of one registry. Fails with `InvalidUrl` when `url` does not name a registry.
 *
 * @example
 * import * as Credentials from "effect-oci/Credentials"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Layer from "effect/Layer"
 *
 * const Local = NodeRegistry.layer({ url: "localhost:5000" }).pipe(Layer.provide(Credentials.layerAnonymous))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  options: RegistryClient.Options<R>
): Layer.Layer<Registry, InvalidUrl, Credentials | R> => Layer.provide(RegistryClient.layer(options), services)

/**
 * The clients of all registries, by host.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (
  options?: Parameters<typeof RegistryClient.layerRegistries>[0]
): Layer.Layer<Registries, never, Credentials> => Layer.provide(RegistryClient.layerRegistries(options), services)
