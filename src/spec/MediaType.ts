/**
 * The media types of the OCI image specification and of Docker's formats, and the few questions
 * asked of them. A media type is a plain string: unknown ones are never an error. Types are
 * compared without regard to case.
 *
 * @since 0.1.0
 */

/**
 * A content descriptor on its own.
 *
 * @since 0.1.0
 * @category OCI
 */
export const descriptor = "application/vnd.oci.descriptor.v1+json"

/**
 * The `oci-layout` file of an image layout.
 *
 * @since 0.1.0
 * @category OCI
 */
export const layoutHeader = "application/vnd.oci.layout.header.v1+json"

/**
 * An OCI image index.
 *
 * @since 0.1.0
 * @category OCI
 */
export const imageIndex = "application/vnd.oci.image.index.v1+json"

/**
 * An OCI image manifest.
 *
 * @since 0.1.0
 * @category OCI
 */
export const imageManifest = "application/vnd.oci.image.manifest.v1+json"

/**
 * An OCI image configuration.
 *
 * @since 0.1.0
 * @category OCI
 */
export const imageConfig = "application/vnd.oci.image.config.v1+json"

/**
 * Bytes of any kind (RFC 2046 §4.5.1): what uploads are sent as, and what a blob is to a registry
 * ([POST then
 * PUT](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#post-then-put)).
 *
 * @since 0.1.0
 * @category OCI
 */
export const octetStream = "application/octet-stream"

/**
 * The content `{}`, which stands where a descriptor is required and there is nothing to describe.
 *
 * @since 0.1.0
 * @category OCI
 */
export const empty = "application/vnd.oci.empty.v1+json"

/**
 * A layer as a tar archive.
 *
 * @since 0.1.0
 * @category OCI
 */
export const layerTar = "application/vnd.oci.image.layer.v1.tar"

/**
 * A layer as a tar archive compressed with gzip.
 *
 * @since 0.1.0
 * @category OCI
 */
export const layerTarGzip = "application/vnd.oci.image.layer.v1.tar+gzip"

/**
 * A layer as a tar archive compressed with zstd.
 *
 * @since 0.1.0
 * @category OCI
 */
export const layerTarZstd = "application/vnd.oci.image.layer.v1.tar+zstd"

/**
 * A layer that should not be uploaded. Deprecated by the specification.
 *
 * @since 0.1.0
 * @category OCI
 */
export const nonDistributableLayerTar = "application/vnd.oci.image.layer.nondistributable.v1.tar"

/**
 * A layer compressed with gzip that should not be uploaded. Deprecated by the specification.
 *
 * @since 0.1.0
 * @category OCI
 */
export const nonDistributableLayerTarGzip =
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

/**
 * A layer compressed with zstd that should not be uploaded. Deprecated by the specification.
 *
 * @since 0.1.0
 * @category OCI
 */
export const nonDistributableLayerTarZstd =
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"

/**
 * The artifact manifest of an OCI release candidate. It was removed, but is still stored in
 * registries.
 *
 * @since 0.1.0
 * @category OCI
 */
export const artifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

/**
 * Docker's image manifest, version 2 schema 2.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

/**
 * Docker's manifest list.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

/**
 * Docker's image configuration.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerImageConfig = "application/vnd.docker.container.image.v1+json"

/**
 * The configuration of a Docker plugin.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerPluginConfig = "application/vnd.docker.plugin.v1+json"

/**
 * Docker's layer as a tar archive.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerLayerTar = "application/vnd.docker.image.rootfs.diff.tar"

/**
 * Docker's layer as a tar archive compressed with gzip.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerLayerTarGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

/**
 * Docker's layer that is fetched from elsewhere and must not be pushed.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerForeignLayerTarGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

/**
 * Docker's manifest, version 2 schema 1, without signatures.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json"

/**
 * Docker's manifest, version 2 schema 1, signed.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

/**
 * The layer type that Docker's code gives to layers of schema 1.
 *
 * @since 0.1.0
 * @category Docker
 */
export const dockerSchema1Layer = "application/vnd.docker.container.image.rootfs.diff+x-gtar"

/**
 * What to send as `Accept` when asking for a manifest, joined by `, ` ([Pulling
 * manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)).
 * All decodable types are listed, because registries answer 404, or silently another manifest, to a
 * client that leaves out the stored one. Schema 1 is absent, lest an old registry convert to it;
 * the final wildcard is for manifests of any other type. There are no weights, because registries
 * ignore them.
 *
 * @since 0.1.0
 * @category constants
 */
export const manifestAccept: ReadonlyArray<string> = [
  // C20, trap 31
  imageIndex,
  imageManifest,
  dockerManifestList,
  dockerManifest,
  "*/*"
]

/**
 * Returns whether the type is one of a single image's manifests, OCI or Docker version 2 schema 2.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isImageManifest = (mediaType: string): boolean =>
  equals(mediaType, imageManifest) || equals(mediaType, dockerManifest)

/**
 * Returns whether the type is one of a list of manifests, OCI index or Docker manifest list.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isIndex = (mediaType: string): boolean =>
  equals(mediaType, imageIndex) || equals(mediaType, dockerManifestList)

/**
 * Returns whether the type is one of an image's configuration, OCI or Docker.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isImageConfig = (mediaType: string): boolean =>
  equals(mediaType, imageConfig) || equals(mediaType, dockerImageConfig)

/**
 * Returns whether content of this type should not be uploaded ([image-spec, Non-Distributable
 * Layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)).
 * The type decides, whatever `urls` say.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isNonDistributable = (mediaType: string): boolean =>
  nonDistributable.has(mediaType.toLowerCase())

/**
 * Returns whether a text is a media type by [RFC 6838 section
 * 4.2](https://www.rfc-editor.org/rfc/rfc6838#section-4.2): `type/subtype`, no parameters.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isMediaType = (text: string): boolean => grammar.test(text)

/**
 * Returns whether two media types are the same. Neither may have parameters: see {@link essence}.
 *
 * @since 0.1.0
 * @category predicates
 */
export const equals = (self: string, that: string): boolean =>
  self === that || self.toLowerCase() === that.toLowerCase()

/**
 * Returns the media type of a `Content-Type` header, without its parameters and otherwise as sent.
 *
 * @example
 * ```ts
 * import * as MediaType from "effect-oci/MediaType"
 *
 * MediaType.essence("application/json; charset=utf-8") // "application/json"
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const essence = (contentType: string): string => {
  const semicolon = contentType.indexOf(";") // C21
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim()
}

// C63, trap 42
const nonDistributable = new Set([
  nonDistributableLayerTar,
  nonDistributableLayerTarGzip,
  nonDistributableLayerTarZstd,
  dockerForeignLayerTarGzip
])

const grammar = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/
