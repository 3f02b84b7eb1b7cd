import * as Config from "effect/Config"
import * as Credentials from "effect-oci/Credentials"

/** Nobody in particular: what public repositories ask for. */
export const anonymous = Credentials.layerAnonymous

/** From the environment: `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, for one host and no other. */
export const configured = Credentials.layerConfig({
  host: Config.succeed("ghcr.io"),
  username: Config.string("REGISTRY_USERNAME"),
  password: Config.redacted("REGISTRY_PASSWORD")
})
