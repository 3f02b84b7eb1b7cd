/**
 * Manifests: exact bytes, the descriptor computed from them, and a decoded view beside them
 * (image-spec manifest.md and image-index.md). The bytes are the truth: nothing here parses and
 * re-serialises a manifest that was received.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Annotations } from "./Annotations.js"
import * as Descriptor from "./Descriptor.js"
import * as Digest from "./Digest.js"
import {
  type Content,
  decode,
  type ImageIndex,
  type ImageManifest,
  InvalidManifest,
  type MediaTypeMismatch,
  mediaTypeOf,
  parse
} from "./internal/ManifestDocument.js"
import { encode } from "./internal/ManifestEncoding.js"
import * as SignedPayload from "./internal/SignedPayload.js"
import * as MediaType from "./MediaType.js"

/**
 * A manifest. `descriptor` holds its media type, and the digest and size of exactly `bytes`: of a
 * signed one of schema 1, those of its payload (see `SignedManifest`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Manifest {
  readonly bytes: Uint8Array
  readonly descriptor: Descriptor.Descriptor
  readonly content: Content
}

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type Content,
  /**
   * @since 0.1.0
   * @category models
   */
  type ImageIndex,
  /**
   * @since 0.1.0
   * @category models
   */
  type ImageManifest,
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidManifest,
  /**
   * @since 0.1.0
   * @category errors
   */
  MediaTypeMismatch,
  /**
   * @since 0.1.0
   * @category models
   */
  type SkippedEntry,
  /**
   * @since 0.1.0
   * @category models
   */
  type UnknownManifest
} from "./internal/ManifestDocument.js"

/**
 * Reads a manifest from its bytes as they were received.
 *
 * `mediaType` is the type it was sent with: a `Content-Type` header, whose parameters are ignored
 * ([Pulling
 * manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)),
 * or that of the descriptor which led here. If there is none, or one that a static file server
 * would give to any document, the document's own `mediaType` decides; its fields never do. The
 * digest is computed with the algorithm of `digest`, or SHA-256 without one or if it is not
 * verifiable; to compare the two is up to the caller. `application/json` is the type of schema 1
 * where the document is of that version.
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
    const document = parse(bytes)
    const mediaType = yield* mediaTypeOf(options?.mediaType, document)
    return {
      bytes,
      descriptor: Descriptor.fromBytes(
        SignedPayload.hashed(bytes, mediaType),
        mediaType,
        Digest.comparable(options?.digest)
      ),
      content: yield* decode(mediaType, document)
    }
  }
)

/**
 * Builds an image manifest. Equal options give equal bytes: fields have a fixed order and
 * annotations are sorted. Options spread from the content of a manifest bring what is not known of
 * it along.
 *
 * `mediaType` is the OCI type unless Docker's is asked for.
 *
 * Throws {@link InvalidManifest} if `config` is the empty one and there is no `artifactType`, which
 * must then say what the artifact is ([image-spec, Image
 * Manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions)).
 * So it does for a size that is not a whole number from 0 to 2^53 - 1.
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
    subject,
    ...unknown
  } = options
  if (MediaType.equals(config.mediaType, MediaType.empty) && !artifactType)
    throw new InvalidManifest({
      reason: "MediaType",
      path: "artifactType",
      message:
        "artifactType is missing, which must say what an artifact with the empty config is: " +
        'give one, such as "application/vnd.example.report.v1"'
    })
  return build(mediaType, {
    ...unknown,
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
 * are sorted. Options spread from the content of an index bring what is not known of it along.
 *
 * `mediaType` is the OCI type unless Docker's is asked for.
 *
 * Throws {@link InvalidManifest} for a size that is not a whole number from 0 to 2^53 - 1.
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
    skipped: _,
    subject,
    ...unknown
  }: typeof options & Pick<ImageIndex, "skipped"> = options
  return build(mediaType, {
    ...unknown,
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
 * Returns the manifest that this one refers to, and among whose referrers it is.
 *
 * @since 0.1.0
 * @category getters
 */
export const subject = (manifest: Manifest): Option.Option<Descriptor.Descriptor> =>
  manifest.content._tag === "UnknownManifest"
    ? Option.none()
    : Option.fromNullable(manifest.content.subject)

/**
 * Returns the type of the artifact: `artifactType`, or, where an image manifest has none, its
 * config's media type ([Listing
 * Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
 * An index without one has none.
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
 * Returns the descriptor that lists the manifest among the referrers of its subject: with its
 * {@link artifactType} and all its annotations.
 *
 * @since 0.1.0
 * @category getters
 */
export const referrer = (manifest: Manifest): Descriptor.Descriptor => {
  // C77, R35
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
 * Returns what the manifest is made of: its config and layers, or the manifests of an index. The
 * subject is not among them, as it need not exist. Of a manifest of any other type nothing is
 * known.
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

const build = (mediaType: string, content: ImageManifest | ImageIndex): Manifest => {
  if (content._tag === "ImageIndex")
    for (const [n, entry] of content.manifests.entries()) checkSize(`manifests[${n}]`, entry)
  else {
    checkSize("config", content.config)
    for (const [n, layer] of content.layers.entries()) checkSize(`layers[${n}]`, layer)
  }
  if (content.subject !== undefined) checkSize("subject", content.subject)
  const bytes = encode(mediaType, content)
  return { bytes, descriptor: Descriptor.fromBytes(bytes, mediaType), content }
}

/** What types cannot say of a descriptor. */
const checkSize = (of: string, { size }: Descriptor.Descriptor): void => {
  if (Number.isSafeInteger(size) && size >= 0) return
  const path = `${of}.size`
  const message = `${path} is ${size}, and not a whole number from 0 to 2^53 - 1`
  throw new InvalidManifest({ reason: "Shape", path, message })
}
