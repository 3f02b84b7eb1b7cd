/** Secrets on their way: the `Authorization` headers that show them to a server. */
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { Credential } from "../Credentials.js"

/** The value of an `Authorization` header for a user name and password (RFC 7617, in UTF-8). */
export const basicHeader = (credential: Extract<Credential, { readonly _tag: "Basic" }>): string =>
  `Basic ${Encoding.encodeBase64(`${credential.username}:${Redacted.value(credential.password)}`)}`
