/**
 * Decides who may do what at a registry server: those with a password (`basic`), or those with a
 * token from the server's own token endpoint (`token`), by [Docker's
 * protocol](https://distribution.github.io/distribution/spec/auth/). Rules say which user may pull,
 * push and delete in which repositories.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as AccessScope from "../protocol/AccessScope.js"
import * as Operation from "../protocol/Operation.js"
import type { CredentialsFailure, StorageFailure } from "../RegistryError.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as AccessRules from "./internal/AccessRules.js"
import * as ErrorResponse from "./internal/ErrorResponse.js"
import * as Login from "./internal/Login.js"
import * as Origin from "./internal/Origin.js"
import * as PasswordFile from "./internal/PasswordFile.js"
import * as Passwords from "./internal/Passwords.js"
import * as TokenIssuer from "./internal/TokenIssuer.js"
import { isTokenRequest, tokenPath } from "./internal/TokenPath.js"
import type * as TokenServer from "./TokenServer.js"

export type {
  /**
   * What can be done in a repository.
   *
   * @since 0.1.0
   * @category models
   */
  Action,
  /**
   * Grants actions on repositories.
   *
   * @since 0.1.0
   * @category models
   */
  Rule
} from "./internal/AccessRules.js"
export type {
  /**
   * Users whose passwords are kept elsewhere, and checked there.
   *
   * @since 0.1.0
   * @category models
   */
  Passwords,
  /**
   * User names and their passwords.
   *
   * @since 0.1.0
   * @category models
   */
  Users
} from "./internal/Passwords.js"

/**
 * Sees every request before the registry does. It succeeds with what whoever sent it may do, if the
 * operation is allowed, and otherwise fails with the response: a challenge, a refusal, or that of a
 * token endpoint. There is no operation where a request does not parse as one.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerAuthorization {
  readonly authorize: (
    request: HttpServerRequest,
    operation: Option.Option<Operation.Operation>
  ) => Effect.Effect<Access, HttpServerResponse, Scope.Scope>
}

/**
 * What is left to decide within an operation that is allowed.
 *
 * - `user` is who has logged in, and none where nobody has. Upload sessions belong to the user who
 *   opened them.
 * - `mayMount` says whether blobs of a repository may be mounted elsewhere, and without a
 *   repository those of any. A mount that may not be is answered as if there were no such blob.
 * - `mayList` says whether the catalog shows a repository.
 *
 * @since 0.1.0
 * @category models
 */
export interface Access {
  readonly user: Option.Option<string>
  readonly mayMount: (from: RepositoryName | undefined) => boolean
  readonly mayList: (repository: RepositoryName) => boolean
}

/**
 * Returns the users of a file that Apache's `htpasswd -B` writes: a name, a colon and a bcrypt hash
 * to a line. Other lines are passed over, with a warning. The file is read again when it has
 * changed. A login that was right is remembered for 5 minutes, or until then, so that not each
 * request is checked; at most two are checked at a time, on threads of their own.
 *
 * Fails with `StorageFailure` when the file cannot be read, which later on refuses logins with 500,
 * and with `CredentialsFailure` when the package `@node-rs/bcrypt` is not installed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const htpasswd = (
  path: string
): Effect.Effect<Passwords.Passwords, CredentialsFailure | StorageFailure, FileSystem.FileSystem> =>
  Effect.flatMap(PasswordFile.load(path), (bcrypt) => PasswordFile.make(path, bcrypt))

/**
 * Lets in those who send a name with its password, by [RFC
 * 7617](https://www.rfc-editor.org/rfc/rfc7617), for what the rules allow: by default everything.
 * `anonymous: "pull"` adds the rule that anybody may pull. Whoever may not do something is refused
 * with 403 when logged in, and challenged otherwise. The catalog is for all who have logged in, and
 * lists what they may pull.
 *
 * `/v2/` is always challenged: docker sends no credentials to a registry that responds with 200
 * there. It cannot pull without a login from one that responds with this challenge, though other
 * clients can: to let docker do both, use `token`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const basic = (options: {
  readonly users: Passwords.Users | Passwords.Passwords
  readonly rules?: ReadonlyArray<AccessRules.Rule> | undefined
  readonly anonymous?: "pull" | "none" | undefined
}): ServerAuthorization => {
  const passwords = Passwords.from(options.users)
  const rules = AccessRules.make(options)
  const realm = "effect-oci"
  return {
    authorize: Effect.fnUntraced(
      function* (request, operation) {
        const user = yield* Login.basic(request, passwords, realm)
        const needed = Option.match(operation, { onNone: () => [], onSome: neededScopes })
        // Neither a ping nor what is no operation needs any scope, but a login.
        if (user === undefined && needed.length === 0) return yield* Login.basicChallenge(realm)
        if (!AccessScope.contains(AccessRules.toScopes(rules.grant(user, needed)), needed))
          return yield* user === undefined ? Login.basicChallenge(realm) : denied(needed)
        return {
          user: Option.fromNullable(user),
          mayMount: (from: RepositoryName | undefined) =>
            from === undefined ? rules.pullsAll(user) : rules.allows(user, from, "pull"),
          mayList: (repository: RepositoryName) => rules.allows(user, repository, "pull")
        } satisfies Access
      },
      (effect) => Effect.mapError(effect, ErrorResponse.toResponse)
    )
  }
}

/**
 * How to serve tokens, and where clients find them.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenOptions extends TokenServer.Options {
  /**
   * Where clients reach the server, such as `https://registry.example.com`: they get tokens at
   * `/token` there. By default that is built from the `Host` of each request, and `https` only
   * where Node's own server speaks TLS, so that a server behind a proxy which does has to be told.
   */
  readonly url?: string | undefined
  /**
   * Whether `X-Forwarded-Proto` and `X-Forwarded-Host` count where there is no `url`. Only for a
   * server that is reached through a proxy which sets both: anybody else can send them, too.
   */
  readonly trustForwarded?: boolean | undefined
}

/**
 * Lets in those who send a token, and serves the tokens at `/token`, as `TokenServer` does. Tokens
 * are JWTs, signed with the `key`, and allow what their claim `access` says until they expire. One
 * that says too little is challenged again. The catalog is for all who have logged in, and lists
 * what they may pull.
 *
 * `/v2/` is always challenged, so that docker sends its login; clients without one get a token for
 * what the rules allow anyone, or none where they allow nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const token = (options: TokenOptions): Effect.Effect<ServerAuthorization> =>
  Effect.map(TokenIssuer.make(options, "filtered"), (issuer) => ({
    authorize: (request, operation) =>
      isTokenRequest(request)
        ? Effect.flip(issuer.serve(request))
        : Effect.mapError(check(issuer, options, request, operation), ErrorResponse.toResponse)
  }))

const check = Effect.fnUntraced(function* (
  { rules, service, verify }: TokenIssuer.TokenIssuer,
  options: TokenOptions,
  request: HttpServerRequest,
  operation: Option.Option<Operation.Operation>
) {
  const challenge = (error?: string, message?: string) =>
    Login.unauthorized(
      {
        scheme: "bearer",
        realm: Origin.of(request, options) + tokenPath,
        service,
        scopes: Option.match(operation, { onNone: () => [], onSome: Operation.requiredScopes }),
        error
      },
      message
    )
  const sent = Login.credentials(request, "bearer")
  if (Option.isNone(sent)) return yield* challenge()
  const grant = yield* verify(sent.value)
  if (Option.isNone(grant))
    return yield* challenge("invalid_token", "The token is not valid, or has expired")
  const { scopes, user } = grant.value
  const needed = Option.match(operation, { onNone: () => [], onSome: neededScopes })
  if (!AccessScope.contains(scopes, needed))
    return yield* challenge("insufficient_scope", `The token does not allow ${needed.join(" ")}`)
  return {
    user: Option.fromNullable(user),
    // Nobody can ask for a scope that is not of one repository: the user's rules stand for it.
    mayMount: (from: RepositoryName | undefined) =>
      from === undefined
        ? rules.pullsAll(user)
        : AccessScope.contains(scopes, [`repository:${from}:pull`]),
    mayList: (repository: RepositoryName) => rules.allows(user, repository, "pull")
  } satisfies Access
})

/**
 * The scopes without which an operation is refused. A mount without the pull scope of its `from` is
 * an upload: whether the blob is there is not for this user to know.
 */
const neededScopes = (operation: Operation.Operation): ReadonlyArray<string> =>
  Operation.requiredScopes(
    operation._tag === "MountBlob"
      ? Operation.StartUpload({ repository: operation.repository })
      : operation
  )

const denied = (needed: ReadonlyArray<string>): ErrorResponse.ErrorResponse =>
  new ErrorResponse.ErrorResponse({
    status: 403,
    code: "DENIED",
    message: `This user is not allowed ${needed.join(" ")}`
  })
