/** The error of a write on a condition. */
import * as Schema from "effect/Schema"
import { exchange, sentence } from "./ErrorMessage.js"

/**
 * Occurs when a manifest was to be put only if a tag is what the caller expects: `expected`, a
 * digest or `"absent"`. `actual` is what the tag was found to be, if that is known.
 *
 * - `Changed`: the tag was something else, and nothing was put.
 * - `LostRace`: the manifest may have been put, and the tag is neither that nor what was expected:
 *   another writer was there at the same time.
 * - `Unconfirmed`: the manifest was put, and the registry still shows what was expected. It may
 *   answer with what it has cached, or have dropped the write.
 */
export class PreconditionFailed extends Schema.TaggedError<PreconditionFailed>(
  "effect-oci/PreconditionFailed"
)("PreconditionFailed", {
  ...exchange,
  repository: Schema.String,
  tag: Schema.String,
  expected: Schema.String,
  actual: Schema.optional(Schema.String),
  reason: Schema.Literal("Changed", "LostRace", "Unconfirmed")
}) {
  override get message(): string {
    return sentence(problem(this), this)
  }
}

const problem = ({ actual, expected, reason, repository, tag }: PreconditionFailed): string => {
  const named = `Tag ${tag} of repository ${repository}`
  switch (reason) {
    case "Changed":
      return (
        `${named} was expected to be ${expected} and is ${actual ?? "not"}: ` +
        "nothing was put. Read the tag, and decide again"
      )
    case "LostRace":
      return (
        `${named} was expected to be ${expected}, and is ${actual ?? "something else"} ` +
        "after a manifest was put: another writer replaced it. Read the tag, and decide again"
      )
    case "Unconfirmed":
      return (
        `${named} was put, and the registry still shows it as ${actual ?? expected}: ` +
        "read it again before anything depends on it"
      )
  }
}
