/**
 * The second step of the pipeline: redirects. They are followed here, not by the HTTP client, since
 * only `Trust` knows where one may lead and what may go along.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Sender } from "../../auth/Authorization.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Trust from "../../protocol/Trust.js"
import { LimitExceeded, ProtocolViolation, type UntrustedLocation } from "../../RegistryError.js"
import type * as Limits from "./Limits.js"
import * as Received from "./Received.js"

const redirects = new Set([301, 302, 303, 307, 308])

const statuses = new WeakMap<HttpClientResponse, ReadonlyArray<number>>()

/** The statuses of the redirects that led to a response, in order. */
export const statusesBefore = (response: HttpClientResponse): ReadonlyArray<number> =>
  statuses.get(response) ?? []

/**
 * What is left of a request that goes to another origin: nothing that the caller or the
 * authorization put there (T1).
 */
const portable = new Set(["accept", "accept-encoding", "range", "user-agent"])

/**
 * Follows redirects for a client: any request may be redirected (C4), GET and HEAD to any
 * origin that `Trust` allows, others only within the registry's origin (or to allowed storage). A
 * request that begins elsewhere, at a token server or where an upload was sent, has that origin for
 * its own instead, and the body of a token request never leaves it. A change of origin drops every
 * header but `Accept`, `Accept-Encoding`, `Range` and `User-Agent` for the rest of the chain. The
 * method stays as it is, with its body, but for 303, which asks for a GET and has none (RFC 9110
 * §15.4). A redirect without a `Location` is a response like any other; with one that is blank or
 * repeated it is a `ProtocolViolation`.
 */
export const followed =
  (options: {
    readonly registry: string
    readonly trust: Trust.Policy
    readonly limits: Limits.Limits
  }) =>
  <E>(client: Sender<E>): Sender<E | UntrustedLocation | LimitExceeded | ProtocolViolation> => {
    const follow = (
      request: HttpClientRequest.HttpClientRequest,
      first: HttpClientRequest.HttpClientRequest,
      before: ReadonlyArray<number>
    ): Effect.Effect<
      HttpClientResponse,
      E | UntrustedLocation | LimitExceeded | ProtocolViolation
    > =>
      Effect.flatMap(client.execute(request), (response) => {
        if (before.length > 0) statuses.set(response, before)
        if (!redirects.has(response.status)) return Effect.succeed(response)
        return Either.match(SingleField.requiredReference(response.headers, "location"), {
          onLeft: (problem) =>
            problem === "absent"
              ? Effect.succeed(response)
              : Effect.zipRight(
                  Received.excerpt(Received.from(response)),
                  Effect.fail(unusable(response, problem))
                ),
          onRight: (location) =>
            Effect.zipRight(
              Received.excerpt(Received.from(response)),
              redirected(response, location, first, [...before, response.status])
            )
        })
      })
    const redirected = (
      response: HttpClientResponse,
      location: string,
      first: HttpClientRequest.HttpClientRequest,
      before: ReadonlyArray<number>
    ) => {
      const { request, status } = response
      if (before.length > options.limits.redirects)
        return Effect.fail(
          new LimitExceeded({
            ...Received.exchangeOf(response),
            what: "The number of redirects",
            limit: options.limits.redirects,
            option: "limits.redirects"
          })
        )
      const method = status === 303 && request.method !== "HEAD" ? "GET" : request.method
      const isSecret = holdsSecret(first)
      const decision = Trust.decide(isSecret ? Trust.strict : options.trust, {
        kind: "Redirect",
        registry: isSameOrigin(first.url, options.registry) ? options.registry : first.url,
        from: request.url,
        target: location,
        method
      })
      return decision._tag === "Refused"
        ? Effect.fail(
            Received.untrusted(
              response,
              "Redirect",
              isSecret ? { ...decision, option: Option.none() } : decision
            )
          )
        : follow(redirectedRequest(request, decision, method), first, before)
    }
    return { execute: (request) => follow(request, request, []) }
  }

const unusable = (response: HttpClientResponse, problem: "blank" | "repeated") =>
  new ProtocolViolation({
    ...Received.exchangeOf(response),
    problem: `The server redirects with a Location that is ${problem}`
  })

/**
 * The only forms are those of token requests, with a password or a refresh token inside: no storage
 * may have them, whatever is listed (A7).
 */
const holdsSecret = ({ body }: HttpClientRequest.HttpClientRequest): boolean =>
  body._tag === "Uint8Array" && body.contentType === "application/x-www-form-urlencoded"

const isSameOrigin = (first: string, second: string): boolean =>
  Option.getOrUndefined(Trust.origin(first)) === Option.getOrUndefined(Trust.origin(second))

const redirectedRequest = (
  request: HttpClientRequest.HttpClientRequest,
  to: { readonly url: string; readonly credentials: boolean },
  method: HttpClientRequest.HttpClientRequest["method"]
): HttpClientRequest.HttpClientRequest => {
  const same = method === request.method
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(
      ([name]) => (to.credentials || portable.has(name)) && (same || !name.startsWith("content-"))
    )
  )
  const next = HttpClientRequest.make(method)(to.url, { headers })
  return HttpClientRequest.setBody(next, same ? request.body : HttpBody.empty)
}
