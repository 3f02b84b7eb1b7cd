/** Media types that tell manifests from other content, which an index may have as well. */
import * as MediaType from "../MediaType.js"
import { isGeneric } from "./GenericMediaType.js"

/** Whether a type is one whose documents are decoded: an image manifest, or an index. */
export const isDecoded = (mediaType: string): boolean =>
  MediaType.isImageManifest(mediaType) || MediaType.isIndex(mediaType)

/** Whether what is said to be of a type may be decoded: what says nothing may be anything. */
export const mayBeDecoded = (mediaType: string): boolean =>
  isDecoded(mediaType) || mediaType === "" || isGeneric(mediaType)

/**
 * Whether registries know content of a type as a manifest: older kinds count, too. Caches of
 * BuildKit list layers in an index (CP15), which are not.
 */
export const isManifest = (mediaType: string): boolean =>
  isDecoded(mediaType) || older.some((type) => MediaType.equals(type, mediaType))

const older = [MediaType.dockerSchema1, MediaType.dockerSchema1Signed, MediaType.artifactManifest]
