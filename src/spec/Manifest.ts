/**
 * Manifests: exact bytes, the descriptor computed from them, and a decoded view beside them
 * (image-spec manifest.md and image-index.md). The bytes are the truth: nothing here parses and
 * re-serialises a manifest that was received.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Annotations } from "./Annotations.js"
import * as Descriptor from "./Descriptor.js"
import * as Digest from "./Digest.js"
import { isGeneric } from "./internal/GenericMediaType.js"
import { optional } from "./internal/Optional.js"
import { plain, quoted } from "./internal/ServerText.js"
import * as MediaType from "./MediaType.js"

/**
 * A manifest. `descriptor` holds its media type, and the digest and size of exactly `bytes`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Manifest {
  readonly bytes: Uint8Array
  readonly descriptor: Descriptor.Descriptor
  readonly content: Content
}

/**
 * What a manifest says.
 *
 * @since 0.1.0
 * @category models
 */
export type Content = ImageManifest | ImageIndex | UnknownManifest

/**
 * A single image or artifact: an OCI image manifest, or Docker's version 2 schema 2 under its own
 * `mediaType`.
 *
 * @since 0.1.0
 * @category models
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
 * A list of manifests: an OCI image index, or Docker's manifest list under its own `mediaType`.
 *
 * @since 0.1.0
 * @category models
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
 *
 * @since 0.1.0
 * @category models
 */
export interface SkippedEntry {
  readonly path: string
  readonly message: string
}

/**
 * A manifest of any other type: its bytes can be moved, but they are not interpreted (I3, I4).
 *
 * @since 0.1.0
 * @category models
 */
export interface UnknownManifest {
  readonly _tag: "UnknownManifest"
}

/**
 * A document that is not the manifest it is said to be.
 *
 * - `Json`: it is not a JSON object.
 * - `MediaType`: neither the caller nor the document names its type, or the name is not a media
 *   type.
 * - `Ambiguous`: it has the fields of an image manifest and of an index at once (T9,
 *   CVE-2021-41190).
 * - `Shape`: a field is missing or wrong; `path` says which, as in `layers[3].size`.
 *
 * `manifest` says which manifest it is, where that is known, as in `ghcr.io/owner/name:tag`.
 *
 * @since 0.1.0
 * @category errors
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
 * A document names another media type than the one it was sent with (C22, T9). Both are cut to 128
 * characters. `manifest` says which manifest it is, where that is known.
 *
 * @since 0.1.0
 * @category errors
 */
export class MediaTypeMismatch extends Schema.TaggedError<MediaTypeMismatch>(
  "effect-oci/MediaTypeMismatch"
)("MediaTypeMismatch", {
  expected: Schema.String,
  actual: Schema.String,
  manifest: Schema.optionalWith(Schema.String, { exact: true })
}) {
  override get message(): string {
    const place = this.manifest === undefined ? "" : `${this.manifest}: `
    return `${place}expected a manifest of type ${quoted(this.expected)}, but it says that it is ${quoted(this.actual)}`
  }
}

/**
 * Reads a manifest from its bytes as they were received.
 *
 * `mediaType` is the type it was sent with: a `Content-Type` header, whose parameters are ignored
 * (C21), or that of the descriptor which led here. If there is none, or one that a static file
 * server would give to any document, the document's own `mediaType` decides (trap 29); its fields
 * never do (trap 30). The digest is computed with the algorithm of `digest`, or SHA-256 without one
 * or if it is not verifiable; to compare the two is up to the caller.
 *
 * A type other than the four that are decoded gives an {@link UnknownManifest}, whatever the bytes
 * are. In the others `null` is the same as absent, and a list that is absent is empty. An entry of
 * an index that is not a descriptor is left out and noted in `skipped`; over 1,000 of them make the
 * index invalid, and so does one in `layers` or a `config` that is not one.
 *
 * Fails with {@link MediaTypeMismatch} if the document names another type than `mediaType`, and
 * with {@link InvalidManifest}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes: (
  bytes: Uint8Array,
  options?: { readonly mediaType?: string | undefined; readonly digest?: Digest.Digest | undefined }
) => Effect.Effect<Manifest, InvalidManifest | MediaTypeMismatch> = Effect.fnUntraced(
  function* (bytes, options) {
    const document = parseObject(bytes)
    const mediaType = yield* resolveType(options?.mediaType, document)
    return {
      bytes,
      descriptor: Descriptor.fromBytes(bytes, mediaType, computable(options?.digest)),
      content: yield* decode(mediaType, document)
    }
  }
)

/**
 * Returns the media type that `fromBytes` gives to a manifest, without reading its content.
 *
 * @since 0.1.0
 * @category getters
 * @internal
 */
export const mediaTypeOf = (
  bytes: Uint8Array,
  sent: string | undefined
): Effect.Effect<string, InvalidManifest | MediaTypeMismatch> =>
  resolveType(sent, parseObject(bytes))

/**
 * Builds an image manifest. Equal options give equal bytes: fields have a fixed order and
 * annotations are sorted.
 *
 * `mediaType` is the OCI type unless Docker's is asked for. An `artifactType` is required by the
 * specification if `config` is the empty descriptor.
 *
 * @since 0.1.0
 * @category constructors
 */
export const image = (options: {
  readonly config: Descriptor.Descriptor
  readonly layers: ReadonlyArray<Descriptor.Descriptor>
  readonly artifactType?: string | undefined
  readonly subject?: Descriptor.Descriptor | undefined
  readonly annotations?: Annotations | undefined
  readonly mediaType?: typeof MediaType.imageManifest | typeof MediaType.dockerManifest
}): Manifest => {
  const {
    annotations,
    artifactType,
    config,
    layers,
    mediaType = MediaType.imageManifest,
    subject
  } = options
  return build(mediaType, {
    _tag: "ImageManifest",
    schemaVersion: 2,
    mediaType,
    ...(artifactType !== undefined && { artifactType }),
    config,
    layers,
    ...(subject !== undefined && { subject }),
    ...(annotations !== undefined && { annotations })
  })
}

/**
 * Builds an image index. Equal options give equal bytes: fields have a fixed order and annotations
 * are sorted.
 *
 * `mediaType` is the OCI type unless Docker's is asked for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const index = (options: {
  readonly manifests: ReadonlyArray<Descriptor.Descriptor>
  readonly artifactType?: string | undefined
  readonly subject?: Descriptor.Descriptor | undefined
  readonly annotations?: Annotations | undefined
  readonly mediaType?: typeof MediaType.imageIndex | typeof MediaType.dockerManifestList
}): Manifest => {
  const {
    annotations,
    artifactType,
    manifests,
    mediaType = MediaType.imageIndex,
    subject
  } = options
  return build(mediaType, {
    _tag: "ImageIndex",
    schemaVersion: 2,
    mediaType,
    ...(artifactType !== undefined && { artifactType }),
    manifests,
    ...(subject !== undefined && { subject }),
    ...(annotations !== undefined && { annotations })
  })
}

/**
 * The manifest that this one refers to, and among whose referrers it is.
 *
 * @since 0.1.0
 * @category getters
 */
export const subject = (manifest: Manifest): Option.Option<Descriptor.Descriptor> =>
  manifest.content._tag === "UnknownManifest"
    ? Option.none()
    : Option.fromNullable(manifest.content.subject)

/**
 * The type of the artifact: `artifactType`, or, where an image manifest has none, its config's
 * media type (C77, I10). An index without one has none.
 *
 * @since 0.1.0
 * @category getters
 */
export const artifactType = ({ content }: Manifest): Option.Option<string> => {
  if (content._tag === "UnknownManifest") return Option.none()
  if (content.artifactType !== undefined && content.artifactType !== "")
    return Option.some(content.artifactType)
  return content._tag === "ImageManifest" ? Option.some(content.config.mediaType) : Option.none()
}

/**
 * The descriptor that lists the manifest among the referrers of its subject: with its {@link
 * artifactType} and all its annotations (C77, R35).
 *
 * @since 0.1.0
 * @category getters
 */
export const referrer = (manifest: Manifest): Descriptor.Descriptor => {
  const { content, descriptor } = manifest
  const annotations = content._tag === "UnknownManifest" ? undefined : content.annotations
  return {
    ...descriptor,
    ...Option.match(artifactType(manifest), {
      onNone: () => ({}),
      onSome: (artifactType) => ({ artifactType })
    }),
    ...(annotations !== undefined && { annotations })
  }
}

/**
 * What the manifest is made of: its config and layers, or the manifests of an index. The subject is
 * not among them, as it need not exist.
 *
 * @since 0.1.0
 * @category getters
 */
export const references = ({ content }: Manifest): ReadonlyArray<Descriptor.Descriptor> => {
  switch (content._tag) {
    case "ImageManifest":
      return [content.config, ...content.layers]
    case "ImageIndex":
      return content.manifests
    case "UnknownManifest":
      return []
  }
}

/**
 * Returns the index with another entry after all others, everything else of it unchanged, what is
 * not known included. Fails with {@link InvalidManifest} if it nests so deep that it cannot be
 * written.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const withEntry = (
  index: Manifest,
  entry: Descriptor.Descriptor
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) => [...entries, inOrder(entry)])

/**
 * Returns the index without the entries of a digest, everything else of it unchanged, as `withEntry`
 * does.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const withoutEntry = (
  index: Manifest,
  digest: Digest.Digest
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) =>
    entries.filter((entry) => !Predicate.hasProperty(entry, "digest") || entry.digest !== digest)
  )

const withEntries = (
  { bytes, descriptor }: Manifest,
  change: (entries: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
): Effect.Effect<Manifest, InvalidManifest> => {
  const document = Option.getOrElse(parseObject(bytes), (): Document => ({}))
  const entries: unknown = document["manifests"]
  const manifests = change(Array.isArray(entries) ? entries : [])
  return Effect.flatMap(
    Effect.try({
      try: () => new TextEncoder().encode(JSON.stringify({ ...document, manifests })),
      catch: () =>
        new InvalidManifest({ reason: "Json", message: "the index nests too deep to be changed" })
    }),
    (changed) =>
      Effect.map(decode(descriptor.mediaType, parseObject(changed)), (content) => ({
        bytes: changed,
        descriptor: Descriptor.fromBytes(changed, descriptor.mediaType),
        content
      }))
  )
}

interface Document {
  readonly [name: string]: unknown
}

const common = {
  schemaVersion: Schema.Literal(2),
  mediaType: optional(Schema.String),
  artifactType: optional(Schema.String),
  subject: optional(Descriptor.Descriptor),
  annotations: optional(Annotations)
}
const decodeImage = ParseResult.decodeUnknownEither(
  Schema.Struct({
    ...common,
    config: Descriptor.Descriptor,
    layers: optional(Schema.Array(Descriptor.Descriptor))
  })
)
const decodeIndex = ParseResult.decodeUnknownEither(
  Schema.Struct({ ...common, manifests: optional(Schema.Array(Schema.Unknown)) })
)
const decodeEntry = ParseResult.decodeUnknownEither(Descriptor.Descriptor)

/** An index with more entries than these that cannot be read is not an index (T6). */
const maxSkipped = 1000

/**
 * Reads what can be read: a byte order mark and invalid UTF-8 change the digest, not the view (trap
 * 25).
 */
const parseObject = (bytes: Uint8Array): Option.Option<Document> =>
  Option.filter(
    Option.liftThrowable((): unknown => JSON.parse(new TextDecoder().decode(bytes)))(),
    (value): value is Document =>
      typeof value === "object" && value !== null && !Array.isArray(value)
  )

const isDecoded = (mediaType: string): boolean =>
  MediaType.isImageManifest(mediaType) || MediaType.isIndex(mediaType)

const resolveType = (
  sent: string | undefined,
  document: Option.Option<Document>
): Effect.Effect<string, InvalidManifest | MediaTypeMismatch> => {
  const essence = MediaType.essence(sent ?? "")
  const outer = essence === "" || isGeneric(essence) ? undefined : essence
  const own = Option.getOrUndefined(document)?.mediaType
  const inner = typeof own === "string" && own !== "" ? own : undefined
  if (outer !== undefined && inner !== undefined && !MediaType.equals(outer, inner)) {
    // The document of an unknown type may use the name for something else, unless it poses as one
    // of ours (I4).
    if (isDecoded(outer) || isDecoded(inner)) {
      return Effect.fail(
        new MediaTypeMismatch({ expected: plain(outer, 128), actual: plain(inner, 128) })
      )
    }
  }
  const mediaType = outer ?? inner
  if (mediaType === undefined) {
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

const decode = (
  mediaType: string,
  found: Option.Option<Document>
): Effect.Effect<Content, InvalidManifest> => {
  if (!isDecoded(mediaType)) return Effect.succeed({ _tag: "UnknownManifest" })
  if (Option.isNone(found)) {
    return Effect.fail(
      new InvalidManifest({ reason: "Json", message: "the manifest is not a JSON object" })
    )
  }
  const document = found.value
  const isIndex = MediaType.isIndex(mediaType)
  const hasImage = has(document, "config") || has(document, "layers")
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
    onRight: (wire) => Effect.succeed({ _tag: "ImageManifest", ...wire, layers: wire.layers ?? [] })
  })

const readIndex = (document: Document): Effect.Effect<Content, InvalidManifest> => {
  const wire = decodeIndex(document)
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
    _tag: "ImageIndex",
    ...wire.right,
    manifests,
    ...(skipped.length > 0 && { skipped })
  })
}

const has = (document: Document, name: string): boolean =>
  document[name] !== undefined && document[name] !== null

/**
 * The first place that does not fit. The stock formatter would print the offending value: as large
 * as the document, and recursively, which a deeply nested one turns into a stack overflow (T21).
 */
const misshapen = (issue: ParseResult.ParseIssue, path = ""): InvalidManifest => {
  switch (issue._tag) {
    case "Pointer": {
      const keys = typeof issue.path === "object" ? issue.path : [issue.path]
      return misshapen(issue.issue, path + keys.map(step).join(""))
    }
    case "Composite":
      return misshapen("_tag" in issue.issues ? issue.issues : issue.issues[0], path)
    case "Refinement":
    case "Transformation":
      if (issue.issue._tag !== "Type") return misshapen(issue.issue, path)
  }
  const place = path.slice(1, 129)
  const message =
    issue._tag === "Missing"
      ? `${place} is missing`
      : `${place}: expected ${"ast" in issue ? issue.ast : "nothing"}`
  return new InvalidManifest({ reason: "Shape", path: place, message })
}

const step = (key: PropertyKey): string => {
  if (typeof key === "number") return `[${key}]`
  const name = String(key)
  return /^[a-zA-Z]+$/.test(name) ? `.${name}` : `[${quoted(name)}]`
}

const computable = (digest: Digest.Digest | undefined): Digest.Algorithm =>
  digest !== undefined && Digest.algorithm(digest) === "sha512" ? "sha512" : "sha256"

/**
 * Fields in the order of the specification's examples; JSON leaves out those that are undefined.
 */
const build = (mediaType: string, content: ImageManifest | ImageIndex): Manifest => {
  const { annotations, artifactType, schemaVersion, subject } = content
  const parts =
    content._tag === "ImageManifest"
      ? { config: inOrder(content.config), layers: content.layers.map(inOrder) }
      : { manifests: content.manifests.map(inOrder) }
  const document = {
    schemaVersion,
    mediaType,
    artifactType,
    ...parts,
    subject: subject && inOrder(subject),
    annotations: annotations && sorted(annotations)
  }
  const bytes = new TextEncoder().encode(JSON.stringify(document))
  return { bytes, descriptor: Descriptor.fromBytes(bytes, mediaType), content }
}

const inOrder = (descriptor: Descriptor.Descriptor) => ({
  mediaType: descriptor.mediaType,
  digest: descriptor.digest,
  size: descriptor.size,
  urls: descriptor.urls,
  annotations: descriptor.annotations && sorted(descriptor.annotations),
  data: descriptor.data,
  artifactType: descriptor.artifactType,
  platform: descriptor.platform && {
    architecture: descriptor.platform.architecture,
    os: descriptor.platform.os,
    "os.version": descriptor.platform["os.version"],
    "os.features": descriptor.platform["os.features"],
    variant: descriptor.platform.variant,
    features: descriptor.platform.features
  }
})

// `fromEntries` defines properties, so that a key named __proto__ stays one (T21).
const sorted = (annotations: Annotations): Annotations =>
  Object.fromEntries(Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1)))
