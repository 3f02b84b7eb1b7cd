/** What is checked of an artifact to push before anything is sent. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as References from "../../internal/References.js"
import { DigestMismatch, InvalidManifest, type InvalidReference } from "../../RegistryError.js"
import * as Annotations from "../../spec/Annotations.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import { escaped } from "../../spec/internal/ServerText.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Reference from "../../spec/Reference.js"

/** What an artifact says of itself, as far as it is checked. */
export interface Content {
  readonly artifactType?: string | undefined
  readonly config?: { readonly mediaType: string; readonly source?: unknown } | undefined
  readonly files: ReadonlyArray<
    | { readonly title?: string | undefined; readonly mediaType?: string | undefined }
    | { readonly descriptor: Descriptor; readonly content: unknown }
  >
}

/**
 * Checks that a reference leads to where an artifact can go. Fails with `InvalidReference` when
 * nothing says under what name, since what is pushed is never `latest` by default, and with
 * `DigestMismatch` for the digest of its subject.
 */
export const checkTarget = (
  reference: Reference.Reference,
  {
    subject,
    tags
  }: {
    readonly subject?: Descriptor | undefined
    readonly tags?: ReadonlyArray<string> | undefined
  }
): Effect.Effect<void, InvalidReference | DigestMismatch> => {
  const { digest } = reference
  if (Option.isSome(digest) && digest.value === subject?.digest) {
    const manifest = Reference.format(reference)
    return Effect.fail(new DigestMismatch({ manifest, expected: digest.value }))
  }
  return subject !== undefined || tags !== undefined
    ? Effect.void
    : References.requireVersion(reference)
}

/**
 * Checks the media types and titles of an artifact. Fails with `InvalidManifest`, whose
 * `path` says where, and whose message for which artifact.
 */
export const checkContent = Effect.fnUntraced(function* (reference: string, content: Content) {
  const { artifactType, config, files } = content
  const invalid = (reason: "MediaType" | "Shape", path: string, problem: string) =>
    new InvalidManifest({ reason, path, message: `${reference}: ${path} ${problem}` })
  const checkType = (path: string, mediaType: string, example: string) => {
    const problem = problemOf(mediaType)
    return problem === undefined
      ? Effect.void
      : Effect.fail(invalid("MediaType", path, `${problem}: expected something like "${example}"`))
  }

  if (artifactType !== undefined) yield* checkType("artifactType", artifactType, exampleType)
  if (config !== undefined) {
    yield* checkType("config.mediaType", config.mediaType, exampleConfig)
    if (MediaType.equals(config.mediaType, MediaType.empty) && config.source !== undefined) {
      const problem =
        "is that of the empty config: leave out its source, or give it a type of its own"
      return yield* invalid("MediaType", "config.mediaType", problem)
    }
  }
  const isTyped = config !== undefined && !MediaType.equals(config.mediaType, MediaType.empty)
  if (artifactType === undefined && !isTyped) {
    const problem = `is missing: say what the artifact is, such as "${exampleType}"`
    return yield* invalid("MediaType", "artifactType", problem)
  }
  const titles = new Map<string, number>()
  for (const [n, file] of files.entries()) {
    const { mediaType, title } =
      "content" in file
        ? {
            mediaType: file.descriptor.mediaType,
            title: file.descriptor.annotations?.[Annotations.title]
          }
        : file
    if (mediaType !== undefined) yield* checkType(`files[${n}].mediaType`, mediaType, "text/plain")
    if (title === undefined) continue
    const earlier = titles.get(title)
    // Files would be overwritten where it is unpacked (oras-go#236).
    if (earlier !== undefined) {
      const problem =
        `${escaped(title)} is that of files[${earlier}] too: ` +
        "one would replace the other where they are unpacked"
      return yield* invalid("Shape", `files[${n}].title`, problem)
    }
    titles.set(title, n)
  }
})

/**
 * Returns the tags to put an artifact under: that of its reference, and `tags`, each once. Fails
 * with `InvalidReference` for a text that is not a tag.
 */
export const parseTags = (
  reference: Reference.Reference,
  tags: ReadonlyArray<string> = []
): Effect.Effect<ReadonlyArray<Reference.Tag>, InvalidReference> =>
  Effect.map(Effect.forEach(tags, Reference.parseTag), (parsed) => [
    ...new Set([...Option.toArray(reference.tag), ...parsed])
  ])

/** What is wrong with a text as a media type, if anything. */
const problemOf = (text: string): string | undefined => {
  if (MediaType.isMediaType(text)) return undefined
  if (text === "") return "is empty"
  if (text.includes(";"))
    return `${escaped(text)} has parameters, which are not part of a media type`
  if (!text.includes("/")) return `${escaped(text)} is not a media type, since it has no "/"`
  return `${escaped(text)} is not a media type`
}

const exampleType = "application/vnd.example.report.v1"
const exampleConfig = "application/vnd.example.report.config.v1+json"
