/**
 * All registries that a program may meet, by host. Programs that start from references take the
 * `Registry` of each from this service.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Registry } from "./Registry.js"
import type { InvalidUrl } from "./RegistryError.js"

/**
 * The registries, one for each host. `RegistryClient.layerRegistries` provides them over HTTP, and
 * `MemoryRegistry.layerRegistries` in memory.
 *
 * @since 0.1.0
 * @category services
 */
export class Registries extends Context.Tag("effect-oci/Registries")<
  Registries,
  Registries.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace Registries {
  /**
   * `get` takes a host as references have it (`docker.io`, `ghcr.io`, `localhost:5000`) and
   * returns its registry: always the same one for the same host, however that is written (see
   * `Host.parse`).
   *
   * Fails with `InvalidUrl` when the text is not a host, or its options are not valid.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly get: (host: string) => Effect.Effect<Registry.Service, InvalidUrl>
  }
}
