/** The names of images in archives: tags, and full references. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Annotations from "../../../spec/Annotations.js"
import type { Digest } from "../../../spec/Digest.js"
import * as Reference from "../../../spec/Reference.js"
import { InvalidArchive } from "./InvalidArchive.js"

/** A name as it goes into an archive. A tag alone has no reference. */
export interface Name {
  readonly tag: Reference.Tag
  readonly reference?: string
}

/** Parses the names that an image is to have, each once. */
export const parse = (
  names: Iterable<string>
): Effect.Effect<ReadonlyArray<Name>, Reference.InvalidReference> =>
  Effect.forEach(new Set(names), (name) =>
    Reference.isTag(name) ? Effect.succeed({ tag: name }) : Effect.map(Reference.parse(name), named)
  )

const latest = Reference.unsafeParseTag("latest")

const named = (reference: Reference.Reference): Name => {
  const tag = Option.getOrElse(reference.tag, () => latest)
  return { tag, reference: Reference.format(Reference.withTag(reference, tag)) }
}

/** The text of a name. Of a tag alone it is the tag, or in the repository that is given. */
export const format = ({ reference, tag }: Name, repository?: string): string =>
  reference ?? (repository === undefined ? tag : `${repository}:${tag}`)

/**
 * Fails where two images are to have one name: a reader would find one of them, and the other one
 * would be lost without a word (S12).
 */
export const checkDistinct = (
  images: ReadonlyArray<{ readonly digest: Digest; readonly names: ReadonlyArray<string> }>
): Effect.Effect<void, InvalidArchive> => {
  const known = new Map<string, Digest>()
  for (const { digest, names } of images)
    for (const name of names) {
      const other = known.get(name)
      if (other !== undefined && other !== digest)
        return Effect.fail(
          new InvalidArchive({
            reason: "Names",
            archive: "The archive",
            problem: `would have two images of the name ${name}: ${other} and ${digest}`
          })
        )
      known.set(name, digest)
    }
  return Effect.void
}

/**
 * The annotations of a name: the tag, and beside it the full reference, as BuildKit and containerd
 * have them; `isAlone` says whether no other image of the archive has the same tag, which would
 * then lead to neither of them.
 */
export const annotationsOf = (
  { reference, tag }: Name,
  isAlone: boolean
): Annotations.Annotations =>
  reference === undefined
    ? { [Annotations.refName]: tag }
    : { [Annotations.refName]: isAlone ? tag : reference, [Annotations.imageName]: reference }
