/** Media types that say nothing of a manifest. */
import * as MediaType from "../MediaType.js"

/**
 * Whether a type is what a server that knows no manifests gives to one (trap 29), or to its error
 * page.
 */
export const isGeneric = (mediaType: string): boolean => generic.has(mediaType.toLowerCase())

const generic: ReadonlySet<string> = new Set([
  MediaType.octetStream,
  "binary/octet-stream",
  "application/json",
  "text/plain",
  "text/html"
])
