/**
 * Authorization as a decorator of an `HttpClient`, one for each demand. It answers what the registry asked for earlier; a new 401 it remembers and
 * reports as `AuthChallenge`, and whoever retries finds the challenge answered. Nothing is sent before the registry has asked, and no other origin is
 * ever answered (T1).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as AccessScope from "../protocol/AccessScope.js"
import * as Challenge from "../protocol/Challenge.js"
import * as ErrorBody from "../protocol/ErrorBody.js"
import { redact } from "../protocol/RedactedUrl.js"
import * as Trust from "../protocol/Trust.js"
import { AuthChallenge, CredentialsFailure, RegistryFailure, TooManyRequests, Unauthorized } from "../RegistryError.js"
import { type Credential, Credentials, type Demand } from "./Credentials.js"
import * as Secrets from "./Secrets.js"
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
 * `trust` says which token servers may receive credentials, by default those of the registry's own domain. `scopes` are asked for instead of those
 * of the demand and of every challenge (RG5).
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly trust?: Trust.Policy | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * The client with its requests to the demand's origin authorized, and the challenges from there reported. Requests to other origins, and answers that
 * come from other origins after a redirect, pass untouched. The client must carry neither `Authorization` nor the body of a token request across
 * origins when it follows redirects.
 *
 * A token is asked for with the scopes of the challenge first (trap 66), then those of the demand. Where the token server refuses them (400, 401), it
 * is asked once more: for the challenge's scopes alone, since some refuse a union instead of granting less; for a deletion with `*`, which Quay and
 * GitLab know instead of `delete`. When it refuses the credential, the source is asked for another one.
 *
 * Fails with
 *
 * - `AuthChallenge` for a 401, and for a 400 or 403 that calls the token invalid (ECR). It is remembered: if it is `answerable`, trying again answers
 *   it. Where a 401 carries no challenge and none is known, the registry is asked for one by a ping;
 * - `CredentialsFailure` if the source of credentials is broken, or has a token that no header can carry;
 * - `UntrustedLocation` if the token server is not to be trusted, before anything is sent to it;
 * - `Unauthorized` (`TokenServer`) if it refuses, or answers without a token that fits into a header. It holds the challenge that stays open;
 * - `TooManyRequests`, `RegistryFailure` if it answers 429 or the status of another temporary failure, so that trying again may help;
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
 * `authorized` with its services at hand.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const authorizedBy =
  (credentials: Credentials.Service, cache: TokenCache.Service, demand: Demand, options: Options = {}) =>
  <E, R>(client: Sender<E, R>): Sender<E | AuthorizationError, R> => ({
    execute: (request) =>
      isAt(demand.origin, request.url)
        ? send({
            client,
            credentials,
            cache,
            demand: options.scopes === undefined ? demand : { ...demand, scopes: options.scopes },
            fixedScopes: options.scopes !== undefined,
            trust: options.trust ?? Trust.strict,
            request
          })
        : client.execute(request)
  })

/** Most URLs begin with the origin as it is, and parsing one costs as much as all else here. */
const isAt = (origin: string, url: string): boolean =>
  url.startsWith(`${origin}/`) || Option.contains(Trust.origin(url), origin)

/** One request to the demand's origin. */
interface Sending<E, R> {
  readonly client: Sender<E, R>
  readonly credentials: Credentials.Service
  readonly cache: TokenCache.Service
  readonly demand: Demand
  readonly fixedScopes: boolean
  readonly trust: Trust.Policy
  readonly request: HttpClientRequest.HttpClientRequest
}

/** What a request shows: a credential itself, or a token that the `issuer` gave for it, for `scopes`, in this very attempt if it is `fresh`. */
interface Proof {
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

const send = <E, R>(
  sending: Sending<E, R>
): Effect.Effect<HttpClientResponse.HttpClientResponse, E | AuthorizationError, R> =>
  Effect.flatMap(prove(sending), (found) => {
    const { client, demand, request } = sending
    const proof = Option.getOrUndefined(found)
    return Effect.flatMap(
      client.execute(
        proof === undefined ? request : HttpClientRequest.setHeader(request, "authorization", proof.header)
      ),
      (response) => {
        const { status } = response
        return (status === 401 || (proof !== undefined && (status === 400 || status === 403))) &&
          isAt(demand.origin, response.request.url)
          ? refused(sending, proof, response)
          : Effect.succeed(response)
      }
    )
  })

// -----------------------------------------------------------------------------
// Answering
// -----------------------------------------------------------------------------

/** The proof for what the origin asked for, or none: before the first contact, and when the credential does not fit. */
const prove = <E, R>(sending: Sending<E, R>): Effect.Effect<Option.Option<Proof>, E | AuthorizationError, R> =>
  Effect.flatMap(sending.cache.challenges(sending.demand), (challenges) =>
    challenges.length === 0 ? Effect.succeedNone : proveTo(sending, challenges)
  )

const proveTo = <E, R>(
  sending: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>
): Effect.Effect<Option.Option<Proof>, E | AuthorizationError, R> => {
  const { cache, credentials, demand } = sending
  return Effect.flatMap(credentials.get(demand, Option.none()), (credential) =>
    Effect.catchAll(proofOf(sending, challenges, credential), (error) =>
      (error instanceof Unauthorized
        ? Effect.flatMap(credentials.get(demand, Option.some(credential)), (renewed) =>
            renewed.identity === credential.identity ? Effect.fail(error) : proofOf(sending, challenges, renewed)
          )
        : Effect.fail(error)
      ).pipe(
        // Not for ever: the token server may have moved, and only the registry knows where to.
        Effect.tapError((error) => (isTemporary(error) ? Effect.void : cache.remember(demand, []))),
        Effect.mapError((error) => (error instanceof Unauthorized ? unanswered(demand, challenges, error) : error))
      )
    )
  )
}

/** What a credential has to show for one of the challenges. */
const proofOf = <E, R>(
  sending: Sending<E, R>,
  challenges: ReadonlyArray<Challenge.Challenge>,
  credential: Credential
): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> =>
  Effect.flatMap(
    choose(sending, challenges, credential),
    (chosen): Effect.Effect<Option.Option<Proof>, E | CredentialsFailure | TokenServer.TokenError, R> => {
      if (Option.isNone(chosen)) return Effect.succeedNone
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
      if (credential._tag !== "RegistryToken") return Effect.asSome(tokenProof(sending, chosen.value, credential))
      return Option.match(Secrets.bearerHeader(credential.token), {
        onNone: () => Effect.fail(unusableToken),
        onSome: (header) => Effect.succeedSome({ header, scheme: "bearer", credential, token: Option.none() })
      })
    }
  )

/** The refusal of a token server with the challenge that is left open by it, for whoever knows another credential. */
const unanswered = (
  { origin, scopes }: Demand,
  challenges: ReadonlyArray<Challenge.Challenge>,
  { errors, method, reason, status, url }: Unauthorized
): Unauthorized => {
  const facts = { method, url, status, errors, origin }
  const challenge = new AuthChallenge({ ...facts, challenges, scopes, sent: "nothing", answerable: false })
  return new Unauthorized({ ...facts, reason, challenge })
}

const unusableToken = new CredentialsFailure({
  source: "a registry token",
  problem: "it is empty, or holds characters that a header cannot carry",
  fix: "Look for white space or a line break around it"
})

const isTemporary = (error: unknown): boolean =>
  error instanceof TooManyRequests || error instanceof RegistryFailure || error instanceof CredentialsFailure

/**
 * Bearer if its realm may receive the credential, else Basic if there is a password for it: Gitea and Nexus name wrong realms behind proxies. With
 * neither, the Bearer challenge all the same, whose failure says why.
 */
const choose = <E, R>(
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
  const { cache, client, demand, request, trust } = sending
  const realm = challenge.realm ?? ""
  const service = challenge.service ?? ""
  const scopes = scopesFor(sending, challenge)
  return Effect.map(
    cache.getOrAcquire(
      { origin: demand.origin, realm, service, identity: credential.identity, scopes },
      (refreshToken) => {
        const exchange = (scopes: ReadonlyArray<string>) =>
          TokenServer.exchange(client, {
            origin: demand.origin,
            realm,
            service,
            scopes,
            credential,
            refreshToken,
            from: request.url,
            trust,
            userAgent: request.headers["user-agent"]
          })
        const instead = deletes(demand.scopes) ? demand.scopes.map(withEveryAction) : challenge.scopes
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

const scopesFor = <E, R>(
  { demand, fixedScopes }: Sending<E, R>,
  challenge: Challenge.Challenge
): ReadonlyArray<string> => (fixedScopes ? demand.scopes : AccessScope.combine(challenge.scopes, demand.scopes))

const isScopeRefused = (error: unknown): boolean =>
  error instanceof Unauthorized && (error.status === 400 || error.status === 401)

const deletes = (scopes: ReadonlyArray<string>): boolean =>
  scopes.map(AccessScope.parse).some((scope) => scope._tag === "Resource" && scope.actions.includes("delete"))

const withEveryAction = (text: string): string => {
  const scope = AccessScope.parse(text)
  return scope._tag === "Resource" ? `${scope.type}:${scope.name}:*` : text
}

const isSame = (first: ReadonlyArray<string>, second: ReadonlyArray<string>): boolean =>
  first.length === second.length && first.every((scope, index) => scope === second[index])

// -----------------------------------------------------------------------------
// Being refused
// -----------------------------------------------------------------------------

/** A challenge is reported as such; any other refusal is handed on with as much of its body as tells one from the other. */
const refused = <E, R>(
  sending: Sending<E, R>,
  proof: Proof | undefined,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, AuthChallenge | CredentialsFailure, R> =>
  Effect.flatMap(excerpt(response), (received) => {
    const body = Secrets.hideIn(received, Secrets.inHeader(proof?.header))
    return response.status === 401 || saysTokenIsInvalid(body)
      ? challenged(sending, proof, response, body)
      : Effect.succeed(
          HttpClientResponse.fromWeb(
            response.request,
            new Response(Uint8Array.from(body), { status: response.status, headers: response.headers })
          )
        )
  })

/** Remembers what the registry asks for, and reports all of it, and whether there is an answer that was not refused yet. */
const challenged = <E, R>(
  sending: Sending<E, R>,
  proof: Proof | undefined,
  response: HttpClientResponse.HttpClientResponse,
  body: Uint8Array
): Effect.Effect<never, AuthChallenge | CredentialsFailure, R> =>
  Effect.gen(function* () {
    const { cache, credentials, demand } = sending
    const { method, url } = response.request
    const told = Challenge.parse(
      Secrets.hide(response.headers["www-authenticate"] ?? "", Secrets.inHeader(proof?.header))
    )
    // A redirect may have dropped the header, and then it was not refused.
    const sent = response.request.headers["authorization"]
    const refused = proof !== undefined && sent === proof.header ? Option.some(proof) : Option.none()
    const token = Option.flatMap(refused, (proof) => proof.token)

    if (Option.isSome(token)) yield* cache.reject(demand, token.value.value)
    const known = yield* cache.challenges(demand)
    const challenges = told.length === 0 && known.length === 0 ? yield* toPing(sending) : told
    const usable = usableOf(challenges, known, demand, Option.isSome(token)).map((challenge) =>
      absolute(challenge, url)
    )
    const isStale = Option.exists(token, ({ fresh }) => !fresh)
    // Harbor asks for a password when a token has expired, but also where it takes no tokens at all, not even a new one.
    if (usable.length > 0 && !(isStale && !usable.some(isBearer) && known.some(isBearer)))
      yield* cache.remember(demand, usable)

    const next = yield* cache.challenges(demand)
    const rejected = Option.filterMap(refused, ({ credential, token }) =>
      Option.isNone(token) ? Option.some(credential) : Option.none()
    )
    const credential = yield* credentials.get(demand, rejected)
    const answerable = Option.exists(yield* choose(sending, next, credential), (challenge) =>
      Option.match(refused, {
        onNone: () => proof === undefined,
        onSome: (proof) =>
          challenge.scheme !== proof.scheme ||
          Option.match(proof.token, {
            onNone: () => credential.identity !== proof.credential.identity,
            // Artifactory has a token server for each repository, and names the right one now (quirks §1).
            onSome: ({ fresh, issuer, scopes }) =>
              !fresh ||
              challenge.realm !== issuer.realm ||
              challenge.service !== issuer.service ||
              !AccessScope.contains(scopes, scopesFor(sending, challenge))
          })
      })
    )

    return yield* new AuthChallenge({
      method,
      url: redact(url),
      status: response.status,
      errors: ErrorBody.parse(body).errors,
      origin: demand.origin,
      challenges,
      scopes: demand.scopes,
      sent: sent === undefined ? "nothing" : /^basic /i.test(sent) ? "basic" : "bearer",
      answerable
    })
  })

/** What the registry says to a ping, which most clients begin with: GCR once named its challenges there alone. Not the scopes: rule 2. */
const toPing = <E, R>({
  client,
  demand,
  request
}: Sending<E, R>): Effect.Effect<ReadonlyArray<Challenge.Challenge>, never, R> => {
  const path = request.url.indexOf("/v2/", demand.origin.length)
  const ping = `${path === -1 ? demand.origin : request.url.slice(0, path)}/v2/`
  if (ping === request.url) return Effect.succeed([])
  const userAgent = request.headers["user-agent"]
  const headers = { "accept-encoding": "identity", ...(userAgent !== undefined && { "user-agent": userAgent }) }
  return client.execute(HttpClientRequest.get(ping, { headers })).pipe(
    Effect.tap(excerpt),
    Effect.map(({ headers, request }) =>
      isAt(demand.origin, request.url)
        ? Challenge.parse(headers["www-authenticate"] ?? "").map((challenge) => ({
            ...absolute(challenge, request.url),
            scopes: []
          }))
        : []
    ),
    Effect.orElseSucceed(() => [])
  )
}

/**
 * Those that can be answered at all. A 401 without any challenge leaves what is known of the origin, and else counts as one for a password, if nobody
 * can listen. A token that lacks the right to delete leads to one for every action: GitLab once ignored `delete`.
 */
const usableOf = (
  challenges: ReadonlyArray<Challenge.Challenge>,
  known: ReadonlyArray<Challenge.Challenge>,
  demand: Demand,
  sentToken: boolean
): ReadonlyArray<Challenge.Challenge> => {
  if (challenges.length === 0)
    return known.length === 0 && demand.origin.startsWith("https:") ? [{ scheme: "basic", scopes: [] }] : []
  const isForDeletion = sentToken && deletes(demand.scopes)
  return challenges
    .filter((challenge) => isBearer(challenge) || challenge.scheme === "basic")
    .map((challenge) =>
      isForDeletion && challenge.error === "insufficient_scope"
        ? { ...challenge, scopes: [...challenge.scopes, ...demand.scopes.map(withEveryAction)] }
        : challenge
    )
}

const isBearer = ({ realm, scheme }: Challenge.Challenge): boolean =>
  scheme === "bearer" && realm !== undefined && realm !== ""

/** A relative realm means what it means where it was said; later requests have other URLs. */
const absolute = (challenge: Challenge.Challenge, url: string): Challenge.Challenge =>
  challenge.scheme === "bearer" &&
  challenge.realm !== undefined &&
  !URL.canParse(challenge.realm) &&
  URL.canParse(challenge.realm, url)
    ? { ...challenge, realm: new URL(challenge.realm, url).href }
    : challenge

/** ECR's answers to a password that has expired: "Your Authorization Token is invalid." and "Your authorization token has expired. …" */
const saysTokenIsInvalid = (body: Uint8Array): boolean =>
  ErrorBody.parse(body).errors.some(({ message = "" }) => /authorization token (is invalid|has expired)/i.test(message))

/** The beginning of a body that matters for its errors only, read within 5 seconds. */
const excerpt = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let size = 0
    return Stream.runForEachWhile(response.stream, (bytes) => {
      parts.push(bytes)
      size += bytes.length
      return Effect.succeed(size < 64 * 1024)
    }).pipe(
      Effect.timeout("5 seconds"),
      Effect.ignore,
      Effect.map(() => ByteStream.concat(parts))
    )
  })
