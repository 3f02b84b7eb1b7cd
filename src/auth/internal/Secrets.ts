/**
 * Secrets on their way: the `Authorization` headers that show them, and keeping them out of what is
 * shown of the answers, since careless servers repeat what they were sent (T13).
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { Credential } from "../Credentials.js"

/** The value of an `Authorization` header for a user name and password (RFC 7617, in UTF-8). */
export const basicHeader = (credential: Extract<Credential, { readonly _tag: "Basic" }>): string =>
  `Basic ${Encoding.encodeBase64(`${credential.username}:${Redacted.value(credential.password)}`)}`

/**
 * What an `Authorization` header shows: what follows the scheme, and for Basic the password by
 * itself.
 */
export const inHeader = (authorization: string | undefined): ReadonlyArray<string> => {
  if (authorization === undefined) return []
  const shown = authorization.slice(authorization.indexOf(" ") + 1)
  if (!/^basic /i.test(authorization)) return [shown]
  const login = Either.getOrElse(Encoding.decodeBase64String(shown), () => "")
  return [shown, login.slice(login.indexOf(":") + 1)]
}

/**
 * The text without the secrets, as they are, in JSON, in a form. Those of less than 4 characters
 * stay, since they stand everywhere.
 */
export const hide = (text: string, secrets: ReadonlyArray<string>): string =>
  secrets
    .filter((secret) => secret.length >= 4)
    .flatMap((secret) => [
      secret,
      JSON.stringify(secret).slice(1, -1),
      new URLSearchParams({ "": secret }).toString().slice(1)
    ])
    .reduce((shown, secret) => shown.replaceAll(secret, "REDACTED"), text)

/** `hide` for a body. */
export const hideIn = (body: Uint8Array, secrets: ReadonlyArray<string>): Uint8Array => {
  const text = new TextDecoder().decode(body)
  const hidden = hide(text, secrets)
  return hidden === text ? body : new TextEncoder().encode(hidden)
}
