/**
 * What a manifest of schema 1 says of its image, as an image configuration has it ([Image Manifest
 * Version 2, Schema
 * 1](https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-1.md)).
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Digest from "../Digest.js"
import * as ImageConfig from "../ImageConfig.js"
import * as JsonText from "./JsonText.js"
import { InvalidManifest } from "./ManifestDocument.js"
import * as OpenStruct from "./OpenStruct.js"
import { optional } from "./Optional.js"
import * as SchemaIssue from "./SchemaIssue.js"

const Step = OpenStruct.make(
  Schema.Struct({
    created: optional(Schema.String),
    author: optional(Schema.String),
    comment: optional(Schema.String),
    container_config: optional(Schema.Struct({ Cmd: optional(Schema.Array(Schema.String)) })),
    throwaway: optional(Schema.Boolean)
  }),
  "v1Compatibility"
)

/** How a layer was made. */
export type Step = Schema.Schema.Type<typeof Step>

const decodeStep = ParseResult.decodeUnknownEither(Step)
const decodeConfig = ParseResult.decodeUnknownEither(ImageConfig.Content)

/** What the manifest says of its image. */
export interface Said {
  readonly architecture: string
  readonly history: ReadonlyArray<{ readonly v1Compatibility: string }>
}

/** Reads how the layers were made, the topmost first. */
export const steps = ({ history }: Said): Either.Either<ReadonlyArray<Step>, InvalidManifest> =>
  Either.all(
    history.map(({ v1Compatibility }, at) => {
      const path = `history[${at}].v1Compatibility`
      return Either.flatMap(
        Either.mapLeft(JsonText.parse(v1Compatibility), (problem) =>
          misshapen({ place: path, message: `${path} ${problem}` })
        ),
        (document) =>
          Either.mapLeft(decodeStep(document), (issue) =>
            misshapen(SchemaIssue.first(issue, `.${path}`))
          )
      )
    })
  )

/** The step as the history of an image has it. */
export const historyOf = (step: Step): ImageConfig.History => {
  const { author, comment, container_config, created, throwaway } = step
  const command = container_config?.Cmd?.join(" ")
  return {
    ...(created !== undefined && { created }),
    ...(author !== undefined && { author }),
    ...(command !== undefined && { created_by: command }),
    ...(comment !== undefined && { comment }),
    ...(throwaway === true && { empty_layer: true })
  }
}

/** The configuration of an image whose layers were made by these steps, the topmost first. */
export const of = (
  { architecture }: Said,
  steps: ReadonlyArray<Step>,
  diffIds: ReadonlyArray<Digest.Digest>
): Either.Either<ImageConfig.Content, InvalidManifest> =>
  Either.mapLeft(
    decodeConfig({
      os: "linux",
      architecture,
      ...withoutIds(steps[0] ?? {}),
      rootfs: { type: "layers", diff_ids: diffIds },
      history: steps.map(historyOf).reverse()
    }),
    (issue) => misshapen(SchemaIssue.first(issue, ".history[0].v1Compatibility"))
  )

/** The error of a manifest that does not fit. */
export const misshapen = ({ message, place }: SchemaIssue.Misfit): InvalidManifest =>
  new InvalidManifest({ reason: "Shape", path: place, message })

/** What is of schema 1 alone. */
const withoutIds = (step: object): object =>
  Object.fromEntries(Object.entries(step).filter(([name]) => !ids.has(name)))

const ids = new Set(["id", "parent", "parent_id", "layer_id", "throwaway", "Size"])
