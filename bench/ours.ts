/** What is measured: effect-oci, as an application uses it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as BlobSource from "effect-oci/BlobSource"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import * as Credentials from "effect-oci/Credentials"
import type { Decompression } from "effect-oci/Decompression"
import * as Digest from "effect-oci/Digest"
import * as Image from "effect-oci/Image"
import * as ImageLayer from "effect-oci/ImageLayer"
import { ArtifactFolder, BlobFile, NodeLayout, NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import type { Registries } from "effect-oci/Registries"
import { Registry, verifyBlob } from "effect-oci/Registry"
import {
  block,
  cacheFolder,
  downloadFile,
  prepareParts,
  size,
  small as smallBlob,
  uploadFile
} from "./content.js"
import { folder, folderFiles } from "./folder.js"
import { concurrency, many, small, smallBytes, type Task, type Tasks } from "./task.js"

interface Place {
  readonly registry: Registry.Service
  readonly repository: Reference.RepositoryName
  readonly digest: Digest.Digest
}

/** How a registry is reached, and which of its repositories. */
interface Way {
  readonly isTls?: boolean
  readonly name?: string
  readonly parallelDownloads?: boolean
}

const registry =
  <A, E>(
    use: (place: Place) => Effect.Effect<A, E>,
    { isTls = false, name = "bench", ...options }: Way = {}
  ): Task =>
  ({ digest, tlsUrl, url }) =>
    Effect.all({
      registry: Registry,
      repository: Reference.parseRepositoryName(name),
      digest: Digest.parse(digest)
    }).pipe(
      Effect.flatMap(use),
      Effect.asVoid,
      Effect.provide(
        NodeRegistry.layer(
          isTls
            ? { url: tlsUrl, concurrency, ...options, tls: { rejectUnauthorized: false } }
            : { url, concurrency, ...options }
        ).pipe(Layer.provide(Credentials.layerAnonymous))
      ),
      Effect.runPromise
    )

/** A pull through a cache in layouts on the disk, which the one that is cold leaves warm. */
const pullCached = registry(({ digest, registry, repository }) =>
  Effect.gen(function* () {
    const store = yield* NodeLayout.make({ path: cacheFolder })
    const cached = yield* ComposedRegistry.cached(registry, { store, capacity: 2 * size })
    yield* Stream.runDrain(cached.getBlob(repository, digest))
  }).pipe(Effect.scoped)
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

const pullFile =
  (way: Way = {}): Task =>
  (given) =>
    registry(
      ({ digest, registry, repository }) =>
        BlobFile.download(
          registry,
          repository,
          { mediaType: "application/octet-stream", digest, size },
          downloadFile
        ),
      way
    )(given).finally(() => Fs.rmSync(downloadFile, { force: true }))

const registries =
  <A, E>(
    use: (at: { readonly host: string }) => Effect.Effect<A, E, Registries | Decompression>
  ): Task =>
  ({ url }) => {
    const { host } = new URL(url)
    return Effect.runPromise(
      Effect.asVoid(use({ host })).pipe(
        Effect.provide(
          NodeRegistry.layerRegistries({ hosts: { [host]: { url, concurrency } } }).pipe(
            Layer.provide(Credentials.layerAnonymous)
          )
        )
      )
    )
  }

const images = <E>(
  tag: string,
  use: (image: Image.Image) => Effect.Effect<unknown, E, Decompression>
) => registries(({ host }) => Effect.flatMap(Image.pull(`${host}/bench:${tag}`), use))

export const tasks: Tasks = {
  "pull stream": registry(({ digest, registry, repository }) =>
    Stream.runDrain(
      registry.getBlob(repository, { mediaType: "application/octet-stream", digest, size })
    )
  ),
  "pull file": pullFile(),
  "pull file over TLS": pullFile({ isTls: true }),
  "pull file over four": pullFile({ parallelDownloads: true }),
  "pull file at 40 MB per second": pullFile({ name: "limited" }),
  "pull file at 40 MB per second over four": pullFile({ name: "limited", parallelDownloads: true }),
  "pull, nothing kept": registry(({ digest, registry, repository }) =>
    verifyBlob(registry, repository, { mediaType: "application/octet-stream", digest, size })
  ),
  "pull into an upload": registry(({ digest, registry, repository }) =>
    registry.putBlob(
      repository,
      BlobSource.fromRegistry(registry, repository, {
        mediaType: "application/octet-stream",
        digest,
        size
      })
    )
  ),
  "pull parts": (given) =>
    registries(({ host }) =>
      ArtifactFolder.pull(`${host}/bench:parts`, downloadFile, { concurrency })
    )(given).finally(() => Fs.rmSync(downloadFile, { recursive: true, force: true })),
  "push parts": registries(({ host }) =>
    Effect.flatMap(
      Effect.forEach(prepareParts(), (path) =>
        Effect.map(BlobFile.source(path), (source) => ({
          title: Path.basename(path),
          mediaType: "application/octet-stream",
          source
        }))
      ),
      (files) =>
        Artifact.push(`${host}/bench:pushed`, {
          artifactType: "application/vnd.example.parts.v1",
          files,
          concurrency
        })
    )
  ),
  "pull folder as files": (given) =>
    registries(({ host }) =>
      ArtifactFolder.pull(`${host}/bench:files`, downloadFile, { concurrency })
    )(given).finally(() => Fs.rmSync(downloadFile, { recursive: true, force: true })),
  "pull folder as an archive": (given) =>
    registries(({ host }) => ArtifactFolder.pull(`${host}/bench:archive`, downloadFile))(
      given
    ).finally(() => Fs.rmSync(downloadFile, { recursive: true, force: true })),
  "push folder as files": registries(({ host }) =>
    Effect.flatMap(
      Effect.forEach(folderFiles(), (path) =>
        Effect.map(BlobFile.source(path), (source) => ({ title: Path.basename(path), source }))
      ),
      (files) =>
        Artifact.push(`${host}/bench:pushed`, {
          artifactType: "application/vnd.example.folder.v1",
          files,
          concurrency
        })
    )
  ),
  "push folder as an archive": registries(({ host }) =>
    Effect.flatMap(ArtifactFolder.archive(folder), (file) =>
      Artifact.push(`${host}/bench:pushed`, {
        artifactType: "application/vnd.example.folder.v1",
        files: [file]
      })
    ).pipe(Effect.scoped)
  ),
  "pull through a cold cache": async (given) => {
    Fs.rmSync(cacheFolder, { recursive: true, force: true })
    await pullCached(given)
  },
  "pull through a warm cache": pullCached,
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
  "image, list one layer": images("one-layer", ({ layers: [layer] }) =>
    layer === undefined ? Effect.void : Stream.runDrain(ImageLayer.entries(layer))
  ),
  "image, flatten twenty layers": images("twenty-layers", (image) =>
    Stream.runDrain(Image.flatten(image))
  ),
  "image, flatten twenty layers, spooled": images("twenty-layers", (image) =>
    Effect.flatMap(Image.spool(), (spool) => Stream.runDrain(Image.flatten(image, { spool }))).pipe(
      Effect.provide(NodeFileSystem.layer)
    )
  ),
  "small blobs": registry(({ registry, repository }) =>
    Effect.flatMap(Digest.parse(smallBlob.digest), (digest) =>
      Effect.forEach(
        numbers(small),
        (n) =>
          Effect.zipRight(
            registry.putBlob(repository, BlobSource.fromBytes(smallBytes(smallBlob.bytes, n))),
            registry.getBlobBytes(repository, digest)
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
