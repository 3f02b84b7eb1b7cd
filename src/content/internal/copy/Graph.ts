/**
 * What content is made of, and what of it is copied: pure, so that every decision about a graph is
 * this file and its table of tests.
 */

import { isAttestation } from "../../../internal/IndexChoices.js"
import * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as PlatformMatch from "../../../spec/internal/PlatformMatch.js"
import type * as Manifest from "../../../spec/Manifest.js"
import * as Platform from "../../../spec/Platform.js"

/** What a registry knows some content as. */
export type Kind = "manifest" | "blob"

/** Some content of a repository. */
export interface Node {
  readonly kind: Kind
  readonly descriptor: Descriptor
}

/** Names a node among all of a copy. A manifest is another node than a blob of the same bytes. */
export const idOf = ({ descriptor, kind }: Node): string => `${kind} ${descriptor.digest}`

/**
 * Returns what an entry of an index is: its type decides. The caches of BuildKit have layers and a
 * config among them, which no registry has as manifests (CP15).
 */
export const entry = (descriptor: Descriptor): Node => ({
  kind: ManifestMediaType.isManifest(descriptor.mediaType) ? "manifest" : "blob",
  descriptor
})

/** Returns content that registries have as a blob. */
export const blob = (descriptor: Descriptor): Node => ({ kind: "blob", descriptor })

/** What of a manifest is copied, and what of it is left out. */
export interface Children {
  readonly kept: ReadonlyArray<Node>
  /** The entries of an index that are for other platforms. */
  readonly omitted: ReadonlyArray<Descriptor>
  /** The platforms that are asked for, and which the index has nothing for. */
  readonly lacking: ReadonlyArray<Platform.Platform>
}

/** Returns the parts of a manifest, each once, of an index those for some platforms alone. */
export const children = (
  { content }: Manifest.Manifest,
  platforms: ReadonlyArray<Platform.Platform> | undefined
): Children => {
  switch (content._tag) {
    case "ImageManifest":
      return { ...whole, kept: distinct([content.config, ...content.layers].map(blob)) }
    case "ImageIndex": {
      if (platforms === undefined) return { ...whole, kept: distinct(content.manifests.map(entry)) }
      const { kept, lacking, omitted } = subset(content.manifests, platforms)
      return { kept: distinct(kept.map(entry)), omitted, lacking }
    }
    case "UnknownManifest":
      return whole
  }
}

const whole: Children = { kept: [], omitted: [], lacking: [] }

const distinct = (nodes: ReadonlyArray<Node>): ReadonlyArray<Node> => [
  ...new Map(nodes.map((node) => [idOf(node), node])).values()
]

/**
 * Returns the entries of an index that are for some platforms. What does not say what it is for is
 * kept, indexes within the index among it; what is attested goes along with its attestations
 * (CP19).
 */
export const subset = (
  entries: ReadonlyArray<Descriptor>,
  platforms: ReadonlyArray<Platform.Platform>
): {
  readonly kept: ReadonlyArray<Descriptor>
  readonly omitted: ReadonlyArray<Descriptor>
  readonly lacking: ReadonlyArray<Platform.Platform>
} => {
  const named = entries.filter((entry) => !isAttestation(entry) && entry.platform !== undefined)
  const isFor = (wanted: Platform.Platform) => (entry: Descriptor) =>
    entry.platform !== undefined && isWithin(entry.platform, wanted)
  const wanted = new Set(named.filter((entry) => platforms.some((one) => isFor(one)(entry))))
  const digests = new Set([...wanted].map(({ digest }) => digest as string))
  const isKept = (entry: Descriptor): boolean => {
    if (isAttestation(entry)) {
      const subject = entry.annotations?.[Annotations.referenceDigest]
      return subject !== undefined && digests.has(subject)
    }
    return entry.platform === undefined || wanted.has(entry)
  }
  return {
    kept: entries.filter(isKept),
    omitted: entries.filter((entry) => !isKept(entry)),
    // What does not say what it is for may be for any of them.
    lacking: entries.some((entry) => entry.platform === undefined)
      ? []
      : platforms.filter((platform) => !named.some(isFor(platform)))
  }
}

/** Whether an entry is for a platform, of which only what is named has to be the same. */
const isWithin = (offered: Platform.Platform, wanted: Platform.Platform): boolean =>
  offered.os === wanted.os &&
  offered.architecture === wanted.architecture &&
  (!wanted.variant || PlatformMatch.variantOf(offered) === PlatformMatch.variantOf(wanted)) &&
  (!wanted["os.version"] || offered["os.version"] === wanted["os.version"])

/** Names an entry of an index for people. */
export const nameOf = (entry: Descriptor): string =>
  isAttestation(entry)
    ? `the attestation ${entry.digest}`
    : entry.platform === undefined
      ? entry.digest
      : Platform.format(entry.platform)
