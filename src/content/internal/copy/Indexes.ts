/** Indexes of which a part is copied. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as IndexChoices from "../../../internal/IndexChoices.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as IndexEdit from "../../../spec/internal/IndexEdit.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as Platform from "../../../spec/Platform.js"
import type * as Graph from "./Graph.js"

/** Returns the error of an index of a repository that has nothing for some platforms. */
export const lacking = (
  repository: string,
  { content, descriptor }: Manifest.Manifest,
  platform: ReadonlyArray<Platform.Platform>
): Manifest.MediaTypeMismatch =>
  new Manifest.MediaTypeMismatch({
    manifest: `${repository}@${descriptor.digest}`,
    expected: MediaType.imageManifest,
    actual: descriptor.mediaType,
    ...IndexChoices.describe(repository, content._tag === "ImageIndex" ? content.manifests : [], {
      platform
    })
  })

/** Says what the entry of an index is that the source does not have. */
export const listed = (index: Descriptor, entry: Descriptor): string => {
  const as = IndexChoices.isAttestation(entry)
    ? " as an attestation"
    : entry.platform === undefined
      ? ""
      : ` for ${Platform.format(entry.platform)}`
  return (
    `The index ${index.digest} lists it${as}: with the option missing: "skip" it is copied ` +
    "without what is not there"
  )
}

/** What has become of a part of an index. */
export interface Part {
  readonly descriptor: Descriptor
  readonly isMissing: boolean
}

/**
 * Returns an index with those of its entries alone that are kept and not missing, and with the
 * digests that they have now. All else of it stays as it is. Where nothing is another, that is the
 * index itself.
 */
export const rewritten = (
  index: Manifest.Manifest,
  kept: ReadonlyArray<Graph.Node>,
  parts: ReadonlyArray<Part>
): Effect.Effect<Manifest.Manifest, Manifest.InvalidManifest> => {
  const now = new Map<unknown, Descriptor>(
    kept.flatMap(({ descriptor }, n) => {
      const part = parts[n]
      return part === undefined || part.isMissing ? [] : [[descriptor.digest, part.descriptor]]
    })
  )
  let isChanged = false
  const changed = IndexEdit.withEntries(index, (entries) =>
    entries.flatMap((entry) => {
      if (!Predicate.isRecord(entry)) return [entry]
      const part = now.get(entry["digest"])
      isChanged ||= part?.digest !== entry["digest"]
      if (part === undefined) return []
      return [
        part.digest === entry["digest"] ? entry : { ...entry, digest: part.digest, size: part.size }
      ]
    })
  )
  return Effect.map(changed, (manifest) => (isChanged ? manifest : index))
}
