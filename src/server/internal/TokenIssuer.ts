/**
 * Issues the tokens of a server, by Docker's protocol (`GET`) and by OAuth 2 (`POST`), and verifies
 * them.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { Digest } from "../../spec/Digest.js"
import * as AccessRules from "./AccessRules.js"
import * as ErrorResponse from "./ErrorResponse.js"
import * as Login from "./Login.js"
import * as Passwords from "./Passwords.js"
import { receive } from "./RequestBody.js"
import * as Secrets from "./Secrets.js"
import * as ServerResponse from "./ServerResponse.js"
import * as TokenKey from "./TokenKey.js"

/** How tokens are issued. */
export interface Options extends AccessRules.Options {
  readonly users: Passwords.Users | Passwords.Passwords
  readonly lifetime?: Duration.DurationInput | undefined
  readonly service?: string | undefined
  readonly issuer?: string | undefined
  readonly key?: TokenKey.SigningKey | undefined
}

/** Who a token is of, and the scopes that it grants. */
export interface Grant {
  readonly user: AccessRules.User
  readonly scopes: ReadonlyArray<string>
}

/** Issues tokens for `service`: `serve` is the endpoint, and `verify` reads its tokens. */
export interface TokenIssuer {
  readonly service: string
  readonly rules: AccessRules.Rules
  readonly serve: (
    request: HttpServerRequest
  ) => Effect.Effect<HttpServerResponse, never, Scope.Scope>
  readonly verify: (token: string) => Effect.Effect<Option.Option<Grant>>
}

/** Refresh tokens beyond this are forgotten, the oldest first. */
const capacity = 10_000

/**
 * Makes an issuer. Without a key, it makes one that lasts as long as the program. `catalog` is what
 * the registry lists there.
 */
export const make = Effect.fnUntraced(function* (options: Options, catalog: "filtered" | "whole") {
  const service = options.service ?? "effect-oci"
  const issuer: Issuer = {
    passwords: Passwords.from(options.users),
    rules: AccessRules.make(options, catalog),
    lifetime: Math.max(1, Math.floor(Duration.toSeconds(options.lifetime ?? "5 minutes"))),
    parties: { aud: service, iss: options.issuer ?? service },
    key: options.key ?? (yield* TokenKey.generate),
    refreshTokens: new Map()
  }
  return {
    service,
    rules: issuer.rules,
    serve: (request) => serve(issuer, request),
    verify: Effect.fnUntraced(function* (token) {
      const now = yield* Clock.currentTimeMillis
      const claims = yield* issuer.key.verify(token, { ...issuer.parties, now })
      return Option.map(claims, ({ access, sub }) => ({
        user: sub === "" ? undefined : sub,
        scopes: AccessRules.toScopes(access)
      }))
    })
  } satisfies TokenIssuer
})

interface Issuer {
  readonly passwords: Passwords.Passwords
  readonly rules: AccessRules.Rules
  /** In seconds. */
  readonly lifetime: number
  readonly parties: Pick<TokenKey.Claims, "aud" | "iss">
  readonly key: TokenKey.SigningKey
  readonly refreshTokens: Map<Digest, RefreshToken>
}

/** A refresh token is good for as long as the password that it was obtained with. */
interface RefreshToken {
  readonly user: string
  readonly revision: Option.Option<string>
}

const serve = (
  issuer: Issuer,
  request: HttpServerRequest
): Effect.Effect<HttpServerResponse, never, Scope.Scope> => {
  const body: Effect.Effect<object, ErrorResponse.ErrorResponse, Scope.Scope> =
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
  return Effect.match(body, {
    onFailure: ErrorResponse.toResponse,
    onSuccess: (value) => ServerResponse.json(200, value, { "cache-control": "no-store" })
  })
}

const serveGet = Effect.fnUntraced(function* (issuer: Issuer, request: HttpServerRequest) {
  const query = request.url.indexOf("?")
  const parameters = new URLSearchParams(query < 0 ? "" : request.url.slice(query + 1))
  const user = yield* Login.basic(request, issuer.passwords, issuer.parties.aud)
  yield* checkService(issuer, parameters)
  const issued = yield* issue(issuer, user, scopesOf(parameters))
  const isOffline = user !== undefined && parameters.get("offline_token") === "true"
  return {
    token: issued.token,
    access_token: issued.token,
    expires_in: issuer.lifetime,
    issued_at: issued.at,
    ...(isOffline && { refresh_token: yield* remember(issuer, user) })
  }
})

const servePost = Effect.fnUntraced(function* (issuer: Issuer, request: HttpServerRequest) {
  const received = Effect.flatMap(receive(request), (body) =>
    ByteStream.collect(
      Option.getOrElse(body, () => Stream.empty),
      { what: "A token request", limit: 65_536 }
    )
  )
  const body = yield* Effect.mapError(received, () => malformed("The form is missing or too large"))
  const form = new URLSearchParams(new TextDecoder().decode(body))
  yield* checkService(issuer, form)
  if (!form.get("client_id")) return yield* malformed("client_id is missing")
  const user = yield* granted(issuer, form)
  const issued = yield* issue(issuer, user, scopesOf(form))
  return {
    access_token: issued.token,
    scope: issued.scopes.join(" "),
    expires_in: issuer.lifetime,
    issued_at: issued.at,
    ...(form.get("access_type") === "offline" && { refresh_token: yield* remember(issuer, user) })
  }
})

/** Each in a field of its own, or all in one. */
const scopesOf = (parameters: URLSearchParams): ReadonlyArray<string> =>
  parameters.getAll("scope").flatMap((scope) => scope.split(" "))

/** The user that a grant (RFC 6749) proves. */
const granted = Effect.fnUntraced(function* (issuer: Issuer, form: URLSearchParams) {
  const { aud } = issuer.parties
  switch (form.get("grant_type")) {
    case "password": {
      const user = form.get("username") ?? ""
      const password = Redacted.make(form.get("password") ?? "")
      return (yield* Login.verified(issuer.passwords, user, password))
        ? user
        : yield* Login.basicChallenge(aud)
    }
    case "refresh_token": {
      const key = Secrets.hash(form.get("refresh_token") ?? "")
      const entry = issuer.refreshTokens.get(key)
      if (entry === undefined) return yield* Login.basicChallenge(aud)
      const { revision, user } = entry
      const now = yield* Login.served(issuer.passwords.revision(user))
      if (Option.isSome(now) && Option.contains(revision, now.value)) return user
      issuer.refreshTokens.delete(key)
      return yield* Login.basicChallenge(aud)
    }
    default:
      return yield* malformed("grant_type must be password or refresh_token")
  }
})

/** A token for as much of the scopes as the user may have: asking for more is no error (A8). */
const issue = Effect.fnUntraced(function* (
  { key, lifetime, parties, rules }: Issuer,
  user: AccessRules.User,
  requested: ReadonlyArray<string>
) {
  if (user === undefined && !rules.isOpen) return yield* Login.basicChallenge(parties.aud)
  const now = yield* Clock.currentTimeMillis
  const access = rules.grant(user, requested)
  const iat = Math.floor(now / 1000)
  const token = yield* key.sign({
    ...parties,
    sub: user ?? "",
    iat,
    nbf: iat,
    // In whole seconds, and no less than was promised.
    exp: Math.ceil(now / 1000) + lifetime,
    jti: crypto.randomUUID(),
    access
  })
  return { token, scopes: AccessRules.toScopes(access), at: new Date(now).toISOString() }
})

const remember = Effect.fnUntraced(function* (issuer: Issuer, user: string) {
  const token = Secrets.random()
  const revision = yield* Login.served(issuer.passwords.revision(user))
  Secrets.put(issuer.refreshTokens, Secrets.hash(token), { user, revision }, capacity)
  return token
})

/** The service is optional, but a token for another one would be refused later on (A2). */
const checkService = (
  { parties }: Issuer,
  parameters: URLSearchParams
): Effect.Effect<void, ErrorResponse.ErrorResponse> => {
  const named = parameters.get("service") ?? ""
  return named === "" || named === parties.aud
    ? Effect.void
    : malformed(`This token server serves only ${parties.aud}`)
}

const malformed = (message: string): ErrorResponse.ErrorResponse =>
  new ErrorResponse.ErrorResponse({ status: 400, code: "UNSUPPORTED", message })
