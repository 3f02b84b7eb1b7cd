/**
 * What follows when a registry refuses a request: whether it asks for something that can still be
 * shown.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ByteStream from "../../ByteStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as AccessScope from "../../protocol/AccessScope.js"
import * as Challenge from "../../protocol/Challenge.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import * as UrlQuery from "../../protocol/internal/UrlQuery.js"
import * as Trust from "../../protocol/Trust.js"
import { AuthChallenge, type CredentialsFailure } from "../../RegistryError.js"
import type { Demand } from "../Credentials.js"
import { choose, deletes, type Proof, type Sending, scopesFor, withEveryAction } from "./Proof.js"
import * as Sent from "./Sent.js"
import { shownChallenges } from "./ShownChallenges.js"

/**
 * A challenge is reported as such; any other refusal is handed on with as much of its body as tells
 * one from the other.
 */
export const refused = <E, R>(
  sending: Sending<E, R>,
  proof: Proof | undefined,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, AuthChallenge | CredentialsFailure, R> =>
  Effect.flatMap(excerpt(response), (body) =>
    response.status === 401 || saysTokenIsInvalid(body) || asksForMore(sending, proof, response)
      ? challenged(sending, proof, response, body)
      : Effect.succeed(
          HttpClientResponse.fromWeb(
            response.request,
            new Response(Uint8Array.from(body), {
              status: response.status,
              headers: Headers.remove(response.headers, ["content-encoding", "content-length"])
            })
          )
        )
  )

/**
 * Remembers what the registry asks for, and reports all of it, and whether there is an answer that
 * was not refused yet.
 */
const challenged = <E, R>(
  sending: Sending<E, R>,
  proof: Proof | undefined,
  response: HttpClientResponse.HttpClientResponse,
  body: Uint8Array
): Effect.Effect<never, AuthChallenge | CredentialsFailure, R> =>
  Effect.gen(function* () {
    const { cache, credentials, demand } = sending
    const { method, url } = response.request
    const told = Challenge.parse(response.headers["www-authenticate"] ?? "")
    // A redirect may have dropped the header, and then it was not refused.
    const sent = response.request.headers["authorization"]
    const refused =
      proof !== undefined && sent === proof.header ? Option.some(proof) : Option.none()
    const token = Option.flatMap(refused, (proof) => proof.token)

    // What lacks a scope is still good for others.
    if (Option.isSome(token) && (response.status !== 403 || saysTokenIsInvalid(body)))
      yield* cache.reject(demand, token.value.value)
    const known = yield* cache.challenges(demand)
    const challenges = told.length === 0 && known.length === 0 ? yield* toPing(sending) : told
    const usable = usableOf(challenges, known, demand, Option.isSome(token)).map((challenge) =>
      absolute(challenge, url)
    )
    const isStale = Option.exists(token, ({ fresh }) => !fresh)
    // Harbor asks for a password when a token has expired, but also where it takes no tokens at
    // all, not even a new one.
    if (usable.length > 0 && !(isStale && !usable.some(isBearer) && known.some(isBearer)))
      yield* cache.remember(demand, usable)

    const next = yield* cache.challenges(demand)
    const rejected = Option.filterMap(refused, ({ credential, token }) =>
      Option.isNone(token) ? Option.some(credential) : Option.none()
    )
    const credential = yield* credentials.get(demand, rejected)
    // What was refused with a password may be for anybody.
    const isGivenUp = Option.isSome(rejected) && credential._tag === "Anonymous"
    const isUnanswered = Option.exists(yield* choose(sending, next, credential), (challenge) =>
      Option.match(refused, {
        onNone: () => proof === undefined,
        onSome: (proof) =>
          challenge.scheme !== proof.scheme ||
          Option.match(proof.token, {
            onNone: () => credential.identity !== proof.credential.identity,
            // Artifactory has a token server for each repository, and names the right one now
            // (quirks §1).
            onSome: ({ fresh, issuer, scopes }) =>
              !fresh ||
              challenge.realm !== issuer.realm ||
              challenge.service !== issuer.service ||
              !AccessScope.contains(scopes, scopesFor(sending, challenge))
          })
      })
    )

    const redact = Sent.redactorOf(sending.sent)
    return yield* new AuthChallenge({
      method,
      url: Sent.shownUrl(sending.sent, response.request),
      status: response.status,
      errors: ErrorBody.parseRedacted(body, redact).errors,
      origin: demand.origin,
      challenges: shownChallenges(challenges, redact),
      scopes: demand.scopes,
      sent: sent === undefined ? "nothing" : /^basic /i.test(sent) ? "basic" : "bearer",
      answerable: isGivenUp || isUnanswered
    })
  })

/**
 * Whether a 403 names a scope that the token was not asked for (RFC 6750 §3.1). That is answered
 * once: where the token was just issued for the scopes of such a challenge, the registry has the
 * last word.
 */
const asksForMore = <E, R>(
  sending: Sending<E, R>,
  proof: Proof | undefined,
  { headers, request, status }: HttpClientResponse.HttpClientResponse
): boolean => {
  const token = Option.getOrUndefined(proof?.token ?? Option.none())
  if (status !== 403 || token === undefined || request.headers["authorization"] !== proof?.header)
    return false
  if (token.fresh && token.issuer.error === insufficientScope) return false
  return Challenge.parse(headers["www-authenticate"] ?? "").some(
    (challenge) =>
      isBearer(challenge) &&
      challenge.error === insufficientScope &&
      !AccessScope.contains(token.scopes, scopesFor(sending, challenge))
  )
}

const insufficientScope = "insufficient_scope"

/**
 * What the registry says to a ping, which most clients begin with: GCR once named its challenges
 * there alone. Not the scopes: rule 2.
 */
const toPing = <E, R>({
  aside,
  demand,
  request
}: Sending<E, R>): Effect.Effect<ReadonlyArray<Challenge.Challenge>, never, R> => {
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
  const isForDeletion = sentToken && deletes(demand.scopes)
  return challenges
    .filter((challenge) => isBearer(challenge) || challenge.scheme === "basic")
    .map((challenge) =>
      isForDeletion && challenge.error === insufficientScope
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
  Effect.flatMap(ByteStream.beginning(response.stream, errorLimit.limit), (bytes) =>
    ContentDecoding.plain(bytes, response.headers["content-encoding"], undefined, errorLimit).pipe(
      Effect.orElseSucceed(() => bytes)
    )
  )

const errorLimit = { what: "An error", limit: 64 * 1024 }
