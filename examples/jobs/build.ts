import * as Effect from "effect/Effect"
import * as Annotations from "effect-oci/Annotations"
import * as Image from "effect-oci/Image"
import * as ImageBuild from "effect-oci/ImageBuild"
import { ImageFolder } from "effect-oci/node"
import type { Platform } from "effect-oci/Platform"

/** Builds an image of a folder upon a base for each platform, and pushes the index of them. */
export const build = (base: string, name: string, platforms: Array<Platform>, folder: string) =>
  Effect.gen(function* () {
    const layers = [{ files: yield* ImageFolder.files(folder, { at: "/app" }) }]
    const config = { entrypoint: ["/app/main"], env: { MODE: "production" }, user: "65532" }
    const bases = yield* Effect.forEach(platforms, (platform) => Image.pull(base, { platform }))
    const images = bases.map((image) => ImageBuild.from(image, { layers, config }))
    return yield* ImageBuild.push(name, ImageBuild.index(images))
  })

/** Puts the images of an index upon what the tag of their base has become. */
export const update = (name: string, platforms: Array<Platform>) =>
  Effect.gen(function* () {
    const images = yield* Effect.forEach(platforms, (platform) => moved(name, platform))
    return yield* ImageBuild.push(name, ImageBuild.index(images))
  })

const moved = Effect.fnUntraced(function* (name: string, platform: Platform) {
  const image = yield* Image.pull(name, { platform })
  const { [Annotations.baseName]: base, [Annotations.baseDigest]: digest } = image.annotations
  const from = yield* Image.pull(`${base}@${digest}`)
  const to = yield* Image.pull(`${base}`, { platform })
  return yield* ImageBuild.rebase(image, { from, to })
})
