/**
 * The exchange with a token server: a credential and the scopes wanted, for a token (A3 to A5, Docker's token specification). Where the realm may
 * lead, and whether a credential may go there, is decided by `Trust` before anything is sent (T2).
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as ErrorBody from "../protocol/ErrorBody.js"
import { redact } from "../protocol/RedactedUrl.js"
import * as RetryAfter from "../protocol/RetryAfter.js"
import * as Trust from "../protocol/Trust.js"
import {
  type Exchange,
  isTransient,
  LimitExceeded,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  UntrustedLocation
} from "../RegistryError.js"
import type { Credential } from "./Credentials.js"
import type { Token } from "./TokenCache.js"

/**
 * A token to ask for. `origin` is the registry's, `from` the URL of the request that needs the token, `realm` the token server's URL, `service` empty
 * if the challenge names none. `userAgent` is sent if given.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenRequest {
  readonly origin: string
  readonly from: string
  readonly realm: string
  readonly service: string
  readonly scopes: ReadonlyArray<string>
  readonly credential: Credential
  readonly trust: Trust.Policy
  readonly userAgent: string | undefined
}

/**
 * What an exchange can fail with, besides the errors of its client.
 *
 * @since 0.1.0
 * @category models
 */
export type TokenError =
  | Unauthorized
  | UntrustedLocation
  | LimitExceeded
  | TooManyRequests
  | RegistryFailure
  | TransportFailure

/**
 * Asks the token server once: by `GET`, with Basic credentials if there are any; with an identity token by `POST`, as OAuth 2 refresh token. No span
 * and no trace header accompanies the request (T13). The answer is read up to 128 KiB, within 30 seconds.
 *
 * Fails with
 *
 * - `UntrustedLocation` if the realm may not be followed, or not with credentials; nothing was sent;
 * - `Unauthorized` (`TokenServer`) if the server refuses, or its answer holds no token that fits into a header;
 * - `TooManyRequests`, `RegistryFailure` if it answers 429 or another status of passing trouble, so that trying again may help;
 * - `LimitExceeded`, `TransportFailure` if the answer is too long or breaks off.
 *
 * @since 0.1.0
 * @category operations
 */
export const exchange = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  wanted: TokenRequest
): Effect.Effect<Token, E | TokenError, R> =>
  Effect.gen(function* () {
    const verdict = Trust.decide(wanted.trust, {
      kind: "Realm",
      registry: wanted.origin,
      from: wanted.from,
      target: wanted.realm,
      credentials: wanted.credential._tag !== "Anonymous"
    })
    if (verdict._tag === "Refused") {
      return yield* new UntrustedLocation({
        kind: "Realm",
        host: verdict.host,
        reason: verdict.message,
        option: Option.getOrUndefined(verdict.option)
      })
    }
    const request = toRequest(verdict.url, wanted)
    const response = yield* HttpClient.withTracerDisabledWhen(client, () => true).execute(request)
    const facts: Exchange = { method: request.method, url: redact(request.url), status: response.status }
    if (response.status !== 200) return yield* refused(response, facts, wanted.origin)
    const body = yield* document(response, facts)
    const token = parseAnswer(body, yield* Clock.currentTimeMillis)
    if (token === undefined) return yield* new Unauthorized({ ...facts, reason: "TokenServer", origin: wanted.origin })
    return token
  })

/**
 * The value of an `Authorization` header for a user name and password (RFC 7617, in UTF-8).
 *
 * @since 0.1.0
 * @category combinators
 */
export const basicHeader = (credential: Extract<Credential, { readonly _tag: "Basic" }>): string =>
  `Basic ${Encoding.encodeBase64(`${credential.username}:${Redacted.value(credential.password)}`)}`

/**
 * Whether a token can be sent in a header: visible ASCII only, and not empty (T12).
 *
 * @since 0.1.0
 * @category guards
 */
export const isHeaderSafe = (token: string): boolean => /^[!-~]+$/.test(token)

const clientId = "effect-oci"
const maxAnswer = 128 * 1024

/** In seconds: both what a token lives that does not say so (A4), and the least that is believed. */
const minLifetime = 60

const toRequest = (realm: string, wanted: TokenRequest): HttpClientRequest.HttpClientRequest =>
  HttpClientRequest.setHeaders(
    wanted.credential._tag === "IdentityToken"
      ? oauthRequest(realm, wanted, wanted.credential.token)
      : getRequest(realm, wanted),
    {
      accept: "application/json",
      ...(wanted.userAgent === undefined ? {} : { "user-agent": wanted.userAgent }),
      ...(wanted.credential._tag === "Basic" ? { authorization: basicHeader(wanted.credential) } : {})
    }
  )

/** One `scope` parameter for each scope (A3). */
const getRequest = (
  realm: string,
  { credential, scopes, service }: TokenRequest
): HttpClientRequest.HttpClientRequest =>
  HttpClientRequest.get(
    append(
      realm,
      encode([
        ["service", service],
        ["client_id", clientId],
        ["account", credential._tag === "Basic" ? credential.username : ""],
        ...scopes.map((scope): [string, string] => ["scope", scope])
      ])
    )
  )

/** All scopes in one field (A5). The body is bytes, since a text would show in inspections of the request (T13). */
const oauthRequest = (
  realm: string,
  { scopes, service }: TokenRequest,
  refreshToken: Redacted.Redacted
): HttpClientRequest.HttpClientRequest => {
  const form = encode([
    ["grant_type", "refresh_token"],
    ["refresh_token", Redacted.value(refreshToken)],
    ["service", service],
    ["client_id", clientId],
    ["scope", scopes.join(" ")]
  ])
  return HttpClientRequest.setBody(
    HttpClientRequest.post(realm),
    HttpBody.uint8Array(new TextEncoder().encode(form), "application/x-www-form-urlencoded")
  )
}

/** The parameters that have a value. Unlike encodeURIComponent, this cannot throw. */
const encode = (parameters: ReadonlyArray<[name: string, value: string]>): string =>
  new URLSearchParams(parameters.filter(([, value]) => value !== "")).toString()

/** As text, since a URL object would write the realm's own query anew. */
const append = (url: string, query: string): string =>
  `${url}${url.includes("?") ? (/[?&]$/.test(url) ? "" : "&") : "?"}${query}`

const document = (
  response: HttpClientResponse,
  facts: Exchange
): Effect.Effect<Uint8Array, LimitExceeded | TransportFailure> =>
  response.stream.pipe(
    Stream.mapError((error) => new TransportFailure({ ...facts, reason: "Reset", cause: error.cause })),
    ByteStream.collect({ what: "The answer of the token server", limit: maxAnswer }),
    Effect.catchTag("LimitExceeded", ({ limit, what }) => Effect.fail(new LimitExceeded({ ...facts, limit, what }))),
    Effect.timeoutFail({
      duration: Duration.seconds(30),
      onTimeout: () => new TransportFailure({ ...facts, reason: "Stall" })
    })
  )

/** A token server in passing trouble has not judged the credentials: those errors can be retried. */
const refused = (
  response: HttpClientResponse,
  facts: Exchange,
  origin: string
): Effect.Effect<never, Unauthorized | TooManyRequests | RegistryFailure> =>
  Effect.gen(function* () {
    const body = yield* Effect.orElseSucceed(document(response, facts), () => new Uint8Array())
    const exchange = { ...facts, errors: ErrorBody.parse(body).errors }
    if (response.status === 429) {
      const wait = RetryAfter.parse(response.headers["retry-after"] ?? "", yield* Clock.currentTimeMillis)
      const retryAfter = Option.getOrUndefined(Option.map(wait, Duration.toMillis))
      return yield* new TooManyRequests({ ...exchange, retryAfter })
    }
    const failure = new RegistryFailure(exchange)
    return yield* isTransient(failure) ? failure : new Unauthorized({ ...exchange, reason: "TokenServer", origin })
  })

const Answer = Schema.parseJson(
  Schema.Struct({
    token: Schema.optional(Schema.Unknown),
    access_token: Schema.optional(Schema.Unknown),
    expires_in: Schema.optional(Schema.Unknown),
    issued_at: Schema.optional(Schema.Unknown)
  })
)

/** Harbor sends an empty `access_token` beside its `token`, ACR no `token` at all. */
const parseAnswer = (body: Uint8Array, now: number): Token | undefined => {
  const answer = Option.getOrUndefined(Schema.decodeUnknownOption(Answer)(new TextDecoder().decode(body)))
  const value = [answer?.token, answer?.access_token].find(
    (token): token is string => typeof token === "string" && token !== ""
  )
  if (answer === undefined || value === undefined || !isHeaderSafe(value)) return undefined
  const lifetime = lifetimeOf(answer.expires_in) * 1000
  return { value: Redacted.make(value), expiresAt: issuedAt(answer.issued_at, lifetime, now) + lifetime }
}

const lifetimeOf = (expiresIn: unknown): number => {
  const seconds = typeof expiresIn === "string" && /^\d{1,10}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  return typeof seconds === "number" && Number.isSafeInteger(seconds * 1000)
    ? Math.max(minLifetime, Math.floor(seconds))
    : minLifetime
}

/** The server's clock counts as long as it makes sense here: neither in the future nor at the end of the token's life already. */
const issuedAt = (issued: unknown, lifetime: number, now: number): number => {
  const time = typeof issued === "string" && rfc3339.test(issued) ? Date.parse(issued) : Number.NaN
  return time <= now && time + lifetime > now ? time : now
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/
