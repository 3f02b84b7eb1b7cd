/** The error of archives that cannot be read or written. */
import * as Schema from "effect/Schema"
import { escaped } from "../../../spec/internal/ServerText.js"

/** Occurs when an archive is not one of images, or cannot be one of the images asked for. */
export class InvalidArchive extends Schema.TaggedError<InvalidArchive>("effect-oci/InvalidArchive")(
  "InvalidArchive",
  {
    reason: Schema.Literal(
      "Format",
      "Archive",
      "Path",
      "Unsupported",
      "Document",
      "Content",
      "Names"
    ),
    archive: Schema.String,
    path: Schema.optional(Schema.String),
    problem: Schema.String
  }
) {
  override get message(): string {
    const entry = this.path === undefined ? "" : `: ${escaped(this.path.slice(0, 256))}`
    return `${this.archive}${entry} ${this.problem}`
  }
}
