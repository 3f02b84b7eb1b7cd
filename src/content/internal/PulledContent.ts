/** Content of a manifest, to be read from where the manifest came from. */
import * as BlobSource from "../../BlobSource.js"
import type { Registry } from "../../Registry.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Reference from "../../spec/Reference.js"

/** Makes the content of a descriptor in the repository of a reference. */
export const contentOf = (
  registry: Registry.Service,
  reference: Reference.Reference,
  descriptor: Descriptor
) => ({
  registry,
  reference: Reference.withDigest(reference, descriptor.digest),
  descriptor,
  content: registry.getBlob(reference.repository, descriptor),
  source: BlobSource.fromRegistry(registry, reference.repository, descriptor)
})
