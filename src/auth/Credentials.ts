/**
 * Who sends the requests: the service that finds a credential for a request, and its simple
 * sources. Each credential belongs to exactly one host. There is no way to configure one for every
 * host.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure } from "../RegistryError.js"
import * as Digest from "../spec/Digest.js"
import * as Host from "../spec/Host.js"
import type * as Reference from "../spec/Reference.js"
import { isLossy, problemOf } from "./internal/Sendable.js"

/**
 * What a client authenticates with.
 *
 * - `Anonymous`: nothing. Token servers still issue tokens for public repositories.
 * - `Basic`: a user name and password.
 * - `IdentityToken`: an OAuth 2 refresh token, which the token server [exchanges for
 *   tokens](https://distribution.github.io/distribution/spec/auth/oauth/). It is never sent to the
 *   registry itself.
 * - `RegistryToken`: a token that the registry accepts as it is.
 *
 * `identity` tells credentials apart without revealing them: it is a hash of all their parts.
 * `source` says in errors where the credential was found, such as the path of a file, or where
 * `Anonymous` has been looked for. It is no part of the identity, and must not be a secret.
 *
 * @since 0.1.0
 * @category models
 */
export type Credential = Data.TaggedEnum<{
  Anonymous: { readonly identity: string; readonly source?: string | undefined }
  Basic: {
    readonly identity: string
    readonly source?: string | undefined
    readonly username: string
    readonly password: Redacted.Redacted
  }
  IdentityToken: {
    readonly identity: string
    readonly source?: string | undefined
    readonly token: Redacted.Redacted
  }
  RegistryToken: {
    readonly identity: string
    readonly source?: string | undefined
    readonly token: Redacted.Redacted
  }
}>

/**
 * A credential that is somebody's, and that can be stored: any but `Anonymous`.
 *
 * @since 0.1.0
 * @category models
 */
export type Login = Exclude<Credential, { readonly _tag: "Anonymous" }>

/**
 * What a request needs authorization for: the registry's `origin`, as `Trust.origin` returns it,
 * the repository that the request is about, if any, and the
 * [scopes](https://distribution.github.io/distribution/spec/auth/scope/) that the operation
 * requires. The ping requires none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Demand {
  readonly origin: string
  readonly repository?: Reference.RepositoryName | undefined
  readonly scopes: ReadonlyArray<string>
  /**
   * Method and URL of a request whose scopes only the registry knows. What the registry asks for is
   * remembered for requests of the same ones alone.
   */
  readonly request?: string | undefined
}

/**
 * The source of credentials. One serves all hosts.
 *
 * @since 0.1.0
 * @category services
 */
export class Credentials extends Context.Tag("effect-oci/Credentials")<
  Credentials,
  Credentials.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace Credentials {
  /**
   * `get` returns the credential for a demand, `anonymous` if there is none. It is called for every
   * request that a registry wants authorized. `rejected` is the credential that a server has just
   * rejected: a source with a cache then looks past that cache. Fails with `CredentialsFailure` if
   * the source is broken, never because it has no credential.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly get: (
      demand: Demand,
      rejected?: Credential | undefined
    ) => Effect.Effect<Credential, CredentialsFailure>
  }
}

/**
 * The absence of a credential.
 *
 * @since 0.1.0
 * @category constructors
 */
export const anonymous: Credential = { _tag: "Anonymous", identity: "anonymous" }

/**
 * Makes a credential of a user name and password, for [Basic
 * authentication](https://www.rfc-editor.org/rfc/rfc7617) or a token request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const basic = (username: string, password: Redacted.Redacted): Login => ({
  _tag: "Basic",
  identity: identify("Basic", username, Redacted.value(password)),
  username,
  password
})

/**
 * Makes a credential of an OAuth 2 refresh token, which `docker login` stores as `identitytoken`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const identityToken = (token: Redacted.Redacted): Login => ({
  _tag: "IdentityToken",
  identity: identify("IdentityToken", Redacted.value(token)),
  token
})

/**
 * Makes a credential of what a login has stored: `identityToken` if the user name says that the
 * secret is one (`<token>` in Docker's protocol, the empty GUID in Azure's), otherwise `basic`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromLogin = (username: string, secret: Redacted.Redacted): Login =>
  username === "<token>" || username === "00000000-0000-0000-0000-000000000000"
    ? identityToken(secret)
    : basic(username, secret)

/**
 * Makes a credential of a [bearer token](https://www.rfc-editor.org/rfc/rfc6750) for the registry
 * itself, which `docker login` stores as `registrytoken`. It is sent as it is and never renewed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const registryToken = (token: Redacted.Redacted): Login => ({
  _tag: "RegistryToken",
  identity: identify("RegistryToken", Redacted.value(token)),
  token
})

/**
 * Provides no credentials for any host.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAnonymous: Layer.Layer<Credentials> = Layer.succeed(Credentials, {
  get: () => Effect.succeed({ ...anonymous, source: "Credentials.layerAnonymous" })
})

/**
 * Provides a fixed credential for each of some hosts, and none for any other. A key is `host` or
 * `host:port`, as `Host.parse` takes it, and names the registry at exactly that host. It is never a
 * URL, a suffix or a pattern. `ghcr.io` and `ghcr.io:443` are the same over https, and all names of
 * Docker Hub are one.
 *
 * Fails with `CredentialsFailure` if a key is not a host, or two keys are the same host. `get`
 * fails with it if no request can carry the credential as it is: a user name with a colon ([RFC
 * 7617 section 2](https://www.rfc-editor.org/rfc/rfc7617#section-2)), a text that is not valid
 * Unicode, or a registry token that does not fit into a header.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as Redacted from "effect/Redacted"
 *
 * const live = Credentials.layer({
 *   "ghcr.io": Credentials.basic("octocat", Redacted.make("ghp_…")),
 *   "docker.io": Credentials.anonymous
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  entries: Readonly<Record<string, Credential>>
): Layer.Layer<Credentials, CredentialsFailure> => Layer.effect(Credentials, fromEntries(entries))

/**
 * Provides a user name and password for one host: `layer` with a single entry.
 *
 * Fails as `layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerBasic = (options: {
  readonly host: string
  readonly username: string
  readonly password: Redacted.Redacted
}): Layer.Layer<Credentials, CredentialsFailure> => Layer.effect(Credentials, fromOptions(options))

/**
 * Provides a user name and password for one host, which it reads from the configuration.
 *
 * Fails with `ConfigError` if a value is missing, with `CredentialsFailure` if a value holds bytes
 * that are not UTF-8, and as `layer` does.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as Config from "effect/Config"
 *
 * const live = Credentials.layerConfig({
 *   host: Config.succeed("ghcr.io"),
 *   username: Config.string("GITHUB_ACTOR"),
 *   password: Config.redacted("GITHUB_TOKEN")
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<{
    readonly host: string
    readonly username: string
    readonly password: Redacted.Redacted
  }>
): Layer.Layer<Credentials, ConfigError.ConfigError | CredentialsFailure> =>
  Layer.effect(
    Credentials,
    Effect.gen(function* () {
      const login = yield* Config.unwrap(options)
      if (isLossy(login.username) || isLossy(Redacted.value(login.password)))
        return yield* new CredentialsFailure({
          source: "the configuration of the Credentials layer",
          problem: "the user name or password holds bytes that are not UTF-8",
          fix: "Set it in UTF-8"
        })
      return yield* fromOptions(login)
    })
  )

/**
 * Provides a token for the registry at one host: `layer` with a single entry.
 *
 * Fails as `layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistryToken = (options: {
  readonly host: string
  readonly token: Redacted.Redacted
}): Layer.Layer<Credentials, CredentialsFailure> =>
  layer({ [options.host]: registryToken(options.token) })

/**
 * Provides an OAuth 2 refresh token for the token server of one host: `layer` with a single entry.
 *
 * Fails as `layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerIdentityToken = (options: {
  readonly host: string
  readonly token: Redacted.Redacted
}): Layer.Layer<Credentials, CredentialsFailure> =>
  layer({ [options.host]: identityToken(options.token) })

/**
 * Tries several sources in order, and takes the first that has a credential for the demand. Every
 * source that is tried is told of the rejected credential.
 *
 * Fails as the first source that is broken: passing over it could send a registry the credential of
 * another user.
 *
 * @since 0.1.0
 * @category combinators
 */
export const chain = (sources: Iterable<Credentials.Service>): Credentials.Service => {
  const inOrder = [...sources]
  return {
    get: (demand, rejected) =>
      Effect.gen(function* () {
        const places: Array<string> = []
        for (const source of inOrder) {
          const found = yield* source.get(demand, rejected)
          if (found._tag !== "Anonymous") return found
          if (found.source !== undefined) places.push(found.source)
        }
        return places.length === 0 ? anonymous : { ...anonymous, source: places.join(", ") }
      })
  }
}

/**
 * Provides the sources of several layers as one, as `chain` does. Fails as any of the layers does.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as DockerConfig from "effect-oci/DockerConfig"
 * import * as Redacted from "effect/Redacted"
 *
 * const live = Credentials.layerChain(
 *   Credentials.layerRegistryToken({ host: "registry.example.com", token: Redacted.make("…") }),
 *   DockerConfig.layer()
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerChain = <
  Sources extends ReadonlyArray<Layer.Layer<Credentials, unknown, unknown>>
>(
  ...sources: Sources
): Layer.Layer<
  Credentials,
  Layer.Layer.Error<Sources[number]>,
  Layer.Layer.Context<Sources[number]>
> =>
  Layer.scoped(
    Credentials,
    Effect.map(
      // `Layer.build` does not see that an element of `Sources` has these parameters.
      Effect.forEach(
        sources as ReadonlyArray<
          Layer.Layer<
            Credentials,
            Layer.Layer.Error<Sources[number]>,
            Layer.Layer.Context<Sources[number]>
          >
        >,
        (source) => Layer.build(source)
      ),
      (built) => chain(built.map(Context.get(Credentials)))
    )
  )

/** JSON keeps the parts apart, whatever characters they hold. */
const identify = (...parts: ReadonlyArray<string>): string =>
  Digest.fromBytes(new TextEncoder().encode(JSON.stringify(parts)))

const fromOptions = (options: {
  readonly host: string
  readonly username: string
  readonly password: Redacted.Redacted
}): Effect.Effect<Credentials.Service, CredentialsFailure> =>
  fromEntries({ [options.host]: basic(options.username, options.password) })

const fromEntries = (
  entries: Readonly<Record<string, Credential>>
): Effect.Effect<Credentials.Service, CredentialsFailure> =>
  Effect.gen(function* () {
    yield* Effect.mapError(
      Host.byHost(entries),
      ({ message, reason }) =>
        new CredentialsFailure({
          source: layerSource,
          problem: reason === "Duplicate" ? "two keys are the same host" : "a key is not a host",
          fix: message
        })
    )
    // An entry is for exactly its host (T15). A host without a port is two origins, and one with a
    // port is the default port of at most one of them: there, it comes before the host without one.
    const keys = Object.entries(entries).sort(([a], [b]) => Number(hasPort(a)) - Number(hasPort(b)))
    const over = (scheme: "http" | "https") =>
      new Map(
        keys.flatMap(([key, credential]) =>
          Option.toArray(Host.fromString(key, scheme)).map(
            (host) => [host, sendable(key, credential)] as const
          )
        )
      )
    const [http, https] = [over("http"), over("https")]
    return {
      get: ({ origin }) =>
        Effect.suspend(() => {
          const host = Option.getOrUndefined(Host.fromUrl(origin))
          const known = origin.startsWith("https:") ? https : http
          return (host === undefined ? undefined : known.get(host)) ?? nobody
        })
    }
  })

const layerSource = "the Credentials layer"

const nobody = Effect.succeed<Credential>({ ...anonymous, source: layerSource })

const hasPort = (host: string): boolean => /:\d+$/.test(host)

const sendable = (
  host: string,
  credential: Credential
): Effect.Effect<Credential, CredentialsFailure> => {
  const problem = problemOf(credential)
  return problem === undefined
    ? Effect.succeed({ ...credential, source: credential.source ?? layerSource })
    : new CredentialsFailure({
        source: layerSource,
        problem: `the credential of ${host} cannot be sent: ${problem}`,
        fix: "See that it is as its registry gave it, without white space or line breaks around it"
      })
}
