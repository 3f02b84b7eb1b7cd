/**
 * What a registry offers beyond the endpoints of the specification: its
 * [extensions](https://github.com/opencontainers/distribution-spec/blob/main/extensions/README.md),
 * as it lists them itself.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ByteStream from "../ByteStream.js"
import * as ContentDecoding from "../internal/ContentDecoding.js"
import * as Spans from "../internal/Spans.js"
import {
  type Denied,
  type NameUnknown,
  ProtocolViolation,
  type Unsupported
} from "../RegistryError.js"
import { optional } from "../spec/internal/Optional.js"
import type { InvalidReference } from "../spec/Reference.js"
import * as Classify from "./http/Classify.js"
import { RegistryClient } from "./http/ClientService.js"
import type { ExchangeError } from "./http/ExchangeError.js"
import * as OperationErrors from "./http/OperationErrors.js"
import * as Received from "./http/Received.js"
import * as ReportedErrors from "./http/ReportedErrors.js"
import * as Request from "./Request.js"

/**
 * An extension. `endpoints` are paths below `/v2/`, or below the repository that was asked about,
 * which a `Request` can be made of; `url` is where it is described.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extension {
  readonly name: string
  readonly url?: string | undefined
  readonly description?: string | undefined
  readonly endpoints: ReadonlyArray<string>
}

/**
 * What `discover` can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type DiscoverError = ExchangeError | Denied | NameUnknown | Unsupported | InvalidReference

/**
 * Lists the extensions of the registry, or of one of its repositories, by [the extension
 * `_oci`](https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md).
 * Entries that cannot be read are left out, and a warning is logged.
 *
 * Fails with
 *
 * - `Unsupported` where the registry does not list them, as most do not;
 * - `NameUnknown` for a repository that it does not know, where it tells that apart;
 * - `InvalidReference` before anything is sent, when `repository` is not the name of one;
 * - `ProtocolViolation` when the response is not such a list, `LimitExceeded` when it is too long,
 *   and the rest of `DiscoverError`.
 *
 * @example
 * ```ts
 * import * as Extensions from "effect-oci/Extensions"
 * import * as Effect from "effect/Effect"
 *
 * // zot has a search of its own.
 * const hasSearch = Extensions.discover().pipe(
 *   Effect.map((all) => all.some(({ name }) => name === "_zot")),
 *   Effect.catchTag("Unsupported", () => Effect.succeed(false))
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const discover = (
  repository?: string
): Effect.Effect<ReadonlyArray<Extension>, DiscoverError, RegistryClient> =>
  Spans.inSpan(
    "Extensions.discover",
    () => ({ "oci.repository": repository?.slice(0, 256) }),
    Effect.gen(function* () {
      const { endpoint, execute } = yield* RegistryClient
      const sent =
        repository === undefined
          ? execute(Request.get("/v2/_oci/ext/discover"))
          : execute(Request.get("/v2/<name>/_oci/ext/discover", { name: repository }), {
              scopes: [`repository:${repository}:pull`]
            })
      // Neither is about this request, which has no body and a path of ours.
      const response = yield* Effect.catchTags(sent, {
        BodyNotReplayable: Effect.die,
        InvalidUrl: Effect.die
      })
      const received = Received.from(response)
      if (received.status !== 200)
        return yield* Classify.failed(received, endpoint.origin, meaning(repository))
      const bytes = yield* ContentDecoding.plain(
        yield* ByteStream.collect(Received.stream(received), documentLimit),
        received.headers["content-encoding"],
        undefined,
        documentLimit
      )
      return yield* extensionsIn(received, bytes)
    })
  )

const documentLimit = { what: "The list of extensions", limit: 4 * 1024 * 1024 }

const extensionDiscovery = "the discovery of extensions (_oci/ext/discover)"

const meaning =
  (repository: string | undefined) =>
  (response: OperationErrors.ErrorResponse): NameUnknown | Unsupported | undefined => {
    const unknown =
      repository === undefined ? undefined : OperationErrors.nameUnknown(response, { repository })
    const { status } = response
    const isAbsent = status === 404 || OperationErrors.has(response, "EXTENSION_UNKNOWN")
    return (
      unknown ??
      OperationErrors.unsupported(
        isAbsent ? { ...response, status: 404, fromRegistry: false } : response,
        extensionDiscovery
      )
    )
  }

const extensionsIn = Effect.fnUntraced(function* (received: Received.Received, bytes: Uint8Array) {
  const list = ReportedErrors.member(ReportedErrors.parse(bytes), "extensions")
  // Portals and web servers have a page for every path, too.
  if (!Array.isArray(list))
    return yield* new ProtocolViolation({
      ...Classify.exchangeOf(received, bytes),
      problem: "The response is not a list of extensions"
    })
  const found = list.flatMap((entry: unknown) => Option.toArray(decode(entry)))
  const left = list.length - found.length
  if (left > 0)
    yield* Effect.logWarning(`${left} of the extensions listed cannot be read: left out`)
  return found
})

const decode = Schema.decodeUnknownOption(
  Schema.Struct({
    name: Schema.NonEmptyString,
    url: optional(Schema.String),
    description: optional(Schema.String),
    endpoints: Schema.optionalWith(Schema.Array(Schema.String), {
      default: () => [],
      nullable: true
    })
  })
)
