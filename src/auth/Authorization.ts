/**
 * Authorization as a decorator of an `HttpClient`, one for each demand. It answers the challenges
 * that the registry sent earlier. A new 401 is remembered and reported as `AuthChallenge`, so that
 * a retry answers it. Nothing is sent before the registry has asked, and the challenges of other
 * origins are never answered.
 *
 * The protocol is that of [HTTP](https://www.rfc-editor.org/rfc/rfc9110#section-11) with the
 * tokens of [Docker's token
 * specification](https://distribution.github.io/distribution/spec/auth/token/).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Trust from "../protocol/Trust.js"
import type {
  AuthChallenge,
  CredentialsFailure,
  LimitExceeded,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  UntrustedLocation
} from "../RegistryError.js"
import { Credentials, type Demand } from "./Credentials.js"
import * as AuthorizationHeader from "./internal/AuthorizationHeader.js"
import { rejected } from "./internal/RejectedResponse.js"
import type { Sender } from "./internal/Sender.js"
import * as Sent from "./internal/Sent.js"
import { TokenCache } from "./TokenCache.js"

/**
 * The errors that `authorized` adds to those of a client.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthorizationError =
  | AuthChallenge
  | CredentialsFailure
  | Unauthorized
  | UntrustedLocation
  | LimitExceeded
  | TooManyRequests
  | RegistryFailure
  | TransportFailure

/**
 * How requests are authorized. `trust` says which token servers may receive credentials, by default
 * those of the registry's own domain. `scopes` are requested instead of those of the demand and of
 * every challenge.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly trust?: Trust.Policy | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * Authorizes a client's requests to the demand's origin, and reports the challenges of that origin.
 * Requests to other origins pass untouched, and so do responses that come from other origins after
 * a redirect. The client must carry neither `Authorization` nor the body of a token request across
 * origins when it follows redirects.
 *
 * A token request has the scopes of the challenge first and then those of the demand, since some
 * token servers read only the first. If the token server refuses them (400, 401), a second request
 * has the challenge's scopes alone, since some servers refuse a union instead of granting less. For
 * a deletion it has `*`, which Quay and GitLab know instead of `delete`. If the token server
 * refuses the credential, the source is asked for another one.
 *
 * Fails with
 *
 * - `AuthChallenge` for a 401, and for a 400 or 403 that calls the token invalid (ECR). The
 *   challenge is remembered: if it is `answerable`, trying again answers it. If a 401 carries no
 *   challenge and none is known, the registry is pinged for one;
 * - `CredentialsFailure` if the source of credentials is broken, or has a token that no header can
 *   carry;
 * - `UntrustedLocation` if the token server is not trusted, before anything is sent to it;
 * - `Unauthorized` (`TokenServer`) if the token server refuses, or its response has no token that
 *   fits into a header. The error holds the challenge that stays open;
 * - `TooManyRequests`, `RegistryFailure` if the token server responds with 429 or the status of
 *   another temporary failure, so that trying again may help;
 * - `LimitExceeded`, `TransportFailure` if its response is over 128 KiB, stalls or breaks off.
 *
 * @since 0.1.0
 * @category combinators
 */
export const authorized =
  (demand: Demand, options: Options = {}) =>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>
  ): HttpClient.HttpClient.With<E | AuthorizationError, R | Credentials | TokenCache> =>
    HttpClient.makeWith<
      E | AuthorizationError,
      R | Credentials | TokenCache,
      E | AuthorizationError,
      R | Credentials | TokenCache
    >(
      Effect.flatMap((request) =>
        Effect.flatMap(Effect.all([Credentials, TokenCache]), ([credentials, cache]) =>
          authorizedBy(credentials, cache, demand, options)(client).execute(request)
        )
      ),
      Effect.succeed
    )

export type {
  /**
   * What sends requests, such as an `HttpClient`.
   *
   * @since 0.1.0
   * @category models
   */
  Sender
} from "./internal/Sender.js"

/**
 * Authorizes as `authorized` does, with its services at hand. `sent` is the record of the exchange,
 * if the client adds its requests to one. `until` is when the response to a token request must have
 * arrived, in milliseconds of the clock. `loginOnly` takes no token that is issued to nobody, where
 * the token server cannot exchange an identity token. `aside` sends the token requests, by default
 * the client.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const authorizedBy =
  (
    credentials: Credentials.Service,
    cache: TokenCache.Service,
    demand: Demand,
    options: Options & {
      readonly until?: () => number
      readonly loginOnly?: boolean | undefined
    } = {},
    sent?: Sent.Sent
  ) =>
  <E, R>(
    client: Sender<E, R>,
    aside: Sender<E, R> = client
  ): Sender<E | AuthorizationError, R> => ({
    // Other origins get no authorization (T1).
    execute: (request) => {
      const isAuthorized = Trust.isAt(demand.origin, request.url)
      if (sent !== undefined) sent.isAuthorized = isAuthorized
      if (!isAuthorized) return client.execute(request)
      if (sent !== undefined) sent.scopes = demand.scopes
      const attempt: AuthorizationHeader.Attempt<E, R> = {
        client,
        aside,
        credentials,
        cache,
        demand: options.scopes === undefined ? demand : { ...demand, scopes: options.scopes },
        fixedScopes: options.scopes !== undefined,
        trust: options.trust ?? Trust.strict,
        until: options.until ?? noLimit,
        request,
        loginOnly: options.loginOnly === true,
        sent: sent ?? { ...Sent.make(), url: request.url, isOwn: true }
      }
      return send(sent === undefined ? recorded(attempt) : attempt)
    }
  })

const noLimit = () => Number.POSITIVE_INFINITY

/** Records what an attempt sends. */
const recorded = <E, R>(
  attempt: AuthorizationHeader.Attempt<E, R>
): AuthorizationHeader.Attempt<E, R> => {
  const { aside, client, sent } = attempt
  const recorder = ({ execute }: Sender<E, R>): Sender<E, R> => ({
    execute: (request) => {
      Sent.add(sent, request)
      return Effect.tap(execute(request), (response) => {
        Sent.answered(sent, response.request)
      })
    }
  })
  return { ...attempt, client: recorder(client), aside: recorder(aside) }
}

/** Sends a request with the header that is known to be wanted, and looks at what comes back. */
const send = <E, R>(
  attempt: AuthorizationHeader.Attempt<E, R>
): Effect.Effect<HttpClientResponse.HttpClientResponse, E | AuthorizationError, R> =>
  Effect.flatMap(AuthorizationHeader.find(attempt), (found) => {
    const { client, demand, request } = attempt
    const header = Option.getOrUndefined(found)
    const authorized =
      header === undefined
        ? request
        : HttpClientRequest.setHeader(request, "authorization", header.value)
    return Effect.flatMap(client.execute(authorized), (response) => {
      const { status } = response
      const mayBeChallenge =
        status === 401 || (header !== undefined && (status === 400 || status === 403))
      if (mayBeChallenge && Trust.isAt(demand.origin, response.request.url))
        return Effect.onExit(rejected(attempt, header, response), (exit) =>
          Effect.sync(() => Sent.settled(attempt.sent, isAnswerable(exit)))
        )
      Sent.settled(attempt.sent, false)
      return Effect.succeed(response)
    })
  })

/** Whether a response was a challenge that the next attempt answers. */
const isAnswerable = (exit: Exit.Exit<unknown, AuthChallenge | CredentialsFailure>): boolean =>
  Exit.isFailure(exit) &&
  exit.cause._tag === "Fail" &&
  exit.cause.error._tag === "AuthChallenge" &&
  exit.cause.error.answerable
