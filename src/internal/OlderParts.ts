/**
 * What manifests of older kinds are made of: those of Docker's schema 1, which do not say how large
 * it is, and those of artifacts that a draft of the specification had.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Registry } from "../Registry.js"
import { BlobUnknown, type InvalidManifest } from "../RegistryError.js"
import { Descriptor } from "../spec/Descriptor.js"
import type * as Digest from "../spec/Digest.js"
import type { Manifest } from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as SignedManifest from "../spec/SignedManifest.js"

/** Returns the blobs of such a manifest, each once. A registry is asked for sizes. */
export const find = (
  registry: Registry.Service,
  repository: RepositoryName,
  manifest: Manifest
): Effect.Effect<
  ReadonlyArray<Descriptor>,
  Registry.HeadBlobError | BlobUnknown | InvalidManifest
> =>
  Effect.gen(function* () {
    if (MediaType.equals(manifest.descriptor.mediaType, MediaType.artifactManifest)) {
      const { blobs = [] } = Option.getOrElse(decodeArtifact(manifest.bytes), () => ({ blobs: [] }))
      return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
    }
    if (!isSchema1(manifest)) return []
    const { content } = yield* SignedManifest.fromManifest(manifest)
    const digests = content.fsLayers.map(({ blobSum }) => blobSum)
    return yield* layers(registry, repository, digests)
  })

/** Whether a manifest is of schema 1. */
export const isSchema1 = ({ descriptor }: Manifest): boolean =>
  MediaType.equals(descriptor.mediaType, MediaType.dockerSchema1) ||
  MediaType.equals(descriptor.mediaType, MediaType.dockerSchema1Signed)

/** Returns layers, each once, of which only digests are known. The registry is asked for sizes. */
export const layers = (
  registry: Registry.Service,
  repository: RepositoryName,
  digests: Iterable<Digest.Digest>
): Effect.Effect<ReadonlyArray<Descriptor>, Registry.HeadBlobError | BlobUnknown> =>
  Effect.forEach(
    new Set(digests),
    (digest) =>
      Effect.flatMap(
        registry.headBlob(repository, digest),
        Option.match({
          onNone: () => Effect.fail(new BlobUnknown({ repository, digest })),
          onSome: ({ size }) => Effect.succeed(layerOf(digest, size))
        })
      ),
    { concurrency: 6 }
  )

/** Returns a layer of schema 1. */
export const layerOf = (digest: Digest.Digest, size: number): Descriptor => ({
  mediaType: MediaType.dockerLayerTarGzip,
  digest,
  size
})

const Artifact = Schema.parseJson(
  Schema.Struct({ blobs: Schema.optional(Schema.Array(Descriptor)) })
)

const decodeArtifact = (bytes: Uint8Array) =>
  Schema.decodeOption(Artifact)(new TextDecoder().decode(bytes))
