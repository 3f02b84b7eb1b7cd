/**
 * The documents of manifests: which type one has, and what it says. Nothing here is about the bytes
 * that are stored and hashed.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Annotations } from "../Annotations.js"
import * as Descriptor from "../Descriptor.js"
import * as MediaType from "../MediaType.js"
import { isGeneric } from "./GenericMediaType.js"
import * as JsonText from "./JsonText.js"
import { isDecoded } from "./ManifestMediaType.js"
import * as OpenStruct from "./OpenStruct.js"
import { optional } from "./Optional.js"
import * as SchemaIssue from "./SchemaIssue.js"
import { plain, quoted } from "./ServerText.js"
import * as SignedPayload from "./SignedPayload.js"

/** What a manifest says. */
export type Content = ImageManifest | ImageIndex | UnknownManifest

/**
 * A single image or artifact: an OCI [image
 * manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions),
 * or Docker's version 2 schema 2 under its own `mediaType`.
 */
export interface ImageManifest {
  readonly _tag: "ImageManifest"
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config: Descriptor.Descriptor
  readonly layers: ReadonlyArray<Descriptor.Descriptor>
  readonly subject?: Descriptor.Descriptor
  readonly annotations?: Annotations
}

/**
 * A list of manifests: an OCI [image
 * index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions),
 * or Docker's manifest list under its own `mediaType`.
 */
export interface ImageIndex {
  readonly _tag: "ImageIndex"
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly manifests: ReadonlyArray<Descriptor.Descriptor>
  readonly subject?: Descriptor.Descriptor
  readonly annotations?: Annotations
  /** The entries of `manifests` that could not be read and are left out there, if there are any. */
  readonly skipped?: ReadonlyArray<SkippedEntry>
}

/**
 * An entry of an index that is not a descriptor. `path` says where it stands and what of it is
 * wrong, as in `manifests[3].size`.
 */
export interface SkippedEntry {
  readonly path: string
  readonly message: string
}

/**
 * A manifest of any other type: its bytes can be moved, but they are not interpreted.
 */
export interface UnknownManifest {
  readonly _tag: "UnknownManifest"
}

/**
 * Occurs when a document is not the manifest that it is said to be.
 *
 * - `Json`: it is not a JSON object, or nests too deep or has too many members to be parsed: over
 *   256 levels, or over 500,000 brackets, commas and colons.
 * - `MediaType`: neither the caller nor the document names its type, or the name is not a media
 *   type.
 * - `Ambiguous`: it has the fields of an image manifest and of an index at once, or those of an
 *   image in an index ([CVE-2021-41190](https://nvd.nist.gov/vuln/detail/CVE-2021-41190)).
 * - `Shape`: a field is missing or wrong; `path` says which, as in `layers[3].size`.
 *
 * `manifest` says which manifest it is, where that is known, as in `ghcr.io/owner/name:tag`.
 */
export class InvalidManifest extends Schema.TaggedError<InvalidManifest>(
  "effect-oci/InvalidManifest"
)("InvalidManifest", {
  reason: Schema.Literal("Json", "MediaType", "Ambiguous", "Shape"),
  path: Schema.optionalWith(Schema.String, { exact: true }),
  manifest: Schema.optionalWith(Schema.String, { exact: true }),
  message: Schema.String
}) {}

/**
 * Occurs when a document names another media type than the one that it was sent with ([Pulling
 * manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)).
 * Both are cut to 128 characters. `manifest` says which manifest it is, where that is known.
 *
 * Also occurs when one artifact was wanted, and the manifest is an index: then `choices` has the
 * first manifests of the index, each with its platform or the type of its artifact, and the
 * reference to it by digest; `more` says how many there are besides, and `platform` which platform
 * was asked for, that is not among them. `option` names the option that chooses one of them, where
 * there is one.
 */
export class MediaTypeMismatch extends Schema.TaggedError<MediaTypeMismatch>(
  "effect-oci/MediaTypeMismatch"
)("MediaTypeMismatch", {
  expected: Schema.String,
  actual: Schema.String,
  manifest: Schema.optionalWith(Schema.String, { exact: true }),
  choices: Schema.optionalWith(
    Schema.Array(Schema.Struct({ name: Schema.String, reference: Schema.String })),
    { exact: true }
  ),
  more: Schema.optionalWith(Schema.Number, { exact: true }),
  platform: Schema.optionalWith(Schema.String, { exact: true }),
  option: Schema.optionalWith(Schema.Literal("platform"), { exact: true })
}) {
  override get message(): string {
    const place = this.manifest === undefined ? "" : `${this.manifest}: `
    const [expected, actual] = [quoted(this.expected), quoted(this.actual)]
    const [first] = this.choices ?? []
    const names = [...new Set(this.choices?.map(({ name }) => name))].join(", ")
    const more = this.more === undefined ? "" : ` and ${this.more} more`
    const advice =
      first === undefined
        ? ""
        : `, with manifests for ${names}${more}: use the digest of one of them, ` +
          `as in ${first.reference} for ${first.name}` +
          (this.option === undefined ? "" : `, or the option ${this.option}`)
    const found =
      this.platform === undefined
        ? `expected a manifest of type ${expected}, but it says that it is ${actual}`
        : `nothing for ${this.platform} in this manifest of type ${actual}`
    return `${place}${found}${advice}`
  }
}

/** A JSON object. */
export type Document = JsonText.Document

/** A JSON object, or what is wrong with what should have been one. */
export type Parsed = Either.Either<Document, string>

const common = {
  schemaVersion: Schema.Literal(2),
  mediaType: optional(Schema.String),
  artifactType: optional(Schema.String),
  subject: optional(Descriptor.Descriptor),
  annotations: optional(Annotations)
}
// What the views have of their own, and what a document can only have as `null`.
const droppedOfImage = ["_tag", "skipped", "manifests"]
const droppedOfIndex = ["_tag", "skipped", "config", "layers"]
const Image = OpenStruct.make(
  Schema.Struct({
    ...common,
    config: Descriptor.Descriptor,
    layers: optional(Schema.Array(Descriptor.Descriptor))
  }),
  "ImageManifest",
  droppedOfImage
)
const Index = OpenStruct.make(
  Schema.Struct({ ...common, manifests: optional(Schema.Array(Descriptor.Descriptor)) }),
  "ImageIndex",
  droppedOfIndex
)
const IndexOfAnything = OpenStruct.make(
  Schema.Struct({ ...common, manifests: optional(Schema.Array(Schema.Unknown)) }),
  "ImageIndex",
  droppedOfIndex
)

/**
 * Decodes a document without any `null` by the decoded side of its schema, which takes a third of
 * the time, and others by both.
 */
const decodeWith = <A, I>(schema: Schema.Schema<A, I>) => {
  const strictly = ParseResult.decodeUnknownEither(Schema.typeSchema(schema))
  const tolerantly = ParseResult.decodeUnknownEither(schema)
  return (document: unknown): Either.Either<A, ParseResult.ParseIssue> => {
    const decoded = strictly(document)
    return Either.isRight(decoded) ? decoded : tolerantly(document)
  }
}
const decodeImage = decodeWith(Image)
const decodeIndex = decodeWith(Index)
const decodeIndexOfAnything = ParseResult.decodeUnknownEither(IndexOfAnything)
const decodeEntry = decodeWith(Descriptor.Descriptor)

/** An index with more entries than these that cannot be read is not an index (T6). */
const maxSkipped = 1000

/**
 * Parses what can be read: a byte order mark and invalid UTF-8 change the digest, not the view
 * (trap 25). Fails with what is wrong if it is not a JSON object, or too large to be made one.
 */
export const parse: (bytes: Uint8Array) => Parsed = JsonText.parseObject

/**
 * Returns the media type of a manifest that was sent as `sent`: that, or the document's own where
 * `sent` says nothing.
 */
export const mediaTypeOf = (
  sent: string | undefined,
  document: Parsed
): Effect.Effect<string, InvalidManifest | MediaTypeMismatch> => {
  const essence = MediaType.essence(sent ?? "")
  // Trap 29; the fields of a document do not tell its type (trap 30).
  const found = Either.getOrUndefined(document)
  const outer =
    SignedPayload.typeOf(essence, found) ??
    (essence === "" || isGeneric(essence) ? undefined : essence)
  const own = found?.mediaType
  const inner = typeof own === "string" && own !== "" ? own : undefined
  if (outer !== undefined && inner !== undefined && !MediaType.equals(outer, inner)) {
    // C22, T9. The document of an unknown type may use the name for something else, unless it poses
    // as one of ours (I4).
    if (isDecoded(outer) || isDecoded(inner)) {
      return Effect.fail(
        new MediaTypeMismatch({ expected: plain(outer, 128), actual: plain(inner, 128) })
      )
    }
  }
  const mediaType = outer ?? inner
  if (mediaType === undefined) {
    if (Either.isLeft(document)) return Effect.fail(notJson(document.left))
    const message =
      "the type of the manifest is unknown: it has no mediaType and was sent without one"
    return Effect.fail(new InvalidManifest({ reason: "MediaType", message }))
  }
  if (!MediaType.isMediaType(mediaType)) {
    const message = `${quoted(mediaType)} is not a media type`
    return Effect.fail(new InvalidManifest({ reason: "MediaType", message }))
  }
  return Effect.succeed(mediaType)
}

/** Reads what a document of a type says. */
export const decode = (
  mediaType: string,
  found: Parsed
): Effect.Effect<Content, InvalidManifest> => {
  if (!isDecoded(mediaType)) return Effect.succeed({ _tag: "UnknownManifest" })
  if (Either.isLeft(found)) return Effect.fail(notJson(found.left))
  const document = found.right
  const isIndex = MediaType.isIndex(mediaType)
  const hasImage = has(document, "config") || has(document, "layers")
  // T9
  if (hasImage && (isIndex || has(document, "manifests"))) {
    const message = has(document, "manifests")
      ? "the manifest has manifests beside config or layers: it is neither an image nor an index"
      : "the index has the config or layers of an image, and no manifests"
    return Effect.fail(new InvalidManifest({ reason: "Ambiguous", message }))
  }
  return isIndex ? readIndex(document) : readImage(document)
}

const readImage = (document: Document): Effect.Effect<Content, InvalidManifest> =>
  Either.match(decodeImage(document), {
    onLeft: (issue) => Effect.fail(misshapen(issue)),
    onRight: (wire) => Effect.succeed({ ...wire, _tag: "ImageManifest", layers: wire.layers ?? [] })
  })

const readIndex = (document: Document): Effect.Effect<Content, InvalidManifest> =>
  Either.match(decodeIndex(document), {
    onLeft: () => readEntries(document),
    onRight: (wire) =>
      Effect.succeed({ ...wire, _tag: "ImageIndex", manifests: wire.manifests ?? [] })
  })

/** Reads an index one entry after the other, since one of them is not a descriptor. */
const readEntries = (document: Document): Effect.Effect<Content, InvalidManifest> => {
  const wire = decodeIndexOfAnything(document)
  if (Either.isLeft(wire)) return Effect.fail(misshapen(wire.left))
  const manifests: Array<Descriptor.Descriptor> = []
  const skipped: Array<SkippedEntry> = []
  for (const [at, entry] of (wire.right.manifests ?? []).entries()) {
    const decoded = decodeEntry(entry)
    if (Either.isRight(decoded)) manifests.push(decoded.right)
    else {
      const { message, path = "" } = misshapen(decoded.left, `.manifests[${at}]`)
      if (skipped.push({ path, message }) > maxSkipped)
        return Effect.fail(new InvalidManifest({ reason: "Shape", path, message }))
    }
  }
  return Effect.succeed({
    ...wire.right,
    _tag: "ImageIndex",
    manifests,
    ...(skipped.length > 0 && { skipped })
  })
}

const notJson = (problem: string): InvalidManifest =>
  new InvalidManifest({ reason: "Json", message: `the manifest ${problem}` })

const has = (document: Document, name: string): boolean =>
  document[name] !== undefined && document[name] !== null

const misshapen = (issue: ParseResult.ParseIssue, path?: string): InvalidManifest => {
  const { message, place } = SchemaIssue.first(issue, path)
  return new InvalidManifest({ reason: "Shape", path: place, message })
}
