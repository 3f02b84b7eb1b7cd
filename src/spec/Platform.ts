/**
 * The platform that an image runs on: a descriptor in an index says it, and users write it as
 * `linux/arm64`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "./internal/Optional.js"
import * as ServerText from "./internal/ServerText.js"

/**
 * A platform ([image-spec, Image
 * Index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions)).
 * `os` and `architecture` are values of GOOS and GOARCH; `features` is reserved by OCI and holds
 * CPU features in Docker's manifest lists.
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
 * A platform as it stands in a descriptor. Unknown properties are ignored, and `null` is read as
 * absent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Platform: Schema.Schema<Platform, Encoded> = Schema.Struct({
  architecture: Schema.String,
  os: Schema.String,
  "os.version": optional(Schema.String),
  "os.features": optional(Schema.Array(Schema.String)),
  variant: optional(Schema.String),
  features: optional(Schema.Array(Schema.String))
}).annotations({ identifier: "Platform" })

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
export const parse = (input: string): Effect.Effect<Platform, InvalidPlatform> => {
  const match = input.length > 128 ? null : grammar.exec(input)
  const [, os, architecture, variant] = match ?? []
  if (os === undefined || architecture === undefined) {
    return Effect.fail(new InvalidPlatform({ input: input.slice(0, 128) }))
  }
  return Effect.succeed(
    variant === undefined ? { architecture, os } : { architecture, os, variant }
  )
}

/**
 * Returns the platform as `os/architecture`, with `/variant` if there is one. The OS version and
 * the features are left out.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (platform: Platform): string =>
  platform.variant === undefined
    ? `${platform.os}/${platform.architecture}`
    : `${platform.os}/${platform.architecture}/${platform.variant}`

const grammar = /^([A-Za-z0-9_.-]+)\/([A-Za-z0-9_.-]+)(?:\/([A-Za-z0-9_.-]+))?$/
