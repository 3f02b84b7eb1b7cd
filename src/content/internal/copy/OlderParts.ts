/**
 * What manifests of older kinds are made of: those of Docker's schema 1, which do not say how large
 * it is, and those of artifacts that a draft of the specification had.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Registry } from "../../../Registry.js"
import type { BlobUnknown, InvalidManifest } from "../../../RegistryError.js"
import { Descriptor } from "../../../spec/Descriptor.js"
import type * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import * as SignedManifest from "../../../spec/SignedManifest.js"
import * as SignedImage from "../SignedImage.js"

/** Returns the blobs of such a manifest, each once. A registry is asked for sizes. */
export const find = (
  registry: Registry.Service,
  repository: RepositoryName,
  manifest: Manifest.Manifest
): Effect.Effect<
  ReadonlyArray<Descriptor>,
  Registry.HeadBlobError | BlobUnknown | InvalidManifest
> =>
  Effect.gen(function* () {
    if (MediaType.equals(manifest.descriptor.mediaType, MediaType.artifactManifest))
      return Option.getOrElse(decodeArtifact(manifest.bytes), () => ({ blobs: [] })).blobs ?? []
    if (!SignedImage.isOne(manifest)) return []
    const { content } = yield* SignedManifest.fromManifest(manifest)
    const digests = content.fsLayers.map(({ blobSum }) => blobSum)
    return yield* SignedImage.descriptorsOf(registry, repository, digests)
  })

const Artifact = Schema.parseJson(
  Schema.Struct({ blobs: Schema.optional(Schema.Array(Descriptor)) })
)

const decodeArtifact = (bytes: Uint8Array) =>
  Schema.decodeOption(Artifact)(new TextDecoder().decode(bytes))
