/** The operations that read and change nothing. */
import type { Registry } from "../../Registry.js"

/** Takes the reads of a registry: of the operations that the interface gets later, none. */
export const readsOf = (registry: Registry.Service) =>
  ({
    ping: registry.ping,
    getManifest: registry.getManifest,
    getChangedManifest: registry.getChangedManifest,
    headManifest: registry.headManifest,
    tags: registry.tags,
    repositories: registry.repositories,
    referrers: registry.referrers,
    manifests: registry.manifests,
    headBlob: registry.headBlob,
    getBlob: registry.getBlob,
    getBlobBytes: registry.getBlobBytes,
    getBlobRange: registry.getBlobRange
  }) satisfies Partial<Registry.Service>
