import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import type { RepositoryName, Tag } from "effect-oci/Reference"
import * as Registry from "effect-oci/Registry"

// registry.New(url, username, password) pings first: Registry.pinged(NodeRegistry.layer({ url }))
export const pinged = Registry.pinged

// hub.Repositories(), hub.Tags(repository): all pages
export const repositories = Effect.flatMap(Registry.Registry, (hub) =>
  Stream.runCollect(hub.repositories())
)
export const tags = (repository: RepositoryName) =>
  Effect.flatMap(Registry.Registry, (hub) => Stream.runCollect(hub.tags(repository)))

// hub.ManifestDigest(repository, reference), hub.DeleteManifest(repository, digest)
export const remove = (repository: RepositoryName, tag: Tag) =>
  Effect.gen(function* () {
    const hub = yield* Registry.Registry
    const { descriptor } = yield* hub.getManifest(repository, tag)
    yield* hub.deleteManifest(repository, descriptor.digest)
  })

// hub.UploadBlob(repository, digest, reader), hub.HasBlob(…), hub.DownloadBlob(…)
export const blobs = (repository: RepositoryName, content: Uint8Array) =>
  Effect.gen(function* () {
    const hub = yield* Registry.Registry
    const { digest } = yield* hub.putBlob(repository, BlobSource.fromBytes(content))
    const found = yield* hub.headBlob(repository, digest)
    const size = yield* Stream.runFold(
      hub.getBlob(repository, digest),
      0,
      (size, bytes) => size + bytes.length
    )
    return { found, size }
  })
