/** The manifest of one image or artifact that a reference leads to, through an index if need be. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../Registry.js"
import { MediaTypeMismatch } from "../../RegistryError.js"
import type * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type * as Platform from "../../spec/Platform.js"
import * as Reference from "../../spec/Reference.js"
import * as IndexChoices from "./IndexChoices.js"

/** Says which one of an index. */
export interface Options {
  readonly platform?: Platform.Platform | undefined
}

/**
 * Gets what a reference stands for, `root`, and the manifest in it that is one of an image. Fails
 * with `MediaTypeMismatch`, which has the choices of an index, where there is none.
 */
export const find = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  options?: Options
) {
  const { repository } = reference
  const root = yield* registry.getManifest(repository, Reference.tagOrDigest(reference))
  const chosen =
    options?.platform === undefined || root.content._tag !== "ImageIndex"
      ? undefined
      : IndexChoices.choose(root.content, options.platform)
  const manifest: Manifest.Manifest =
    chosen === undefined ? root : yield* registry.getManifest(repository, chosen.digest)
  const { content, descriptor } = manifest
  if (content._tag !== "ImageManifest")
    return yield* new MediaTypeMismatch({
      manifest: Reference.format(reference),
      expected: MediaType.imageManifest,
      actual: descriptor.mediaType,
      ...(content._tag === "ImageIndex" && IndexChoices.describe(reference, content, options))
    })
  return { root, manifest, content }
})
