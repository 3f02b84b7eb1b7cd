/** Images made of tar archives, in any registry. */
import { gzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as Registries from "../../src/Registries.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import { utf8 } from "./fixtures.js"

/** What an image says of itself. */
export interface Options {
  readonly platform?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly config?: object
  readonly tags?: ReadonlyArray<string>
}

/** Pushes an image whose layers are these tar archives, compressed with gzip, the base first. */
export const push = (
  reference: string,
  archives: ReadonlyArray<Uint8Array>,
  { config = {}, labels = {}, platform = "linux/amd64", tags = [] }: Options = {}
) => {
  const { architecture, os, variant } = Platform.unsafeParse(platform)
  const document = {
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    config: { Labels: labels },
    rootfs: {
      type: "layers",
      diff_ids: archives.map((archive) => Digest.fromBytes(archive))
    },
    ...config
  }
  return Artifact.push(reference, {
    config: { mediaType: MediaType.imageConfig, source: utf8(JSON.stringify(document)) },
    files: archives.map((archive) => ({
      mediaType: MediaType.layerTarGzip,
      source: gzipSync(archive)
    })),
    tags
  })
}

/** Pushes an index of images, one for each platform. */
export const pushIndex = Effect.fnUntraced(function* (
  reference: string,
  archives: ReadonlyArray<Uint8Array>,
  platforms: ReadonlyArray<string>
) {
  const repository = reference.replace(/:[^:/]*$/, "")
  const manifests = yield* Effect.forEach(platforms, (platform) =>
    Effect.map(
      push(repository, archives, { platform, labels: { for: platform } }),
      ({ manifest }) => ({ ...manifest.descriptor, platform: Platform.unsafeParse(platform) })
    )
  )
  const index = Manifest.index({ manifests })
  yield* Registries.putManifest(reference, index)
  return index
})
