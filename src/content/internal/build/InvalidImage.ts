/** The error of images that cannot be built. */
import * as Schema from "effect/Schema"
import { escaped } from "../../../spec/internal/ServerText.js"

/** Occurs when an image cannot be built. */
export class InvalidImage extends Schema.TaggedError<InvalidImage>("effect-oci/InvalidImage")(
  "InvalidImage",
  {
    reason: Schema.Literal("Path", "Compression", "Config", "Format", "Platform", "Base"),
    path: Schema.optional(Schema.String),
    problem: Schema.String
  }
) {
  override get message(): string {
    const what = this.path === undefined ? "it" : escaped(this.path.slice(0, 256))
    return `The image cannot be built: ${what} ${this.problem}`
  }
}
