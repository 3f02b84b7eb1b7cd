import * as Effect from "effect/Effect"
import type { Annotations } from "effect-oci/Annotations"
import * as BlobSource from "effect-oci/BlobSource"
import * as Image from "effect-oci/Image"
import * as ImageConfig from "effect-oci/ImageConfig"
import * as Manifest from "effect-oci/Manifest"
import * as Platform from "effect-oci/Platform"
import type { Tag } from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"
import * as SignedManifest from "effect-oci/SignedManifest"

/** Puts an image of OCI's types under another tag, with more labels. Its layers are not read. */
export const relabel = (reference: string, tag: Tag, added: Annotations) =>
  Effect.gen(function* () {
    const { annotations, config, labels, layers } = yield* Image.pull(reference)
    const Labels = { ...labels, ...added }
    const relabelled = ImageConfig.make({
      ...config.content,
      config: { ...config.content.config, Labels }
    })
    const { registry, repository } = yield* Registries.open(reference)
    yield* registry.putBlob(repository, BlobSource.fromBytes(relabelled.bytes))
    const manifest = Manifest.image({
      config: relabelled.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
      annotations
    })
    return yield* registry.putManifest(repository, manifest, { tags: [tag] })
  })

/** The images of an index that run on a device, the best first. */
export const runnable = (reference: string, device: string) =>
  Effect.gen(function* () {
    const platform = yield* Platform.parse(device)
    const { content } = yield* Registries.manifest(reference)
    return content._tag === "ImageIndex" ? Platform.rank(content.manifests, platform) : []
  })

/** Which keys have signed a manifest of schema 1, and the layers that they have signed. */
export const signed = (reference: string) =>
  Effect.gen(function* () {
    const manifest = yield* Registries.manifest(reference)
    const document = yield* SignedManifest.fromManifest(manifest)
    const signers = yield* SignedManifest.verify(document)
    const layers = yield* SignedManifest.layers(document)
    return {
      keys: signers.map(({ keyId }) => keyId),
      layers: layers.map(({ digest }) => digest)
    }
  })
