/**
 * Annotations: a map of strings to strings that manifests, indexes and descriptors carry
 * (image-spec annotations.md), with the keys that the specification defines, and those that tools
 * agree on.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as StringMap from "./internal/StringMap.js"

/**
 * Annotations by key ([image-spec,
 * Rules](https://github.com/opencontainers/image-spec/blob/main/annotations.md#rules)). Unknown
 * keys are never an error.
 *
 * @since 0.1.0
 * @category models
 */
export type Annotations = Readonly<Record<string, string>>

/**
 * When the image was built, RFC 3339.
 *
 * @since 0.1.0
 * @category keys
 */
export const created = "org.opencontainers.image.created"

/**
 * Who is responsible for the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const authors = "org.opencontainers.image.authors"

/**
 * Where to find out more about the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const url = "org.opencontainers.image.url"

/**
 * Where the documentation of the image is.
 *
 * @since 0.1.0
 * @category keys
 */
export const documentation = "org.opencontainers.image.documentation"

/**
 * Where the source code of the image is.
 *
 * @since 0.1.0
 * @category keys
 */
export const source = "org.opencontainers.image.source"

/**
 * The version of the packaged software.
 *
 * @since 0.1.0
 * @category keys
 */
export const version = "org.opencontainers.image.version"

/**
 * The source control revision of the packaged software.
 *
 * @since 0.1.0
 * @category keys
 */
export const revision = "org.opencontainers.image.revision"

/**
 * Who distributes the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const vendor = "org.opencontainers.image.vendor"

/**
 * The licences of the contents, as an SPDX expression.
 *
 * @since 0.1.0
 * @category keys
 */
export const licenses = "org.opencontainers.image.licenses"

/**
 * The name of a manifest in the `index.json` of an image layout: its tag.
 *
 * @since 0.1.0
 * @category keys
 */
export const refName = "org.opencontainers.image.ref.name"

/**
 * The title of the image, or the file name of a layer of an artifact.
 *
 * @since 0.1.0
 * @category keys
 */
export const title = "org.opencontainers.image.title"

/**
 * What the packaged software is.
 *
 * @since 0.1.0
 * @category keys
 */
export const description = "org.opencontainers.image.description"

/**
 * The digest of the manifest that the image was built on.
 *
 * @since 0.1.0
 * @category keys
 */
export const baseDigest = "org.opencontainers.image.base.digest"

/**
 * The reference of the image that the image was built on.
 *
 * @since 0.1.0
 * @category keys
 */
export const baseName = "org.opencontainers.image.base.name"

/**
 * What an entry of an index is to another one of it: `attestation-manifest` for the attestations
 * that BuildKit adds.
 *
 * @since 0.1.0
 * @category BuildKit
 */
export const referenceType = "vnd.docker.reference.type"

/**
 * The digest of the entry that the attestations in an entry of an index are for.
 *
 * @since 0.1.0
 * @category BuildKit
 */
export const referenceDigest = "vnd.docker.reference.digest"

/**
 * The type of the predicate of an attestation, on the layer that holds it: that of SLSA provenance
 * or of SPDX, say.
 *
 * @since 0.1.0
 * @category in-toto
 */
export const predicateType = "in-toto.io/predicate-type"

/**
 * The reference of an image, on its descriptor in the `index.json` of an image layout: containerd
 * and BuildKit name images so, and `refName` is the tag alone then.
 *
 * @since 0.1.0
 * @category containerd
 */
export const imageName = "io.containerd.image.name"

/**
 * A signature of cosign in base64, on the layer that holds what is signed.
 *
 * @since 0.1.0
 * @category cosign
 */
export const cosignSignature = "dev.cosignproject.cosign/signature"

/**
 * The certificate of the key that a signature of cosign was made with, in PEM.
 *
 * @since 0.1.0
 * @category cosign
 */
export const cosignCertificate = "dev.sigstore.cosign/certificate"

/**
 * The certificates that lead from that of a signature of cosign to a root, in PEM.
 *
 * @since 0.1.0
 * @category cosign
 */
export const cosignChain = "dev.sigstore.cosign/chain"

/**
 * The entry of the transparency log for a signature of cosign, as JSON.
 *
 * @since 0.1.0
 * @category cosign
 */
export const cosignBundle = "dev.sigstore.cosign/bundle"

/**
 * What a sigstore bundle holds: `dsse-envelope` or `message-signature`.
 *
 * @since 0.1.0
 * @category sigstore
 */
export const bundleContent = "dev.sigstore.bundle.content"

/**
 * The type of the predicate of the attestation in a sigstore bundle.
 *
 * @since 0.1.0
 * @category sigstore
 */
export const bundlePredicateType = "dev.sigstore.bundle.predicateType"

/**
 * `true` on a layer that is a folder in an archive, to be unpacked where it is pulled.
 *
 * @since 0.1.0
 * @category ORAS
 */
export const unpack = "io.deis.oras.content.unpack"

/**
 * The digest of that archive before it was compressed.
 *
 * @since 0.1.0
 * @category ORAS
 */
export const contentDigest = "io.deis.oras.content.digest"

/**
 * The digest of the table of contents in a layer that is eStargz.
 *
 * @since 0.1.0
 * @category compression
 */
export const stargzToc = "containerd.io/snapshot/stargz/toc.digest"

/**
 * The size of a layer that is eStargz when it is decompressed, in bytes.
 *
 * @since 0.1.0
 * @category compression
 */
export const stargzSize = "io.containers.estargz.uncompressed-size"

/**
 * The digest of the table of contents in a layer that is zstd:chunked.
 *
 * @since 0.1.0
 * @category compression
 */
export const zstdChunkedChecksum = "io.github.containers.zstd-chunked.manifest-checksum"

/**
 * Where that table of contents is in the layer, and how large it is.
 *
 * @since 0.1.0
 * @category compression
 */
export const zstdChunkedPosition = "io.github.containers.zstd-chunked.manifest-position"

/**
 * Annotations as a JSON object. The decoded map has no prototype: a key such as `__proto__` is an
 * entry like any other, and looking up `constructor` finds nothing that was not sent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Annotations: Schema.Schema<Annotations> = StringMap.make(
  Schema.String,
  Predicate.isString,
  { identifier: "Annotations", description: "a map of strings to strings" },
  (fc) => fc.string()
)

/**
 * Returns the file name of a layer of an artifact, or a human-readable title. It comes from whoever
 * made the manifest: check it before using it as a path.
 *
 * @since 0.1.0
 * @category getters
 */
export const getTitle = (annotations: Annotations | undefined): Option.Option<string> =>
  Option.fromNullable(annotations?.[title])
