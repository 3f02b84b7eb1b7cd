/**
 * What a request shows to a registry that has asked who is there: a password, a token of its own,
 * or one that a token server gives.
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as AccessScope from "../../protocol/AccessScope.js"
import * as Challenge from "../../protocol/Challenge.js"
import type * as Trust from "../../protocol/Trust.js"
import {
  AuthChallenge,
  CredentialsFailure,
  LimitExceeded,
  Unauthorized,
  UntrustedLocation
} from "../../RegistryError.js"
import type { Credential, Credentials, Demand } from "../Credentials.js"
import type { TokenCache } from "../TokenCache.js"
import * as Secrets from "./Secrets.js"
import { problemOf } from "./Sendable.js"
import * as Sent from "./Sent.js"
import { shownChallenges } from "./ShownChallenges.js"
import * as TokenServer from "./TokenServer.js"

/** One request to the demand's origin. `aside` sends what has to be sent besides. */
export interface Sending<E, R> {
  readonly client: TokenServer.Sender<E, R>
  readonly aside: TokenServer.Sender<E, R>
  readonly credentials: Credentials.Service
  readonly cache: TokenCache.Service
  readonly demand: Demand
  readonly fixedScopes: boolean
  readonly trust: Trust.Policy
  readonly until: () => number
  readonly request: HttpClientRequest.HttpClientRequest
  readonly sent: Sent.Sent
}

/**
 * What a request shows: a credential itself, or a token that the `issuer` gave for it, for
 * `scopes`, in this very attempt if it is `fresh`.
 */
export interface Proof {
  readonly header: string
  readonly scheme: string
  readonly credential: Credential
  readonly token: Option.Option<{
    readonly value: Redacted.Redacted
    readonly issuer: Challenge.Challenge
    readonly scopes: ReadonlyArray<string>
    readonly fresh: boolean
  }>
}

/**
 * The proof for what the origin asked for, or none: before the first contact, and when the
 * credential does not fit.
 */
export const prove = <E, R>(
  sending: Sending<E, R>
): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> =>
  Effect.flatMap(sending.cache.challenges(sending.demand), (challenges) =>
    challenges.length === 0 ? Effect.succeedNone : proveTo(sending, challenges)
  )

const proveTo = <E, R>(
  sending: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>
): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> =>
  Effect.gen(function* () {
    const { cache, credentials, demand } = sending
    const credential = yield* credentials.get(demand, Option.none())
    return yield* proofOrRenewed(sending, challenges, credential, false).pipe(
      Effect.tapError((error) => {
        if (error instanceof CredentialsFailure) return Effect.void
        // The token server may have moved, and only the registry knows where to.
        return isFinal(error) ? cache.remember(demand, []) : cache.failed(demand)
      }),
      Effect.mapError((error) =>
        error instanceof Unauthorized ? unanswered(sending, challenges, error) : error
      )
    )
  })

/**
 * The proof of a credential, or of the one that its source has in its place when the token server
 * refuses it; after that, only of nobody.
 */
const proofOrRenewed = <E, R>(
  sending: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential,
  isRenewed: boolean
): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> =>
  Effect.catchIf(
    proofOf(sending, challenges, credential),
    (error) => error instanceof Unauthorized,
    (error) =>
      Effect.flatMap(
        sending.credentials.get(sending.demand, Option.some(credential)),
        (renewed) => {
          if (renewed.identity === credential.identity) return Effect.fail(error)
          if (renewed._tag !== "Anonymous")
            return isRenewed
              ? Effect.fail(error)
              : proofOrRenewed(sending, challenges, renewed, true)
          // That nobody may do it either says less than that the login is refused.
          return Effect.mapError(proofOf(sending, challenges, renewed), (other) =>
            other instanceof Unauthorized ? error : other
          )
        }
      )
  )

/** What a credential has to show for one of the challenges. */
const proofOf = <E, R>(
  sending: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential
): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> =>
  Effect.flatMap(
    choose(sending, challenges, credential),
    (
      chosen
    ): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> => {
      if (Option.isNone(chosen)) return Effect.succeedNone
      const problem = problemOf(credential)
      if (problem !== undefined) return Effect.fail(unsendable(sending.demand, problem))
      if (chosen.value.scheme === "basic") {
        return credential._tag === "Basic"
          ? Effect.succeedSome({
              header: Secrets.basicHeader(credential),
              scheme: "basic",
              credential,
              token: Option.none()
            })
          : Effect.succeedNone
      }
      if (credential._tag !== "RegistryToken")
        return Effect.asSome(tokenProof(sending, chosen.value, credential))
      return Effect.succeedSome({
        header: `Bearer ${Redacted.value(credential.token)}`,
        scheme: "bearer",
        credential,
        token: Option.none()
      })
    }
  )

/**
 * The refusal of a token server with what it was asked for, and with the challenge that is left
 * open by it, for whoever knows another credential.
 */
const unanswered = <E, R>(
  { demand, request, sent }: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  { errors, method, reason, status, url }: Unauthorized
): Unauthorized => {
  const facts = { method, url, status, errors, origin: demand.origin }
  const challenge = new AuthChallenge({
    ...facts,
    challenges: shownChallenges(challenges, Sent.redactorOf(sent)),
    scopes: demand.scopes,
    sent: "nothing",
    answerable: false
  })
  const operation = `${request.method} ${Sent.shownUrl(sent, request)}`
  return new Unauthorized({ ...facts, reason, operation, challenge })
}

/** Sources of an application's own may have anything. */
const unsendable = ({ origin }: Demand, problem: string): CredentialsFailure =>
  new CredentialsFailure({
    source: "the Credentials service",
    problem: `the credential for ${origin} cannot be sent: ${problem}`,
    fix: "See that it is as its registry gave it, without white space or line breaks around it"
  })

/** Whether trying again would end in the same way, unlike after a broken connection. */
const isFinal = (error: unknown): boolean =>
  error instanceof Unauthorized ||
  error instanceof UntrustedLocation ||
  error instanceof LimitExceeded

/**
 * Bearer if its realm may receive the credential, else Basic if there is a password for it: Gitea
 * and Nexus name wrong realms behind proxies. With neither, the Bearer challenge all the same,
 * whose failure says why.
 */
export const choose = <E, R>(
  { demand, request, trust }: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential
): Effect.Effect<Option.Option<Challenge.Challenge>> => {
  const isTrusted = ({ realm = "", scheme }: Challenge.Challenge) =>
    scheme === "bearer"
      ? Effect.map(
          TokenServer.judge({ trust, origin: demand.origin, from: request.url, realm, credential }),
          (verdict) => verdict._tag === "Allowed"
        )
      : Effect.succeed(true)
  return Effect.map(Effect.filter(challenges, isTrusted), (trusted) =>
    Option.orElse(Challenge.select(trusted, { basic: credential._tag === "Basic" }), () =>
      Challenge.select(challenges, { basic: false })
    )
  )
}

const tokenProof = <E, R>(
  sending: Sending<E, R>,
  challenge: Challenge.Challenge,
  credential: Credential
): Effect.Effect<Proof, E | TokenServer.TokenError, R> => {
  const { aside, cache, demand, request, trust, until } = sending
  const realm = challenge.realm ?? ""
  const service = challenge.service ?? ""
  const scopes = scopesFor(sending, challenge)
  return Effect.map(
    cache.getOrAcquire(
      { origin: demand.origin, realm, service, identity: credential.identity, scopes },
      (refreshToken) => {
        const exchange = (scopes: ReadonlyArray<string>) =>
          TokenServer.exchange(aside, {
            origin: demand.origin,
            realm,
            service,
            scopes,
            credential,
            refreshToken,
            from: request.url,
            trust,
            until,
            userAgent: request.headers["user-agent"],
            sent: sending.sent
          })
        const instead = deletes(demand.scopes)
          ? demand.scopes.map(withEveryAction)
          : challenge.scopes
        const isAlternative =
          !sending.fixedScopes &&
          instead.length > 0 &&
          !isSame(AccessScope.canonical(instead), AccessScope.canonical(scopes))
        // Kept for all the scopes: whether it has them is for the registry to say (A8).
        return isAlternative
          ? Effect.catchIf(exchange(scopes), isScopeRefused, () => exchange(instead))
          : exchange(scopes)
      }
    ),
    ({ isNew, value }): Proof => ({
      header: `Bearer ${Redacted.value(value)}`,
      scheme: "bearer",
      credential,
      token: Option.some({ value, issuer: challenge, scopes, fresh: isNew })
    })
  )
}

/** The scopes to ask for when a challenge is answered. */
export const scopesFor = <E, R>(
  { demand, fixedScopes }: Sending<E, R>,
  challenge: Challenge.Challenge
): ReadonlyArray<string> =>
  fixedScopes ? demand.scopes : AccessScope.combine(challenge.scopes, demand.scopes)

const isScopeRefused = (error: unknown): boolean =>
  error instanceof Unauthorized && (error.status === 400 || error.status === 401)

/** Whether one of the scopes is for deleting. */
export const deletes = (scopes: ReadonlyArray<string>): boolean =>
  scopes
    .map(AccessScope.parse)
    .some((scope) => scope._tag === "Resource" && scope.actions.includes("delete"))

/** A scope widened to every action. */
export const withEveryAction = (text: string): string => {
  const scope = AccessScope.parse(text)
  return scope._tag === "Resource" ? `${scope.type}:${scope.name}:*` : text
}

const isSame = (first: ReadonlyArray<string>, second: ReadonlyArray<string>): boolean =>
  first.length === second.length && first.every((scope, index) => scope === second[index])
