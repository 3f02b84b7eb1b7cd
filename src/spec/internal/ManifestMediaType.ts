/** Media types that tell manifests from other content, which an index may have as well. */
import * as MediaType from "../MediaType.js"

/**
 * Whether a type is one of a manifest or of a list of them. Caches of BuildKit list layers in an
 * index (CP15), which are not.
 */
export const isManifest = (mediaType: string): boolean =>
  MediaType.isImageManifest(mediaType) || MediaType.isIndex(mediaType)

/** Whether registries know content of a type as a manifest: older kinds count, too. */
export const isAnyManifest = (mediaType: string): boolean =>
  isManifest(mediaType) || older.some((type) => MediaType.equals(type, mediaType))

const older = [MediaType.dockerSchema1, MediaType.dockerSchema1Signed, MediaType.artifactManifest]
