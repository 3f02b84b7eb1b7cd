/** Which files of an artifact are wanted: by title and type, never by their order (CP30). */
import * as Schema from "effect/Schema"
import * as Annotations from "../../spec/Annotations.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import { escaped } from "../../spec/internal/ServerText.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Reference from "../../spec/Reference.js"
import * as Pattern from "./tags/Pattern.js"

/**
 * Says which files of an artifact are wanted. All that is said has to hold.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileFilter {
  /**
   * The whole title: a text, in which `*` stands for any characters, `/` included, and `?` for one,
   * or a regular expression.
   */
  readonly title?: string | RegExp | undefined
  readonly mediaType?: string | undefined
}

/** Occurs when not exactly one file of an artifact is the one that is wanted. */
export class NoSingleFile extends Schema.TaggedError<NoSingleFile>("effect-oci/NoSingleFile")(
  "NoSingleFile",
  {
    reason: Schema.Literal("Missing", "Several"),
    artifact: Schema.String,
    wanted: Schema.String,
    choices: Schema.Array(
      Schema.Struct({
        title: Schema.optional(Schema.String),
        mediaType: Schema.String,
        digest: Schema.String
      })
    ),
    more: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    const choices = this.choices.map(({ digest, mediaType, title }) => {
      const name = title === undefined ? digest : escaped(title, longest)
      return `${name} (${escaped(mediaType, longest)})`
    })
    const more = this.more === undefined ? "" : ` and ${this.more} more`
    const all = choices.length === 0 ? "nothing" : `${choices.join(", ")}${more}`
    const are = this.wanted === "" ? "" : ` ${this.wanted}`
    return this.reason === "Missing"
      ? `${this.artifact}: there is no file${are}: it has ${all}`
      : `${this.artifact}: there are several files${are}: ${all}. Say more of the one`
  }
}

const shown = 8
const longest = 64

/** Whether a filter says nothing, so that every file is wanted. */
export const isAny = ({ mediaType, title }: FileFilter): boolean =>
  mediaType === undefined && title === undefined

/** Makes a test of descriptors. */
export const test = ({ mediaType, title }: FileFilter): ((descriptor: Descriptor) => boolean) => {
  const isTitle = title === undefined ? undefined : Pattern.ofNames(title)
  return ({ annotations, ...descriptor }) => {
    const actual = annotations?.[Annotations.title]
    return (
      (mediaType === undefined || MediaType.equals(descriptor.mediaType, mediaType)) &&
      (isTitle === undefined || (actual !== undefined && isTitle(actual)))
    )
  }
}

/** Makes the error that shows the choices. */
export const noSingleFile = (
  reference: Reference.Reference,
  { mediaType, title }: FileFilter,
  files: ReadonlyArray<Descriptor>,
  reason: NoSingleFile["reason"]
): NoSingleFile => {
  const wanted = [
    ...(mediaType === undefined ? [] : [`of type ${escaped(mediaType)}`]),
    ...(title === undefined ? [] : [`titled ${escaped(`${title}`)}`])
  ]
  return new NoSingleFile({
    reason,
    artifact: Reference.format(reference),
    wanted: wanted.join(" and "),
    choices: files.slice(0, shown).map(({ annotations, digest, mediaType }) => {
      const title = annotations?.[Annotations.title]
      return { mediaType, digest, ...(title !== undefined && { title }) }
    }),
    ...(files.length > shown && { more: files.length - shown })
  })
}
