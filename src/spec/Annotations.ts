/**
 * Annotations: a map of strings to strings that manifests, indexes and descriptors carry
 * (image-spec annotations.md), with the keys that the specification defines.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

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
export const CREATED = "org.opencontainers.image.created"

/**
 * Who is responsible for the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const AUTHORS = "org.opencontainers.image.authors"

/**
 * Where to find out more about the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const URL = "org.opencontainers.image.url"

/**
 * Where the documentation of the image is.
 *
 * @since 0.1.0
 * @category keys
 */
export const DOCUMENTATION = "org.opencontainers.image.documentation"

/**
 * Where the source code of the image is.
 *
 * @since 0.1.0
 * @category keys
 */
export const SOURCE = "org.opencontainers.image.source"

/**
 * The version of the packaged software.
 *
 * @since 0.1.0
 * @category keys
 */
export const VERSION = "org.opencontainers.image.version"

/**
 * The source control revision of the packaged software.
 *
 * @since 0.1.0
 * @category keys
 */
export const REVISION = "org.opencontainers.image.revision"

/**
 * Who distributes the image.
 *
 * @since 0.1.0
 * @category keys
 */
export const VENDOR = "org.opencontainers.image.vendor"

/**
 * The licences of the contents, as an SPDX expression.
 *
 * @since 0.1.0
 * @category keys
 */
export const LICENSES = "org.opencontainers.image.licenses"

/**
 * The name of a manifest in the `index.json` of an image layout: its tag.
 *
 * @since 0.1.0
 * @category keys
 */
export const REF_NAME = "org.opencontainers.image.ref.name"

/**
 * The title of the image, or the file name of a layer of an artifact.
 *
 * @since 0.1.0
 * @category keys
 */
export const TITLE = "org.opencontainers.image.title"

/**
 * What the packaged software is.
 *
 * @since 0.1.0
 * @category keys
 */
export const DESCRIPTION = "org.opencontainers.image.description"

/**
 * The digest of the manifest that the image was built on.
 *
 * @since 0.1.0
 * @category keys
 */
export const BASE_DIGEST = "org.opencontainers.image.base.digest"

/**
 * The reference of the image that the image was built on.
 *
 * @since 0.1.0
 * @category keys
 */
export const BASE_NAME = "org.opencontainers.image.base.name"

/**
 * Annotations as a JSON object. The decoded map has no prototype: a key such as `__proto__` is an
 * entry like any other, and looking up `constructor` finds nothing that was not sent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Annotations: Schema.Schema<Annotations> = Schema.declare(
  [],
  {
    decode: () => (input, _, ast) => copy(input, ast),
    encode: () => (input, _, ast) => copy(input, ast)
  },
  {
    identifier: "Annotations",
    description: "a map of strings to strings",
    arbitrary: () => (fc) => fc.dictionary(fc.string(), fc.string())
  }
)

/**
 * Returns the file name of a layer of an artifact, or a human-readable title. It comes from whoever
 * made the manifest: check it before using it as a path.
 *
 * @since 0.1.0
 * @category getters
 */
export const title = (annotations: Annotations | undefined): Option.Option<string> =>
  Option.fromNullable(annotations?.[TITLE])

// The map has no prototype (T21).
const copy = (input: unknown, ast: ParseResult.Type["ast"]) => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return ParseResult.fail(new ParseResult.Type(ast, input))
  }
  const out: Record<string, string> = Object.create(null)
  for (const [key, value] of Object.entries(input)) {
    if (typeof value !== "string") {
      return ParseResult.fail(
        new ParseResult.Pointer(key, input, new ParseResult.Type(Schema.String.ast, value))
      )
    }
    out[key] = value
  }
  return ParseResult.succeed(out)
}
