/** What an image is made of, to be written into an archive: found out before the first byte is. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as OlderParts from "../../../internal/OlderParts.js"
import type { Registry } from "../../../Registry.js"
import { type BlobUnknown, LimitExceeded } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import * as StoredManifest from "../StoredManifest.js"
import { documentLimit } from "./ArchiveFile.js"

/** Where an image is read from. */
export interface Place {
  readonly registry: Registry.Service
  readonly repository: RepositoryName
}

/** All content of an image: each piece once, and what refers to others before them. */
export interface Graph {
  readonly manifests: ReadonlyArray<Manifest.Manifest>
  readonly blobs: ReadonlyArray<Descriptor>
}

/** How many manifests are read at a time. */
const concurrency = 8

/**
 * Reads the manifests that an image has, from its own on. What an index lists that is no manifest
 * is a blob, as in caches of BuildKit (CP15). Layers that are not to be distributed are left out
 * where the registry lacks them (C63).
 */
export const read = Effect.fnUntraced(function* (
  { registry, repository }: Place,
  root: Manifest.Manifest
): Effect.fn.Return<Graph, Registry.GetManifestError | Registry.HeadBlobError | BlobUnknown> {
  const manifests: Array<Manifest.Manifest> = []
  const blobs = new Map<Digest, Descriptor>()
  const seen = new Set([root.descriptor.digest])
  let size = 0
  let level: ReadonlyArray<Manifest.Manifest> = [root]
  while (level.length > 0) {
    const next: Array<Descriptor> = []
    for (const manifest of level) {
      yield* StoredManifest.checkDigest(manifest)
      manifests.push(manifest)
      size += manifest.bytes.length
      if (size > documentLimit)
        return yield* new LimitExceeded({ what: "The manifests of an image", limit: documentLimit })
      const isIndex = MediaType.isIndex(manifest.descriptor.mediaType)
      for (const reference of Manifest.references(manifest)) {
        if (!isIndex || !ManifestMediaType.isManifest(reference.mediaType))
          blobs.set(reference.digest, reference)
        else if (!seen.has(reference.digest)) next.push(reference)
        seen.add(reference.digest)
      }
      for (const blob of yield* OlderParts.find(registry, repository, manifest))
        blobs.set(blob.digest, blob)
    }
    level = yield* Effect.forEach(next, ({ digest }) => registry.getManifest(repository, digest), {
      concurrency
    })
  }
  const present = yield* Effect.filter([...blobs.values()], ({ digest, mediaType }) =>
    MediaType.isNonDistributable(mediaType)
      ? Effect.map(registry.headBlob(repository, digest), Option.isSome)
      : Effect.succeed(true)
  )
  return { manifests, blobs: present }
})
