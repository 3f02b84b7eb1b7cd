/** What an index offers to somebody who wanted one artifact. */
import * as Annotations from "../../spec/Annotations.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import { plain } from "../../spec/internal/ServerText.js"
import type { ImageIndex, MediaTypeMismatch } from "../../spec/Manifest.js"
import * as Platform from "../../spec/Platform.js"
import * as Reference from "../../spec/Reference.js"

/**
 * Returns the first manifests of an index, with what tells each of them from the others and the
 * reference to it by digest, and how many there are besides. Attestations, which BuildKit adds for
 * a platform `unknown/unknown`, are left out where there is anything else.
 */
export const choicesOf = (
  reference: Reference.Reference,
  { manifests }: ImageIndex
): Pick<MediaTypeMismatch, "choices" | "more"> => {
  const named = manifests.filter(({ platform }) => platform?.os !== "unknown")
  const offered = named.length === 0 ? manifests : named
  const choices = offered.slice(0, shown).map((descriptor) => ({
    name: plain(nameOf(descriptor), longest),
    reference: Reference.format(Reference.withDigest(reference, descriptor.digest))
  }))
  return offered.length > shown ? { choices, more: offered.length - shown } : { choices }
}

const nameOf = ({ annotations, artifactType, mediaType, platform }: Descriptor): string => {
  if (platform === undefined) return artifactType ?? annotations?.[Annotations.title] ?? mediaType
  const version = platform["os.version"]
  return `${Platform.format(platform)}${version === undefined ? "" : ` ${version}`}`
}

const shown = 8
const longest = 64
