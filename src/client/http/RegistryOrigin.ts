/**
 * Which registry a request is for. Its token server and its storage are reached as it is: an HTTP
 * client that has settings for single registries finds them by this.
 */
import * as Context from "effect/Context"

/** The origin of the registry whose operation the request belongs to; empty where there is none. */
export class RegistryOrigin extends Context.Reference<RegistryOrigin>()(
  "effect-oci/RegistryOrigin",
  {
    defaultValue: () => ""
  }
) {}
