/** What is checked of an artifact to push before anything is sent. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as References from "../../internal/References.js"
import { DigestMismatch, InvalidManifest, type InvalidReference } from "../../RegistryError.js"
import * as Annotations from "../../spec/Annotations.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import { escaped } from "../../spec/internal/ServerText.js"
import type { Manifest } from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Reference from "../../spec/Reference.js"
import * as Title from "./Title.js"

/** What an artifact says of itself, as far as it is checked. */
export interface Content {
  readonly artifactType?: string | undefined
  readonly config?:
    | { readonly mediaType: string; readonly source?: unknown; readonly json?: unknown }
    | undefined
  readonly annotations?: Annotations.Annotations | undefined
  readonly created?: Date | undefined
  readonly files: ReadonlyArray<
    | {
        readonly title?: string | undefined
        readonly mediaType?: string | undefined
        readonly annotations?: Annotations.Annotations | undefined
      }
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
 * Checks the media types, the titles and the time of an artifact. Fails with `InvalidManifest`,
 * whose `path` says where, and whose message for which artifact.
 */
export const checkContent = Effect.fnUntraced(function* (reference: string, content: Content) {
  for (const [path, problem, reason = "Shape"] of problemsOf(content))
    return yield* new InvalidManifest({
      reason,
      path,
      message: `${reference}: ${path} ${problem}`
    })
})

type Problem = readonly [path: string, problem: string, reason?: "MediaType"]

function* problemsOf(content: Content): Iterable<Problem> {
  const { annotations, artifactType, config, created, files } = content
  if (artifactType !== undefined) yield* problemsOfType("artifactType", artifactType, exampleType)
  if (config !== undefined) yield* problemsOfConfig(config)
  const isTyped = config !== undefined && !MediaType.equals(config.mediaType, MediaType.empty)
  if (artifactType === undefined && !isTyped) {
    const problem = `is missing: say what the artifact is, such as "${exampleType}"`
    yield ["artifactType", problem, "MediaType"]
  }
  if (created !== undefined && Number.isNaN(created.getTime())) yield ["created", "is not a date"]
  else if (created !== undefined && !isTime(created.toISOString()))
    yield ["created", "is not of the years 0 to 9999"]
  const time = annotations?.[Annotations.created]
  const path = `annotations["${Annotations.created}"]`
  if (time !== undefined && created !== undefined) yield [path, "is given by created, too"]
  if (time !== undefined && !isTime(time))
    yield [path, `is ${escaped(time)}, which is not a time: expected "2026-11-29T12:00:00Z"`]
  yield* problemsOfFiles(files)
}

/** RFC 3339, section 5.6. */
const isTime = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text) &&
  !Number.isNaN(Date.parse(text))

function* problemsOfConfig(config: NonNullable<Content["config"]>): Iterable<Problem> {
  const { json, mediaType, source } = config
  yield* problemsOfType("config.mediaType", mediaType, exampleConfig)
  if (MediaType.equals(mediaType, MediaType.empty) && (source !== undefined || json !== undefined))
    yield [
      "config.mediaType",
      "is that of the empty config: leave out its source, or give it a type of its own",
      "MediaType"
    ]
  if (json === undefined) return
  if (source !== undefined) yield ["config.json", "is given beside a source: which of them is it?"]
  const text = jsonOf(json)
  if (typeof text !== "string") yield ["config.json", `is not a value of JSON: ${text.problem}`]
}

/** Returns a value as JSON, or what is wrong with it. */
export const jsonOf = (value: unknown): string | { readonly problem: string } => {
  try {
    return JSON.stringify(value) ?? { problem: `it is ${typeof value}` }
  } catch (cause) {
    return { problem: cause instanceof Error ? `${cause.message.split("\n")[0]}` : "it fails" }
  }
}

function* problemsOfFiles(files: Content["files"]): Iterable<Problem> {
  const titles = new Map<string, { readonly n: number; readonly isFolder: boolean }>()
  for (const [n, file] of files.entries()) {
    const { annotations, mediaType } = "content" in file ? file.descriptor : file
    const annotated = annotations?.[Annotations.title]
    const { title = annotated } = "content" in file ? {} : file
    if (annotated !== undefined && title !== annotated)
      yield [`files[${n}].annotations["${Annotations.title}"]`, "is given by title, too"]
    const isFolder = annotations?.[Annotations.unpack] === "true"
    if (mediaType !== undefined)
      yield* problemsOfType(`files[${n}].mediaType`, mediaType, "text/plain")
    if (MediaType.equals(mediaType ?? "", MediaType.empty))
      yield [`files[${n}].mediaType`, "is that of no file: it would not be pulled", "MediaType"]
    if (title === "") yield [`files[${n}].title`, "is empty: leave it out"]
    if (title === undefined) {
      if (isFolder) yield [`files[${n}].title`, "is missing, which says where it is unpacked"]
      continue
    }
    const path = Title.pathOf(title)
    if (isFolder && Option.isNone(path) && !Title.isRoot(title))
      yield [`files[${n}].title`, `${escaped(title)} is not a path below where it is unpacked`]
    const key = Option.getOrElse(path, () => title)
    const earlier = titles.get(key)
    // Files would be overwritten where it is unpacked (CP29).
    if (earlier !== undefined) {
      const problem =
        `${escaped(title)} is that of files[${earlier.n}] too: ` +
        "one would replace the other where they are unpacked"
      yield [`files[${n}].title`, problem]
    }
    titles.set(key, { n, isFolder })
  }
  for (const [title, { n }] of titles)
    for (const folder of Title.foldersOf(title)) {
      const other = titles.get(folder)
      if (other?.isFolder === false)
        yield [
          `files[${n}].title`,
          `${escaped(title)} is in a folder that is files[${other.n}], which is a file`
        ]
    }
}

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

function* problemsOfType(path: string, mediaType: string, example: string): Iterable<Problem> {
  const problem = problemOf(mediaType)
  if (problem !== undefined)
    yield [path, `${problem}: expected something like "${example}"`, "MediaType"]
}

/** Fails if a reference has the digest of another manifest. */
export const checkDigest = (
  reference: Reference.Reference,
  { descriptor }: Manifest
): Effect.Effect<void, DigestMismatch> =>
  Option.isNone(reference.digest) || reference.digest.value === descriptor.digest
    ? Effect.void
    : Effect.fail(
        new DigestMismatch({
          manifest: Reference.format(reference),
          expected: reference.digest.value,
          actual: descriptor.digest
        })
      )

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
