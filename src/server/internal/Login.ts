/** Who a request says that it is from, and the responses to those who have to say it. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Challenge from "../../protocol/Challenge.js"
import type { StorageFailure } from "../../RegistryError.js"
import * as ErrorResponse from "./ErrorResponse.js"
import type { Passwords } from "./Passwords.js"

/** Returns what the `Authorization` header has after a scheme. */
export const credentials = (request: HttpServerRequest, scheme: string): Option.Option<string> => {
  const header = request.headers["authorization"] ?? ""
  const space = header.indexOf(" ")
  return header.slice(0, space).toLowerCase() === scheme
    ? Option.some(header.slice(space + 1).trim())
    : Option.none()
}

/**
 * Returns who has logged in with a name and a password (RFC 7617), or nobody, if no login was sent:
 * skopeo sends empty ones for nobody. Fails with a 401 for a login that is wrong.
 */
export const basic = Effect.fnUntraced(function* (
  request: HttpServerRequest,
  passwords: Passwords,
  realm: string
) {
  if (request.headers["authorization"] === undefined) return undefined
  const login = Option.flatMap(credentials(request, "basic"), (value) =>
    Either.getRight(Encoding.decodeBase64String(value))
  )
  if (Option.contains(login, ":")) return undefined
  if (Option.isNone(login) || !login.value.includes(":")) return yield* basicChallenge(realm)
  // The user name ends at the first colon.
  const colon = login.value.indexOf(":")
  const user = login.value.slice(0, colon)
  const password = Redacted.make(login.value.slice(colon + 1))
  return (yield* verified(passwords, user, password)) ? user : yield* basicChallenge(realm)
})

/** Whether a user has this password. Fails with a 500 where that cannot be found out. */
export const verified = (passwords: Passwords, user: string, password: Redacted.Redacted) =>
  served(passwords.verify(user, password))

/** Fails with a 500 in place of a failure of the storage, which goes to the log. */
export const served = <A>(
  effect: Effect.Effect<A, StorageFailure>
): Effect.Effect<A, ErrorResponse.ErrorResponse> =>
  effect.pipe(
    Effect.tapError((failure) => Effect.logError("The users cannot be read", failure)),
    Effect.mapError((failure) => ErrorResponse.fromFailure(failure, "Ping"))
  )

/** The 401 that asks for one of these. */
export const unauthorized = (
  challenge: Challenge.Challenge,
  message = "Authentication is required"
): ErrorResponse.ErrorResponse =>
  new ErrorResponse.ErrorResponse({
    status: 401,
    code: "UNAUTHORIZED",
    message,
    headers: { "www-authenticate": Challenge.format([challenge]) }
  })

/** The 401 that asks for a name and a password. */
export const basicChallenge = (realm: string): ErrorResponse.ErrorResponse =>
  unauthorized({ scheme: "basic", realm, scopes: [] })
