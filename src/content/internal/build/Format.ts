/**
 * The two families of media types, OCI's and Docker's: an image is of one of them as a whole, since
 * registries and runtimes refuse mixtures (S28).
 */
import type * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import { escaped } from "../../../spec/internal/ServerText.js"
import * as MediaType from "../../../spec/MediaType.js"
import { InvalidImage } from "./InvalidImage.js"
import type { Algorithm, Format } from "./Recipe.js"

/** The media types of a family. */
export const types = {
  oci: {
    manifest: MediaType.imageManifest,
    index: MediaType.imageIndex,
    config: MediaType.imageConfig
  },
  docker: {
    manifest: MediaType.dockerManifest,
    index: MediaType.dockerManifestList,
    config: MediaType.dockerImageConfig
  }
} as const

/** Returns the family that a manifest or an index is of. */
export const of = ({ mediaType }: Descriptor): Format =>
  docker.some((known) => MediaType.equals(known, mediaType)) ? "docker" : "oci"

const docker = [
  MediaType.dockerManifest,
  MediaType.dockerManifestList,
  MediaType.dockerSchema1,
  MediaType.dockerSchema1Signed
]

/** The types of layers that say the same: compression, OCI's, Docker's. */
const layers: ReadonlyArray<readonly [Algorithm, oci: string, docker: string | undefined]> = [
  ["none", MediaType.layerTar, MediaType.dockerLayerTar],
  ["gzip", MediaType.layerTarGzip, MediaType.dockerLayerTarGzip],
  ["zstd", MediaType.layerTarZstd, undefined],
  ["none", MediaType.nonDistributableLayerTar, undefined],
  ["gzip", MediaType.nonDistributableLayerTarGzip, MediaType.dockerForeignLayerTarGzip],
  ["zstd", MediaType.nonDistributableLayerTarZstd, undefined]
]

/** What some programs write for zstd under Docker's types. */
const dockerZstd = `${MediaType.dockerLayerTar}.zstd`

const rowOf = (mediaType: string) =>
  layers.find(([, oci, docker = dockerZstd]) =>
    [oci, docker].some((known) => MediaType.equals(known, mediaType))
  )

/** Returns how a layer of a type is compressed, if its type is known. */
export const algorithmOf = (mediaType: string): Algorithm | undefined => rowOf(mediaType)?.[0]

/** Returns the type of new layers. */
export const newLayer = (algorithm: Algorithm): string =>
  layers.find(([known]) => known === algorithm)?.[1] ?? MediaType.layerTar

/**
 * Returns a layer as manifests of the family have it, or what is wrong with it. Docker's have
 * nothing that OCI has added.
 */
export const layer = (descriptor: Descriptor, format: Format): Descriptor | InvalidImage => {
  const { annotations: _, artifactType: __, data: ___, platform: ____, ...kept } = descriptor
  const { digest, mediaType } = kept
  const [algorithm, oci, docker] = rowOf(mediaType) ?? []
  // What OCI does not know is for others to read (an encrypted layer, say).
  if (format === "oci") return { ...descriptor, mediaType: oci ?? mediaType }
  if (docker === undefined)
    return new InvalidImage({
      reason: "Format",
      path: `layer ${digest}`,
      problem:
        `is ${escaped(mediaType.slice(0, 128))}, which has no place in a Docker manifest: ` +
        (algorithm === undefined || MediaType.isNonDistributable(mediaType)
          ? 'build it with format: "oci"'
          : 'build it with recompress: "gzip", or with format: "oci"')
    })
  return { ...kept, mediaType: docker }
}

/** Returns annotations of a layer without those of the form that it was compressed in (S25). */
export const withoutForm = (annotations: Annotations.Annotations): Annotations.Annotations =>
  Object.fromEntries(
    Object.entries(annotations).filter(([key]) => !ofForm.some((prefix) => key.startsWith(prefix)))
  )

const ofForm = [
  "containerd.io/snapshot/stargz/",
  "io.containers.estargz.",
  "io.github.containers.zstd-chunked."
]
