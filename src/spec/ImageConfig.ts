/**
 * Image configurations: what an image is for, how it was built and how a container of it is run
 * (image-spec config.md). Docker's have the same form under a media type of their own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Annotations } from "./Annotations.js"
import * as Descriptor from "./Descriptor.js"
import * as Digest from "./Digest.js"
import * as JsonText from "./internal/JsonText.js"
import * as OpenStruct from "./internal/OpenStruct.js"
import { optional } from "./internal/Optional.js"
import * as Parsed from "./internal/Parsed.js"
import * as SchemaIssue from "./internal/SchemaIssue.js"
import { quoted } from "./internal/ServerText.js"
import * as StringMap from "./internal/StringMap.js"
import * as MediaType from "./MediaType.js"

/**
 * An image configuration. `descriptor` holds its media type, and the digest and size of exactly
 * `bytes`; the digest is the id of the image.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageConfig {
  readonly bytes: Uint8Array
  readonly descriptor: Descriptor.Descriptor
  readonly content: Content
}

/**
 * What an image configuration says ([image-spec,
 * Properties](https://github.com/opencontainers/image-spec/blob/main/config.md#properties)). Times
 * are texts of RFC 3339, as they were sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Content {
  readonly created?: string
  readonly author?: string
  readonly architecture: string
  readonly os: string
  readonly "os.version"?: string
  readonly "os.features"?: ReadonlyArray<string>
  readonly variant?: string
  readonly config?: Execution
  readonly rootfs: RootFs
  readonly history?: ReadonlyArray<History>
}

/**
 * How a container of the image is run: the `config` member of {@link Content}. Those from `Memory`
 * on are reserved by the specification, and as they were sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Execution {
  readonly User?: string
  /** A set: of `8080`, `8080/tcp` or `8080/udp`, each with an empty object. */
  readonly ExposedPorts?: Readonly<Record<string, object>>
  /** Of the form `NAME=value`. */
  readonly Env?: ReadonlyArray<string>
  readonly Entrypoint?: ReadonlyArray<string>
  readonly Cmd?: ReadonlyArray<string>
  /** A set: of paths, each with an empty object. */
  readonly Volumes?: Readonly<Record<string, object>>
  readonly WorkingDir?: string
  readonly Labels?: Annotations
  readonly StopSignal?: string
  /** Deprecated by the specification: whether the command line on Windows is escaped already. */
  readonly ArgsEscaped?: boolean
  readonly Memory?: unknown
  readonly MemorySwap?: unknown
  readonly CpuShares?: unknown
  readonly Healthcheck?: unknown
}

/**
 * The digests of the layers as tar archives that are not compressed, from the base to the top.
 *
 * @since 0.1.0
 * @category models
 */
export interface RootFs {
  readonly type: "layers"
  readonly diff_ids: ReadonlyArray<Digest.Digest>
}

/**
 * One step of the build. One that is an `empty_layer` changed no files, and has no layer.
 *
 * @since 0.1.0
 * @category models
 */
export interface History {
  readonly created?: string
  readonly author?: string
  readonly created_by?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

/**
 * An image configuration as it stands in a JSON document, where `null` is the same as absent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoded {
  readonly created?: string | null
  readonly author?: string | null
  readonly architecture: string
  readonly os: string
  readonly "os.version"?: string | null
  readonly "os.features"?: ReadonlyArray<string> | null
  readonly variant?: string | null
  readonly config?: {
    readonly User?: string | null
    readonly ExposedPorts?: Readonly<Record<string, object>> | null
    readonly Env?: ReadonlyArray<string> | null
    readonly Entrypoint?: ReadonlyArray<string> | null
    readonly Cmd?: ReadonlyArray<string> | null
    readonly Volumes?: Readonly<Record<string, object>> | null
    readonly WorkingDir?: string | null
    readonly Labels?: Annotations | null
    readonly StopSignal?: string | null
    readonly ArgsEscaped?: boolean | null
    readonly Memory?: unknown
    readonly MemorySwap?: unknown
    readonly CpuShares?: unknown
    readonly Healthcheck?: unknown
  } | null
  readonly rootfs: {
    readonly type: "layers"
    /** Absent in images without layers as some programs write them. */
    readonly diff_ids?: ReadonlyArray<string> | null
  }
  readonly history?: ReadonlyArray<{
    readonly created?: string | null
    readonly author?: string | null
    readonly created_by?: string | null
    readonly comment?: string | null
    readonly empty_layer?: boolean | null
  }> | null
}

/**
 * Occurs when a document is not an image configuration.
 *
 * - `MediaType`: it was sent as something else, which must not be parsed as one.
 * - `Json`: it is not a JSON object, or nests too deep or has too many members to be parsed: over
 *   256 levels, or over 500,000 brackets, commas and colons.
 * - `Shape`: a field is missing or wrong; `path` says which, as in `rootfs.diff_ids[3]`.
 * - `Layers`: it is of an image with another number of layers.
 *
 * `image` says of which image it is, where that is known, as in `ghcr.io/owner/name:tag`.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidImageConfig extends Schema.TaggedError<InvalidImageConfig>(
  "effect-oci/InvalidImageConfig"
)("InvalidImageConfig", {
  reason: Schema.Literal("MediaType", "Json", "Shape", "Layers"),
  path: Schema.optionalWith(Schema.String, { exact: true }),
  image: Schema.optionalWith(Schema.String, { exact: true }),
  message: Schema.String
}) {}

const TextSet = StringMap.make(
  Schema.Object,
  (u): u is object => typeof u === "object" && u !== null,
  { identifier: "Set", description: "a map of strings to objects" },
  (fc) => fc.constant({}),
  {}
)

const reserved = Schema.optionalWith(Schema.Unknown, { exact: true })

const Execution = OpenStruct.make(
  Schema.Struct({
    User: optional(Schema.String),
    ExposedPorts: optional(TextSet),
    Env: optional(Schema.Array(Schema.String)),
    Entrypoint: optional(Schema.Array(Schema.String)),
    Cmd: optional(Schema.Array(Schema.String)),
    Volumes: optional(TextSet),
    WorkingDir: optional(Schema.String),
    Labels: optional(Annotations),
    StopSignal: optional(Schema.String),
    ArgsEscaped: optional(Schema.Boolean),
    Memory: reserved,
    MemorySwap: reserved,
    CpuShares: reserved,
    Healthcheck: reserved
  }),
  "Execution"
)

const History = OpenStruct.make(
  Schema.Struct({
    created: optional(Schema.String),
    author: optional(Schema.String),
    created_by: optional(Schema.String),
    comment: optional(Schema.String),
    empty_layer: optional(Schema.Boolean)
  }),
  "History"
)

const RootFs = OpenStruct.make(
  Schema.Struct({
    type: Schema.Literal("layers"), // I9
    // Programs in Go write null, or nothing, for an image without layers.
    diff_ids: Schema.optionalWith(Schema.Array(Digest.Digest), {
      default: () => [],
      exact: true,
      nullable: true
    })
  }),
  "RootFs"
)

/**
 * What an image configuration says, as a JSON object. Unknown members are kept at every level,
 * though the types do not show them, and `null` is read as absent. `diff_ids` that are absent are
 * none, as Docker writes an image without layers.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Content: Schema.Schema<Content, Encoded> = OpenStruct.make(
  Schema.Struct({
    created: optional(Schema.String),
    author: optional(Schema.String),
    architecture: Schema.String,
    os: Schema.String,
    "os.version": optional(Schema.String),
    "os.features": optional(Schema.Array(Schema.String)),
    variant: optional(Schema.String),
    config: optional(Execution),
    rootfs: RootFs,
    history: optional(Schema.Array(History))
  }),
  "ImageConfig"
)

/**
 * Reads an image configuration from its bytes as they were received.
 *
 * `mediaType` is that of the descriptor which led here, OCI's by default. One that is not of an
 * image configuration is refused: what else it is must not be parsed as one ([image-spec, Image
 * Manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md#image-manifest-property-descriptions)).
 * The digest is computed with the algorithm of `digest`, or SHA-256 without one; to compare the two
 * is up to the caller.
 *
 * Fails with {@link InvalidImageConfig}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes: (
  bytes: Uint8Array,
  options?: { readonly mediaType?: string | undefined; readonly digest?: Digest.Digest | undefined }
) => Effect.Effect<ImageConfig, InvalidImageConfig> = Effect.fnUntraced(function* (
  bytes,
  { digest, mediaType = MediaType.imageConfig } = {}
) {
  if (!MediaType.isImageConfig(mediaType))
    return yield* invalid("MediaType", `it is ${quoted(mediaType)}`) // I4
  const document = yield* Effect.mapError(Parsed.toEffect(JsonText.parseObject(bytes)), (problem) =>
    invalid("Json", `it ${problem}`)
  )
  const content = yield* Effect.mapError(Parsed.toEffect(decode(document)), (issue) => {
    const { message, place } = SchemaIssue.first(issue)
    return invalid("Shape", message, place)
  })
  return {
    bytes,
    descriptor: Descriptor.fromBytes(bytes, mediaType, Digest.comparable(digest)),
    content
  }
})

/**
 * Builds an image configuration. Equal contents give equal bytes: fields have a fixed order, with
 * what is not known after them, and sets and labels are sorted.
 *
 * `mediaType` is the OCI type unless Docker's is asked for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  content: Content,
  options: {
    readonly mediaType?: typeof MediaType.imageConfig | typeof MediaType.dockerImageConfig
  } = {}
): ImageConfig => {
  const bytes = new TextEncoder().encode(JSON.stringify(inOrder(content)))
  const { mediaType = MediaType.imageConfig } = options
  return { bytes, descriptor: Descriptor.fromBytes(bytes, mediaType), content }
}

/**
 * A layer of an image: its descriptor, and what the configuration says of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Layer {
  readonly descriptor: Descriptor.Descriptor
  /** The digest of the layer as a tar archive that is not compressed. */
  readonly diffId: Digest.Digest
  /** The step that made it, if the history goes so far. */
  readonly history: Option.Option<History>
}

/**
 * Returns the layers of an image, from the base to the top. The manifest says which they are: a
 * history that is missing, shorter or longer leaves none out.
 *
 * Fails with {@link InvalidImageConfig} for the reason `Layers` if there are more or fewer
 * `diff_ids` than layers.
 *
 * @since 0.1.0
 * @category getters
 */
export const layers = (
  { history = [], rootfs }: Content,
  descriptors: ReadonlyArray<Descriptor.Descriptor>
): Effect.Effect<ReadonlyArray<Layer>, InvalidImageConfig> => {
  // S29
  const steps = history.filter(({ empty_layer }) => empty_layer !== true)
  const { diff_ids } = rootfs
  const found = descriptors.flatMap((descriptor, n) => {
    const diffId = diff_ids[n]
    return diffId === undefined
      ? []
      : [{ descriptor, diffId, history: Option.fromNullable(steps[n]) }]
  })
  return found.length === descriptors.length && found.length === diff_ids.length
    ? Effect.succeed(found)
    : Effect.fail(
        invalid(
          "Layers",
          `it has ${diff_ids.length} diff_ids for ${descriptors.length} layers`,
          "rootfs.diff_ids"
        )
      )
}

const decode = ParseResult.decodeUnknownEither(Content)

const invalid = (reason: InvalidImageConfig["reason"], problem: string, path?: string) =>
  new InvalidImageConfig({
    reason,
    ...(path !== undefined && { path }),
    message: `This is not an image configuration: ${problem}`
  })

/** In the order of the specification. */
const inOrder = (content: Content): object =>
  OpenStruct.inOrder(content, {
    created: content.created,
    author: content.author,
    architecture: content.architecture,
    os: content.os,
    "os.version": content["os.version"],
    "os.features": content["os.features"],
    variant: content.variant,
    config: content.config && executionInOrder(content.config),
    rootfs: OpenStruct.inOrder(content.rootfs, {
      type: content.rootfs.type,
      diff_ids: content.rootfs.diff_ids
    }),
    history: content.history?.map((step) =>
      OpenStruct.inOrder(step, {
        created: step.created,
        author: step.author,
        created_by: step.created_by,
        comment: step.comment,
        empty_layer: step.empty_layer
      })
    )
  })

const executionInOrder = (config: Execution): object => {
  const { ExposedPorts, Labels, Volumes } = config
  return OpenStruct.inOrder(config, {
    User: config.User,
    ExposedPorts: ExposedPorts && OpenStruct.sorted(Object.entries(ExposedPorts)),
    Env: config.Env,
    Entrypoint: config.Entrypoint,
    Cmd: config.Cmd,
    Volumes: Volumes && OpenStruct.sorted(Object.entries(Volumes)),
    WorkingDir: config.WorkingDir,
    Labels: Labels && OpenStruct.sorted(Object.entries(Labels)),
    StopSignal: config.StopSignal,
    ArgsEscaped: config.ArgsEscaped,
    Memory: config.Memory,
    MemorySwap: config.MemorySwap,
    CpuShares: config.CpuShares,
    Healthcheck: config.Healthcheck
  })
}
