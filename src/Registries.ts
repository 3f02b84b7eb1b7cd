/**
 * All registries a program may meet, by host. Programs that start from references ask this service
 * for the `Registry` behind each.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Registry } from "./Registry.js"
import type { InvalidUrl } from "./RegistryError.js"

/**
 * Opens one `Registry` per host. Its layers are `RegistryClient.layerRegistries` (over HTTP) and
 * `MemoryRegistry.layerRegistries`.
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
   * `get` takes a host as references have it (`docker.io`, `ghcr.io`, `localhost:5000`) and returns
   * the same registry for the same host each time, however it is written: see `Host.parse`. It fails
   * with `InvalidUrl` when the text is not a host, or no registry can be reached there.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly get: (host: string) => Effect.Effect<Registry.Service, InvalidUrl>
  }
}
