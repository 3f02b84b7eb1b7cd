/**
 * The referrers of a manifest where the registry does not keep them: an image index under a tag
 * made of the subject's digest, read and written by clients (C71 to C81).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { InvalidManifest } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as IndexEdit from "../../spec/internal/IndexEdit.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"

/**
 * Whether what is under the referrers tag is the subject itself, which is not its list of
 * referrers: GitLab takes the tag for the digest (quirks §4).
 */
export const isSubject = (bytes: Uint8Array, subject: Digest.Digest): boolean => {
  const algorithm = Digest.algorithm(subject)
  return (
    (algorithm === "sha256" || algorithm === "sha512") &&
    Digest.fromBytes(bytes, algorithm) === subject
  )
}

/** Whether the referrers tag lacks some of the digest, and can be that of another subject (C79). */
export const isCut = (subject: Digest.Digest): boolean =>
  Digest.algorithm(subject).length > 32 || Digest.encoded(subject).length > 64

/**
 * Returns the list that a manifest under the referrers tag is: none where it is something other
 * than an OCI image index (C89).
 */
export const index = ({
  content,
  descriptor
}: Manifest.Manifest): Option.Option<Manifest.ImageIndex> =>
  content._tag === "ImageIndex" && MediaType.equals(descriptor.mediaType, MediaType.imageIndex)
    ? Option.some(content)
    : Option.none()

/** A change of a list: a referrer that it has to have, or one that it must not have. */
export type Change =
  | { readonly _tag: "Add"; readonly referrer: Descriptor }
  | { readonly _tag: "Remove"; readonly digest: Digest.Digest }

/** The referrer that a change is about. */
export const digestOf = (change: Change): Digest.Digest =>
  change._tag === "Add" ? change.referrer.digest : change.digest

/**
 * Returns the index to put after some changes, or none if nothing changes (C76). What the index has
 * besides is kept: annotations, artifact type, and what is not known of it or of other entries. The
 * entry of a referrer that it has already is corrected where it says something else (CP10).
 *
 * Fails with `InvalidManifest` when the tag holds something other than an OCI image index, which is
 * not to be replaced (C74), and when an entry of it could not be read.
 */
export const changed = Effect.fnUntraced(function* (
  found: Option.Option<Manifest.Manifest>,
  changes: Iterable<Change>
): Effect.fn.Return<Option.Option<Manifest.Manifest>, InvalidManifest> {
  if (Option.isNone(found)) {
    const manifests = Array.from(changes).flatMap((change) =>
      change._tag === "Add" ? [change.referrer] : []
    )
    return manifests.length === 0 ? Option.none() : Option.some(Manifest.index({ manifests }))
  }
  const list = Option.getOrUndefined(index(found.value))
  if (list === undefined)
    return yield* unchanged(
      `holds a manifest of type ${ServerText.quoted(found.value.descriptor.mediaType)} ` +
        "instead of an OCI image index"
    )
  const [skipped] = list.skipped ?? []
  if (skipped !== undefined)
    return yield* unchanged(`has an entry that cannot be read (${skipped.message})`)
  let changed = found.value
  for (const change of changes)
    changed =
      change._tag === "Add"
        ? yield* IndexEdit.withEntry(changed, change.referrer)
        : yield* IndexEdit.withoutEntry(changed, change.digest)
  return changed === found.value ? Option.none() : Option.some(changed)
})

const unchanged = (problem: string): InvalidManifest =>
  new InvalidManifest({ reason: "Shape", message: `it ${problem}: it was left as it is` })
