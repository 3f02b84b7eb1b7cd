/**
 * Endpoints: how a registry is reached, as an application says it, and what the client has seen of
 * it so far.
 */

import * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Sent from "../../auth/internal/Sent.js"
import type { StaleLogins } from "../../auth/internal/StaleLogins.js"
import { invalidHost } from "../../internal/HostProblem.js"
import { type Overrides, withDefaults } from "../../internal/Options.js"
import * as FieldValue from "../../protocol/internal/FieldValue.js"
import { redact } from "../../protocol/internal/RedactedUrl.js"
import * as Trust from "../../protocol/Trust.js"
import { InvalidUrl } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import * as Concurrency from "./Concurrency.js"
import * as Limits from "./Limits.js"
import * as Observability from "./Observability.js"
import { Pace } from "./Pace.js"
import type { RateLimit } from "./RateLimit.js"
import * as Rates from "./Rates.js"
import * as Retry from "./Retry.js"
import * as Timeouts from "./Timeouts.js"
import type { Transform } from "./TransformedClient.js"
import * as Watchdog from "./Watchdog.js"

/**
 * How to reach a registry. Everything but `url` has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointOptions {
  /**
   * The base of the registry: `https://ghcr.io`, `http://localhost:5000`,
   * `https://example.com/prefix`. Without a scheme it is https, or http for a loopback host. One
   * `/v2` or `/v2/` at its end, which every request adds, is left out.
   */
  readonly url: string
  /** Exceptions to the rules on URLs that the registry sends, none by default: see `Trust`. */
  readonly trust?: Overrides<Trust.Policy> | undefined
  /**
   * The scopes, separated by spaces, to request with every token instead of those of operations and
   * challenges, for registries whose token servers have rules of their own.
   */
  readonly authScope?: string | undefined
  /**
   * Pulls without the login where the registry or its token server refuses it, and logs a warning
   * that says which login to renew: a login that has expired does not hide what is public. False by
   * default, since what is found may then depend on who is asking. Such a login is tried again
   * after a minute. Pushes, deletions and the catalog fail with `Unauthorized` as ever.
   */
  readonly anonymousPulls?: boolean | undefined
  /**
   * Reads and keeps the list of referrers under the referrers tag where the registry has no such
   * lists ([Referrers Tag
   * Schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)).
   * True by default. Where it is false, `referrers` fails with `Unsupported` there, and so does
   * putting a manifest with a subject, before it is put where that can be told.
   */
  readonly referrersTag?: boolean | undefined
  /** Upper bounds on what the registry may send. */
  readonly limits?: Overrides<Limits.Limits> | undefined
  /** How long to wait for the registry. */
  readonly timeouts?: Overrides<Timeouts.Timeouts> | undefined
  /** How to try again after temporary failures. */
  readonly retry?: Overrides<Retry.RetryOptions> | undefined
  /**
   * How many requests the operations of a `Registry` make at a time, 6 by default. Downloads and
   * uploads of blobs count apart, with the same bound each. What exceeds it waits in order.
   */
  readonly concurrency?: number | undefined
  /**
   * How many requests of each kind are sent in a time. By default there are rates for the
   * registries that publish theirs, which what is given here replaces:
   *
   * - Docker Hub: 2,000 reads a minute, and 200 at once.
   * - GitHub (`ghcr.io`): 44,000 reads and 2,000 `uploads` a minute.
   * - Amazon ECR: 100 `uploads` and 10 `pushes` a second, of ECR Public 10 of each.
   *
   * Whatever the rates, a registry that says that there are too many requests (429) gets none for
   * as long as it asks for, or for twice as long each time, and then one before the others. That is
   * so unless `retry.attempts` is 0; `retry.maxDelay` is the longest such pause, and what would
   * begin later than `retry.deadline` fails with `TooManyRequests`.
   */
  readonly rates?: Rates.Rates | undefined
  /**
   * Downloads large blobs over several connections, for registries and storage that limit the speed
   * of each: with `true` up to 4, else up to `connections`, and no more than `concurrency` allows.
   * False by default.
   *
   * A download begins with one connection, and adds others while that raises its throughput: each
   * fetches 8 MiB at a time ([RFC 9110 section
   * 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)), which wait in memory for those before
   * them. Blobs of less than 32 MiB, and those of registries that do not do ranges, come as ever.
   */
  readonly parallelDownloads?: boolean | { readonly connections: number } | undefined
  /**
   * Runs for every response that tells how much of a rate limit is left, so that a bulk job can
   * slow down in time.
   */
  readonly onRateLimit?: ((rate: RateLimit) => Effect.Effect<void>) | undefined
  /** The `User-Agent` of every request, `defaultUserAgent` by default. */
  readonly userAgent?: string | undefined
  /**
   * Headers to send with every request to the registry's own origin, and to no other. Headers that
   * a request needs for itself take precedence. Values that are secrets can be `Redacted`.
   */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted | undefined>> | undefined
  /**
   * The host that this one is a mirror of, as references have it, which is sent as the query
   * parameter `ns` with requests for manifests and blobs
   * ([proxying](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying)).
   */
  readonly namespace?: string | undefined
  /**
   * Runs for each warning of the registry, once for each text
   * ([warnings](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings)).
   * Warnings are also logged.
   */
  readonly onWarning?: ((text: string) => Effect.Effect<void>) | undefined
  /**
   * Sends the current span as `traceparent` and `b3` to the registry's own origin, and to no other.
   * Off by default.
   */
  readonly tracePropagation?: boolean | undefined
  /**
   * Transforms the `HttpClient` that sends the requests of operations: to add a header, to count
   * requests, to make one fail in a test. It is applied to each attempt, outside of authorization
   * and redirects. Requests have no credentials there, requests to token servers and to the targets
   * of redirects do not pass through it, and headers that it adds are sent to the registry's own
   * origin alone. The `request` of a response is the one that was sent, credentials included. To
   * transform all requests, provide another `HttpClient` to the layer.
   *
   * A status does not fail an operation here: a response that `HttpClient.filterStatus` rejects is
   * used nevertheless. Other failures of HTTP that it adds become `TransportFailure`.
   */
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * Marks endpoints, so that nothing else passes for one.
 *
 * @since 0.1.0
 * @category type ids
 */
export const EndpointTypeId: unique symbol = Symbol.for("effect-oci/RegistryClient/Endpoint")

/** The whole of an endpoint, of which `RegistryClient` shows applications what they need. */
export interface Endpoint {
  readonly [EndpointTypeId]: typeof EndpointTypeId
  readonly base: string
  readonly origin: string
  readonly trust: Trust.Policy
  readonly scopes: ReadonlyArray<string> | undefined
  /** Logins that pulls do without, if they may. */
  readonly staleLogins: StaleLogins | undefined
  readonly referrersTag: boolean
  readonly limits: Limits.Limits
  readonly timeouts: Timeouts.Timeouts
  readonly retry: Retry.RetryOptions
  /** The application's own headers, if there are any, which can be secrets. */
  readonly headers: Redacted.Redacted<Headers.Headers> | undefined
  /** Those of every request. */
  readonly standardHeaders: Headers.Headers
  readonly namespace: string | undefined
  readonly concurrency: Concurrency.Concurrency
  /** When requests may begin. */
  readonly pace: Pace
  /** How many connections one download may have. */
  readonly connections: number
  readonly onRateLimit: (rate: RateLimit) => Effect.Effect<void>
  readonly watchdog: Watchdog.Watchdog
  readonly observation: Observability.Observation
  readonly onWarning: (text: string) => Effect.Effect<void>
  readonly transformClient: Transform | undefined
  /** What was sent to it, which nothing that is shown of it may repeat (T13). */
  readonly sent: Sent.Earlier
  /** The warnings that were logged, so that each is logged once (C106). */
  readonly warned: Set<string>
}

/**
 * The default `User-Agent`.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultUserAgent = "effect-oci/0.1.0"

/** Makes an endpoint, as `RegistryClient.endpoint` says. */
export const make = (options: EndpointOptions): Effect.Effect<Endpoint, InvalidUrl> =>
  Effect.gen(function* () {
    const written = options.url.trim()
    const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(written)
      ? written
      : `${Host.isLoopback(host(written)) ? "http" : "https"}://${written}`
    const given = Object.entries(options.headers ?? {}).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const]
    )
    const headers = Object.fromEntries(given.map(([name, value]) => [name, plain(value)]))
    const problem = problemOf(text) ?? unsendable({ ...options, headers })
    const origin = Trust.origin(text)
    if (problem !== undefined || Option.isNone(origin))
      return yield* new InvalidUrl({
        // A password in it may hold any character (T13).
        url: ServerText.plain(redact(text.replace(/\/\/.*@/s, "//")), 128),
        problem: problem ?? "it is not a valid URL"
      })
    const trust = withDefaults(Trust.strict, options.trust)
    for (const list of ["allowStorage", "allowTokens", "allowUploads"] as const)
      for (const entry of trust[list])
        yield* Effect.mapError(Host.parse(entry), invalidHost(`as an entry of ${list} it`))
    const timeouts = withDefaults(Timeouts.defaultTimeouts, options.timeouts)
    const retry = withDefaults(Retry.defaultRetry, options.retry)
    const { hostname, pathname } = new URL(text)
    const base = origin.value + pathname.replace(/\/+$/, "").replace(/\/+v2$/, "")
    return {
      [EndpointTypeId]: EndpointTypeId,
      base,
      origin: origin.value,
      trust,
      scopes: options.authScope?.split(" ").filter((scope) => scope !== ""),
      staleLogins: options.anonymousPulls === true ? new Map() : undefined,
      referrersTag: options.referrersTag ?? true,
      limits: withDefaults(Limits.defaultLimits, options.limits),
      timeouts,
      retry,
      headers: given.length === 0 ? undefined : Redacted.make(Headers.fromInput(headers)),
      standardHeaders: Headers.fromInput({
        "user-agent": options.userAgent ?? defaultUserAgent,
        "accept-encoding": "identity"
      }),
      namespace: options.namespace,
      concurrency: Concurrency.make(options.concurrency ?? 6),
      pace: new Pace(options.rates ?? Rates.published(hostname) ?? {}, retry),
      connections: connectionsOf(options.parallelDownloads),
      onRateLimit: options.onRateLimit ?? (() => Effect.void),
      watchdog: Watchdog.make(Duration.min(timeouts.response, timeouts.overall)),
      observation: Observability.make(base, options.tracePropagation ?? false),
      onWarning: options.onWarning ?? (() => Effect.void),
      transformClient: options.transformClient,
      sent: new Sent.Earlier([
        headers,
        // Whatever their names are.
        ...given.flatMap(([, value]) =>
          Redacted.isRedacted(value) ? [{ redacted: plain(value) }] : []
        )
      ]),
      warned: new Set<string>()
    }
  })

const connectionsOf = (parallel: EndpointOptions["parallelDownloads"] = false): number =>
  typeof parallel === "boolean" ? (parallel ? 4 : 1) : Math.max(1, Math.floor(parallel.connections))

const plain = (value: string | Redacted.Redacted): string =>
  Redacted.isRedacted(value) ? Redacted.value(value) : value

const host = (url: string): string => url.split("/", 1).join("")

const problemOf = (text: string): string | undefined => {
  // Control characters and backslashes are no part of a URL either, but parsers drop and turn them
  // (T8).
  if (!URL.canParse(text) || FieldValue.hasControl(text) || text.includes("\\"))
    return "it is not a valid URL: write a host such as ghcr.io, or https://host:port"
  const url = new URL(text)
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return "its scheme is neither https nor http"
  // Also where it does not look like one to the parser, for the slash in its password.
  if (text.includes("@")) return "it holds a user name: supply Credentials instead"
  return url.search !== "" || url.hash !== "" ? "it has a query or a fragment" : undefined
}

/** Names that are the HTTP client's to send. */
const connection = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "transfer-encoding",
  "upgrade"
])

/**
 * The option that no request could carry (T12), of which the HTTP client would say so of each, as
 * of a broken connection, or keep to. Headers can be secrets (T13).
 */
const unsendable = ({
  headers,
  namespace,
  rates = {},
  userAgent = ""
}: Pick<EndpointOptions, "namespace" | "rates" | "userAgent"> & {
  readonly headers: Readonly<Record<string, string>>
}): string | undefined => {
  const problem = problemOfHeaders(headers)
  if (problem !== undefined) return problem
  if (!isFieldValue(userAgent))
    return "its userAgent holds characters that no header can carry, such as a line break"
  const kind = Rates.invalidKind(rates)
  if (kind !== undefined) return `its rate of ${kind} is not a number of requests in a time`
  return namespace === undefined || Option.isSome(Host.fromString(namespace))
    ? undefined
    : 'its namespace is not a host, such as "docker.io"'
}

/** What is wrong with headers of an application's own, if anything is. */
export const problemOfHeaders = (headers: Readonly<Record<string, string>>): string | undefined => {
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      return "one of its headers has a name that no header can have"
    if (connection.has(name.toLowerCase()))
      return `its header ${name} is for the HTTP client to set`
    if (!isFieldValue(value))
      return `its header ${name} holds characters that no header can carry, such as a line break`
  }
  return undefined
}

const isFieldValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
