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
import type { CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as NodeHttp from "./NodeHttp.js"

/**
 * How connections are made, for all hosts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connections {
  readonly http?: NodeHttp.Options | undefined
}

/**
 * The client of one registry. Fails with `InvalidUrl` when `url` does not name a registry, and as `NodeHttp.layer` does.
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
  options: RegistryClient.Options<R> & Connections
): Layer.Layer<Registry, InvalidUrl | CredentialsFailure, Credentials | R> =>
  Layer.provide(RegistryClient.layer(options), services(options))

/**
 * The clients of all registries, by host. Fails as `NodeHttp.layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (
  options: Parameters<typeof RegistryClient.layerRegistries>[0] & Connections = {}
): Layer.Layer<Registries, InvalidUrl | CredentialsFailure, Credentials> =>
  Layer.provide(RegistryClient.layerRegistries(options), services(options))

/** Without options of their own, all layers of a program share one set of connections. */
const services = ({ http }: Connections) =>
  Layer.merge(http === undefined ? NodeHttp.layerHttpClient : NodeHttp.layer(http), TokenCache.layerMemory)
