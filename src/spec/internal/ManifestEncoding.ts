/** How manifests are written, so that equal ones have equal bytes. */
import type { Descriptor } from "../Descriptor.js"
import type { ImageIndex, ImageManifest } from "./ManifestDocument.js"
import * as OpenStruct from "./OpenStruct.js"

/**
 * Writes a manifest with its fields in the order of the specification's examples, and those that
 * are not known after them; JSON leaves out those that are undefined.
 */
export const encode = (mediaType: string, content: ImageManifest | ImageIndex): Uint8Array => {
  const { annotations, artifactType, schemaVersion, subject } = content
  const parts =
    content._tag === "ImageManifest"
      ? { config: inOrder(content.config), layers: content.layers.map(inOrder) }
      : { manifests: content.manifests.map(inOrder) }
  const known = {
    schemaVersion,
    mediaType,
    artifactType,
    ...parts,
    subject: subject && inOrder(subject),
    annotations: annotations && OpenStruct.sorted(Object.entries(annotations))
  }
  const document = OpenStruct.inOrder(content, known, ["_tag", "skipped"])
  return new TextEncoder().encode(JSON.stringify(document))
}

/** Returns a descriptor with its fields in the specification's order. */
export const inOrder = (descriptor: Descriptor): object => {
  const { annotations, platform } = descriptor
  return OpenStruct.inOrder(descriptor, {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    urls: descriptor.urls,
    annotations: annotations && OpenStruct.sorted(Object.entries(annotations)),
    data: descriptor.data,
    artifactType: descriptor.artifactType,
    platform:
      platform &&
      OpenStruct.inOrder(platform, {
        architecture: platform.architecture,
        os: platform.os,
        "os.version": platform["os.version"],
        "os.features": platform["os.features"],
        variant: platform.variant,
        features: platform.features
      })
  })
}
