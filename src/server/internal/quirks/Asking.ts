/** Quirks of who is asking: of challenges, and of the token endpoint. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as Operation from "../../../protocol/Operation.js"
import * as ChangedResponse from "../ChangedResponse.js"
import type { Received } from "../Handler.js"
import * as Origin from "../Origin.js"
import * as RequestBody from "../RequestBody.js"
import { isTokenRequest, tokenPath } from "../TokenPath.js"
import {
  changes,
  changesAll,
  documentOf,
  modified,
  operationOf,
  type Quirk,
  type Table,
  toResponse,
  urlOf,
  withDocument,
  withParameters
} from "./Quirk.js"

/** The quirks of who is asking. */
export const table: Table<
  | "cookies"
  | "apiVersion"
  | "challengePingOnly"
  | "refusedLogin"
  | "basicAfterToken"
  | "unauthorizedBody"
  | "basicToo"
  | "unquotedChallenges"
  | "challengeCase"
  | "basicRealm"
  | "basicService"
  | "pingScope"
  | "challengeScope"
  | "pingChallenge"
  | "pingBody"
  | "realm"
  | "service"
  | "tokenPost"
  | "tokenActions"
  | "tokenRefusal"
  | "emptyAccessToken"
  | "tokenFields"
> = {
  cookies: () => (next) => (received) =>
    received.request.headers["cookie"] === undefined
      ? Effect.map(next(received), (response) =>
          ChangedResponse.withHeaders(response, { "set-cookie": "sid=1; Path=/" })
        )
      : Effect.succeed(toResponse({ status: 403, code: "DENIED", message: "CSRF token invalid" })),
  apiVersion: () =>
    changesAll((response) =>
      ChangedResponse.withHeaders(response, { "docker-distribution-api-version": undefined })
    ),
  challengePingOnly: () =>
    challenges((challenge, received) =>
      operationOf(received, "Ping") || isTokenRequest(received.request) ? challenge : undefined
    ),
  refusedLogin: (reply) =>
    changesAll((response, { request }) =>
      response.status === 401 && isBasic(request) && !isTokenRequest(request)
        ? toResponse(reply)
        : response
    ),
  basicAfterToken: (realm) =>
    challenges((challenge, { request }) =>
      request.headers["authorization"] === undefined || isTokenRequest(request)
        ? challenge
        : `Basic realm="${realm}"`
    ),
  unauthorizedBody: (body) =>
    changesAll((response) => (response.status === 401 ? withHtml(response, body) : response)),
  basicToo: (where, { basicRealm }) => takesPasswords(where, basicRealm ?? "registry"),
  unquotedChallenges: () => challenges((challenge) => challenge.replaceAll('"', "")),
  challengeCase: (to) =>
    challenges((challenge) =>
      challenge.replace(/^\S+/, (scheme) =>
        to === "upper" ? scheme.toUpperCase() : scheme.toLowerCase()
      )
    ),
  basicRealm: (realm) =>
    challenges((challenge, { request }) =>
      challenge.replace(/^Basic realm="[^"]*"/, () => {
        const url = Origin.of(request, {}) + request.url
        return `Basic realm="${realm.replaceAll("{url}", url)}"`
      })
    ),
  basicService: (service) =>
    challenges((challenge) =>
      challenge.startsWith("Basic ") ? `${challenge},service="${service}"` : challenge
    ),
  pingScope: (scope) =>
    challenges((challenge, received) =>
      operationOf(received, "Ping") ? withScope(challenge, scope) : challenge
    ),
  challengeScope: (scope) => challenges((challenge) => withScope(challenge, scope)),
  pingChallenge: (challenge) =>
    changes(["Ping"], (response) =>
      ChangedResponse.withHeaders(response, { "www-authenticate": challenge })
    ),
  pingBody: (body) => changes(["Ping"], (response) => withHtml(response, body)),
  realm: (realm) => servesTokensAt(realm),
  service: (service) => issuesFor(service),
  tokenPost: (reply) => (next) => (received) =>
    isTokenRequest(received.request) && received.request.method === "POST"
      ? Effect.succeed(toResponse(reply))
      : next(received),
  tokenActions: (known) => (next) => (received) =>
    isTokenRequest(received.request) && !knowsActions(received.request, known)
      ? Effect.succeed(toResponse({ status: 400, code: "UNSUPPORTED", message: "Unknown action" }))
      : next(received),
  tokenRefusal: (reply) =>
    changesAll((response, { request }) =>
      response.status === 401 && isTokenRequest(request) ? toResponse(reply) : response
    ),
  emptyAccessToken: () => tokens((document) => ({ ...document, access_token: "" })),
  tokenFields: (fields) =>
    tokens((document) => {
      // Tokens by POST have one name, by GET two that mean the same.
      const token = document["token"] ?? document["access_token"]
      const all: Readonly<Record<string, unknown>> = { ...document, token, access_token: token }
      return Object.fromEntries(fields.map((field) => [field, all[field]]))
    })
}

// -----------------------------------------------------------------------------
// Challenges
// -----------------------------------------------------------------------------

const challenges = (f: (challenge: string, received: Received) => string | undefined): Quirk =>
  changesAll((response, received) => {
    const challenge = response.headers["www-authenticate"]
    return response.status === 401 && challenge !== undefined
      ? ChangedResponse.withHeaders(response, { "www-authenticate": f(challenge, received) })
      : response
  })

const withScope = (challenge: string, scope: string | null): string =>
  challenge.startsWith("Bearer ")
    ? challenge.replace(/,scope="[^"]*"/, "") + (scope === null ? "" : `,scope="${scope}"`)
    : challenge

/** Takes a password for the token that it stands for. */
const takesPasswords =
  (where: "line" | "field", realm: string): Quirk =>
  (next) =>
  (received) =>
    Effect.gen(function* () {
      const { operation, request } = received
      if (isBasic(request) && Either.isRight(operation)) {
        const query = new URLSearchParams(
          Operation.requiredScopes(operation.right).map((scope): [string, string] => [
            "scope",
            scope
          ])
        )
        const issued = yield* next(yield* modified(received, { url: `${tokenPath}?${query}` }))
        const { token } = yield* documentOf(issued)
        const headers = { authorization: `Bearer ${token}` }
        if (issued.status === 200) return yield* next(yield* modified(received, { headers }))
      }
      const response = yield* next(received)
      const challenge = response.headers["www-authenticate"]
      if (response.status !== 401 || challenge?.startsWith("Bearer ") !== true) return response
      const basic = `Basic realm="${realm}"`
      return ChangedResponse.withHeaders(response, {
        "www-authenticate": where === "line" ? [challenge, basic] : `${challenge},${basic}`
      })
    })

const isBasic = ({ headers }: HttpServerRequest): boolean =>
  headers["authorization"]?.toLowerCase().startsWith("basic ") === true

const withHtml = (response: HttpServerResponse, body: string): HttpServerResponse =>
  ChangedResponse.withBytes(response, new TextEncoder().encode(body), {
    "content-type": "text/html; charset=utf-8"
  })

// -----------------------------------------------------------------------------
// Tokens
// -----------------------------------------------------------------------------

const tokens = (f: (document: Readonly<Record<string, unknown>>) => object): Quirk =>
  changesAll((response, { request }) =>
    response.status === 200 && isTokenRequest(request)
      ? Effect.map(documentOf(response), (document) => withDocument(response, f(document)))
      : response
  )

/** Returns the path at which tokens are served when this is their realm. */
export const realmPath = (realm: string): string =>
  new URL(realm, "http://registry.invalid").pathname

const servesTokensAt =
  (realm: string): Quirk =>
  (next) =>
  (received) =>
    Effect.gen(function* () {
      const { request } = received
      const url = urlOf(request)
      const isThere = isTokenRequest(request, realmPath(realm))
      const response = yield* next(
        isThere ? yield* modified(received, { url: tokenPath + url.search }) : received
      )
      const challenge = response.headers["www-authenticate"]
      if (isThere || challenge?.startsWith("Bearer ") !== true) return response
      const named = realm.startsWith("/") ? Origin.of(request, {}) + realm : realm
      return ChangedResponse.withHeaders(response, {
        "www-authenticate": challenge.replace(/realm="[^"]*"/, () => `realm="${named}"`)
      })
    })

/** Whatever service a token is asked for, the server issues it for its own. */
const issuesFor =
  (service: string): Quirk =>
  (next) =>
  (received) => {
    const { request } = received
    if (isTokenRequest(request))
      return Effect.zipRight(
        request.method === "POST" ? RequestBody.change(request, withoutService) : Effect.void,
        Effect.flatMap(
          modified(received, { url: withParameters(request, { service: undefined }) }),
          next
        )
      )
    return challenges((challenge) =>
      challenge.replace(/,service="[^"]*"/, () => `,service="${service}"`)
    )(next)(received)
  }

const withoutService = <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.fromEffect(
    Effect.map(Stream.runCollect(Stream.decodeText(Stream.take(body, 256))), (texts) => {
      const form = new URLSearchParams(Chunk.join(texts, ""))
      form.delete("service")
      return new TextEncoder().encode(form.toString())
    })
  )

const knowsActions = (request: HttpServerRequest, known: ReadonlyArray<string>): boolean =>
  urlOf(request)
    .searchParams.getAll("scope")
    .every((scope) =>
      scope
        .slice(scope.lastIndexOf(":") + 1)
        .split(",")
        .every((action) => known.includes(action))
    )
