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
export const describe = (
  reference: Reference.Reference,
  { manifests }: ImageIndex,
  options: { readonly platform?: Platform.Platform | undefined } = {}
): Pick<MediaTypeMismatch, "choices" | "more" | "platform"> => {
  const named = manifests.filter(({ platform }) => platform?.os !== "unknown")
  const offered = named.length === 0 ? manifests : named
  const choices = offered.slice(0, shown).map((descriptor) => ({
    name: plain(nameOf(descriptor), longest),
    reference: Reference.format(Reference.withDigest(reference, descriptor.digest))
  }))
  const { platform } = options
  return {
    choices,
    ...(offered.length > shown && { more: offered.length - shown }),
    ...(platform !== undefined && { platform: plain(nameOfPlatform(platform), longest) })
  }
}

/**
 * Returns the manifest of an index for a platform: of several, that of the usual variant of the
 * architecture where none is asked for, or else the first.
 */
export const choose = (
  { manifests }: ImageIndex,
  wanted: Platform.Platform
): Descriptor | undefined => {
  const variant = wanted.variant ?? usual[wanted.architecture]
  const fitting = manifests.filter(
    ({ platform }) =>
      platform !== undefined &&
      platform.os === wanted.os &&
      platform.architecture === wanted.architecture &&
      (wanted["os.version"] === undefined || platform["os.version"] === wanted["os.version"])
  )
  const exact = fitting.find(
    ({ platform }) => (platform?.variant ?? usual[wanted.architecture]) === variant
  )
  return exact ?? (wanted.variant === undefined ? fitting[0] : undefined)
}

/** What no variant stands for, as in containerd. */
const usual: Readonly<Record<string, string>> = { amd64: "v1", arm: "v7", arm64: "v8" }

const nameOf = ({ annotations, artifactType, mediaType, platform }: Descriptor): string => {
  if (platform === undefined) return artifactType ?? annotations?.[Annotations.title] ?? mediaType
  return nameOfPlatform(platform)
}

const nameOfPlatform = (platform: Platform.Platform): string => {
  const version = platform["os.version"]
  return `${Platform.format(platform)}${version === undefined ? "" : ` ${version}`}`
}

const shown = 8
const longest = 64
