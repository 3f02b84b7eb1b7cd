/**
 * One request, from an operation to a classified answer. From the wire outwards: limits and timeouts, redirects, authorization, classification,
 * retries; each in its own file, put together here. `attempt` and `execute` are the way to what `Registry` does not offer.
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { authorized } from "../auth/Authorization.js"
import type { Credentials } from "../auth/Credentials.js"
import type { TokenCache } from "../auth/TokenCache.js"
import { type Operation, requiredScopes, toRequest } from "../protocol/Operation.js"
import * as Trust from "../protocol/Trust.js"
import * as Warning from "../protocol/Warning.js"
import {
  type AuthChallenge,
  type CredentialsFailure,
  InvalidUrl,
  type LimitExceeded,
  type RegistryFailure,
  type TooManyRequests,
  type TransportFailure,
  Unauthorized,
  type UntrustedLocation
} from "../RegistryError.js"
import * as Classify from "./Classify.js"
import * as Limits from "./Limits.js"
import * as Redirect from "./Redirect.js"
import * as Retry from "./Retry.js"

/**
 * How to reach a registry. `url` is its base, without `/v2`: `https://ghcr.io`, `http://localhost:5000`, `https://example.com/prefix`; without a
 * scheme it is https, or http for a loopback host (T19). The rest has safe defaults: no exceptions of trust, the limits, timeouts and retries
 * documented with their types, and a `User-Agent` of our own.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointOptions {
  readonly url: string
  readonly trust?: Partial<Trust.Policy> | undefined
  readonly limits?: Partial<Limits.Limits> | undefined
  readonly timeouts?: Partial<Limits.Timeouts> | undefined
  readonly retry?: Partial<Retry.RetryOptions> | undefined
  readonly userAgent?: string | undefined
}

/**
 * One registry as a client knows it: how to reach it, and what it has shown of itself so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  readonly base: string
  readonly origin: string
  readonly trust: Trust.Policy
  readonly limits: Limits.Limits
  readonly timeouts: Limits.Timeouts
  readonly retry: Retry.RetryOptions
  readonly userAgent: string
  /** Warnings that were logged already, to log each once (C106). */
  readonly warned: Set<string>
}

/**
 * The `User-Agent` sent by default.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultUserAgent = "effect-oci/0.1.0"

/**
 * Checks how a registry is to be reached. Nothing is sent. Fails with `InvalidUrl` when `url` is not http or https, or holds a user name, a query
 * or a fragment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endpoint = (options: EndpointOptions): Effect.Effect<Endpoint, InvalidUrl> =>
  Effect.suspend(() => {
    const written = options.url.trim()
    const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(written)
      ? written
      : `${Trust.isLoopback(host(written)) ? "http" : "https"}://${written}`
    const problem = problemOf(text)
    const origin = Trust.origin(text)
    if (problem !== undefined || Option.isNone(origin))
      return Effect.fail(
        new InvalidUrl({
          url: text.slice(0, 128).replace(/\/\/[^/]*@/, "//"),
          problem: problem ?? "it is not a valid URL"
        })
      )
    return Effect.succeed({
      base: origin.value + new URL(text).pathname.replace(/\/+$/, ""),
      origin: origin.value,
      trust: { ...Trust.strict, ...options.trust },
      limits: { ...Limits.defaultLimits, ...options.limits },
      timeouts: { ...Limits.defaultTimeouts, ...options.timeouts },
      retry: { ...Retry.defaultRetry, ...options.retry },
      userAgent: options.userAgent ?? defaultUserAgent,
      warned: new Set<string>()
    })
  })

const host = (url: string): string => url.split("/", 1).join("")

const problemOf = (text: string): string | undefined => {
  if (!URL.canParse(text)) return "it is not a valid URL: write a host such as ghcr.io, or https://host:port"
  const url = new URL(text)
  if (url.protocol !== "https:" && url.protocol !== "http:") return "its scheme is neither https nor http"
  if (url.username !== "" || url.password !== "") return "it holds a user name: supply Credentials instead"
  if (url.search !== "" || url.hash !== "") return "it has a query or a fragment"
  return /(^|\/)v2\/?$/.test(url.pathname) ? "leave out /v2, which every request adds" : undefined
}

/**
 * What a request can fail with before its answer is classified; `TooManyRequests` and `RegistryFailure` are then a token server's.
 *
 * @since 0.1.0
 * @category models
 */
export type ExchangeError =
  | Unauthorized
  | CredentialsFailure
  | UntrustedLocation
  | LimitExceeded
  | TransportFailure
  | TooManyRequests
  | RegistryFailure

/**
 * One authorised exchange: whatever the registry answers, except that a 401 of its own is the error `AuthChallenge`. The challenge is remembered in
 * `TokenCache`, so that the next attempt answers it. For applications that bring their own loop.
 *
 * @since 0.1.0
 * @category operations
 */
export const attempt = (
  to: Endpoint,
  operation: Operation,
  body: HttpBody.HttpBody = HttpBody.empty
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError, HttpClient.HttpClient | Credentials | TokenCache> =>
  Effect.flatMap(HttpClient.HttpClient, (client) => {
    const demand = {
      origin: to.origin,
      repository: "repository" in operation ? Option.some(operation.repository) : Option.none(),
      scopes: requiredScopes(operation)
    }
    const request = HttpClientRequest.setHeader(toRequest(to.base, operation), "user-agent", to.userAgent)
    return client
      .pipe(
        Limits.limited(to.timeouts),
        Redirect.followed({ registry: to.base, trust: to.trust, limits: to.limits }),
        authorized(demand, to.trust)
      )
      .execute(body._tag === "Empty" ? request : HttpClientRequest.setBody(request, body))
  }).pipe(Effect.tap((response) => warn(to, response)))

/**
 * The schedule that `execute` follows by default: one more attempt, which answers the challenge.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultSchedule: Schedule.Schedule<unknown, AuthChallenge> = Schedule.recurs(1)

/**
 * An exchange with its challenges answered: whatever the registry finally answers. `schedule` decides whether to try again after a challenge, by
 * default once; when it gives up, the challenge becomes `Unauthorized`.
 *
 * @since 0.1.0
 * @category operations
 */
export const execute = <R = never>(
  to: Endpoint,
  operation: Operation,
  options: {
    readonly body?: HttpBody.HttpBody | undefined
    readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
  } = {}
): Effect.Effect<HttpClientResponse, ExchangeError, HttpClient.HttpClient | Credentials | TokenCache | R> =>
  attempt(to, operation, options.body).pipe(
    // The schedule sees challenges only, whatever type an application gives it.
    Effect.matchEffect({
      onSuccess: (response) => Effect.succeed(Effect.succeed(response)),
      onFailure: (error) => (error._tag === "AuthChallenge" ? Effect.fail(error) : Effect.succeed(Effect.fail(error)))
    }),
    Effect.retry(options.schedule ?? defaultSchedule),
    Effect.flatten,
    Effect.catchTag("AuthChallenge", (challenge) => {
      const { errors, method, origin, status, url } = challenge
      return Effect.fail(new Unauthorized({ method, url, status, errors, origin, reason: "Challenge", challenge }))
    })
  )

/**
 * Sends an operation through the whole pipeline: challenges answered, passing failures retried, and any answer that is no success of this operation
 * a typed error. The body is an array, or a stream that is sent once.
 *
 * @since 0.1.0
 * @category models
 */
export type Send = <O extends Operation>(
  operation: O,
  body?: HttpBody.HttpBody
) => Effect.Effect<HttpClientResponse, Classify.OwnErrors[O["_tag"]] | Classify.Refusal | ExchangeError>

/**
 * The pipeline to one registry, over an exchange that answers challenges.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sender =
  (
    to: Endpoint,
    exchange: (
      operation: Operation,
      body: HttpBody.HttpBody | undefined
    ) => Effect.Effect<HttpClientResponse, ExchangeError>
  ): Send =>
  (operation, body) =>
    Effect.flatMap(exchange(operation, body), (response) => Classify.classify(operation, response)).pipe(
      Retry.retried(operation, { retry: to.retry, replayable: body?._tag !== "Stream" })
    )

/** Warnings are for people: each text is logged once per endpoint, and nothing acts on it (C106). */
const warn = (to: Endpoint, response: HttpClientResponse): Effect.Effect<void> => {
  const header = response.headers["warning"]
  if (header === undefined) return Effect.void
  const texts = Warning.parse(header).map((warning) => warning.text)
  const fresh = texts.filter((text) => !to.warned.has(text) && to.warned.size < 1000)
  for (const text of fresh) to.warned.add(text)
  return Effect.forEach(fresh, (text) => Effect.logWarning(`${to.origin} warns: ${text}`), { discard: true })
}
