/** Errors of content that is not what it should be, or more than it may be. */
import * as Schema from "effect/Schema"
import { exchange, ofOtherTag, ofPushedDigest, sentence } from "./ErrorMessage.js"

/**
 * Occurs when content does not have the digest that it was asked for or declared with ([image-spec,
 * Digests](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests)). The
 * bytes must not be used. `actual` is absent where the registry says so (`DIGEST_INVALID`) without
 * naming the digest that it found. `manifest` is the reference of an artifact that was to be pushed
 * under another digest than its own, such as that of its subject; with `tag`, a reference whose tag
 * does not stand on its digest, and nothing was removed.
 */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>("effect-oci/DigestMismatch")(
  "DigestMismatch",
  {
    ...exchange,
    manifest: Schema.optional(Schema.String),
    tag: Schema.optional(Schema.String),
    expected: Schema.String,
    actual: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    if (this.manifest !== undefined)
      return this.tag === undefined
        ? ofPushedDigest(this.manifest, this.actual)
        : ofOtherTag(this.manifest, this.tag, this.actual)
    return sentence(
      `Content was expected to have digest ${this.expected} and has ${this.actual ?? "another"}: ` +
        "it was corrupted or replaced, and is not to be trusted",
      this
    )
  }
}

/**
 * Occurs when content is not as long as its descriptor or declaration says ([image-spec,
 * Verification](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#verification)).
 * Both in bytes; `actual` counts up to the first excess byte.
 */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>("effect-oci/SizeMismatch")(
  "SizeMismatch",
  {
    ...exchange,
    expected: Schema.Number,
    actual: Schema.Number
  }
) {
  override get message(): string {
    return sentence(
      `Content was expected to have ${this.expected} bytes and has ` +
        (this.actual > this.expected ? "more" : `only ${this.actual}`),
      this
    )
  }
}

/**
 * Occurs when the range of a response is not the range asked for: `expected` and `actual` are as on
 * the wire, and empty where none was asked for or named. Or `expected` is not a range, and nothing
 * was asked: then there is no status.
 */
export class RangeMismatch extends Schema.TaggedError<RangeMismatch>("effect-oci/RangeMismatch")(
  "RangeMismatch",
  {
    ...exchange,
    expected: Schema.String,
    actual: Schema.String
  }
) {
  override get message(): string {
    const wanted = this.expected === "" ? "no range" : `range ${this.expected}`
    return this.status === undefined && this.actual === ""
      ? `${this.expected} is not a range: it takes whole numbers, none negative, ` +
          "and an end that is not before the start"
      : sentence(
          `The registry was asked for ${wanted} and speaks of ${this.actual || "none"}`,
          this
        )
  }
}

/**
 * Occurs when there is more than a limit allows: bytes of a document, items of a list, pages,
 * redirects. Nothing is ever truncated to fit. `limit` is in bytes unless `what` begins with "The
 * number of"; `option` is the setting that raises it, and `fix` what else helps, if anything does.
 */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>("effect-oci/LimitExceeded")(
  "LimitExceeded",
  {
    ...exchange,
    what: Schema.String,
    limit: Schema.Number,
    option: Schema.optional(Schema.String),
    fix: Schema.optional(Schema.String)
  }
) {
  override get message(): string {
    const allowing = this.option === undefined ? "" : `the option ${this.option} allows more`
    return sentence(
      `${this.what} exceeds the limit of ${this.limit}` +
        (this.what.startsWith("The number of") ? "" : " bytes"),
      this,
      [this.fix ?? "", allowing].filter((part) => part !== "").join(", and ")
    )
  }
}
