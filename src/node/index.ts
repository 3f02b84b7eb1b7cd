/**
 * What effect-oci offers on Node alone: `effect-oci/node`. It needs `@effect/platform-node`.
 *
 * @since 0.1.0
 */

/**
 * Artifacts in folders: pulls the files of an artifact to disk.
 *
 * @since 0.1.0
 */
export * as ArtifactFolder from "./ArtifactFolder.js"

/**
 * Blobs as files: a file as the source of an upload, and downloads to files that appear under their
 * names only when they are complete.
 *
 * @since 0.1.0
 */
export * as BlobFile from "./BlobFile.js"

/**
 * The certificates that container tools keep on a machine, in folders called `certs.d`.
 *
 * @since 0.1.0
 */
export * as CertificateFolders from "./CertificateFolders.js"
/**
 * Images in folders: writes the files of an image to disk.
 *
 * @since 0.1.0
 */
export * as ImageFolder from "./ImageFolder.js"
/**
 * What the configuration of this machine says of registries: mirrors, insecure and blocked ones,
 * and names without a host.
 *
 * @since 0.1.0
 */
export * as MachineRegistries from "./MachineRegistries.js"

/**
 * Archives of images, on Node: files and streams that `docker save`, `podman save`, skopeo, crane
 * and BuildKit write and read.
 *
 * @since 0.1.0
 */
export * as NodeArchive from "./NodeArchive.js"

/**
 * How the layers of images that are built are compressed on Node: gzip by `node:zlib`, and zstd
 * where Node has it.
 *
 * @since 0.1.0
 */
export * as NodeCompression from "./NodeCompression.js"

/**
 * The credentials of this machine: those that `docker pull` and `podman pull` use.
 *
 * @since 0.1.0
 */
export * as NodeCredentials from "./NodeCredentials.js"

/**
 * How layers are decompressed on Node: gzip by `node:zlib`, zstd by the package `fzstd`.
 *
 * @since 0.1.0
 */
export * as NodeDecompression from "./NodeDecompression.js"

/**
 * The HTTP client that this library is measured and tested with: undici, through
 * `@effect/platform-node`.
 *
 * @since 0.1.0
 */
export * as NodeHttp from "./NodeHttp.js"

/**
 * Registries in OCI image layouts, on Node.
 *
 * @since 0.1.0
 */
export * as NodeLayout from "./NodeLayout.js"

/**
 * The platform of this machine, for which `Image.pull` chooses from an index.
 *
 * @since 0.1.0
 */
export * as NodePlatform from "./NodePlatform.js"

/**
 * Layers of registries on Node, over undici and with tokens kept in memory.
 *
 * @since 0.1.0
 */
export * as NodeRegistry from "./NodeRegistry.js"

/**
 * A registry server on a port of this machine.
 *
 * @since 0.1.0
 */
export * as NodeRegistryServer from "./NodeRegistryServer.js"

/**
 * Which requests take a proxy, by the conventions of the environment variables `HTTP_PROXY`,
 * `HTTPS_PROXY` and `NO_PROXY`.
 *
 * @since 0.1.0
 */
export * as ProxySettings from "./ProxySettings.js"

/**
 * The certificates of those who have signed manifests of schema 1.
 *
 * @since 0.1.0
 */
export * as SignerCertificates from "./SignerCertificates.js"

/**
 * Private authorities, client certificates, and hosts whose certificate is not checked.
 *
 * @since 0.1.0
 */
export * as TlsSettings from "./TlsSettings.js"
