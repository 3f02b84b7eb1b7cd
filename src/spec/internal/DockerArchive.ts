/**
 * The `manifest.json` of archives that `docker save` writes: which images they have (moby's
 * docker-image-spec v1.2.md, "Combined Image JSON + Filesystem Changeset Format").
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as JsonText from "./JsonText.js"
import { optional } from "./Optional.js"
import * as SchemaIssue from "./SchemaIssue.js"

/** One image: the names of its files in the archive, the base layer first, and its own names. */
export interface Image {
  readonly config: string
  readonly layers: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>
}

const Images = Schema.Array(
  Schema.Struct({
    Config: Schema.String,
    RepoTags: optional(Schema.Array(Schema.String)),
    Layers: optional(Schema.Array(Schema.String))
  })
).annotations({ description: "a list of images" })

const decode = ParseResult.decodeUnknownEither(Images)

/** Reads the document, or returns what is wrong with it. */
export const parse = (bytes: Uint8Array): Either.Either<ReadonlyArray<Image>, string> =>
  Either.flatMap(JsonText.parseBytes(bytes), (document) =>
    Either.mapBoth(decode(document), {
      onLeft: (issue) =>
        `is not the list of images of docker save: ${SchemaIssue.first(issue).message}`,
      onRight: (images) =>
        images.map(({ Config, Layers = [], RepoTags = [] }) => ({
          config: Config,
          layers: Layers,
          names: RepoTags
        }))
    })
  )

/** Writes the document. */
export const encode = (images: ReadonlyArray<Image>): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify(
      images.map(({ config, layers, names }) => ({
        Config: config,
        RepoTags: names,
        Layers: layers
      }))
    )
  )
