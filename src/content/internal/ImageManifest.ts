/** The manifest of one image or artifact that a reference leads to, through an index if need be. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../Registry.js"
import { LimitExceeded, MediaTypeMismatch } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Reference from "../../spec/Reference.js"
import * as IndexChoices from "./IndexChoices.js"

/**
 * Gets what a reference stands for, `root`, and the manifest in it that is one of an image. Fails
 * with `MediaTypeMismatch`, which has the choices of an index, where there is none.
 */
export const find = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  options: IndexChoices.Options = {}
) {
  const { repository } = reference
  const root = yield* registry.getManifest(repository, Reference.tagOrDigest(reference))
  const isChosen = options.platform !== undefined || options.artifactType !== undefined
  const manifests =
    root.content._tag !== "ImageIndex"
      ? []
      : isChosen
        ? yield* leaves(registry, repository, root.content, new Set([root.descriptor.digest]))
        : root.content.manifests
  const chosen = isChosen ? IndexChoices.choose(manifests, options) : undefined
  const manifest: Manifest.Manifest =
    chosen === undefined ? root : yield* registry.getManifest(repository, chosen.digest)
  const { content, descriptor } = manifest
  if (content._tag !== "ImageManifest")
    return yield* new MediaTypeMismatch({
      manifest: Reference.format(reference),
      expected: MediaType.imageManifest,
      actual: descriptor.mediaType,
      ...(content._tag === "ImageIndex" && IndexChoices.describe(reference, manifests, options))
    })
  return { root, manifest, content }
})

/**
 * Returns the manifests of an index in order, with those of the indexes in it in their places. Each
 * index is got once. Fails with `LimitExceeded` where there are too many (T6).
 */
const leaves = (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  { manifests }: Manifest.ImageIndex,
  got: Set<string>
): Effect.Effect<ReadonlyArray<Descriptor>, Registry.GetManifestError> =>
  Effect.map(
    Effect.forEach(manifests, (descriptor) =>
      Effect.gen(function* () {
        if (!MediaType.isIndex(descriptor.mediaType)) return [descriptor]
        if (got.has(descriptor.digest)) return []
        if (got.size > maxIndexes)
          return yield* new LimitExceeded({ what: "The indexes in an index", limit: maxIndexes })
        got.add(descriptor.digest)
        const { content } = yield* registry.getManifest(repository, descriptor.digest)
        return content._tag === "ImageIndex"
          ? yield* leaves(registry, repository, content, got)
          : []
      })
    ),
    (found) => found.flat()
  )

const maxIndexes = 32
