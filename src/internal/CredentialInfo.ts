/** What an error tells of the credential that a request was sent with. */
import * as Schema from "effect/Schema"

/**
 * Whose credential a request was sent with, without its secret. `kind` is that of the credential:
 * `Anonymous` if there was none. `username` is that of a password. `source` is where the credential
 * was found, such as the path of a file or the name of a helper; of `Anonymous` it is where one was
 * looked for, and absent if the registry did not ask for any.
 *
 * @since 0.1.0
 * @category models
 */
export interface CredentialInfo {
  readonly kind: "Anonymous" | "Basic" | "IdentityToken" | "RegistryToken"
  readonly username?: string | undefined
  readonly source?: string | undefined
}

/**
 * The schema of `CredentialInfo`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CredentialInfo: Schema.Schema<CredentialInfo> = Schema.Struct({
  kind: Schema.Literal("Anonymous", "Basic", "IdentityToken", "RegistryToken"),
  username: Schema.optional(Schema.String),
  source: Schema.optional(Schema.String)
})
