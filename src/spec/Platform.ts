/**
 * The platform that an image runs on: a descriptor in an index says it, and users write it as
 * `linux/arm64`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as OpenStruct from "./internal/OpenStruct.js"
import { optional } from "./internal/Optional.js"
import * as Parsed from "./internal/Parsed.js"
import * as PlatformMatch from "./internal/PlatformMatch.js"
import * as ServerText from "./internal/ServerText.js"
import * as Values from "./internal/Value.js"

/**
 * A platform ([image-spec, Image
 * Index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions)).
 * `os` and `architecture` are values of GOOS and GOARCH; `features` is reserved by OCI and holds
 * CPU features in Docker's manifest lists.
 *
 * A platform that was parsed, decoded or made by {@link make} is equal (`Equal.equals`) to others
 * that say the same, and is shown as {@link format} has it. A plain object is accepted wherever a
 * platform is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Platform {
  readonly architecture: string
  readonly os: string
  readonly "os.version"?: string
  readonly "os.features"?: ReadonlyArray<string>
  readonly variant?: string
  readonly features?: ReadonlyArray<string>
}

/**
 * A platform as it stands in a JSON document, where `null` is the same as absent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoded {
  readonly architecture: string
  readonly os: string
  readonly "os.version"?: string | null
  readonly "os.features"?: ReadonlyArray<string> | null
  readonly variant?: string | null
  readonly features?: ReadonlyArray<string> | null
}

/**
 * A platform as it stands in a descriptor. Unknown properties are kept, though the type does not
 * show them, and `null` is read as absent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Platform: Schema.Schema<Platform, Encoded> = Schema.suspend(() =>
  Schema.transform(Properties, Value, { strict: true, decode: make, encode: identity })
).annotations({ identifier: "Platform" })

/**
 * A platform from the string that {@link parse} accepts, to the string that {@link format} makes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FromString: Schema.Schema<Platform, string> = Schema.suspend(() =>
  Schema.transformOrFail(Schema.String, Value, {
    strict: true,
    decode: Parsed.decode((input) => parsed(input)),
    encode: (platform) => ParseResult.succeed(format(platform))
  })
)

/**
 * Makes a platform of its properties.
 *
 * @example
 * ```ts
 * import * as Platform from "effect-oci/Platform"
 *
 * Platform.make({ os: "linux", architecture: "arm", variant: "v7" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (properties: Platform): Platform => {
  const {
    architecture,
    features,
    os,
    "os.features": osFeatures,
    "os.version": version,
    variant,
    ...unknown
  } = properties
  return valueOf({
    architecture,
    os,
    ...(version !== undefined && { "os.version": version }),
    ...(osFeatures !== undefined && { "os.features": osFeatures }),
    ...(variant !== undefined && { variant }),
    ...(features !== undefined && { features }),
    ...unknown
  })
}

/**
 * Occurs for a text that is not `os/architecture` or `os/architecture/variant`. `input` is cut to
 * 128 characters.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidPlatform extends Schema.TaggedError<InvalidPlatform>(
  "effect-oci/InvalidPlatform"
)("InvalidPlatform", { input: Schema.String }) {
  override get message(): string {
    return (
      `${ServerText.escaped(this.input)} is not a platform: expected os/architecture or ` +
      "os/architecture/variant, such as linux/arm64 or linux/arm/v7"
    )
  }
}

/**
 * Parses `os/architecture` or `os/architecture/variant`. The parts are kept as written: `arm64` and
 * `aarch64` are not the same.
 *
 * Fails with {@link InvalidPlatform}.
 *
 * @example
 * ```ts
 * import * as Platform from "effect-oci/Platform"
 *
 * Platform.parse("linux/arm/v7") // { os: "linux", architecture: "arm", variant: "v7" }
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string): Effect.Effect<Platform, InvalidPlatform> =>
  Parsed.toEffect(parsed(input))

/**
 * Returns the platform that a text is, for one that is written in the source. Throws what
 * {@link parse} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParse = (input: string): Platform => Parsed.orThrow(parsed(input))

/**
 * Returns the platform as `os/architecture`, with `/variant` if there is one. The OS version and
 * the features are left out.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (platform: Platform): string =>
  platform.variant === undefined || platform.variant === ""
    ? `${platform.os}/${platform.architecture}`
    : `${platform.os}/${platform.architecture}/${platform.variant}`

/**
 * Returns what runs on a platform, the best first, of things that are each for one, such as the
 * descriptors of an index.
 *
 * - The OS and the architecture are the same. No variant is `v1` of amd64, `v7` of arm and `v8` of
 *   arm64. An empty variant or version is none, and `7` is `v7`.
 * - The same variant is best, then the next lower one: `v7` for `v8`, `v1` for `v3`. Where none is
 *   wanted, as of riscv64, the lowest is best.
 * - Then the same OS version, and of an earlier build the latest. Revisions of one build run each
 *   other's. Where no version is wanted, any is as good.
 * - Then all OS features that are wanted, and none besides. Where no features are wanted, fewer are
 *   better.
 * - What is left is in the order in which it is offered.
 *
 * Several platforms that are wanted are in order of preference. What has no platform is left out,
 * and so are attestations, which are for `unknown/unknown`.
 *
 * @example
 * ```ts
 * import type * as Manifest from "effect-oci/Manifest"
 * import * as Platform from "effect-oci/Platform"
 *
 * const best = ({ manifests }: Manifest.ImageIndex) =>
 *   Platform.rank(manifests, Platform.unsafeParse("linux/arm/v8"))[0]
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const rank = <A extends { readonly platform?: Platform | undefined }>(
  offered: Iterable<A>,
  wanted: Platform | ReadonlyArray<Platform>
): ReadonlyArray<A> => {
  const all = [...offered]
  const ranked = ("os" in wanted ? [wanted] : wanted).flatMap((one) =>
    all
      .flatMap((item) => {
        const { platform } = item
        const distance =
          platform === undefined || platform.os === "unknown"
            ? undefined
            : PlatformMatch.distance(one, platform)
        return distance === undefined ? [] : [{ item, distance }]
      })
      .sort((a, b) => PlatformMatch.compare(a.distance, b.distance))
      .map(({ item }) => item)
  )
  return [...new Set(ranked)]
}

const grammar = /^([A-Za-z0-9_.-]+)\/([A-Za-z0-9_.-]+)(?:\/([A-Za-z0-9_.-]+))?$/

const parsed = (input: string): Either.Either<Platform, InvalidPlatform> => {
  const match = input.length > 128 ? null : grammar.exec(input)
  const [, os, architecture, variant] = match ?? []
  if (os === undefined || architecture === undefined) {
    return Either.left(new InvalidPlatform({ input: input.slice(0, 128) }))
  }
  return Either.right(
    valueOf(variant === undefined ? { architecture, os } : { architecture, os, variant })
  )
}

const Properties = OpenStruct.make(
  Schema.Struct({
    architecture: Schema.String,
    os: Schema.String,
    "os.version": optional(Schema.String),
    "os.features": optional(Schema.Array(Schema.String)),
    variant: optional(Schema.String),
    features: optional(Schema.Array(Schema.String))
  }),
  "Platform"
)

const decodeProperties = ParseResult.decodeUnknownEither(Schema.typeSchema(Properties))

/** In the order of `Encoded`, which is that of their JSON. */
const key = (platform: Platform): string =>
  JSON.stringify([
    platform.architecture,
    platform.os,
    platform["os.version"] ?? null,
    platform["os.features"] ?? null,
    platform.variant ?? null,
    platform.features ?? null
  ])

const valueOf = Values.maker<Platform>({
  id: Symbol.for("effect-oci/Platform"),
  key,
  text: format,
  json: (platform) => ({ ...platform })
})

const valueIn = (u: unknown): Effect.Effect<Platform, ParseResult.ParseIssue> =>
  Either.match(decodeProperties(u), {
    onLeft: ParseResult.fail,
    onRight: (properties) => ParseResult.succeed(valueOf(properties))
  })

const Value: Schema.Schema<Platform> = Schema.declare(
  [],
  { decode: () => valueIn, encode: () => valueIn },
  {
    identifier: "Platform",
    description: "a platform",
    equivalence: () => (self, that) => key(self) === key(that),
    arbitrary: () => (fc) =>
      fc
        .record(
          {
            architecture: fc.string(),
            os: fc.string(),
            "os.version": fc.string(),
            "os.features": fc.array(fc.string()),
            variant: fc.string(),
            features: fc.array(fc.string())
          },
          { requiredKeys: ["architecture", "os"] }
        )
        .map(make)
  }
)
