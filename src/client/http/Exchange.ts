/**
 * One exchange, from an operation to whatever the registry answers: limits and timeouts, redirects
 * and authorization, with challenges answered. `attempt` and `execute` are the way to what
 * `Registry` does not offer.
 */
import type * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { authorizedBy, type Sender } from "../../auth/Authorization.js"
import { Credentials, type Demand } from "../../auth/Credentials.js"
import { arePulls } from "../../auth/internal/Scopes.js"
import * as Sent from "../../auth/internal/Sent.js"
import * as StaleLogins from "../../auth/internal/StaleLogins.js"
import { TokenCache } from "../../auth/TokenCache.js"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import * as Warning from "../../protocol/internal/Warning.js"
import { type Operation, requiredScopes, toRequest } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import {
  type AuthChallenge,
  type CredentialsFailure,
  type LimitExceeded,
  type ProtocolViolation,
  type RegistryFailure,
  type TooManyRequests,
  type TransportFailure,
  Unauthorized,
  type UntrustedLocation
} from "../../RegistryError.js"
import type { Endpoint } from "./Endpoint.js"
import * as Observability from "./Observability.js"
import { fromHeaders } from "./RateLimit.js"
import * as Redirect from "./Redirect.js"
import * as Retry from "./Retry.js"
import { transformed } from "./TransformedClient.js"
import * as Transport from "./Transport.js"

/**
 * What a request can fail with before its answer is classified; `TooManyRequests` and
 * `RegistryFailure` are then a token server's.
 *
 * @since 0.1.0
 * @category models
 */
export type ExchangeError =
  | Unauthorized
  | CredentialsFailure
  | UntrustedLocation
  | LimitExceeded
  | ProtocolViolation
  | TransportFailure
  | TooManyRequests
  | RegistryFailure

/** Sends an operation once, with authorization: see `RegistryClient.attempt`. */
export const attempt = (
  to: Endpoint,
  operation: Operation,
  options: { readonly body?: HttpBody.HttpBody | undefined } = {}
): Effect.Effect<
  HttpClientResponse,
  AuthChallenge | ExchangeError,
  HttpClient.HttpClient | Credentials | TokenCache
> =>
  Effect.flatMap(services, (given) =>
    attemptWithin(given, boundsOf(to, given.clock), to, operation, options.body ?? HttpBody.empty)
  )

/** What an exchange is made with. */
export interface Given {
  readonly client: HttpClient.HttpClient
  readonly credentials: Credentials.Service
  readonly cache: TokenCache.Service
}

const services = Effect.all({
  client: HttpClient.HttpClient,
  credentials: Credentials,
  cache: TokenCache,
  clock: Effect.clock
})

/** What an operation needs authorization for. */
export const demandOf = (to: Endpoint, operation: Operation): Demand => ({
  origin: to.origin,
  repository: "repository" in operation ? Option.some(operation.repository) : Option.none(),
  scopes: requiredScopes(operation)
})

/** `attempt` of an operation without a body, with its services at hand. */
export const attemptOnce = (
  to: Endpoint,
  given: Given,
  operation: Operation
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError> =>
  Effect.clockWith((clock) =>
    attemptWithin(given, boundsOf(to, clock), to, operation, HttpBody.empty)
  )

const attemptWithin = (
  { cache, client, credentials }: Given,
  bounds: Transport.Bounds,
  to: Endpoint,
  operation: Operation,
  body: HttpBody.HttpBody
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError> => {
  const demand = demandOf(to, operation)
  const request = requestOf(to, operation)
  const { sent } = bounds
  sent.url = request.url
  sent.isOwn = !("location" in operation || ("link" in operation && operation.link !== undefined))
  const through = (transfer?: Transport.Transfer) => {
    const followed = Redirect.followed({ registry: to.base, trust: to.trust, limits: to.limits })(
      Observability.observed(
        to.observation,
        operation,
        sent
      )(Transport.bounded(bounds, transfer)(client))
    )
    return to.headers === undefined ? followed : withHeaders(to.origin, to.headers, followed)
  }
  const { transfer } = factsOf(operation)
  const own = through(transfer)
  const authorized = authorizedBy(
    credentials,
    cache,
    demand,
    { trust: to.trust, scopes: to.scopes, until: () => bounds.until },
    sent
  )(own, transfer === undefined ? own : through())
  const sender =
    to.transformClient === undefined
      ? authorized
      : transformed(to.transformClient, authorized, bounds)
  return Effect.flatMap(
    sender.execute(body._tag === "Empty" ? request : HttpClientRequest.setBody(request, body)),
    (response) => {
      const { headers } = response
      return headers["warning"] === undefined && headers["ratelimit-limit"] === undefined
        ? Effect.succeed(response)
        : Effect.as(heed(to, response), response)
    }
  )
}

const requestOf = (to: Endpoint, operation: Operation): HttpClientRequest.HttpClientRequest => {
  const request = toRequest(to.base, operation)
  return HttpClientRequest.setHeaders(
    to.namespace !== undefined && factsOf(operation).isPull === true
      ? HttpClientRequest.setUrl(request, `${request.url}?ns=${encodeURIComponent(to.namespace)}`)
      : request,
    to.standardHeaders
  )
}

/**
 * The application's headers go to the registry, which may be its own token server, and not to where
 * an upload has its location or a realm leads.
 */
const withHeaders = <E>(
  origin: string,
  headers: Headers.Headers,
  client: Sender<E>
): Sender<E> => ({
  execute: (request) =>
    client.execute(
      Trust.isAt(origin, request.url)
        ? HttpClientRequest.setHeaders(request, { ...headers, ...request.headers })
        : request
    )
})

/** The bounds of an exchange that begins now. */
export const boundsOf = (to: Endpoint, clock: Clock.Clock): Transport.Bounds => ({
  limits: to.limits,
  response: Duration.toMillis(to.timeouts.response),
  until: clock.unsafeCurrentTimeMillis() + Duration.toMillis(to.timeouts.overall),
  watchdog: to.watchdog,
  registry: to.origin,
  sent: Sent.make(to.sent)
})

/**
 * The default schedule of `execute`: it tries again while the challenge is answerable, at most
 * three times. Once is the rule; a cached token that has expired, and one for too few scopes, take
 * one attempt more each.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultSchedule: Schedule.Schedule<unknown, AuthChallenge> = Schedule.whileInput(
  Schedule.recurs(3),
  (challenge: AuthChallenge) => challenge.answerable
)

/** Sends an operation and answers the challenges of the registry: see `RegistryClient.execute`. */
export const execute = <R = never>(
  to: Endpoint,
  operation: Operation,
  options: {
    readonly body?: HttpBody.HttpBody | undefined
    readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
  } = {}
): Effect.Effect<
  HttpClientResponse,
  ExchangeError,
  HttpClient.HttpClient | Credentials | TokenCache | R
> =>
  Effect.flatMap(services, (given) =>
    exchanging(to, given, options.schedule)(
      boundsOf(to, given.clock),
      operation,
      options.body ?? HttpBody.empty
    )
  )

/**
 * `execute` with its services at hand, within bounds that its caller goes on to apply to the
 * answer.
 */
export const exchanging =
  <R = never>(
    to: Endpoint,
    given: Given,
    schedule: Schedule.Schedule<unknown, AuthChallenge, R> = defaultSchedule
  ): Exchanging<R> =>
  (bounds, operation, body) => {
    const once = askedAgainOnce(given.credentials)
    const source =
      to.staleLogins !== undefined && arePulls(requiredScopes(operation))
        ? StaleLogins.without(to.staleLogins, once)
        : once
    const exchange = attemptWithin({ ...given, credentials: source }, bounds, to, operation, body)
    return Effect.catchAll(exchange, (error) => {
      const refused = refusal(error)
      return isOpen(refused) ? answered(refused, exchange, schedule) : Effect.fail(refused)
    })
  }

/**
 * A source may have another credential each time it is asked again (ECR's helper makes them): what
 * it had the second time is not asked about, but refused for good. A schedule that goes on all the
 * same has it asked anew.
 */
const askedAgainOnce = (source: Credentials.Service): Credentials.Service => {
  let renewed = false
  return {
    get: (demand, rejected) => {
      if (Option.isNone(rejected)) return source.get(demand, rejected)
      if (renewed) {
        renewed = false
        return Effect.succeed(rejected.value)
      }
      return Effect.map(source.get(demand, rejected), (credential) => {
        renewed = credential.identity !== rejected.value.identity
        return credential
      })
    }
  }
}

/** One exchange with its challenges answered. */
export type Exchanging<R = never> = (
  bounds: Transport.Bounds,
  operation: Operation,
  body: HttpBody.HttpBody
) => Effect.Effect<HttpClientResponse, ExchangeError, R>

const answered = <R>(
  error: Open,
  exchange: Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError>,
  schedule: Schedule.Schedule<unknown, AuthChallenge, R>
): Effect.Effect<HttpClientResponse, ExchangeError, R> =>
  Retry.from(
    error,
    // The schedule sees challenges only, whatever type an application gives it.
    Effect.matchEffect(exchange, {
      onSuccess: (response) => Effect.succeed(Effect.succeed(response)),
      onFailure: (error) => {
        const refused = refusal(error)
        return isOpen(refused) ? Effect.fail(refused) : Effect.succeed(Effect.fail(refused))
      }
    }),
    Schedule.mapInput(schedule, ({ challenge }: Open) => challenge)
  ).pipe(Effect.flatten)

/**
 * What a schedule may decide about: the registry's challenge, or the one that its token server gave
 * no token for.
 */
type Open = Unauthorized & { readonly challenge: AuthChallenge }

const isOpen = (error: ExchangeError): error is Open =>
  error._tag === "Unauthorized" && error.challenge !== undefined

const refusal = (error: AuthChallenge | ExchangeError): ExchangeError => {
  if (error._tag !== "AuthChallenge") return error
  const { errors, method, origin, status, url } = error
  return new Unauthorized({
    method,
    url,
    status,
    errors,
    origin,
    reason: "Challenge",
    challenge: error
  })
}

/**
 * Rate limits are for the application, and warnings for people: each text is logged once per
 * endpoint, and nothing acts on it (C106). Those of another host, after a redirect, are not the
 * registry's.
 */
const heed = (to: Endpoint, { headers, request }: HttpClientResponse): Effect.Effect<void> => {
  if (!Trust.isAt(to.origin, request.url)) return Effect.void
  const rate = fromHeaders(headers)
  const told = Option.isSome(rate) ? to.onRateLimit(rate.value) : Effect.void
  const warnings = headers["warning"]
  if (warnings === undefined) return told
  const fresh = Warning.parse(warnings, Sent.redactorOf(Sent.of(request))).filter(
    (text) => !to.warned.has(text) && to.warned.size < 1000 && to.warned.add(text)
  )
  return Effect.zipRight(
    told,
    Effect.forEach(
      fresh,
      (text) =>
        Effect.zipRight(Effect.logWarning(`${to.origin} warns: ${text}`), to.onWarning(text)),
      { discard: true }
    )
  )
}
