/**
 * What effect-oci offers on Node alone: `effect-oci/node`. It needs `@effect/platform-node`.
 *
 * @since 0.1.0
 */

/**
 * Blobs from and to files.
 *
 * @since 0.1.0
 */
export * as BlobFile from "./BlobFile.js"

/**
 * The HTTP client over undici.
 *
 * @since 0.1.0
 */
export * as NodeHttp from "./NodeHttp.js"

/**
 * Registries on Node, ready-made.
 *
 * @since 0.1.0
 */
export * as NodeRegistry from "./NodeRegistry.js"
