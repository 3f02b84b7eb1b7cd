/** Errors of this side of a registry: files, sources and configuration, without an exchange. */
import * as Schema from "effect/Schema"
import { plain } from "../spec/internal/ServerText.js"

/**
 * Occurs when a store behind the interface fails: a file that cannot be read or written. The
 * message says why, if the cause is an error.
 */
export class StorageFailure extends Schema.TaggedError<StorageFailure>("effect-oci/StorageFailure")(
  "StorageFailure",
  {
    path: Schema.String,
    cause: Schema.optional(Schema.Defect)
  }
) {
  override get message(): string {
    const why = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    // Names of files can be those of an image.
    return plain(`Storage failed at ${this.path}${why}`, longest)
  }
}

/** Room for two paths, as renaming has. */
const longest = 16_384

/**
 * Occurs when a step must send the bytes again and the source is a one-shot stream. Use a source
 * that can be reopened, such as a file.
 */
export class BodyNotReplayable extends Schema.TaggedError<BodyNotReplayable>(
  "effect-oci/BodyNotReplayable"
)("BodyNotReplayable", {
  step: Schema.String
}) {
  override get message(): string {
    return (
      `${this.step} needs the bytes again, and their source can be read only once: ` +
      "use BlobSource.fromBytes, fromStream or a file"
    )
  }
}

/**
 * Occurs when a registry or proxy cannot be reached as it is configured: its URL or host does not
 * parse or would send credentials in the clear, or another option for it cannot be sent. `problem`
 * says which, and shows no value.
 */
export class InvalidUrl extends Schema.TaggedError<InvalidUrl>("effect-oci/InvalidUrl")(
  "InvalidUrl",
  {
    url: Schema.String,
    problem: Schema.String
  }
) {
  override get message(): string {
    return `Cannot use ${this.url}: ${this.problem}`
  }
}
