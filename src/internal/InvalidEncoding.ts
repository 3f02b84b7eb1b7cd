/** The error of decoders. */
import * as Schema from "effect/Schema"

/** Occurs when bytes cannot be decompressed. */
export class InvalidEncoding extends Schema.TaggedError<InvalidEncoding>(
  "effect-oci/InvalidEncoding"
)("InvalidEncoding", {
  format: Schema.Literal("gzip", "zstd"),
  problem: Schema.String
}) {
  override get message(): string {
    return `The content, compressed with ${this.format}, ${this.problem}`
  }
}
