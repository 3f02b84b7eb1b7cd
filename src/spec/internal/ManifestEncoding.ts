/** How manifests are written, so that equal ones have equal bytes. */
import type { Annotations } from "../Annotations.js"
import type { Descriptor } from "../Descriptor.js"
import type { ImageIndex, ImageManifest } from "./ManifestDocument.js"

/**
 * Writes a manifest with its fields in the order of the specification's examples; JSON leaves out
 * those that are undefined.
 */
export const encode = (mediaType: string, content: ImageManifest | ImageIndex): Uint8Array => {
  const { annotations, artifactType, schemaVersion, subject } = content
  const parts =
    content._tag === "ImageManifest"
      ? { config: inOrder(content.config), layers: content.layers.map(inOrder) }
      : { manifests: content.manifests.map(inOrder) }
  const document = {
    schemaVersion,
    mediaType,
    artifactType,
    ...parts,
    subject: subject && inOrder(subject),
    annotations: annotations && sorted(annotations)
  }
  return new TextEncoder().encode(JSON.stringify(document))
}

/** Returns a descriptor with its fields in the specification's order. */
export const inOrder = (descriptor: Descriptor) => ({
  mediaType: descriptor.mediaType,
  digest: descriptor.digest,
  size: descriptor.size,
  urls: descriptor.urls,
  annotations: descriptor.annotations && sorted(descriptor.annotations),
  data: descriptor.data,
  artifactType: descriptor.artifactType,
  platform: descriptor.platform && {
    architecture: descriptor.platform.architecture,
    os: descriptor.platform.os,
    "os.version": descriptor.platform["os.version"],
    "os.features": descriptor.platform["os.features"],
    variant: descriptor.platform.variant,
    features: descriptor.platform.features
  }
})

// `fromEntries` defines properties, so that a key named __proto__ stays one (T21).
const sorted = (annotations: Annotations): Annotations =>
  Object.fromEntries(Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1)))
