import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as ByteStream from "effect-oci/ByteStream"
import type { Platform } from "effect-oci/Platform"
import * as Registries from "effect-oci/Registries"

/** The newest release of an image, by digest: of its tags, and one HEAD. No pull is counted. */
export const newest = (name: string) =>
  Effect.gen(function* () {
    const releases = Stream.filter(Registries.tags(name), (tag) => /^v?\d+(\.\d+)*$/.test(tag))
    const { compare } = new Intl.Collator("en", { numeric: true })
    const tag = [...(yield* Stream.runCollect(releases))].sort(compare).at(-1) ?? "latest"
    return { tag, reference: (yield* Registries.resolve(`${name}:${tag}`)).reference }
  })

const Labels = Schema.Record({ key: Schema.String, value: Schema.String })
const Config = Schema.Struct({ config: Schema.Struct({ Labels: Schema.optional(Labels) }) })

/** What an image says of itself for a platform. Its layers are not read. */
export const inspect = (image: string, platform: Platform) =>
  Effect.gen(function* () {
    const { annotations, config } = yield* Artifact.pull(image, { platform })
    const { Labels = {} } = (yield* ByteStream.json(Config)(config.content)).config
    return { annotations, labels: Labels }
  })
