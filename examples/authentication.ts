import * as Config from "effect/Config"
import * as Credentials from "effect-oci/Credentials"
import { NodeCredentials } from "effect-oci/node"

/** What `docker login` and `podman login` left on this machine, credential helpers and all. */
export const fromThisMachine = NodeCredentials.layer

/** From the environment: `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, for one host and no other. */
export const configured = Credentials.layerConfig({
  host: Config.succeed("ghcr.io"),
  username: Config.string("REGISTRY_USERNAME"),
  password: Config.redacted("REGISTRY_PASSWORD")
})

/** Nobody in particular: what public repositories ask for. */
export const anonymous = Credentials.layerAnonymous
