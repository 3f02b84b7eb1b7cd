/**
 * Content descriptors: what some content is, how long it is and which digest it has (image-spec
 * descriptor.md).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Annotations } from "./Annotations.js"
import * as Digest from "./Digest.js"
import * as OpenStruct from "./internal/OpenStruct.js"
import { optional } from "./internal/Optional.js"
import * as MediaType from "./MediaType.js"
import * as Platform from "./Platform.js"

/**
 * A descriptor ([image-spec,
 * Properties](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#properties)).
 * `size` is in bytes. `mediaType` and `artifactType` are as sent: an unknown one is not an error.
 * `urls` come from whoever made the descriptor and are not followed. `data` is the content itself
 * in base64: to be verified against `digest` and `size` before use.
 *
 * @since 0.1.0
 * @category models
 */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest.Digest
  readonly size: number
  readonly urls?: ReadonlyArray<string>
  readonly annotations?: Annotations
  readonly data?: string
  readonly artifactType?: string
  readonly platform?: Platform.Platform
}

/**
 * A descriptor as it stands in a JSON document: its digest is a plain string, and `null` is the
 * same as absent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoded {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly urls?: ReadonlyArray<string> | null
  readonly annotations?: Annotations | null
  readonly data?: string | null
  readonly artifactType?: string | null
  readonly platform?: Platform.Encoded | null
}

/** T21, trap 41 */
const Size = Schema.Number.pipe(
  Schema.filter((size) => Number.isSafeInteger(size) && size >= 0, {
    description: "a whole number from 0 to 2^53 - 1",
    jsonSchema: { type: "integer", minimum: 0 },
    arbitrary: () => (fc) => fc.nat()
  })
)

/** The standard alphabet, padded (RFC 4648 section 4). */
const Base64 = Schema.String.pipe(
  Schema.filter((text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text), {
    identifier: "Base64",
    description: "base64",
    arbitrary: () => (fc) => fc.base64String({ maxLength: 32 })
  })
)

/**
 * A descriptor as a JSON object. Unknown properties are kept, though the type does not show them,
 * and `null` is read as absent. A size that is negative, fractional or beyond 2^53 - 1, where
 * numbers are no longer exact, is refused, and so are `data` that are not base64.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Descriptor: Schema.Schema<Descriptor, Encoded> = OpenStruct.make(
  Schema.Struct({
    mediaType: Schema.String,
    digest: Digest.Digest,
    size: Size,
    urls: optional(Schema.Array(Schema.String)),
    annotations: optional(Annotations),
    data: optional(Base64), // I6
    artifactType: optional(Schema.String),
    platform: optional(Platform.Platform)
  }),
  "Descriptor"
)

/**
 * Describes some bytes: their media type, digest (SHA-256 unless told otherwise) and size.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (
  bytes: Uint8Array,
  mediaType: string,
  algorithm?: Digest.Algorithm
): Descriptor => ({
  mediaType,
  digest: Digest.fromBytes(bytes, algorithm),
  size: bytes.byteLength
})

/**
 * The descriptor of the two bytes `{}`, for a place where one is required and there is nothing to
 * describe (descriptor.md "Guidance for an Empty Descriptor").
 *
 * @since 0.1.0
 * @category constants
 */
export const empty: Descriptor = {
  ...fromBytes(new TextEncoder().encode("{}"), MediaType.empty),
  data: "e30="
}
