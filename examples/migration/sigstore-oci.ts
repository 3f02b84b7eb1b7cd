import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as BlobSource from "effect-oci/BlobSource"
import * as Registries from "effect-oci/Registries"

const artifactType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// attachArtifactToImage({ imageName, imageDigest, artifact, mediaType, credentials })
export const attach = (reference: string, bundle: Uint8Array) =>
  Artifact.attach(reference, {
    artifactType,
    files: [{ source: BlobSource.fromBytes(bundle), mediaType: artifactType }]
  })

// getImageDigest({ imageName, imageTag, credentials })
export const digest = (reference: string) =>
  Effect.map(Registries.resolve(reference), ({ descriptor }) => descriptor.digest)

// What @sigstore/oci has no call for: the bundles that are attached
export const bundles = (reference: string) =>
  Stream.runCollect(Registries.referrers(reference, { artifactType }))
