/**
 * The credentials that this machine has already: whoever can `docker pull` or `podman pull` here
 * needs no other configuration.
 *
 * @since 0.1.0
 */
import * as NodeCommandExecutor from "@effect/platform-node/NodeCommandExecutor"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Layer from "effect/Layer"
import * as ContainersAuth from "../auth/ContainersAuth.js"
import { type Credentials, layerChain } from "../auth/Credentials.js"
import * as DockerConfig from "../auth/DockerConfig.js"
import type { CredentialsFailure } from "../RegistryError.js"

/**
 * The first of these that has a credential for a registry: the environment variable
 * `DOCKER_AUTH_CONFIG`, Docker's configuration with its helpers, and the files of podman, each
 * found as `DockerConfig` and `ContainersAuth` say. Registries that none of them knows are asked
 * anonymously.
 *
 * Building the layer fails with `CredentialsFailure` when the environment cannot be read; asking
 * for a credential does when a file or a helper that is needed for it is broken.
 *
 * @example
 * ```ts
 * import { NodeCredentials, NodeRegistry } from "effect-oci/node"
 * import * as Layer from "effect/Layer"
 *
 * const GitHub = NodeRegistry.layer({ url: "https://ghcr.io" }).pipe(Layer.provide(NodeCredentials.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Credentials, CredentialsFailure> = Layer.provide(
  layerChain(
    DockerConfig.layerEnvironment,
    DockerConfig.layer(),
    ContainersAuth.layer({ uid: process.getuid?.() })
  ),
  Layer.provideMerge(Layer.merge(NodeCommandExecutor.layer, NodePath.layer), NodeFileSystem.layer)
)
