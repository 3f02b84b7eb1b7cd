import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Artifact from "effect-oci/Artifact"
import * as ByteStream from "effect-oci/ByteStream"
import * as Digest from "effect-oci/Digest"
import * as Manifest from "effect-oci/Manifest"
import * as MediaType from "effect-oci/MediaType"
import type { Platform } from "effect-oci/Platform"
import * as Registries from "effect-oci/Registries"

const RootFs = Schema.Struct({ type: Schema.String, diff_ids: Schema.Array(Schema.String) })
const Config = Schema.Struct({ rootfs: RootFs }, { key: Schema.String, value: Schema.Unknown })

/** Pushes an image of a base's layers, mounted where they are there, and of a tar archive. */
export const build = (base: string, name: string, platform: Platform, tar: Uint8Array) =>
  Effect.gen(function* () {
    const image = yield* Artifact.pull(base, { platform })
    const { rootfs, ...rest } = yield* ByteStream.json(Config)(image.config.content)
    const diff_ids = [...rootfs.diff_ids, Digest.fromBytes(tar)]
    const config = JSON.stringify({ ...rest, rootfs: { ...rootfs, diff_ids } })
    const { manifest } = yield* Artifact.push(name, {
      config: { mediaType: MediaType.imageConfig, source: new TextEncoder().encode(config) },
      files: [...image.files, { mediaType: MediaType.layerTar, source: tar }],
      tags: []
    })
    return { ...manifest.descriptor, platform }
  })

/** Puts the images of several platforms, as `build` returns them, under a reference. */
export const release = (reference: string, manifests: Manifest.ImageIndex["manifests"]) =>
  Registries.putManifest(reference, Manifest.index({ manifests }))
