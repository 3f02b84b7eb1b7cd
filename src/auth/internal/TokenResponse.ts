/** The documents that token servers send: tokens, and reasons why there is none. */
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import type { Redact } from "../../protocol/internal/RedactedText.js"
import * as JsonText from "../../spec/internal/JsonText.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import type { Token } from "../TokenCache.js"
import { margin } from "./CachedTokens.js"
import { isHeaderSafe } from "./Sendable.js"

const OAuthError = Schema.Struct({
  error: Schema.NonEmptyString,
  error_description: Schema.optional(Schema.NullOr(Schema.String))
})

/**
 * Returns what a token server says with a refusal, in the registry's form, or else OAuth's (RFC
 * 6749 §5.2). A known code stays as it is.
 */
export const parseError = (
  body: Uint8Array,
  redact: Redact = identity
): ReadonlyArray<ErrorBody.ErrorInfo> => {
  const oauth = Option.getOrUndefined(
    Schema.decodeUnknownOption(OAuthError)(Either.getOrUndefined(JsonText.parseBytes(body)))
  )
  return oauth === undefined
    ? ErrorBody.parseRedacted(body, redact).errors
    : [
        {
          code: ServerText.plain(
            oauthCodes.has(oauth.error) ? oauth.error : redact(oauth.error),
            128
          ),
          message: ServerText.plain(redact(oauth.error_description ?? ""), 1024)
        }
      ]
}

/** RFC 6749 §5.2, RFC 6750 §3.1. */
const oauthCodes = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "invalid_scope",
  "invalid_token",
  "insufficient_scope",
  "unauthorized_client",
  "unsupported_grant_type"
])

/**
 * In seconds: both what a token lives that does not say so (A4), and the least that is believed.
 */
const minLifetime = 60

const TokenDocument = Schema.Struct({
  token: Schema.optional(Schema.Unknown),
  access_token: Schema.optional(Schema.Unknown),
  expires_in: Schema.optional(Schema.Unknown),
  issued_at: Schema.optional(Schema.Unknown),
  refresh_token: Schema.optional(Schema.Unknown)
})

/**
 * Returns the token in a document that arrived `now`, if there is one. Harbor sends an empty
 * `access_token` beside its `token`, ACR no `token` at all.
 */
export const parseToken = (body: Uint8Array, now: number): Token | undefined => {
  const document = Option.getOrUndefined(
    Schema.decodeUnknownOption(TokenDocument)(Either.getOrUndefined(JsonText.parseBytes(body)))
  )
  const value = [document?.token, document?.access_token].find(
    (token): token is string => typeof token === "string" && token !== ""
  )
  if (document === undefined || value === undefined || !isHeaderSafe(value)) return undefined
  const lifetime = lifetimeOf(document.expires_in) * 1000
  const refreshToken = document.refresh_token
  return {
    value: Redacted.make(value),
    expiresAt: issuedAt(document.issued_at, lifetime, now) + lifetime,
    refreshToken:
      typeof refreshToken === "string" && refreshToken !== ""
        ? Redacted.make(refreshToken)
        : undefined
  }
}

const lifetimeOf = (expiresIn: unknown): number => {
  const seconds =
    typeof expiresIn === "string" && /^\d{1,10}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  return typeof seconds === "number" && Number.isSafeInteger(seconds * 1000)
    ? Math.max(minLifetime, Math.floor(seconds))
    : minLifetime
}

/**
 * The server's clock counts as long as it makes sense here: neither in the future nor so that the
 * token could not be used at all. Each request would ask for another one.
 */
const issuedAt = (issued: unknown, lifetime: number, now: number): number => {
  const time = typeof issued === "string" && rfc3339.test(issued) ? Date.parse(issued) : Number.NaN
  return time <= now && time + lifetime - margin > now ? time : now
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/
