import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import type { RepositoryName, Tag } from "effect-oci/Reference"
import * as Registry from "effect-oci/Registry"
import * as SignedManifest from "effect-oci/SignedManifest"

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

// hub.Manifest(repository, reference), and who has signed it, which that client does not look at
export const signed = (repository: RepositoryName, tag: Tag) =>
  Effect.gen(function* () {
    const hub = yield* Registry.Registry
    const manifest = yield* hub.getManifest(repository, tag)
    const signed = yield* SignedManifest.fromManifest(manifest)
    return { ...signed.content, signers: yield* SignedManifest.verify(signed) }
  })

// schema1.Sign(manifest, key), hub.PutManifest(repository, tag, signed)
export const sign = (
  repository: RepositoryName,
  tag: Tag,
  content: SignedManifest.Content,
  privateKey: Redacted.Redacted
) =>
  Effect.gen(function* () {
    const hub = yield* Registry.Registry
    const signed = yield* SignedManifest.sign(SignedManifest.make(content), { privateKey })
    return yield* hub.putManifest(repository, signed.manifest, { tags: [tag] })
  })
