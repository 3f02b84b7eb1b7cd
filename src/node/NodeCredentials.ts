/**
 * The credentials of this machine: those that `docker pull` and `podman pull` use.
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
 * Provides the credentials of the environment variable `DOCKER_AUTH_CONFIG`, of Docker's
 * configuration with its helpers, and of podman's files, in this order; `DockerConfig` and
 * `ContainersAuth` say where they are found. Registries that none of them has a credential for are
 * asked anonymously.
 *
 * Fails with `CredentialsFailure` when the environment cannot be read. Asking for a credential
 * fails with it when a file or helper that it takes is broken.
 *
 * @example
 * ```ts
 * import { NodeCredentials, NodeRegistry } from "effect-oci/node"
 * import * as Layer from "effect/Layer"
 *
 * const GitHub = NodeRegistry.layer({ url: "https://ghcr.io" }).pipe(
 *   Layer.provide(NodeCredentials.layer)
 * )
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
