/**
 * The exchange with a token server: a credential and the scopes wanted, for a token (A3 to A5,
 * Docker's token specification). Where the realm may lead, and whether a credential may go there,
 * is decided by `Trust` before anything is sent (T2).
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as TransportCause from "../../internal/TransportCause.js"
import * as Metrics from "../../Metrics.js"
import type * as ErrorBody from "../../protocol/ErrorBody.js"
import type { Redact } from "../../protocol/internal/RedactedText.js"
import { type SameDomain, sameDomain } from "../../protocol/internal/RegistrableDomain.js"
import * as RetryAfter from "../../protocol/internal/RetryAfter.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Trust from "../../protocol/Trust.js"
import {
  type Exchange,
  isTransient,
  LimitExceeded,
  RegistryFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  UntrustedLocation
} from "../../RegistryError.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import { anonymous, type Credential } from "../Credentials.js"
import type { Token } from "../TokenCache.js"
import { basicHeader } from "./Sendable.js"
import type { Sender } from "./Sender.js"
import * as Sent from "./Sent.js"
import * as TokenResponse from "./TokenResponse.js"

/**
 * A token to ask for. `origin` is the registry's, `from` the URL of the request that needs the
 * token, `realm` the token server's URL, `service` empty if the challenge names none.
 * `refreshToken` is what the same realm issued earlier for the same credential. `until` is when the
 * response must have arrived, in milliseconds of the clock. `userAgent` is sent if given. No error
 * shows what was `sent` before. `loginOnly` asks for no token for anybody else than the credential.
 */
export interface TokenRequest {
  readonly origin: string
  readonly from: string
  readonly realm: string
  readonly service: string
  readonly scopes: ReadonlyArray<string>
  readonly credential: Credential
  readonly refreshToken?: Redacted.Redacted | undefined
  readonly trust: Trust.Policy
  readonly until?: () => number
  readonly userAgent: string | undefined
  readonly sent?: Sent.Sent | undefined
  readonly loginOnly?: boolean | undefined
}

/** What an exchange can fail with, besides the errors of its client. */
export type TokenError =
  | Unauthorized
  | UntrustedLocation
  | LimitExceeded
  | TooManyRequests
  | RegistryFailure
  | TransportFailure

/**
 * Requests a token. A password goes by `GET` as Basic credentials, and as OAuth 2 password grant by
 * `POST` where there is no `GET` (404, 405); an identity token by `POST` as OAuth 2 refresh token,
 * and where there is no `POST` (404, 405, or a 400 that is no OAuth error) the token is asked for
 * by `GET` anonymously, as Docker does. A refresh token of the realm is tried before all else, and
 * given up when it is refused. No span and no trace header accompanies the requests (T13). An
 * answer with any 2xx status may bring a token (RFC 9110 §15.3). It is read up to 128 KiB, decoded
 * if it comes compressed, within 30 seconds.
 *
 * Fails with
 *
 * - `UntrustedLocation` if the realm may not be followed, or not with credentials; nothing was
 *   sent;
 * - `Unauthorized` (`TokenServer`) if the server refuses, or its answer holds no token that fits
 *   into a header;
 * - `TooManyRequests`, `RegistryFailure` if it answers 429 or the status of another temporary
 *   failure, so that trying again may help;
 * - `LimitExceeded`, `TransportFailure` if the answer is too long or breaks off.
 */
export const requestToken = <E, R>(
  client: Sender<E, R>,
  wanted: TokenRequest
): Effect.Effect<Token, E | TokenError, R> =>
  Effect.flatMap(decideRealm(wanted), (decision) =>
    decision._tag === "Refused"
      ? Effect.fail(UntrustedLocation.from("Realm", shown(decision, wanted), {}))
      : exchangeAt(decision.url, client, wanted)
  )

const shown = (
  refused: Extract<Trust.Decision, { readonly _tag: "Refused" }>,
  { sent }: TokenRequest
) =>
  sent === undefined
    ? refused
    : { ...refused, host: ServerText.plain(Sent.redactorOf(sent)(refused.host), 255) }

/** Decides whether a realm may be asked with a credential. */
export const decideRealm = ({
  credential,
  from,
  origin,
  realm,
  trust
}: Pick<
  TokenRequest,
  "trust" | "origin" | "from" | "realm" | "credential"
>): Effect.Effect<Trust.Decision> => {
  const credentials = credential._tag !== "Anonymous"
  const decide = (sameDomain?: SameDomain) =>
    Trust.decide(trust, {
      kind: "Realm",
      registry: origin,
      from,
      target: realm,
      credentials,
      sameDomain
    })
  return credentials ? Effect.map(sameDomain, decide) : Effect.succeed(decide())
}

const exchangeAt = <E, R>(
  url: string,
  client: Sender<E, R>,
  wanted: TokenRequest
): Effect.Effect<Token, E | TokenError, R> => {
  const { credential } = wanted
  const get = (login: Credential) => ask(client, wanted, getRequest(url, wanted, login))
  const post = (grant: Grant) => ask(client, wanted, postRequest(url, wanted, grant))
  const byCredential = (): Effect.Effect<Token, E | TokenError | UnknownMethod, R> => {
    switch (credential._tag) {
      case "Basic":
        return Effect.catchIf(get(credential), isMissing, (missing) =>
          Effect.mapError(post(passwordGrant(credential)), (error) =>
            isMissing(error) ? missing : error
          )
        )
      case "IdentityToken":
        return Effect.catchIf(post(refreshGrant(credential.token)), isMissing, (missing) =>
          wanted.loginOnly === true
            ? Effect.fail(missing)
            : Effect.map(get(anonymous), withoutRefreshToken)
        )
      default:
        return get(credential)
    }
  }
  const byRefreshToken = (held: Redacted.Redacted) =>
    post(refreshGrant(held)).pipe(
      Effect.map((token) => ({ ...token, refreshToken: token.refreshToken ?? held })),
      Effect.catchIf((error) => error instanceof Unauthorized || isMissing(error), byCredential)
    )
  return Effect.mapError(
    // Anonymous requests may go where no refresh token may, so none is taken from there.
    credential._tag === "Anonymous"
      ? Effect.map(byCredential(), withoutRefreshToken)
      : wanted.refreshToken === undefined
        ? byCredential()
        : byRefreshToken(wanted.refreshToken),
    (error) => (isMissing(error) ? error.error : error)
  )
}

const isMissing = <E>(error: E | UnknownMethod): error is UnknownMethod =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "UnknownMethod"

const withoutRefreshToken = ({ expiresAt, value }: Token): Token => ({ expiresAt, value })

const clientId = "effect-oci"
/** In milliseconds, for the body of a response. */
const maxWait = 30_000

const answerLimit = { what: "The answer of the token server", limit: 128 * 1024 }

/** The fields of an OAuth 2 grant (RFC 6749 §4.3.2, §6). */
type Grant = ReadonlyArray<readonly [name: string, value: string]>

const passwordGrant = ({
  password,
  username
}: Extract<Credential, { readonly _tag: "Basic" }>): Grant => [
  ["grant_type", "password"],
  ["username", username],
  ["password", Redacted.value(password)]
]

const refreshGrant = (token: Redacted.Redacted): Grant => [
  ["grant_type", "refresh_token"],
  ["refresh_token", Redacted.value(token)]
]

/** One `scope` parameter for each scope (A3). */
const getRequest = (
  realm: string,
  { scopes, service }: TokenRequest,
  login: Credential
): HttpClientRequest.HttpClientRequest => {
  const request = HttpClientRequest.get(
    append(
      realm,
      encode([
        ["service", service],
        ["client_id", clientId],
        ["account", login._tag === "Basic" ? login.username : ""],
        ...scopes.map((scope) => ["scope", scope] as const)
      ])
    )
  )
  return login._tag === "Basic"
    ? HttpClientRequest.setHeader(
        request,
        "authorization",
        basicHeader(login.username, login.password)
      )
    : request
}

/**
 * All scopes in one field (A5). The body is bytes, since a text would show in inspections of the
 * request (T13).
 */
const postRequest = (
  realm: string,
  { scopes, service }: TokenRequest,
  grant: Grant
): HttpClientRequest.HttpClientRequest => {
  const form = encode([
    ...grant,
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
const encode = (parameters: ReadonlyArray<readonly [name: string, value: string]>): string => {
  const query = new URLSearchParams()
  for (const [name, value] of parameters) if (value !== "") query.append(name, value)
  return query.toString()
}

/** As text, since a URL object would write the realm's own query anew. */
const append = (url: string, query: string): string =>
  `${url}${url.includes("?") ? (/[?&]$/.test(url) ? "" : "&") : "?"}${query}`

const ask = <E, R>(
  client: Sender<E, R>,
  wanted: TokenRequest,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Token, E | TokenError | UnknownMethod, R> =>
  Effect.gen(function* () {
    yield* Metrics.update(Metrics.tokenRequests, 1, Metrics.hostLabels(wanted.origin))
    const response = yield* Effect.locally(
      client.execute(
        HttpClientRequest.setHeaders(request, {
          accept: "application/json",
          "accept-encoding": "identity",
          ...(wanted.userAgent === undefined ? {} : { "user-agent": wanted.userAgent })
        })
      ),
      HttpClient.currentTracerDisabledWhen,
      () => true
    )
    const sent = Sent.of(response.request, request)
    const facts: Exchange = {
      method: request.method,
      url: Sent.shownUrl(sent, request),
      status: response.status
    }
    if (response.status < 200 || response.status > 299)
      return yield* refused(response, facts, wanted, Sent.redactorOf(sent))
    const body = yield* document(response, facts, wanted.until)
    const token = TokenResponse.parseToken(body, yield* Clock.currentTimeMillis)
    return (
      token ?? (yield* new Unauthorized({ ...facts, reason: "TokenServer", origin: wanted.origin }))
    )
  })

const document = (
  response: HttpClientResponse,
  facts: Exchange,
  until: () => number = () => Number.POSITIVE_INFINITY
): Effect.Effect<Uint8Array, LimitExceeded | TransportFailure> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const timeout = Math.max(0, Math.min(maxWait, until() - now))
    return response.stream.pipe(
      // What the platform calls the body of a 204 from `fetch`.
      Stream.catchSome((error) =>
        error.reason === "EmptyBody" ? Option.some(Stream.empty) : Option.none()
      ),
      Stream.mapError(
        ({ cause }) =>
          new TransportFailure({
            ...facts,
            reason: TransportCause.ofBody(cause),
            cause: TransportCause.shown(cause, Sent.redactorOf(Sent.of(response.request)))
          })
      ),
      ByteStream.collect(answerLimit),
      // Some proxies compress whatever passes them (rule 20).
      Effect.flatMap((bytes) =>
        ContentDecoding.plain(bytes, response.headers["content-encoding"], undefined, answerLimit)
      ),
      Effect.catchTag("LimitExceeded", ({ limit, what }) =>
        Effect.fail(new LimitExceeded({ ...facts, limit, what }))
      ),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => new TransportFailure({ ...facts, reason: "Stall", timeout })
      })
    )
  })

/**
 * A token server that fails for the moment has not judged the credentials: those errors can be
 * retried.
 */
const refused = (
  response: HttpClientResponse,
  facts: Exchange,
  { origin, until }: TokenRequest,
  redact: Redact
): Effect.Effect<never, Unauthorized | TooManyRequests | RegistryFailure | UnknownMethod> =>
  Effect.gen(function* () {
    const body = yield* Effect.orElseSucceed(
      document(response, facts, until),
      () => new Uint8Array()
    )
    const exchange = { ...facts, errors: TokenResponse.parseError(body, redact) }
    const wait = RetryAfter.parse(
      SingleField.value(response.headers, "retry-after") ?? "",
      yield* Clock.currentTimeMillis
    )
    const retryAfter = Option.getOrUndefined(Option.map(wait, Duration.toMillis))
    if (response.status === 429) return yield* new TooManyRequests({ ...exchange, retryAfter })
    const failure = new RegistryFailure({ ...exchange, retryAfter })
    if (isTransient(failure)) return yield* failure
    const error = new Unauthorized({ ...exchange, reason: "TokenServer", origin })
    return yield* isUnknownMethod(response, TokenResponse.parseError(body))
      ? Effect.fail<UnknownMethod>({ _tag: "UnknownMethod", error })
      : error
  })

/**
 * That a token server does not speak what it was spoken to in, with the error that this is else.
 */
interface UnknownMethod {
  readonly _tag: "UnknownMethod"
  readonly error: Unauthorized
}

/**
 * The server has no such endpoint, or does not speak OAuth: it has judged nobody. Registries' own
 * codes are in upper case, OAuth's in lower.
 */
const isUnknownMethod = (
  { request, status }: HttpClientResponse,
  errors: ReadonlyArray<ErrorBody.ErrorInfo>
): boolean =>
  status === 404 ||
  status === 405 ||
  (request.method === "POST" &&
    status === 400 &&
    errors.every(({ code }) => code === "unsupported_grant_type" || !/^[a-z_]+$/.test(code)))
