/**
 * The header of image layouts: the file `oci-layout`, by which a folder or an archive is known as
 * one (image-spec image-layout.md).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OpenStruct from "./internal/OpenStruct.js"

/**
 * What the file says ([image-spec, oci-layout
 * file](https://github.com/opencontainers/image-spec/blob/main/image-layout.md#oci-layout-file)).
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageLayout {
  readonly imageLayoutVersion: "1.0.0"
}

/**
 * The file as a JSON object. Unknown members are kept, though the type does not show them; another
 * version than the only one that there is is refused.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageLayout: Schema.Schema<ImageLayout> = OpenStruct.make(
  Schema.Struct({ imageLayoutVersion: Schema.Literal("1.0.0") }),
  "ImageLayout"
)

/**
 * What is written into new layouts.
 *
 * @since 0.1.0
 * @category constants
 */
export const current: ImageLayout = { imageLayoutVersion: "1.0.0" }
