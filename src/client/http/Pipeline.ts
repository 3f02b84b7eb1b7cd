/**
 * The way of an operation to its registry, and of the response back. From the wire outwards:
 *
 * 1. Limits and timeouts (`Transport`): what a request may cost.
 * 2. Redirects (`Redirect`): followed where `Trust` allows, without credentials to other origins.
 * 3. Authorization (`auth/Authorization`): with what the registry has asked for before; its new
 *    challenges are remembered, and fail the attempt.
 * 4. The application's own step (`TransformedClient`), if it has one.
 * 5. Challenges (`Challenges`): another attempt after a challenge that can be answered.
 * 6. Classification (`Classify`): from a status and an error body to a typed error.
 * 7. Pace (`Pace`): the rates of the registry, and pauses that it asks for.
 * 8. Retries (`Retry`): another exchange after a temporary failure.
 *
 * The handshake of a 401, between 3 and 5: the first request to a registry goes without
 * `Authorization`, and fails with `AuthChallenge` if the response is a 401. `TokenCache` keeps the
 * challenge, so that the second attempt finds it: it gets the login from `Credentials`, and for a
 * Bearer challenge exchanges it at the token server, through `TokenCache`, for a token. From then
 * on each request is sent with its token or password at once. A token that has expired or lacks a
 * scope leads to another challenge, and to one more attempt; what was just issued and is refused
 * all the same is `Unauthorized`. No other origin than the registry's is ever answered.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import { authorizedBy } from "../../auth/Authorization.js"
import { Credentials } from "../../auth/Credentials.js"
import { arePulls } from "../../auth/internal/Scopes.js"
import * as Sent from "../../auth/internal/Sent.js"
import * as StaleLogins from "../../auth/internal/StaleLogins.js"
import { TokenCache } from "../../auth/TokenCache.js"
import type * as ByteStream from "../../ByteStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as Runtime from "../../internal/Runtime.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type { Operation } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import { type AuthChallenge, type LimitExceeded, TooManyRequests } from "../../RegistryError.js"
import { type Digest, isDigest } from "../../spec/Digest.js"
import * as Challenges from "./Challenges.js"
import * as Classify from "./Classify.js"
import * as ContentCoding from "./ContentCoding.js"
import type { Endpoint } from "./Endpoint.js"
import type { ExchangeError } from "./ExchangeError.js"
import * as Observability from "./Observability.js"
import type { OwnErrors } from "./OperationErrors.js"
import type { Outgoing } from "./OperationRequest.js"
import * as OperationRequest from "./OperationRequest.js"
import * as Received from "./Received.js"
import * as Redirect from "./Redirect.js"
import { sendable } from "./RepeatedBody.js"
import * as Retry from "./Retry.js"
import * as ServerNotices from "./ServerNotices.js"
import { transformed } from "./TransformedClient.js"
import * as Transport from "./Transport.js"

/** What requests are sent with. `loginOnly` is as in `auth/Authorization`. */
export interface Services {
  readonly client: HttpClient.HttpClient
  readonly credentials: Credentials.Service
  readonly cache: TokenCache.Service
  readonly loginOnly?: boolean
}

// -----------------------------------------------------------------------------
// One attempt: steps 1 to 4
// -----------------------------------------------------------------------------

const attemptWithin = (
  { cache, client, credentials, loginOnly }: Services,
  bounds: Transport.Bounds,
  to: Endpoint,
  { demand, isOwn, map, request, template, transfer }: Outgoing,
  body: HttpBody.HttpBody
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError> => {
  const { sent } = bounds
  sent.url = request.url
  sent.isOwn = isOwn
  const sender = (transfer?: Transport.Transfer) => {
    const bounded = Transport.bounded(bounds, transfer)(client)
    const observed = Observability.observed(to.observation, template, sent)(bounded)
    const followed = Redirect.followed({ registry: to.base, trust: to.trust, limits: to.limits })(
      observed
    )
    return to.headers === undefined
      ? followed
      : OperationRequest.withHeaders(to.origin, Redacted.value(to.headers), followed)
  }
  const own = sender(transfer)
  const authorized = authorizedBy(
    credentials,
    cache,
    demand,
    { trust: to.trust, scopes: to.scopes, until: () => bounds.until, loginOnly },
    sent
  )(own, transfer === undefined ? own : sender())
  const { execute } =
    to.transformClient === undefined
      ? authorized
      : transformed(to.transformClient, authorized, bounds)
  const whole = body._tag === "Empty" ? request : HttpClientRequest.setBody(request, body)
  return Effect.flatMap(
    map === undefined ? execute(whole) : Effect.suspend(() => execute(map(whole))),
    (response) =>
      ServerNotices.has(response)
        ? Effect.as(ServerNotices.handOn(to, response), response)
        : Effect.succeed(response)
  )
}

/** The bounds of an exchange that begins now. */
export const boundsOf = (to: Endpoint, clock: Clock.Clock): Transport.Bounds => {
  const overall = Duration.toMillis(to.timeouts.overall)
  return {
    limits: to.limits,
    response: Duration.toMillis(to.timeouts.response),
    until: Runtime.elapsed(clock) + overall,
    overall,
    watchdog: to.watchdog,
    registry: to.origin,
    sent: Sent.make(to.sent)
  }
}

/** Sends an operation without a body once: see `attempt`. */
export const attemptOnce = (
  to: Endpoint,
  services: Services,
  operation: Operation
): Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError> =>
  Effect.clockWith((clock) =>
    attemptWithin(
      services,
      boundsOf(to, clock),
      to,
      OperationRequest.outgoing(to, operation),
      HttpBody.empty
    )
  )

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
  Effect.zipWith(
    provided,
    sendable(options.body ?? HttpBody.empty),
    ({ clock, ...services }, body) =>
      attemptWithin(
        services,
        boundsOf(to, clock),
        to,
        OperationRequest.outgoing(to, operation),
        body
      )
  ).pipe(Effect.flatten)

/** The services of an exchange, of the fiber that runs it. */
export const provided = Effect.all({
  client: HttpClient.HttpClient,
  credentials: Credentials,
  cache: TokenCache,
  clock: Effect.clock
})

// -----------------------------------------------------------------------------
// One exchange: step 5
// -----------------------------------------------------------------------------

/**
 * Sends a request, with its challenges answered, and returns the final response whatever its
 * status. The caller goes on to apply the bounds to its body.
 */
export type Exchange<R = never> = (
  bounds: Transport.Bounds,
  outgoing: Outgoing,
  body: HttpBody.HttpBody
) => Effect.Effect<HttpClientResponse, ExchangeError, R>

/** Makes exchanges whose schedule decides whether to try again after a challenge. */
export const exchanging =
  <R = never>(
    to: Endpoint,
    services: Services,
    schedule: Schedule.Schedule<unknown, AuthChallenge, R> = Challenges.defaultSchedule
  ): Exchange<R> =>
  (bounds, outgoing, body) => {
    const renewed = Challenges.renewedOnce(services.credentials)
    const credentials =
      to.staleLogins !== undefined && arePulls(outgoing.demand.scopes)
        ? StaleLogins.without(to.staleLogins, renewed)
        : renewed
    return Challenges.answered(
      attemptWithin({ ...services, credentials }, bounds, to, outgoing, body),
      schedule
    )
  }

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
  Effect.zipWith(
    provided,
    sendable(options.body ?? HttpBody.empty),
    ({ clock, ...services }, body) =>
      exchanging(to, services, options.schedule)(
        boundsOf(to, clock),
        OperationRequest.outgoing(to, operation),
        body
      )
  ).pipe(Effect.flatten)

// -----------------------------------------------------------------------------
// The whole way: steps 6 to 8
// -----------------------------------------------------------------------------

/**
 * Sends an operation through the whole pipeline: challenges answered, temporary failures retried,
 * and any response that is no success of this operation a typed error. The body is an array, or a
 * stream that is sent once. The body of the response is the caller's to read: of a blob all,
 * of anything else no more than `Received.excerpt`.
 */
export type Send = <O extends Operation>(
  operation: O,
  body?: HttpBody.HttpBody
) => Effect.Effect<Received.Received, OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError>

/**
 * Like `Send`, for an operation whose response is a document: that arrives as a whole or is asked
 * for again. `expected` is the digest of the document, which tells what was meant if it comes
 * encoded; whether it has this digest is for the caller to verify.
 */
export type Read = <O extends Operation>(
  operation: O,
  limit: ByteStream.Limit,
  expected?: Digest
) => Effect.Effect<
  readonly [bytes: Uint8Array, response: Received.Received],
  OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError
>

type Deletion = Case<"DeleteManifest" | "DeleteBlob">

/**
 * Deletes. When an earlier attempt went unanswered or failed on the registry's side, it may have
 * deleted all the same, and the next one finds nothing: then `absent`, asked once, decides whether
 * that is success.
 */
export type Remove = <O extends Deletion>(
  operation: O,
  absent: Effect.Effect<boolean>
) => Effect.Effect<void, OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError>

/** The ways through the pipeline. */
export interface Pipeline {
  readonly send: Send
  readonly read: Read
  readonly remove: Remove
}

const gone: ReadonlySet<string> = new Set(["BlobUnknown", "ManifestUnknown", "NameUnknown"])

/** Returns a response that is a success, and has the pace know of one that says 429. */
const classified = <O extends Operation>(
  to: Endpoint,
  operation: O,
  response: HttpClientResponse,
  { until }: Transport.Bounds
) => {
  const received = Classify.classify(
    operation,
    Received.from(
      response,
      Redirect.statusesBefore(response),
      factsOf(operation).transfer === "download" ? undefined : until
    ),
    to.origin
  )
  return response.status >= 400 && Trust.isAt(to.origin, response.request.url)
    ? Effect.tapError(received, (error) =>
        error instanceof TooManyRequests ? to.pace.refused(error) : Effect.void
      )
    : received
}

/**
 * The pipeline to one registry, over an exchange that answers challenges. A place in the endpoint's
 * line is held for one exchange, not while waiting between two attempts; what moves a stream takes
 * none, since that would make one caller's code wait for another's.
 */
export const pipeline = (to: Endpoint, exchange: Exchange): Pipeline => {
  const once = <O extends Operation>(operation: O, body?: HttpBody.HttpBody) => {
    const answered = Runtime.withFiber((fiber) => {
      const bounds = boundsOf(to, Runtime.clockOf(fiber))
      const outgoing = OperationRequest.outgoing(to, operation)
      return Effect.flatMap(exchange(bounds, outgoing, body ?? HttpBody.empty), (response) =>
        classified(to, operation, response, bounds)
      )
    })
    const isShort = body?._tag !== "Stream" && operation._tag !== "GetBlob"
    return to.pace.paced(operation, isShort, answered, isShort ? to.concurrency.exchange : identity)
  }

  const send: Send = (operation, body) => {
    // What is put on a condition is tried again by whoever knows how to ask what became of it.
    const isReplayable =
      body?._tag !== "Stream" && !("onlyIf" in operation && operation.onlyIf !== undefined)
    const sent = Retry.retried(once(operation, body), operation, to, isReplayable)
    return operation._tag === "GetBlob" && operation.range === undefined
      ? Effect.map(sent, (response) => ContentCoding.plainBlob(response, operation.digest))
      : sent
  }

  const read: Read = <O extends Operation>(
    operation: O,
    limit: ByteStream.Limit,
    expected?: Digest
  ) => {
    const attempt = Runtime.withFiber((fiber) => {
      const bounds = boundsOf(to, Runtime.clockOf(fiber))
      const outgoing = OperationRequest.outgoing(to, operation)
      return Effect.flatMap(exchange(bounds, outgoing, HttpBody.empty), (response) =>
        Effect.flatMap(classified(to, operation, response, bounds), (received) =>
          Effect.flatMap(Transport.document(response, limit, bounds), (bytes) =>
            received.headers["content-encoding"] === undefined
              ? Effect.succeed([bytes, received] as const)
              : Effect.map(
                  plain(bytes, received, limit, expected),
                  (bytes) => [bytes, received] as const
                )
          )
        )
      )
    })
    const paced = to.pace.paced(operation, true, attempt, to.concurrency.exchange)
    return Retry.retried(paced, operation, to)
  }

  const remove: Remove = (operation, absent) =>
    Effect.suspend(() => {
      let attempts = 0
      const attempt = Effect.suspend(() => {
        attempts++
        return Effect.flatMap(once(operation), Received.excerpt)
      })
      return Retry.retried(attempt, operation, to).pipe(
        Effect.asVoid,
        Effect.catchIf(
          (error) =>
            attempts > 1 && (gone.has(error._tag) || ("status" in error && error.status === 404)),
          (error) =>
            Effect.flatMap(absent, (isAbsent) => (isAbsent ? Effect.void : Effect.fail(error)))
        )
      )
    })

  return { send, read, remove }
}

/** The bytes of a document that were meant, if it came encoded. */
const plain = (
  bytes: Uint8Array,
  { headers }: Received.Received,
  limit: ByteStream.Limit,
  expected: Digest | undefined
): Effect.Effect<Uint8Array, LimitExceeded> => {
  const announced = SingleField.value(headers, "docker-content-digest")
  return ContentDecoding.plain(
    bytes,
    headers["content-encoding"],
    expected ?? (isDigest(announced) ? announced : undefined),
    limit
  )
}
