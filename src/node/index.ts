/**
 * What effect-oci offers on Node alone: `effect-oci/node`. It needs `@effect/platform-node`.
 *
 * @since 0.1.0
 */

/**
 * Blobs as files: a file as the source of an upload, which can start at any byte, and a download to
 * a file, which appears under its name only when it is complete.
 *
 * @since 0.1.0
 */
export * as BlobFile from "./BlobFile.js"

/**
 * The certificates that container tools keep on a machine: folders called `certs.d`, with one
 * folder for each host.
 *
 * @since 0.1.0
 */
export * as CertificateFolders from "./CertificateFolders.js"

/**
 * The credentials that this machine has already: whoever can `docker pull` or `podman pull` here
 * needs no other configuration.
 *
 * @since 0.1.0
 */
export * as NodeCredentials from "./NodeCredentials.js"

/**
 * The HTTP client that this library is measured and tested with: undici, through
 * `@effect/platform-node`.
 *
 * @since 0.1.0
 */
export * as NodeHttp from "./NodeHttp.js"

/**
 * Registries on Node, ready-made: over undici, with tokens kept in memory.
 *
 * @since 0.1.0
 */
export * as NodeRegistry from "./NodeRegistry.js"

/**
 * Proxies on the way out: which of them a request takes, by the conventions of the environment
 * variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
 *
 * @since 0.1.0
 */
export * as ProxySettings from "./ProxySettings.js"

/**
 * What Node's TLS does not know by itself: private authorities, client certificates, and hosts
 * whose certificate is not to be checked.
 *
 * @since 0.1.0
 */
export * as TlsSettings from "./TlsSettings.js"
