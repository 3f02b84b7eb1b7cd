/**
 * Authorization as a decorator of an `HttpClient`, one for each demand. It answers what the registry asked for earlier; a new 401 it remembers and
 * reports as `AuthChallenge`, and whoever retries finds the challenge answered. Nothing is sent before the registry has asked, and no other origin is
 * ever answered (T1).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ByteStream from "../ByteStream.js"
import * as AccessScope from "../protocol/AccessScope.js"
import * as Challenge from "../protocol/Challenge.js"
import * as ErrorBody from "../protocol/ErrorBody.js"
import { redact } from "../protocol/RedactedUrl.js"
import * as Trust from "../protocol/Trust.js"
import { AuthChallenge, CredentialsFailure, Unauthorized } from "../RegistryError.js"
import { type Credential, Credentials, type Demand } from "./Credentials.js"
import { TokenCache } from "./TokenCache.js"
import * as TokenServer from "./TokenServer.js"

/**
 * What `authorized` adds to the errors of a client.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthorizationError = AuthChallenge | CredentialsFailure | TokenServer.TokenError

/**
 * The client with its requests to the demand's origin authorized, and the challenges from there reported. Requests to other origins, and answers that
 * come from other origins after a redirect, pass untouched. The client must not carry `Authorization` across origins when it follows redirects; token
 * requests go through it too. `trust` says which token servers may receive credentials, by default those of the registry's own domain.
 *
 * Fails with
 *
 * - `AuthChallenge` for a 401, which is remembered: trying again answers it, if that is possible;
 * - `CredentialsFailure` if the source of credentials is broken, or has a token that no header can carry;
 * - `UntrustedLocation` if the token server is not to be trusted, before anything is sent to it;
 * - `Unauthorized`, `TooManyRequests`, `RegistryFailure`, `LimitExceeded`, `TransportFailure` if it gives no token: see `TokenServer.exchange`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const authorized =
  (demand: Demand, trust: Trust.Policy = Trust.strict) =>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>
  ): HttpClient.HttpClient.With<E | AuthorizationError, R | Credentials | TokenCache> =>
    HttpClient.makeWith<
      E | AuthorizationError,
      R | Credentials | TokenCache,
      E | AuthorizationError,
      R | Credentials | TokenCache
    >(
      Effect.flatMap((request) => send(client, demand, trust, request)),
      Effect.succeed
    )

/** The value of an `Authorization` header, and what to do when it is refused. */
interface Proof {
  readonly header: string
  readonly refused: Effect.Effect<void, CredentialsFailure>
}

const send = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  demand: Demand,
  trust: Trust.Policy,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<HttpClientResponse, E | AuthorizationError, R | Credentials | TokenCache> =>
  Effect.gen(function* () {
    if (!isAt(demand.origin, request.url)) return yield* client.execute(request)
    const proof = Option.getOrUndefined(yield* prove(client, demand, trust, request))
    const response = yield* client.execute(
      proof === undefined ? request : HttpClientRequest.setHeader(request, "authorization", proof.header)
    )
    if (response.status !== 401 || !isAt(demand.origin, response.request.url)) return response
    // A redirect may have dropped the header, and then it was not refused.
    const sent = response.request.headers["authorization"]
    if (proof !== undefined && sent === proof.header) yield* proof.refused
    return yield* challenged(demand, response, sent)
  })

const isAt = (origin: string, url: string): boolean => Option.contains(Trust.origin(url), origin)

/** The proof for what the origin asked for, or none: before the first contact, and when the credential does not fit. */
const prove = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  demand: Demand,
  trust: Trust.Policy,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Option.Option<Proof>, E | AuthorizationError, R | Credentials | TokenCache> =>
  Effect.gen(function* () {
    const cache = yield* TokenCache
    const challenge = Option.getOrUndefined(yield* cache.challenge(demand))
    if (challenge === undefined) return Option.none()
    const credentials = yield* Credentials
    const credential = yield* credentials.get(demand, Option.none())
    const direct = (header: string): Option.Option<Proof> =>
      Option.some({ header, refused: Effect.asVoid(credentials.get(demand, Option.some(credential))) })

    if (challenge.scheme === "basic") {
      return credential._tag === "Basic" ? direct(TokenServer.basicHeader(credential)) : Option.none()
    }
    if (credential._tag === "RegistryToken") return direct(yield* registryTokenHeader(credential.token))

    const tokenFor = (holder: Credential) => {
      const issue = {
        origin: demand.origin,
        realm: challenge.realm ?? "",
        service: challenge.service ?? "",
        scopes: AccessScope.combine(challenge.scopes, demand.scopes)
      }
      return cache.getOrAcquire(
        { ...issue, identity: holder.identity },
        TokenServer.exchange(client, {
          ...issue,
          credential: holder,
          from: request.url,
          trust,
          userAgent: request.headers["user-agent"]
        })
      )
    }
    const token = yield* Effect.catchAll(tokenFor(credential), (error) =>
      error instanceof Unauthorized
        ? Effect.flatMap(credentials.get(demand, Option.some(credential)), (renewed) =>
            renewed.identity === credential.identity ? Effect.fail(error) : tokenFor(renewed)
          )
        : Effect.fail(error)
    )
    return Option.some({ header: `Bearer ${Redacted.value(token)}`, refused: cache.reject(demand, token) })
  })

const registryTokenHeader = (token: Redacted.Redacted): Effect.Effect<string, CredentialsFailure> =>
  TokenServer.isHeaderSafe(Redacted.value(token))
    ? Effect.succeed(`Bearer ${Redacted.value(token)}`)
    : Effect.fail(
        new CredentialsFailure({
          source: "a registry token",
          problem: "it is empty, or holds characters that a header cannot carry",
          fix: "Look for white space or a line break around it"
        })
      )

/** Remembers the preferred challenge, whether or not there is a credential for it by now, and reports all of them. */
const challenged = (
  demand: Demand,
  response: HttpClientResponse,
  sent: string | undefined
): Effect.Effect<never, AuthChallenge, TokenCache> =>
  Effect.gen(function* () {
    const { method, url } = response.request
    const body = yield* response.stream.pipe(
      ByteStream.collect({ what: "The body of a 401", limit: 64 * 1024 }),
      Effect.timeout(Duration.seconds(5)),
      Effect.orElseSucceed(() => new Uint8Array())
    )
    const challenges = Challenge.parse(response.headers["www-authenticate"] ?? "")
    const selected = select(challenges, demand.origin)
    if (selected !== undefined) yield* (yield* TokenCache).remember(demand, absolute(selected, url))
    return yield* new AuthChallenge({
      method,
      url: redact(url),
      status: response.status,
      errors: ErrorBody.parse(body).errors,
      origin: demand.origin,
      challenges,
      scopes: demand.scopes,
      sent: sent === undefined ? "nothing" : /^basic /i.test(sent) ? "basic" : "bearer"
    })
  })

/** A 401 without any challenge counts as one for a password, if nobody can listen: GCR once named its challenges to pings only. */
const select = (challenges: ReadonlyArray<Challenge.Challenge>, origin: string): Challenge.Challenge | undefined =>
  challenges.length === 0 && origin.startsWith("https:")
    ? { scheme: "basic", scopes: [] }
    : Option.getOrUndefined(Challenge.select(challenges, { basic: true }))

/** A relative realm means what it means where it was said; later requests have other URLs. */
const absolute = (challenge: Challenge.Challenge, url: string): Challenge.Challenge =>
  challenge.scheme === "bearer" &&
  challenge.realm !== undefined &&
  !URL.canParse(challenge.realm) &&
  URL.canParse(challenge.realm, url)
    ? { ...challenge, realm: new URL(challenge.realm, url).href }
    : challenge
