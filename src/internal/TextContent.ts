/** Text and JSON in bytes that are at hand. */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as JsonText from "../spec/internal/JsonText.js"
import * as Parsed from "../spec/internal/Parsed.js"
import * as SchemaIssue from "../spec/internal/SchemaIssue.js"
import * as ServerText from "../spec/internal/ServerText.js"

/** Occurs for content that is not what it is read as. The message does not show the content. */
export class InvalidContent extends Schema.TaggedError<InvalidContent>("effect-oci/InvalidContent")(
  "InvalidContent",
  {
    reason: Schema.Literal("Text", "Json", "Schema"),
    path: Schema.String,
    message: Schema.String
  }
) {}

/** Decodes UTF-8, less a byte order mark. Fails with `InvalidContent` for anything else. */
export const decodeText = (
  bytes: Uint8Array,
  what: string
): Effect.Effect<string, InvalidContent> =>
  Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => invalid("Text", `${what} is not UTF-8`)
  })

/** Decodes a JSON document by a schema. Fails with `InvalidContent` where it does not fit. */
export const decodeJson =
  <A, I, R>(schema: Schema.Schema<A, I, R>) =>
  (text: string, what: string): Effect.Effect<A, InvalidContent, R> =>
    Effect.flatMap(
      Effect.mapError(Parsed.toEffect(JsonText.parse(text)), (problem) =>
        invalid("Json", `${what} ${problem}`)
      ),
      (document) =>
        Effect.mapError(ParseResult.decodeUnknown(schema)(document), (issue) => {
          const { message, place } = SchemaIssue.first(issue)
          const problem = `${what} does not fit its schema: ${message.replace(/^: /, "")}`
          return invalid("Schema", ServerText.plain(problem, 1024), place)
        })
    )

const invalid = (reason: InvalidContent["reason"], message: string, path = "") =>
  new InvalidContent({ reason, path, message })
