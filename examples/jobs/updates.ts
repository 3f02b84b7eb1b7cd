import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Image from "effect-oci/Image"
import type { Platform } from "effect-oci/Platform"
import * as Registries from "effect-oci/Registries"
import * as Tags from "effect-oci/Tags"

/** The newest release of an image, by digest: of its tags, and one HEAD. No pull is counted. */
export const newest = (name: string) =>
  Effect.gen(function* () {
    const tag = Option.getOrElse(yield* Tags.newest(name), () => "latest")
    return { tag, reference: (yield* Registries.resolve(`${name}:${tag}`)).reference }
  })

/** What an image says of itself for a platform. Its layers are not read. */
export const inspect = (image: string, platform: Platform) =>
  Effect.map(Image.pull(image, { platform }), ({ annotations, labels }) => ({
    annotations,
    labels
  }))
