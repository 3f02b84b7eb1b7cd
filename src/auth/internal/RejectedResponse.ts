/**
 * Responses with which a registry rejects a request: whether they are challenges, and whether there
 * is a header that answers them and was not rejected yet.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import { beginning } from "../../internal/StreamBeginning.js"
import * as AccessScope from "../../protocol/AccessScope.js"
import * as Challenge from "../../protocol/Challenge.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import * as UrlQuery from "../../protocol/internal/UrlQuery.js"
import * as Trust from "../../protocol/Trust.js"
import { AuthChallenge, type CredentialsFailure } from "../../RegistryError.js"
import type { Demand } from "../Credentials.js"
import { type Attempt, type AuthorizationHeader, scopesFor, select } from "./AuthorizationHeader.js"
import * as Scopes from "./Scopes.js"
import * as Sent from "./Sent.js"
import { shownChallenges } from "./ShownChallenges.js"

/**
 * Fails with `AuthChallenge` if the response is a challenge to a request with this header. Returns
 * any other with as much of its body as tells one from the other.
 */
export const rejected = <E, R>(
  attempt: Attempt<E, R>,
  header: AuthorizationHeader | undefined,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, AuthChallenge | CredentialsFailure, R> =>
  Effect.gen(function* () {
    const body = yield* excerpt(response)
    // A redirect may have dropped the header, and then it was not rejected.
    const authorization = response.request.headers["authorization"]
    const sent = authorization === header?.value ? Option.fromNullable(header) : Option.none()
    const isInvalid = saysTokenIsInvalid(body)
    if (response.status !== 401 && !isInvalid && !asksForMore(attempt, sent, response))
      return HttpClientResponse.fromWeb(
        response.request,
        new Response(Uint8Array.from(body), {
          status: response.status,
          headers: Headers.remove(response.headers, ["content-encoding", "content-length"])
        })
      )
    const token = Option.flatMap(sent, ({ token }) => token)
    // What lacks a scope is still good for others.
    const isGood = isInvalid
      ? false
      : response.status === 403 || isForOther(attempt, token, response)
    if (Option.isSome(token) && !isGood)
      yield* attempt.cache.reject(attempt.demand, token.value.value)
    const challenges = yield* learn(attempt, token, response)
    // A header that was dropped on its way would be dropped again.
    const isLost = header !== undefined && Option.isNone(sent)
    const answerable = !isLost && (yield* isAnswerable(attempt, sent))
    const redact = Sent.redactorOf(attempt.sent)
    return yield* new AuthChallenge({
      method: response.request.method,
      url: Sent.shownUrl(attempt.sent, response.request),
      status: response.status,
      errors: ErrorBody.parseRedacted(body, redact).errors,
      origin: attempt.demand.origin,
      challenges: shownChallenges(challenges, redact),
      scopes: attempt.demand.scopes,
      sent:
        authorization === undefined
          ? "nothing"
          : /^basic /i.test(authorization)
            ? "basic"
            : "bearer",
      credential: Sent.credentialOf(attempt.sent),
      answerable
    })
  })

type Token = AuthorizationHeader["token"]

/** Whether a request whose scopes were not known went with a token that has not those it needs. */
const isForOther = <E, R>(
  { demand }: Attempt<E, R>,
  token: Token,
  { headers }: HttpClientResponse.HttpClientResponse
): boolean =>
  demand.request !== undefined &&
  Option.exists(token, ({ scopes }) =>
    Challenge.parse(headers["www-authenticate"] ?? "").some(
      (challenge) => isBearer(challenge) && !AccessScope.contains(scopes, challenge.scopes)
    )
  )

/** Returns the challenges of a response, or of a ping, and remembers those that can be answered. */
const learn = <E, R>(
  attempt: Attempt<E, R>,
  token: Token,
  { headers, request }: HttpClientResponse.HttpClientResponse
): Effect.Effect<ReadonlyArray<Challenge.Challenge>, never, R> =>
  Effect.gen(function* () {
    const { cache, demand } = attempt
    const told = Challenge.parse(headers["www-authenticate"] ?? "")
    const known = yield* cache.challenges(demand)
    const challenges = told.length === 0 && known.length === 0 ? yield* toPing(attempt) : told
    const usable = usableOf(challenges, known, demand, Option.isSome(token)).map((challenge) =>
      absolute(challenge, request.url)
    )
    // Harbor asks for a password when a token has expired, but also where it takes no tokens at
    // all, not even a new one.
    const hasExpired = Option.exists(token, ({ isNew }) => !isNew)
    if (usable.length > 0 && !(hasExpired && !usable.some(isBearer) && known.some(isBearer)))
      yield* cache.remember(demand, usable)
    return challenges
  })

/** Whether the next attempt would send something else than what was `sent`. */
const isAnswerable = <E, R>(
  attempt: Attempt<E, R>,
  sent: Option.Option<AuthorizationHeader>
): Effect.Effect<boolean, CredentialsFailure> =>
  Effect.gen(function* () {
    const { cache, credentials, demand } = attempt
    const challenges = yield* cache.challenges(demand)
    const header = Option.getOrUndefined(sent)
    const rejected =
      header !== undefined && Option.isNone(header.token) ? header.credential : undefined
    const credential = yield* credentials.get(demand, rejected)
    if (header === undefined) attempt.sent.credential = credential
    // What is refused to a password may be open to anybody.
    if (rejected !== undefined && credential._tag === "Anonymous") return true
    const next = yield* select(attempt, challenges, credential)
    if (Option.isNone(next)) return false
    if (Option.isNone(sent)) return true
    const { scheme, token } = sent.value
    if (next.value.scheme !== scheme) return true
    if (Option.isNone(token)) return credential.identity !== sent.value.credential.identity
    const { challenge, isNew, scopes } = token.value
    // Artifactory has a token server for each repository, and names the right one now (quirks §1).
    return (
      !isNew ||
      next.value.realm !== challenge.realm ||
      next.value.service !== challenge.service ||
      !AccessScope.contains(scopes, scopesFor(attempt, next.value))
    )
  })

/**
 * Whether a 403 names a scope that the token was not asked for (RFC 6750 §3.1). That is answered
 * once: where the token was just issued for the scopes of such a challenge, the registry has the
 * last word.
 */
const asksForMore = <E, R>(
  attempt: Attempt<E, R>,
  sent: Option.Option<AuthorizationHeader>,
  { headers, status }: HttpClientResponse.HttpClientResponse
): boolean =>
  status === 403 &&
  Option.exists(
    Option.flatMap(sent, ({ token }) => token),
    (token) =>
      !(token.isNew && token.challenge.error === insufficientScope) &&
      Challenge.parse(headers["www-authenticate"] ?? "").some(
        (challenge) =>
          isBearer(challenge) &&
          challenge.error === insufficientScope &&
          !AccessScope.contains(token.scopes, scopesFor(attempt, challenge))
      )
  )

const insufficientScope = "insufficient_scope"

/**
 * What the registry says to a ping, which most clients begin with: GCR once named its challenges
 * there alone. Not the scopes: rule 2.
 */
const toPing = <E, R>({
  aside,
  demand,
  request
}: Attempt<E, R>): Effect.Effect<ReadonlyArray<Challenge.Challenge>, never, R> => {
  const path = request.url.indexOf("/v2/", demand.origin.length)
  const ping = `${path === -1 ? demand.origin : request.url.slice(0, path)}/v2/`
  if (ping === request.url) return Effect.succeed([])
  const userAgent = request.headers["user-agent"]
  const headers = {
    "accept-encoding": "identity",
    ...(userAgent !== undefined && { "user-agent": userAgent })
  }
  return aside.execute(HttpClientRequest.get(ping, { headers })).pipe(
    Effect.tap(excerpt),
    Effect.map(({ headers, request }) =>
      Trust.isAt(demand.origin, request.url)
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
 * Those that can be answered at all. A 401 without any challenge leaves what is known of the
 * origin, and else counts as one for a password, if nobody can listen. A token that lacks the right
 * to delete leads to one for every action: GitLab once ignored `delete`.
 */
const usableOf = (
  challenges: ReadonlyArray<Challenge.Challenge>,
  known: ReadonlyArray<Challenge.Challenge>,
  demand: Demand,
  sentToken: boolean
): ReadonlyArray<Challenge.Challenge> => {
  if (challenges.length === 0)
    return known.length === 0 && demand.origin.startsWith("https:")
      ? [{ scheme: "basic", scopes: [] }]
      : []
  const isForDeletion = sentToken && Scopes.includeDelete(demand.scopes)
  return challenges
    .filter((challenge) => isBearer(challenge) || challenge.scheme === "basic")
    .map((challenge) =>
      isForDeletion && challenge.error === insufficientScope
        ? {
            ...challenge,
            scopes: [...challenge.scopes, ...demand.scopes.map(Scopes.withEveryAction)]
          }
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
    ? {
        ...challenge,
        realm: UrlQuery.restored(new URL(challenge.realm, url), challenge.realm, url)
      }
    : challenge

/**
 * ECR's answers to a password that has expired: "Your Authorization Token is invalid." and "Your
 * authorization token has expired. …"
 */
const saysTokenIsInvalid = (body: Uint8Array): boolean =>
  ErrorBody.parse(body).errors.some(({ message = "" }) =>
    /authorization token (is invalid|has expired)/i.test(message)
  )

/** The beginning of a body that matters for its errors only, decoded if it is compressed. */
const excerpt = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.flatMap(beginning(response.stream, errorLimit.limit), (bytes) =>
    ContentDecoding.plain(bytes, response.headers["content-encoding"], undefined, errorLimit).pipe(
      Effect.orElseSucceed(() => bytes)
    )
  )

const errorLimit = { what: "An error", limit: 64 * 1024 }
