/**
 * Authorization as a decorator of an `HttpClient`, one for each demand. It answers what the
 * registry asked for earlier; a new 401 it remembers and reports as `AuthChallenge`, and whoever
 * retries finds the challenge answered. Nothing is sent before the registry has asked, and no other
 * origin is ever answered (T1).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Trust from "../protocol/Trust.js"
import type { AuthChallenge, CredentialsFailure } from "../RegistryError.js"
import { Credentials, type Demand } from "./Credentials.js"
import * as AuthorizationHeader from "./internal/AuthorizationHeader.js"
import { rejected } from "./internal/ChallengeResponse.js"
import * as Sent from "./internal/Sent.js"
import type * as TokenServer from "./internal/TokenServer.js"
import { TokenCache } from "./TokenCache.js"

/**
 * What `authorized` adds to the errors of a client.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthorizationError = AuthChallenge | CredentialsFailure | TokenServer.TokenError

/**
 * `trust` says which token servers may receive credentials, by default those of the registry's own
 * domain. `scopes` are asked for instead of those of the demand and of every challenge (RG5).
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly trust?: Trust.Policy | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * The client with its requests to the demand's origin authorized, and the challenges from there
 * reported. Requests to other origins, and answers that come from other origins after a redirect,
 * pass untouched. The client must carry neither `Authorization` nor the body of a token request
 * across origins when it follows redirects.
 *
 * A token is asked for with the scopes of the challenge first (trap 66), then those of the demand.
 * Where the token server refuses them (400, 401), it is asked once more: for the challenge's scopes
 * alone, since some refuse a union instead of granting less; for a deletion with `*`, which Quay
 * and GitLab know instead of `delete`. When it refuses the credential, the source is asked for
 * another one.
 *
 * Fails with
 *
 * - `AuthChallenge` for a 401, and for a 400 or 403 that calls the token invalid (ECR). It is
 *   remembered: if it is `answerable`, trying again answers it. Where a 401 carries no challenge
 *   and none is known, the registry is asked for one by a ping;
 * - `CredentialsFailure` if the source of credentials is broken, or has a token that no header can
 *   carry;
 * - `UntrustedLocation` if the token server is not to be trusted, before anything is sent to it;
 * - `Unauthorized` (`TokenServer`) if it refuses, or answers without a token that fits into a
 *   header. It holds the challenge that stays open;
 * - `TooManyRequests`, `RegistryFailure` if it answers 429 or the status of another temporary
 *   failure, so that trying again may help;
 * - `LimitExceeded`, `TransportFailure` if its answer is over 128 KiB, stalls or breaks off.
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

/**
 * Whatever sends requests, such as an `HttpClient`.
 *
 * @since 0.1.0
 * @category models
 */
export type Sender<E, R = never> = TokenServer.Sender<E, R>

/**
 * `authorized` with its services at hand. `sent` is the record of the exchange, where the client
 * adds its requests to one. `until` is when the response to a token request must have arrived, in
 * milliseconds of the clock; `aside` is what sends token requests, where that is not the client.
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
    options: Options & { readonly until?: () => number } = {},
    sent?: Sent.Sent
  ) =>
  <E, R>(
    client: Sender<E, R>,
    aside: Sender<E, R> = client
  ): Sender<E | AuthorizationError, R> => ({
    execute: (request) =>
      Trust.isAt(demand.origin, request.url)
        ? send({
            ...recorded(client, aside, request, sent),
            credentials,
            cache,
            demand: options.scopes === undefined ? demand : { ...demand, scopes: options.scopes },
            fixedScopes: options.scopes !== undefined,
            trust: options.trust ?? Trust.strict,
            until: options.until ?? (() => Number.POSITIVE_INFINITY),
            request
          })
        : client.execute(request)
  })

const recorded = <E, R>(
  client: Sender<E, R>,
  aside: Sender<E, R>,
  { url }: HttpClientRequest.HttpClientRequest,
  recording: Sent.Sent | undefined
): Pick<AuthorizationHeader.Attempt<E, R>, "client" | "aside" | "sent"> => {
  if (recording !== undefined) return { client, aside, sent: recording }
  const sent: Sent.Sent = { ...Sent.make(), url, isOwn: true }
  const recorder = ({ execute }: Sender<E, R>): Sender<E, R> => ({
    execute: (request) => {
      Sent.add(sent, request)
      return Effect.tap(execute(request), (response) => {
        Sent.answered(sent, response.request)
      })
    }
  })
  return { client: recorder(client), aside: recorder(aside), sent }
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
      return mayBeChallenge && Trust.isAt(demand.origin, response.request.url)
        ? rejected(attempt, header, response)
        : Effect.succeed(response)
    })
  })
