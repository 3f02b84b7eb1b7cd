import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import * as ImageConfig from "effect-oci/ImageConfig"
import * as Manifest from "effect-oci/Manifest"
import * as MediaType from "effect-oci/MediaType"
import { BlobFile, NodeLayout } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"

const app = Reference.unsafeParseRepositoryName("app")

/** Puts an image of one layer, the files in a tar archive, into any registry. */
export const put = (archive: string, tag: Reference.Tag) =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const file = yield* BlobFile.source(archive)
    const layer = yield* registry.putBlob(app, file, { mediaType: MediaType.layerTar })
    const config = ImageConfig.make({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [layer.digest] }
    })
    yield* registry.putBlob(app, BlobSource.fromBytes(config.bytes))
    const manifest = Manifest.image({ config: config.descriptor, layers: [layer] })
    return yield* registry.putManifest(app, manifest, { tags: [tag] })
  })

/** Writes the layout `images/app`: `skopeo inspect oci:images/app:1.0` reads it. */
export const write = put("app.tar", Reference.unsafeParseTag("1.0")).pipe(
  Effect.provide(NodeLayout.layer({ path: "images" }))
)

/** Reads all layouts for what is wrong, and removes what nothing has referred to for a week. */
export const tidy = Effect.gen(function* () {
  const registry = yield* NodeLayout.make({ path: "images" })
  const findings = yield* Stream.runCollect(registry.verify())
  const collected = yield* registry.collect({ grace: "7 days" })
  return { findings, collected }
})
