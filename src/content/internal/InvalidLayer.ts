/** The error of layers that cannot be read. */
import * as Schema from "effect/Schema"
import { escaped } from "../../spec/internal/ServerText.js"

/** Occurs when a layer cannot be read. */
export class InvalidLayer extends Schema.TaggedError<InvalidLayer>("effect-oci/InvalidLayer")(
  "InvalidLayer",
  {
    reason: Schema.Literal("Format", "Compression", "Archive", "Path", "Unsupported"),
    layer: Schema.String,
    path: Schema.optional(Schema.String),
    problem: Schema.String
  }
) {
  override get message(): string {
    const entry = this.path === undefined ? "" : `: the entry ${escaped(this.path.slice(0, 256))}`
    return `Layer ${this.layer}${entry} ${this.problem}`
  }
}
