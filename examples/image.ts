import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Image from "effect-oci/Image"
import * as ImageLayer from "effect-oci/ImageLayer"
import { ImageFolder } from "effect-oci/node"
import * as Platform from "effect-oci/Platform"

const platform = Platform.unsafeParse("linux/arm64")

/** What an image says of itself, one file of it, and the largest file of all its layers. */
export const look = (reference: string) =>
  Effect.gen(function* () {
    const image = yield* Image.pull(reference, { platform })
    const { bytes } = yield* Image.readFile(image, "/etc/os-release")
    const entries = Stream.flatMap(Stream.fromIterable(image.layers), (layer) =>
      ImageLayer.entries(layer)
    )
    const largest = yield* Stream.runFold(entries, { path: "", size: 0 }, (found, entry) =>
      entry.size > found.size ? entry : found
    )
    return { labels: image.labels, release: new TextDecoder().decode(bytes), largest }
  })

/** Its files in a folder, which appears when it is complete. */
export const unpack = (reference: string, folder: string) =>
  Effect.flatMap(Image.pull(reference, { platform }), (image) => ImageFolder.extract(image, folder))
