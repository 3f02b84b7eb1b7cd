/** Graphs of content to copy, and what has come of them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import * as Annotations from "../../src/spec/Annotations.js"
import type * as Descriptor from "../../src/spec/Descriptor.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import { freshBytes } from "./fixtures.js"

export const repository = Reference.unsafeParseRepositoryName("team/app")
export const mirror = Reference.unsafeParseRepositoryName("mirror/app")
export const v1 = Reference.unsafeParseTag("v1")
export const v2 = Reference.unsafeParseTag("v2")

/** Puts a blob, and returns its descriptor. */
export const blob = (
  registry: Registry.Service,
  mediaType: string,
  bytes: Uint8Array = freshBytes("blob"),
  name = repository
) => registry.putBlob(name, BlobSource.fromBytes(bytes), { mediaType })

/** Puts an image with a config of its own and these layers, by digest. */
export const image = Effect.fnUntraced(function* (
  registry: Registry.Service,
  layers: ReadonlyArray<Descriptor.Descriptor>,
  options: Partial<Parameters<typeof Manifest.image>[0]> = {},
  name = repository
) {
  const config = yield* blob(registry, MediaType.imageConfig, freshBytes("config"), name)
  const manifest = Manifest.image({ config, layers, ...options })
  yield* registry.putManifest(name, manifest)
  return manifest
})

/**
 * Puts an index under `v1`: an image for each platform, which share a layer and have one of their
 * own, and an attestation for each, as BuildKit adds them.
 */
export const platforms = Effect.fnUntraced(function* (
  registry: Registry.Service,
  names: ReadonlyArray<string>
) {
  const shared = yield* blob(registry, MediaType.layerTarGzip, freshBytes("shared"))
  const manifests: Array<Descriptor.Descriptor> = []
  for (const name of names) {
    const own = yield* blob(registry, MediaType.layerTarGzip, freshBytes(name))
    const { descriptor } = yield* image(registry, [shared, own])
    manifests.push({ ...descriptor, platform: Platform.unsafeParse(name) })
  }
  for (const { digest } of [...manifests]) {
    const statement = yield* blob(registry, "application/vnd.in-toto+json")
    const { descriptor } = yield* image(registry, [statement])
    manifests.push({
      ...descriptor,
      platform: Platform.unsafeParse("unknown/unknown"),
      annotations: {
        [Annotations.referenceType]: "attestation-manifest",
        [Annotations.referenceDigest]: digest
      }
    })
  }
  const index = Manifest.index({ manifests })
  yield* registry.putManifest(repository, index, { tags: [v1] })
  return { index, manifests, shared }
})

/** A registry whose operations are counted, by name. */
export const counted = (registry: Registry.Service) => {
  const log: Array<string> = []
  return {
    log,
    count: (name: string) => log.filter((line) => line.startsWith(`${name} `)).length,
    registry: ComposedRegistry.observed(registry, {
      host: "registry.test",
      onOperation: ({ digest, name, reference }) =>
        Effect.sync(() => log.push(`${name} ${reference ?? digest ?? ""}`))
    })
  }
}

/**
 * Names what of a graph a repository lacks, or has other bytes for than the source: nothing where
 * all is there.
 */
export const lacking = (
  source: Registry.Service,
  target: Registry.Service,
  digest: Descriptor.Descriptor["digest"],
  places: { readonly from?: Reference.RepositoryName; readonly to?: Reference.RepositoryName } = {}
): Effect.Effect<ReadonlyArray<string>, Registry.GetManifestError | Registry.GetBlobError> =>
  Effect.gen(function* () {
    const { from = repository, to = repository } = places
    const manifest = yield* source.getManifest(from, digest)
    const found = yield* Effect.option(target.getManifest(to, digest))
    if (Option.isNone(found)) return [`manifest ${digest}`]
    if (Buffer.compare(found.value.bytes, manifest.bytes) !== 0) return [`bytes of ${digest}`]
    const parts = yield* Effect.forEach(Manifest.references(manifest), (part) =>
      manifest.content._tag === "ImageIndex" && !part.mediaType.includes("layer")
        ? lacking(source, target, part.digest, places)
        : MediaType.isNonDistributable(part.mediaType)
          ? Effect.succeed([])
          : Effect.gen(function* () {
              const bytes = yield* source.getBlobBytes(from, part.digest)
              const copy = yield* Effect.option(target.getBlobBytes(to, part.digest))
              return Option.isSome(copy) && Buffer.compare(bytes, copy.value) === 0
                ? []
                : [`blob ${part.digest}`]
            })
    )
    return parts.flat()
  })
