/**
 * A token server, by [Docker's protocol](https://distribution.github.io/distribution/spec/auth/),
 * for another registry: an HTTP application that signs tokens which distribution 2.8 and 3 accept.
 * For a `RegistryServer` of this library, `ServerAuthorization.token` serves them beside it.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CredentialsFailure } from "../RegistryError.js"
import type { Rule } from "./internal/AccessRules.js"
import type { Passwords, Users } from "./internal/Passwords.js"
import * as RequestBody from "./internal/RequestBody.js"
import * as TokenIssuer from "./internal/TokenIssuer.js"
import * as TokenKey from "./internal/TokenKey.js"

export type {
  /**
   * What a token grants on one resource: a `repository`, or the `registry` called `catalog`.
   *
   * @since 0.1.0
   * @category models
   */
  Granted
} from "./internal/AccessRules.js"
export type {
  /**
   * What a token says.
   *
   * @since 0.1.0
   * @category models
   */
  Claims,
  /**
   * A key as an operator has it.
   *
   * @since 0.1.0
   * @category models
   */
  KeyOptions,
  /**
   * How tokens are signed.
   *
   * @since 0.1.0
   * @category models
   */
  SigningAlgorithm,
  /**
   * Signs tokens, and reads its own.
   *
   * @since 0.1.0
   * @category models
   */
  SigningKey
} from "./internal/TokenKey.js"

/**
 * How tokens are issued.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Who may log in: names and passwords, or those of `ServerAuthorization.htpasswd`. */
  readonly users: Users | Passwords
  /**
   * Who may do what. By default everybody who logs in may do everything, and nobody else may do
   * anything.
   */
  readonly rules?: ReadonlyArray<Rule> | undefined
  /**
   * `pull` adds the rule that anybody may pull from every repository, without a login. `none` is
   * the default.
   */
  readonly anonymous?: "pull" | "none" | undefined
  /** How long a token is valid, in whole seconds of at least one. 5 minutes by default. */
  readonly lifetime?: Duration.DurationInput | undefined
  /** The registry that tokens are for, as its challenges name it: `effect-oci` by default. */
  readonly service?: string | undefined
  /** Who issues them (`iss`): the same as `service` by default. */
  readonly issuer?: string | undefined
  /** The key that signs them. By default one is made, which no other server knows. */
  readonly key?: TokenKey.SigningKey | undefined
}

/**
 * Reads a key that tokens are signed with.
 *
 * Fails with `CredentialsFailure` when the private key or a certificate does not parse, and when
 * the first certificate is of another key.
 *
 * @since 0.1.0
 * @category constructors
 */
export const signingKey: (
  options: TokenKey.KeyOptions
) => Effect.Effect<TokenKey.SigningKey, CredentialsFailure> = TokenKey.read

/**
 * Makes the application, which serves tokens at whatever path it is mounted on: by `GET`, and by
 * `POST` as OAuth 2, with the grants `password` and `refresh_token`. Of the scopes asked for, it
 * grants as much as the rules allow; the claim `access` of a token says what that is. To ask for
 * more is not an error. A token is good until it expires, whatever becomes of its user. The
 * catalog, of which a registry shows the whole, is for users who may pull everything.
 *
 * Refresh tokens are held in memory as hashes, 10,000 at a time, beyond which the oldest are
 * forgotten. One is no longer accepted once its user's password has changed.
 *
 * @example
 * ```ts
 * import * as HttpServer from "@effect/platform/HttpServer"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 * import * as TokenServer from "effect-oci/TokenServer"
 *
 * // The registry has REGISTRY_AUTH_TOKEN_SERVICE=registry.example.com,
 * // REGISTRY_AUTH_TOKEN_ISSUER=auth.example.com, and the certificate as
 * // REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE.
 * const layer = (privateKey: Redacted.Redacted, certificates: string) =>
 *   Layer.unwrapEffect(
 *     Effect.gen(function* () {
 *       const app = yield* TokenServer.make({
 *         users: { alice: Redacted.make("open sesame") },
 *         rules: [
 *           { who: "anyone", repositories: "public/**", actions: ["pull"] },
 *           { who: ["alice"], repositories: "**", actions: ["pull", "push", "delete"] }
 *         ],
 *         service: "registry.example.com",
 *         issuer: "auth.example.com",
 *         key: yield* TokenServer.signingKey({ privateKey, certificates })
 *       })
 *       return HttpServer.serve(app)
 *     })
 *   )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<HttpApp.Default<never, Scope.Scope>> =>
  Effect.map(TokenIssuer.make(options, "whole"), (issuer) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      RequestBody.handled(request, issuer.serve(request))
    )
  )
