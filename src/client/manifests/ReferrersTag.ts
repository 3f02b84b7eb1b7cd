/**
 * The referrers of a manifest where the registry does not keep them: an image index under a tag
 * made of the subject's digest, read and written by clients (C71 to C81).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { InvalidManifest } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import type { Tag } from "../../spec/Reference.js"

/**
 * The tag under which the referrers of `subject` are listed: the algorithm cut at 32 characters and
 * the encoded part at 64, with `-` for what a tag cannot hold (C79). What an algorithm may begin
 * with, a tag may begin with as well.
 */
export const referrersTag = (subject: Digest.Digest): Tag =>
  `${Digest.algorithm(subject).slice(0, 32)}-${Digest.encoded(subject).slice(0, 64)}`.replace(
    /[^a-zA-Z0-9._-]/g,
    "-"
  ) as Tag

/**
 * What a referrers tag lists: nothing where the tag is missing or holds something else than an
 * image index (C75, C89).
 */
export const listed = (found: Option.Option<Manifest.Manifest>): ReadonlyArray<Descriptor> =>
  Option.match(found, {
    onNone: () => [],
    onSome: ({ content }) => (content._tag === "ImageIndex" ? content.manifests : [])
  })

/**
 * The index to push after a change of the list, or none if nothing changed (C76). Fails with
 * `InvalidManifest` when the tag holds something else than an image index, which is not to be
 * overwritten (C74).
 */
export const changed = (
  tag: Tag,
  found: Option.Option<Manifest.Manifest>,
  change: (listed: ReadonlyArray<Descriptor>) => ReadonlyArray<Descriptor>
): Effect.Effect<Option.Option<Manifest.Manifest>, InvalidManifest> => {
  if (Option.isSome(found) && found.value.content._tag !== "ImageIndex")
    return Effect.fail(
      new InvalidManifest({
        reason: "Shape",
        message: `The referrers tag ${tag} holds a manifest of type ${found.value.descriptor.mediaType} instead of an image index: it was left as it is`
      })
    )
  const before = listed(found)
  const after = change(before)
  return Effect.succeed(
    after === before ? Option.none() : Option.some(Manifest.index({ manifests: after }))
  )
}

/** The list with one more referrer, or the same list if it is there already. */
export const withReferrer =
  (referrer: Descriptor) =>
  (listed: ReadonlyArray<Descriptor>): ReadonlyArray<Descriptor> =>
    listed.some(({ digest }) => digest === referrer.digest) ? listed : [...listed, referrer]

/** The list without a referrer, or the same list if it is not there. */
export const withoutReferrer =
  (referrer: Digest.Digest) =>
  (listed: ReadonlyArray<Descriptor>): ReadonlyArray<Descriptor> =>
    listed.some(({ digest }) => digest === referrer)
      ? listed.filter(({ digest }) => digest !== referrer)
      : listed
