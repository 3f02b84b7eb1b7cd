/** Images that container tools can use, and archives of them as other programs write them. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import type * as Archive from "../../src/store/Archive.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { gather, utf8 } from "./fixtures.js"
import { folder } from "./machine.js"
import * as Tar from "./tar.js"

export const app = Reference.unsafeParseRepositoryName("team/app")
export const tag = Reference.unsafeParseTag

/** The configuration of an image with these layers. */
export const configOf = (
  layers: ReadonlyArray<Uint8Array>,
  { comment = "", platform = "linux/amd64" } = {}
): Uint8Array =>
  utf8(
    JSON.stringify({
      ...Platform.unsafeParse(platform),
      config: { Labels: { comment } },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => Digest.fromBytes(layer)) }
    })
  )

/** A layer with one file. */
export const layerOf = (content: string): Uint8Array => Tar.files({ "file.txt": content })

/** Less than 128 KiB as a frame of zstd with one block that is not compressed (RFC 8878). */
export const zstdOf = (bytes: Uint8Array): Uint8Array => {
  const head = Buffer.alloc(12)
  head.writeUInt32BE(0x28b52ffd)
  head.writeUInt8(0xa0, 4)
  head.writeUInt32LE(bytes.length, 5)
  head.writeUIntLE(bytes.length * 8 + 1, 9, 3)
  return Buffer.concat([head, bytes])
}

/** Puts an image whose layers are compressed with gzip, and returns its manifest. */
export const putImage = Effect.fnUntraced(function* (
  registry: Registry.Service,
  layers: ReadonlyArray<Uint8Array>,
  options: Parameters<typeof configOf>[1] & {
    readonly tags?: ReadonlyArray<string>
    readonly compress?: (layer: Uint8Array) => Uint8Array
    readonly layerType?: string
  } = {}
) {
  const { compress = gzipSync, layerType = MediaType.layerTarGzip, tags = [] } = options
  const put = (bytes: Uint8Array, mediaType: string) =>
    registry.putBlob(app, BlobSource.fromBytes(bytes), { mediaType })
  const manifest = Manifest.image({
    config: yield* put(configOf(layers, options), MediaType.imageConfig),
    layers: yield* Effect.forEach(layers, (layer) => put(compress(layer), layerType))
  })
  yield* registry.putManifest(app, manifest, { tags: tags.map(tag) })
  return manifest
})

/** Puts an index of images, one for each platform, whose names it also has as labels. */
export const putIndex = Effect.fnUntraced(function* (
  registry: Registry.Service,
  name: string,
  platforms: ReadonlyArray<string>
) {
  const manifests = yield* Effect.forEach(platforms, (platform) =>
    Effect.map(
      putImage(registry, [layerOf("base"), layerOf(platform)], { platform, comment: platform }),
      ({ descriptor }) => ({ ...descriptor, platform: Platform.unsafeParse(platform) })
    )
  )
  const index = Manifest.index({ manifests })
  yield* registry.putManifest(app, index, { tags: [tag(name)] })
  return index
})

/** A registry in memory. */
export const memory = MemoryRegistry.make()

/** What to write of a registry. */
export const source = (
  registry: Registry.Service,
  reference: string,
  names?: ReadonlyArray<string>
): Archive.ImageSource => ({
  registry,
  repository: app,
  reference: Digest.isDigest(reference) ? reference : tag(reference),
  names
})

/** Writes bytes to a new file, and returns its path. */
export const save = <E = never, R = never>(content: Uint8Array | Stream.Stream<Uint8Array, E, R>) =>
  Effect.gen(function* () {
    const bytes = content instanceof Uint8Array ? content : yield* gather(content)
    const path = Path.join(yield* folder(), "images.tar")
    yield* Effect.promise(() => Fs.writeFile(path, bytes))
    return path
  })

/** One file of an archive. */
export const file = (name: string, content: Uint8Array | string): Uint8Array =>
  Tar.entry({ name }, content)

/** A symbolic link in an archive. */
export const link = (name: string, target: string): Uint8Array =>
  Tar.entry({ name, type: "2", link: target })

/** The `manifest.json` of an archive. */
export const imagesFile = (
  ...images: ReadonlyArray<{
    readonly Config: string
    readonly RepoTags?: ReadonlyArray<string> | null
    readonly Layers: ReadonlyArray<string> | null
  }>
): Uint8Array => file("manifest.json", JSON.stringify(images))

/** The files of a layout: its header, these entries of its index, and blobs. */
export const layoutFiles = (
  manifests: ReadonlyArray<unknown>,
  blobs: ReadonlyArray<Uint8Array>
): ReadonlyArray<Uint8Array> => [
  file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
  file("index.json", JSON.stringify({ schemaVersion: 2, manifests })),
  ...blobs.map((bytes) => file(`blobs/sha256/${Digest.encoded(Digest.fromBytes(bytes))}`, bytes))
]
