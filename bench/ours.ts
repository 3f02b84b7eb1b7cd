/** What is measured: effect-oci, as an application uses it. */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import * as Credentials from "effect-oci/Credentials"
import * as Digest from "effect-oci/Digest"
import { BlobFile, NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import { block, downloadFile, size, small as smallBlob, uploadFile } from "./content.js"
import { concurrency, many, small, smallBytes, type Task, type Tasks } from "./task.js"

interface Place {
  readonly registry: Registry.Service
  readonly repository: Reference.RepositoryName
  readonly digest: Digest.Digest
}

const registry =
  <A, E>(use: (place: Place) => Effect.Effect<A, E>): Task =>
  ({ digest, url }) =>
    Effect.all({
      registry: Registry,
      repository: Reference.parseRepositoryName("bench"),
      digest: Digest.parse(digest)
    }).pipe(
      Effect.flatMap(use),
      Effect.asVoid,
      Effect.provide(
        NodeRegistry.layer({ url, concurrency }).pipe(Layer.provide(Credentials.layerAnonymous))
      ),
      Effect.runPromise
    )

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

const pushFile = (options: { readonly isDigestKnown: boolean; readonly chunkSize?: number }) =>
  registry(({ digest, registry, repository }) =>
    Effect.flatMap(BlobFile.source(uploadFile), (source) =>
      registry.putBlob(
        repository,
        options.isDigestKnown ? { ...source, digest } : source,
        options.chunkSize === undefined ? {} : { chunkSize: options.chunkSize }
      )
    )
  )

const manifests = (one: (place: Place, tag: Reference.Tag) => Effect.Effect<unknown, unknown>) =>
  registry((place) =>
    Effect.flatMap(Reference.parseTag("latest"), (tag) =>
      Effect.forEach(numbers(many), () => one(place, tag), { concurrency, discard: true })
    )
  )

export const tasks: Tasks = {
  "pull stream": registry(({ digest, registry, repository }) =>
    Stream.runDrain(
      registry.getBlob(repository, { mediaType: "application/octet-stream", digest, size })
    )
  ),
  "pull file": (given) =>
    registry(({ digest, registry, repository }) =>
      BlobFile.download(
        registry,
        repository,
        { mediaType: "application/octet-stream", digest, size },
        downloadFile
      )
    )(given).finally(() => Fs.rmSync(downloadFile, { force: true })),
  "push file, digest unknown": pushFile({ isDigestKnown: false }),
  "push file, digest known": pushFile({ isDigestKnown: true }),
  "push file, chunks of 8 MiB": pushFile({ isDigestKnown: false, chunkSize: 8 * 1024 * 1024 }),
  // New arrays, as an application makes them.
  "push stream of 64 KiB arrays": registry(({ registry, repository }) =>
    registry.putBlob(
      repository,
      BlobSource.fromStream(
        Stream.repeatEffect(
          Effect.sync(() => Uint8Array.prototype.slice.call(block, 0, 64 * 1024))
        ).pipe(Stream.take(size / (64 * 1024))),
        { size }
      )
    )
  ),
  "small blobs": registry(({ registry, repository }) =>
    Effect.flatMap(Digest.parse(smallBlob.digest), (digest) =>
      Effect.forEach(
        numbers(small),
        (n) =>
          Effect.zipRight(
            registry.putBlob(repository, BlobSource.fromBytes(smallBytes(smallBlob.bytes, n))),
            Stream.runDrain(registry.getBlob(repository, digest))
          ),
        { concurrency, discard: true }
      )
    )
  ),
  "manifest HEADs": manifests(({ registry, repository }, tag) =>
    registry.headManifest(repository, tag)
  ),
  "manifest GETs": manifests(({ registry, repository }, tag) =>
    registry.getManifest(repository, tag)
  )
}
