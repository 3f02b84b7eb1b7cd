/** When images were made, as far as their dates mean anything (CP04). */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as JsonText from "../../../spec/internal/JsonText.js"
import type { Manifest } from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { Reads } from "./Reads.js"

/** Docker's first year. Builds that are reproducible have 0001, 1970 or 1980. */
const earliest = Date.UTC(2013, 0, 1)

/** How deep indexes in indexes are followed. */
const maxDepth = 8

/**
 * Returns when a manifest was made, in milliseconds, as of `now`: nothing where that is not known.
 * An index is as old as its newest image, and of unknown age where that of an image is.
 */
export const make = (reads: Reads, now: number) => {
  const created = new Map<Digest, number | undefined>()
  /** Several rules ask for the age of one image, and images can share a configuration. */
  const createdOf = Effect.fnUntraced(function* (config: Descriptor) {
    if (!created.has(config.digest)) {
      const bytes = Option.getOrUndefined(yield* reads.config(config))
      created.set(config.digest, bytes && createdIn(bytes))
    }
    return created.get(config.digest)
  })
  const dateOf = (digest: Digest, depth = 0): Effect.Effect<number | undefined, AgeError> =>
    Effect.gen(function* () {
      const manifest = Option.getOrUndefined(yield* reads.manifest(digest))
      if (manifest === undefined) return undefined
      const { content } = manifest
      const own = annotationOf(manifest)
      if (content._tag === "ImageManifest") {
        if (!MediaType.isImageConfig(content.config.mediaType)) return newest([own], now)
        return newest([own, yield* createdOf(content.config)], now)
      }
      if (content._tag === "UnknownManifest" || depth === maxDepth) return undefined
      const images = content.manifests.filter(
        ({ annotations, platform }) =>
          platform?.os !== "unknown" && annotations?.[Annotations.referenceType] === undefined
      )
      const present: Array<number | undefined> = []
      for (const { digest } of images)
        if (Option.isSome(yield* reads.manifest(digest)))
          present.push(yield* dateOf(digest, depth + 1))
      const dates = present.filter((date) => date !== undefined)
      if (dates.length < present.length) return undefined
      return newest([own, ...dates], now)
    })
  return (digest: Digest) => dateOf(digest)
}

type AgeError =
  | Effect.Effect.Error<ReturnType<Reads["manifest"]>>
  | Effect.Effect.Error<ReturnType<Reads["config"]>>

/** The newest of some dates that mean anything: one in the future makes all of them doubtful. */
const newest = (dates: ReadonlyArray<number | undefined>, now: number): number | undefined => {
  const known = dates.filter((date) => date !== undefined && date >= earliest)
  const date = Math.max(...known.map(Number))
  return known.length > 0 && date <= now ? date : undefined
}

const annotationOf = ({ content }: Manifest): number | undefined =>
  content._tag === "UnknownManifest"
    ? undefined
    : parsed(content.annotations?.[Annotations.created])

const createdIn = (config: Uint8Array): number | undefined => {
  const document = Either.getOrUndefined(JsonText.parseBytes(config))
  return typeof document === "object" && document !== null && "created" in document
    ? parsed(document.created)
    : undefined
}

/** RFC 3339 as far as a date needs it: other texts mean what the engine likes. */
const parsed = (text: unknown): number | undefined =>
  typeof text === "string" && /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d/.test(text)
    ? Date.parse(text)
    : undefined
