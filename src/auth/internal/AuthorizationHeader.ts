/**
 * The `Authorization` header with which a request answers what its registry has asked for: a
 * password, a token of the registry's own, or one that a token server issues.
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import * as AccessScope from "../../protocol/AccessScope.js"
import * as Challenge from "../../protocol/Challenge.js"
import type * as Trust from "../../protocol/Trust.js"
import {
  AuthChallenge,
  CredentialsFailure,
  LimitExceeded,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  UntrustedLocation
} from "../../RegistryError.js"
import type { Credential, Credentials, Demand } from "../Credentials.js"
import type { TokenCache } from "../TokenCache.js"
import * as Scopes from "./Scopes.js"
import * as Sendable from "./Sendable.js"
import type { Sender } from "./Sender.js"
import * as Sent from "./Sent.js"
import { shownChallenges } from "./ShownChallenges.js"
import * as TokenServer from "./TokenServer.js"

/**
 * One request to the demand's origin, with all that its authorization takes. `aside` sends token
 * requests and pings. `loginOnly` says that nobody's tokens would do.
 */
export interface Attempt<E, R> {
  readonly client: Sender<E, R>
  readonly aside: Sender<E, R>
  readonly credentials: Credentials.Service
  readonly cache: TokenCache.Service
  readonly demand: Demand
  readonly fixedScopes: boolean
  readonly trust: Trust.Policy
  readonly until: () => number
  readonly request: HttpClientRequest.HttpClientRequest
  readonly sent: Sent.Sent
  readonly loginOnly: boolean
}

/**
 * The value of a header, and what it was made of: a credential itself, or a token that was issued
 * for it, for `scopes`, by the token server of a challenge, in this very attempt if it `isNew`.
 */
export interface AuthorizationHeader {
  readonly value: string
  readonly scheme: "basic" | "bearer"
  readonly credential: Credential
  readonly token: Option.Option<{
    readonly value: Redacted.Redacted
    readonly challenge: Challenge.Challenge
    readonly scopes: ReadonlyArray<string>
    readonly isNew: boolean
  }>
}

type Result<E, R> = Effect.Effect<
  Option.Option<AuthorizationHeader>,
  E | CredentialsFailure | TokenServer.TokenError,
  R
>

/**
 * Returns the header that answers what the origin has asked for; none before the first contact, and
 * where the credential fits none of its challenges.
 */
export const find = <E, R>(attempt: Attempt<E, R>): Result<E, R> =>
  Effect.flatMap(attempt.cache.challenges(attempt.demand), (challenges) =>
    challenges.length === 0
      ? Effect.succeedNone
      : Effect.flatMap(attempt.credentials.get(attempt.demand), (credential) =>
          Effect.catchAll(ofCredential(attempt, challenges, credential), (error) =>
            Effect.catchAll(
              ofAnother(attempt, challenges, credential, error, false),
              (error): Result<E, R> => failed(attempt, challenges, error)
            )
          )
        )
  )

/** Returns the header that a credential makes for one of the challenges. */
const ofCredential = <E, R>(
  attempt: Attempt<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential
): Result<E, R> =>
  Effect.flatMap(select(attempt, challenges, credential), (selected): Result<E, R> => {
    attempt.sent.credential = credential
    if (Option.isNone(selected)) return Effect.succeedNone
    const problem = Sendable.problemOf(credential)
    if (problem !== undefined) return Effect.fail(unsendable(attempt.demand, problem))
    if (selected.value.scheme === "basic")
      return credential._tag === "Basic"
        ? Effect.succeedSome({
            value: Sendable.basicHeader(credential.username, credential.password),
            scheme: "basic",
            credential,
            token: Option.none()
          })
        : Effect.succeedNone
    return credential._tag === "RegistryToken"
      ? Effect.succeedSome({
          value: `Bearer ${Redacted.value(credential.token)}`,
          scheme: "bearer",
          credential,
          token: Option.none()
        })
      : Effect.asSome(ofToken(attempt, selected.value, credential))
  })

const ofToken = <E, R>(
  attempt: Attempt<E, R>,
  challenge: Challenge.Challenge,
  credential: Credential
): Effect.Effect<AuthorizationHeader, E | TokenServer.TokenError, R> => {
  const { aside, cache, demand, fixedScopes, loginOnly, request, sent, trust, until } = attempt
  const scopes = scopesFor(attempt, challenge)
  const key = {
    origin: demand.origin,
    realm: challenge.realm ?? "",
    service: challenge.service ?? "",
    identity: credential.identity,
    scopes
  }
  const acquire = (refreshToken: Redacted.Redacted | undefined) => {
    const requestToken = (scopes: ReadonlyArray<string>) =>
      TokenServer.requestToken(aside, {
        ...key,
        scopes,
        credential,
        refreshToken,
        from: request.url,
        trust,
        until,
        userAgent: request.headers["user-agent"],
        sent,
        loginOnly
      })
    const instead = fixedScopes
      ? undefined
      : Scopes.alternative(scopes, challenge.scopes, demand.scopes)
    // Kept for all the scopes: whether it has them is for the registry to say (A8).
    return instead === undefined
      ? requestToken(scopes)
      : Effect.catchIf(requestToken(scopes), isScopeRefused, () => requestToken(instead))
  }
  return Effect.map(
    cache.getOrAcquire(key, acquire),
    ({ isNew, value }): AuthorizationHeader => ({
      value: `Bearer ${Redacted.value(value)}`,
      scheme: "bearer",
      credential,
      token: Option.some({ value, challenge, scopes, isNew })
    })
  )
}

const isScopeRefused = (error: unknown): boolean =>
  error instanceof Unauthorized && (error.status === 400 || error.status === 401)

/**
 * Returns the header of the credential that the source has in place of one that the token server
 * refuses; where that is refused as well, only that of nobody.
 */
const ofAnother = <E, R>(
  attempt: Attempt<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  refused: Credential,
  error: E | CredentialsFailure | TokenServer.TokenError,
  isLast: boolean
): Result<E, R> =>
  Effect.gen(function* () {
    if (!(error instanceof Unauthorized)) return yield* Effect.fail(error)
    const credential = yield* attempt.credentials.get(attempt.demand, refused)
    const isNobody = credential._tag === "Anonymous"
    if (credential.identity === refused.identity || (isLast && !isNobody))
      return yield* Effect.fail(error)
    return yield* Effect.catchAll(ofCredential(attempt, challenges, credential), (next) => {
      if (!isNobody) return ofAnother(attempt, challenges, credential, next, true)
      if (!(next instanceof Unauthorized)) return Effect.fail(next)
      // That nobody may do it either says less than that the login is refused.
      attempt.sent.credential = refused
      return Effect.fail(error)
    })
  })

/** Fails, and forgets the challenges where only the registry knows what else there is to do. */
const failed = <E, R>(
  attempt: Attempt<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  error: E | CredentialsFailure | TokenServer.TokenError
): Effect.Effect<never, E | CredentialsFailure | TokenServer.TokenError> =>
  Effect.gen(function* () {
    const { cache, demand } = attempt
    if (!(error instanceof CredentialsFailure))
      yield* isFinal(error) ? cache.remember(demand, []) : cache.failed(demand)
    return yield* Effect.fail(
      error instanceof Unauthorized
        ? unauthorized(attempt, challenges, error)
        : ofTokenServer(attempt, error)
    )
  })

/** Whether trying again would end in the same way, unlike after a broken connection. */
const isFinal = (error: unknown): boolean =>
  error instanceof Unauthorized ||
  error instanceof UntrustedLocation ||
  error instanceof LimitExceeded

/**
 * The error of a token server with what the token was for, and with the challenge that is left open
 * by it, for whoever knows another credential.
 */
const unauthorized = <E, R>(
  attempt: Attempt<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  error: Unauthorized
): Unauthorized => {
  const { demand, sent } = attempt
  const credential = Sent.credentialOf(sent)
  const facts = { ...exchangeOf(error), origin: demand.origin, credential }
  const challenge = new AuthChallenge({
    ...facts,
    challenges: shownChallenges(challenges, Sent.redactorOf(sent)),
    scopes: demand.scopes,
    sent: "nothing",
    answerable: false
  })
  const operation = operationOf(attempt)
  return new Unauthorized({ ...facts, reason: error.reason, operation, challenge })
}

const operationOf = <E, R>({ request, sent }: Attempt<E, R>): string =>
  `${request.method} ${Sent.shownUrl(sent, request)}`

/** The error of an exchange with a token server, which says that it was one, and what for. */
const ofTokenServer = <E, R, Failure>(attempt: Attempt<E, R>, error: Failure) => {
  const facts = () => ({ server: "TokenServer", onBehalfOf: operationOf(attempt) }) as const
  if (error instanceof TransportFailure)
    return new TransportFailure({ ...error, cause: error.cause, ...facts() })
  if (error instanceof LimitExceeded) return new LimitExceeded({ ...error, ...facts() })
  if (error instanceof TooManyRequests) return new TooManyRequests({ ...error, ...facts() })
  if (error instanceof RegistryFailure) return new RegistryFailure({ ...error, ...facts() })
  return error
}

/** Sources of an application's own may have anything. */
const unsendable = ({ origin }: Demand, problem: string): CredentialsFailure =>
  new CredentialsFailure({
    source: "the Credentials service",
    problem: `the credential for ${origin} cannot be sent: ${problem}`,
    fix: "See that it is as its registry gave it, without white space or line breaks around it"
  })

/**
 * Selects the challenge to answer with a credential: Bearer if its realm may receive it, else Basic
 * if it is a password: Gitea and Nexus name wrong realms behind proxies. With neither, the Bearer
 * challenge all the same, whose failure says why.
 */
export const select = <E, R>(
  { demand, request, trust }: Attempt<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential
): Effect.Effect<Option.Option<Challenge.Challenge>> => {
  const isTrusted = ({ realm = "", scheme }: Challenge.Challenge) =>
    scheme === "bearer"
      ? Effect.map(
          TokenServer.decideRealm({
            trust,
            origin: demand.origin,
            from: request.url,
            realm,
            credential
          }),
          (decision) => decision._tag === "Allowed"
        )
      : Effect.succeed(true)
  return Effect.map(Effect.filter(challenges, isTrusted), (trusted) =>
    Option.orElse(Challenge.select(trusted, { basic: credential._tag === "Basic" }), () =>
      Challenge.select(challenges, { basic: false })
    )
  )
}

/** The scopes to ask for when a challenge is answered. */
export const scopesFor = <E, R>(
  { demand, fixedScopes }: Attempt<E, R>,
  challenge: Challenge.Challenge
): ReadonlyArray<string> =>
  fixedScopes ? demand.scopes : AccessScope.combine(challenge.scopes, demand.scopes)
