/**
 * Annotations: a map of strings to strings that manifests, indexes and descriptors carry
 * (image-spec annotations.md), with the keys that the specification defines.
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
