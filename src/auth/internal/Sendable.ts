/**
 * What of a credential HTTP can carry as it is. The rest it would turn into another credential, or
 * another header (T12).
 */
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** A token that can be sent in a header: visible ASCII only, and not empty. */
export const HeaderSafe = Schema.String.pipe(Schema.pattern(/^[!-~]+$/))

/** Whether a text is a token that can be sent in a header. */
export const isHeaderSafe = Schema.is(HeaderSafe)

/** The value of an `Authorization` header for a user name and password (RFC 7617, in UTF-8). */
export const basicHeader = (username: string, password: Redacted.Redacted): string =>
  `Basic ${Encoding.encodeBase64(`${username}:${Redacted.value(password)}`)}`

/**
 * Why no request could carry a credential as it is, if that is so. The text completes "the
 * credential cannot be sent:" and shows nothing of it.
 */
export const problemOf = (
  credential:
    | { readonly _tag: "Anonymous" }
    | {
        readonly _tag: "Basic"
        readonly username: string
        readonly password: Redacted.Redacted
      }
    | { readonly _tag: "IdentityToken" | "RegistryToken"; readonly token: Redacted.Redacted }
): string | undefined => {
  switch (credential._tag) {
    case "Anonymous":
      return undefined
    case "Basic":
      // RFC 7617 §2: the first colon ends the user name.
      if (credential.username.includes(":")) return "its user name holds a colon"
      return isUnicode(credential.username) && isUnicode(Redacted.value(credential.password))
        ? undefined
        : "its user name or password is not valid Unicode"
    case "IdentityToken":
      return isUnicode(Redacted.value(credential.token))
        ? undefined
        : "its token is not valid Unicode"
    case "RegistryToken":
      return isHeaderSafe(Redacted.value(credential.token))
        ? undefined
        : "its token is empty, or holds characters that a header cannot carry"
  }
}

/** Encoding half of a surrogate pair in UTF-8 puts U+FFFD in its place. */
const isUnicode = (text: string): boolean => !/\p{Cs}/u.test(text)

/**
 * Whether a text that the platform decoded has lost something: U+FFFD stands for bytes that were
 * not UTF-8.
 */
export const isLossy = (text: string): boolean => text.includes("\ufffd")
