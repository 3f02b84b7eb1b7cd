/**
 * Decides who may use a registry server: those with a password (`basic`), or those with a token
 * from the server's own token endpoint (`token`), by [Docker's
 * protocol](https://distribution.github.io/distribution/spec/auth/).
 *
 * @since 0.1.0
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as AccessScope from "../protocol/AccessScope.js"
import * as Challenge from "../protocol/Challenge.js"
import * as Digest from "../spec/Digest.js"
import * as ErrorResponse from "./internal/ErrorResponse.js"
import { receive } from "./internal/RequestBody.js"
import * as ServerResponse from "./internal/ServerResponse.js"

/**
 * Sees every request before the registry does. None lets it through; otherwise the request gets
 * this response: a 401, or that of a token endpoint. `scopes` are those that the operation
 * requires, none for a request that is not an operation.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerAuthorization {
  readonly intercept: (
    request: HttpServerRequest.HttpServerRequest,
    scopes: ReadonlyArray<string>
  ) => Effect.Effect<Option.Option<HttpServerResponse>, never, Scope.Scope>
}

/**
 * User names and their passwords.
 *
 * @since 0.1.0
 * @category models
 */
export type Users = Readonly<Record<string, Redacted.Redacted>>

/**
 * Lets in those who send one of these names with its password, by
 * [RFC 7617](https://www.rfc-editor.org/rfc/rfc7617), for everything; `/v2/` included.
 *
 * @since 0.1.0
 * @category constructors
 */
export const basic = (options: { readonly users: Users }): ServerAuthorization => {
  const login = passwords(options.users)
  return {
    intercept: (request) =>
      Effect.sync(() =>
        Option.match(Option.flatMap(basicCredentials(request), login), {
          onNone: () => Option.some(unauthorized(basicChallenge)),
          onSome: () => Option.none()
        })
      )
  }
}

/**
 * Lets in those who send a token, and serves the tokens at `/token`, both by `GET` (Docker's token
 * protocol) and by `POST` (OAuth 2, grants `password` and `refresh_token`). Every user may do
 * everything; `anonymous` clients get tokens to `pull` from every repository, or by default no
 * tokens. A token is valid for `lifetime`, by default 5 minutes, in whole seconds. Tokens are
 * random, and held in memory as hashes: 10,000 at a time, and as many refresh tokens, beyond which
 * the oldest are forgotten.
 *
 * The realm is built from the request's `Host` and `X-Forwarded-Proto`, since a server does not
 * know under which names it is reached.
 *
 * @since 0.1.0
 * @category constructors
 */
export const token = (options: {
  readonly users: Users
  readonly anonymous?: "pull" | "none" | undefined
  readonly lifetime?: Duration.DurationInput | undefined
}): Effect.Effect<ServerAuthorization> =>
  Effect.sync(() => {
    const issuer: Issuer = {
      login: passwords(options.users),
      anonymous: options.anonymous === "pull",
      lifetime: Math.max(1, Math.floor(Duration.toSeconds(options.lifetime ?? "5 minutes"))),
      tokens: new Map(),
      refreshTokens: new Map()
    }
    return {
      intercept: (request, scopes) =>
        request.url.split("?", 1)[0] === tokenPath
          ? Effect.asSome(serveToken(issuer, request))
          : check(issuer, request, scopes)
    }
  })

// -----------------------------------------------------------------------------
// Tokens
// -----------------------------------------------------------------------------

const tokenPath = "/token"

/** What tokens are for, as challenges name it. */
const service = "effect-oci"

const capacity = 10_000

interface Grant {
  readonly scopes: ReadonlyArray<string>
  /** In milliseconds of the Clock. */
  readonly expires: number
}

interface Issuer {
  readonly login: Login
  readonly anonymous: boolean
  /** In seconds. */
  readonly lifetime: number
  readonly tokens: Map<Digest.Digest, Grant>
  readonly refreshTokens: Map<Digest.Digest, string>
}

const check = (
  issuer: Issuer,
  request: HttpServerRequest.HttpServerRequest,
  scopes: ReadonlyArray<string>
): Effect.Effect<Option.Option<HttpServerResponse>> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const sent = authorization(request, "bearer")
    const grant = Option.flatMap(sent, (value) =>
      Option.fromNullable(issuer.tokens.get(hash(value)))
    )
    const challenge = (error?: string) =>
      Option.some(
        unauthorized({
          scheme: "bearer",
          realm: origin(request) + tokenPath,
          service,
          scopes,
          ...(error === undefined ? {} : { error })
        })
      )
    if (Option.isNone(sent)) return challenge()
    if (Option.isNone(grant) || grant.value.expires <= now) return challenge("invalid_token")
    return AccessScope.contains(grant.value.scopes, scopes)
      ? Option.none()
      : challenge("insufficient_scope")
  })

/** The token endpoint: `GET` as auth by Basic credentials, `POST` as OAuth 2. */
const serveToken = (
  issuer: Issuer,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse, never, Scope.Scope> => {
  const response =
    request.method === "GET" || request.method === "HEAD"
      ? serveGet(issuer, request)
      : request.method === "POST"
        ? servePost(issuer, request)
        : Effect.fail(
            new ErrorResponse.ErrorResponse({
              status: 405,
              code: "UNSUPPORTED",
              message: "Tokens are obtained by GET or POST",
              headers: { allow: "GET, HEAD, POST" }
            })
          )
  return Effect.catchAll(response, (error) => Effect.succeed(ErrorResponse.toResponse(error)))
}

const serveGet = Effect.fnUntraced(function* (
  issuer: Issuer,
  request: HttpServerRequest.HttpServerRequest
) {
  const parameters = new URLSearchParams(request.url.slice(tokenPath.length + 1))
  const sent = Option.isSome(authorization(request, "basic"))
  const user = Option.flatMap(basicCredentials(request), issuer.login)
  yield* checkService(parameters)
  if (Option.isNone(user) && (sent || !issuer.anonymous)) return unauthorized(basicChallenge)
  const scopes = parameters.getAll("scope").flatMap((scope) => scope.split(" "))
  const issued = yield* issue(issuer, user, scopes)
  return ServerResponse.json(
    200,
    {
      token: issued.token,
      access_token: issued.token,
      expires_in: issuer.lifetime,
      issued_at: issued.at,
      ...(Option.isSome(user) && parameters.get("offline_token") === "true"
        ? { refresh_token: remember(issuer, user.value) }
        : {})
    },
    noStore
  )
})

const servePost = Effect.fnUntraced(function* (
  issuer: Issuer,
  request: HttpServerRequest.HttpServerRequest
) {
  const received = Effect.flatMap(receive(request), (body) =>
    ByteStream.collect(
      Option.getOrElse(body, () => Stream.empty),
      { what: "A token request", limit: 65_536 }
    )
  )
  const body = yield* Effect.mapError(received, () => malformed("The form is missing or too large"))
  const form = new URLSearchParams(new TextDecoder().decode(body))
  yield* checkService(form)
  if (!form.get("client_id")) return yield* malformed("client_id is missing")
  const grantType = form.get("grant_type")
  if (grantType !== "password" && grantType !== "refresh_token") {
    return yield* malformed("grant_type must be password or refresh_token")
  }
  const user =
    grantType === "password"
      ? issuer.login([form.get("username") ?? "", form.get("password") ?? ""])
      : Option.fromNullable(issuer.refreshTokens.get(hash(form.get("refresh_token") ?? "")))
  if (Option.isNone(user)) return unauthorized(basicChallenge)
  const issued = yield* issue(issuer, user, (form.get("scope") ?? "").split(" "))
  return ServerResponse.json(
    200,
    {
      access_token: issued.token,
      scope: issued.scopes.join(" "),
      expires_in: issuer.lifetime,
      issued_at: issued.at,
      ...(form.get("access_type") === "offline"
        ? { refresh_token: remember(issuer, user.value) }
        : {})
    },
    noStore
  )
})

/** A token for as much of the scopes as the user may have: asking for more is no error (A8). */
const issue = (issuer: Issuer, user: Option.Option<string>, requested: ReadonlyArray<string>) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const wanted = AccessScope.canonical(requested.filter((scope) => scope !== ""))
    const scopes = Option.isSome(user) ? wanted : wanted.flatMap(pullOnly)
    const token = secret()
    for (const [key, { expires }] of issuer.tokens) if (expires <= now) issuer.tokens.delete(key)
    put(issuer.tokens, token, { scopes, expires: now + issuer.lifetime * 1000 })
    return { token, scopes, at: new Date(now).toISOString() }
  })

const pullOnly = (scope: string): ReadonlyArray<string> => {
  const parsed = AccessScope.parse(scope)
  return parsed._tag === "Resource" &&
    parsed.type === "repository" &&
    (parsed.actions.includes("pull") || parsed.actions.includes("*"))
    ? [`repository:${parsed.name}:pull`]
    : []
}

const remember = (issuer: Issuer, user: string): string => {
  const token = secret()
  put(issuer.refreshTokens, token, user)
  return token
}

/** Maps keep their order, so the first entry is the oldest. */
const put = <A>(tokens: Map<Digest.Digest, A>, token: string, value: A): void => {
  for (const oldest of tokens.keys()) {
    if (tokens.size < capacity) break
    tokens.delete(oldest)
  }
  tokens.set(hash(token), value)
}

/** The service is optional, but a token for another one would be refused here later on (A2). */
const checkService = (
  parameters: URLSearchParams
): Effect.Effect<void, ErrorResponse.ErrorResponse> => {
  const named = parameters.get("service")
  return named === null || named === service
    ? Effect.void
    : malformed(`This token server serves only ${service}`)
}

const malformed = (message: string): ErrorResponse.ErrorResponse =>
  new ErrorResponse.ErrorResponse({ status: 400, code: "UNSUPPORTED", message })

const noStore = { "cache-control": "no-store" }

// -----------------------------------------------------------------------------
// Passwords
// -----------------------------------------------------------------------------

type Login = (credentials: readonly [user: string, password: string]) => Option.Option<string>

/**
 * Unknown users cost the same comparison as known ones, so that the time of a response does not
 * tell who exists.
 */
const passwords = (users: Users): Login => {
  const known = new Map(
    Object.entries(users).map(([user, password]) => [user, hash(Redacted.value(password))])
  )
  return ([user, password]) => {
    const expected = known.get(user)
    return sameDigest(expected ?? hash(""), hash(password)) && expected !== undefined
      ? Option.some(user)
      : Option.none()
  }
}

/**
 * Secrets are compared and looked up by their hashes: where those differ says nothing about the
 * secret.
 */
const hash = (secret: string): Digest.Digest => Digest.fromBytes(new TextEncoder().encode(secret))

const sameDigest = (a: Digest.Digest, b: Digest.Digest): boolean => {
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

const secret = (): string => Encoding.encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)))

// -----------------------------------------------------------------------------
// Requests and responses
// -----------------------------------------------------------------------------

const authorization = (
  request: HttpServerRequest.HttpServerRequest,
  scheme: string
): Option.Option<string> => {
  const header = request.headers["authorization"] ?? ""
  const space = header.indexOf(" ")
  return header.slice(0, space).toLowerCase() === scheme
    ? Option.some(header.slice(space + 1).trim())
    : Option.none()
}

/** The user name ends at the first colon (RFC 7617). */
const basicCredentials = (
  request: HttpServerRequest.HttpServerRequest
): Option.Option<readonly [user: string, password: string]> =>
  authorization(request, "basic").pipe(
    Option.flatMap((value) => Either.getRight(Encoding.decodeBase64String(value))),
    Option.filter((pair) => pair.includes(":")),
    Option.map((pair) => [pair.slice(0, pair.indexOf(":")), pair.slice(pair.indexOf(":") + 1)])
  )

const basicChallenge: Challenge.Challenge = { scheme: "basic", realm: service, scopes: [] }

const unauthorized = (challenge: Challenge.Challenge): HttpServerResponse =>
  ErrorResponse.toResponse(
    new ErrorResponse.ErrorResponse({
      status: 401,
      code: "UNAUTHORIZED",
      message: "Authentication is required",
      headers: { "www-authenticate": Challenge.format([challenge]) }
    })
  )

/** Web requests have an absolute URL, and no `Host` header. */
const origin = (request: HttpServerRequest.HttpServerRequest): string => {
  if (URL.canParse(request.originalUrl)) return new URL(request.originalUrl).origin
  return Option.match(HttpServerRequest.toURL(request), {
    onNone: () => "http://localhost",
    onSome: (url) => url.origin
  })
}
