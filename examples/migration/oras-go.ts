import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import * as BlobSource from "effect-oci/BlobSource"
import * as Registries from "effect-oci/Registries"

// oras.PackManifest(…), oras.Copy(ctx, store, tag, repository, tag, …)
export const push = (reference: string, title: string, content: Uint8Array) =>
  Artifact.push(reference, {
    artifactType: "application/vnd.example.v1",
    files: [{ title, source: BlobSource.fromBytes(content) }]
  })

// oras.Fetch(ctx, repository, reference, …)
export const names = (reference: string) =>
  Effect.map(Artifact.pull(reference), ({ files }) => files.map(({ name }) => name))

// repository.Resolve(ctx, reference), oras.Tag(ctx, repository, reference, "stable")
export const promote = (reference: string) => Registries.tag(reference, "stable")
