/** What an index offers to somebody who wanted one artifact. */
import * as Annotations from "../spec/Annotations.js"
import type { Descriptor } from "../spec/Descriptor.js"
import { plain } from "../spec/internal/ServerText.js"
import type { MediaTypeMismatch } from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import * as Platform from "../spec/Platform.js"

/**
 * Returns the first of the manifests of an index, with what tells each of them from the others and
 * the reference to it by digest in a repository, such as `ghcr.io/owner/name`, and how many there
 * are besides. Attestations, which BuildKit adds for a platform `unknown/unknown`, are left out
 * where there is anything else.
 */
export const describe = (
  repository: string,
  manifests: ReadonlyArray<Descriptor>,
  options: Options = {}
): Pick<MediaTypeMismatch, "choices" | "more" | "option" | "platform"> => {
  const named = manifests.filter((descriptor) => !isAttestation(descriptor))
  const offered = named.length === 0 ? manifests : named
  const choices = offered.slice(0, shown).map((descriptor) => ({
    name: plain(nameOf(descriptor), longest),
    reference: `${repository}@${descriptor.digest}`
  }))
  const wanted = platformsOf(options).map(nameOfPlatform).join(", ")
  return {
    choices,
    ...(offered.length > shown && { more: offered.length - shown }),
    ...(wanted !== ""
      ? { platform: plain(wanted, longest) }
      : named.some(({ platform }) => platform !== undefined) && { option: "platform" as const })
  }
}

/** Says which manifest of an index is wanted. */
export interface Options {
  readonly platform?: Platform.Platform | ReadonlyArray<Platform.Platform> | undefined
  readonly artifactType?: string | undefined
}

/**
 * Returns the manifest that is wanted: of those with the type of artifact, if one is wanted, the
 * best for the platform, or the first where no platform is wanted.
 */
export const choose = (
  manifests: ReadonlyArray<Descriptor>,
  options: Options
): Descriptor | undefined => {
  const { artifactType } = options
  const images = manifests.filter(
    (descriptor) =>
      !isAttestation(descriptor) &&
      // Where the index does not say it, the manifest will.
      (artifactType === undefined ||
        MediaType.equals(descriptor.artifactType ?? artifactType, artifactType))
  )
  return options.platform === undefined
    ? images.find((descriptor) => descriptor.artifactType !== undefined)
    : Platform.rank(images, platformsOf(options))[0]
}

/** Returns the manifests whose types an index does not say. */
export const untyped = (manifests: ReadonlyArray<Descriptor>): ReadonlyArray<Descriptor> =>
  manifests.filter(
    (descriptor) => descriptor.artifactType === undefined && !isAttestation(descriptor)
  )

/** Returns the images whose platforms an index does not say. */
export const unnamed = (manifests: ReadonlyArray<Descriptor>): ReadonlyArray<Descriptor> =>
  manifests.filter(
    (descriptor) =>
      descriptor.platform === undefined &&
      MediaType.isImageManifest(descriptor.mediaType) &&
      !isAttestation(descriptor)
  )

const platformsOf = ({ platform }: Options): ReadonlyArray<Platform.Platform> =>
  platform === undefined ? [] : "os" in platform ? [platform] : platform

/** Whether an entry is what BuildKit adds beside an image (trap 37). */
export const isAttestation = ({ annotations, platform }: Descriptor): boolean =>
  platform?.os === "unknown" || annotations?.[Annotations.referenceType] === "attestation-manifest"

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
