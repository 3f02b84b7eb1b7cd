/**
 * The credentials that `docker pull` uses on a machine: `DOCKER_AUTH_CONFIG`, and the files that
 * `docker login` writes.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { CredentialsFailure, type InvalidUrl } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import * as CredentialHelper from "./CredentialHelper.js"
import { Credentials, type Login } from "./Credentials.js"
import * as AuthFileLogins from "./internal/AuthFileLogins.js"
import * as AuthFileSource from "./internal/AuthFileSource.js"
import * as StoredLogin from "./internal/StoredLogin.js"

/**
 * What layers over files need: the platform's files and programs. `effect-oci/node` provides them.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor

/**
 * Which file is read or changed: the one at `path`, or else the one that Docker takes. And how its
 * helpers are run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly path?: string | undefined
  readonly helpers?: CredentialHelper.Options | undefined
}

/**
 * Reads Docker's [configuration](https://docs.docker.com/reference/cli/docker/login/): the file at
 * `path` if that is given, otherwise `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, or
 * `~/.dockercfg` if neither exists. The environment is read through `Config` when the layer is
 * built. The file is read when credentials are first wanted, and again after a minute or a
 * rejection.
 *
 * For each registry, the helper that `credHelpers` names for it is run, or else the default helper,
 * `credsStore`. If there is no helper, or it has no login, the entry in `auths` counts: its
 * `registrytoken`, `identitytoken`, `auth`, or `username` and `password`, in this order.
 *
 * - A key must be the whole host of the registry. A scheme, a path that is not a repository's and
 *   the default port of the scheme make no difference. All names of Docker Hub are one.
 * - What Docker Desktop keeps under `https://index.docker.io/v1/access-token` and `/refresh-token`
 *   is not a login.
 * - As in Docker, the names of members are compared without case. An empty or `null` helper in
 *   `credHelpers` means no helper for that registry, not even the default one.
 * - A default helper that is not installed, or cannot be executed, is passed over with a warning.
 *
 * If the files are missing there are no credentials, but a `path` must exist. `get` fails with
 * `CredentialsFailure`, which names the file, if the file cannot be read, the file or the entry is
 * broken, no request can carry the login as it is (bytes that are not UTF-8, a user name with a
 * colon), a helper fails, or the one of `credHelpers` is not installed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Credentials, CredentialsFailure, Services> =>
  Layer.effect(
    Credentials,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const helpers = yield* CredentialHelper.make(options.helpers)
      if (options.path !== undefined)
        return AuthFileSource.source(AuthFileSource.required(files, options.path), helpers, [
          options.path
        ])
      const { config, dockercfg } = yield* locations
      const load = Effect.gen(function* () {
        const current = config === undefined ? [] : yield* AuthFileSource.optional(files, config)
        return current.length > 0 || dockercfg === undefined
          ? current
          : yield* AuthFileSource.optional(files, dockercfg, { legacy: true })
      })
      const places = [config, dockercfg].filter((path) => path !== undefined)
      return AuthFileSource.source(load, helpers, places.length === 0 ? [nowhere] : places)
    })
  )

const nowhere = "Docker's configuration (neither HOME nor DOCKER_CONFIG is set)"

/** Where Docker's files are: those of the environment, or the one that is named. */
const locationsOf = ({ path }: Options) =>
  path === undefined ? locations : Effect.succeed({ config: path, dockercfg: undefined })

/** Where Docker has its files, as far as the environment says so. */
const locations = Effect.gen(function* () {
  const path = yield* Path.Path
  const home = yield* AuthFileSource.home
  const folder = Option.orElse(yield* AuthFileSource.variable("DOCKER_CONFIG"), () =>
    Option.map(home, (home) => path.join(home, ".docker"))
  )
  const within = (folder: Option.Option<string>, name: string) =>
    Option.getOrUndefined(Option.map(folder, (folder) => path.join(folder, name)))
  return { config: within(folder, "config.json"), dockercfg: within(home, ".dockercfg") }
})

/**
 * Stores the login of a host where `layer` reads it, as `docker login` does. The helper that
 * `credHelpers` or `credsStore` names for the host keeps it, or else an entry in `auths`, in place
 * of all spellings of the host. Docker Hub has the key `https://index.docker.io/v1/` under all its
 * names. All layers of this process see the new login at once. Whether it works, which
 * `docker login` tries first, is for `RegistryClient.verify` to say.
 *
 * - The file is replaced as a whole by a rename. A link is followed. The file has the mode 0600
 *   then, whatever it was, and new folders 0700.
 * - All else of the file stays as it is, members that nobody here knows included. The entry of an
 *   identity token has the member `identitytoken`. With a helper, the entry is empty.
 * - Programs with this library lose nothing that another one writes at the same time. `docker`
 *   itself may: it does not look whether the file has changed since it read it.
 * - `~/.dockercfg` is not changed. Where Docker's file is still missing, a new one begins with the
 *   logins of that one.
 * - `DOCKER_AUTH_CONFIG` is not changed, and comes first in `NodeCredentials.layer`.
 *
 * Fails with
 *
 * - `InvalidUrl` if `host` is not a host, as `Host.parse` takes it;
 * - `CredentialsFailure` if the login could not be read back as it is (an empty password, a user
 *   name with a colon), the file is broken or cannot be replaced, or no place for it is known; if
 *   the helper fails, is not installed, or is to keep a registry token. A password that was meant
 *   for a helper is never written to the file.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import * as DockerConfig from "effect-oci/DockerConfig"
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const program = DockerConfig.store(
 *   "ghcr.io",
 *   Credentials.basic("octocat", Redacted.make("ghp_…"))
 * ).pipe(Effect.provide(NodeContext.layer))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const store = (
  host: string,
  login: Login,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, Services> =>
  Effect.gen(function* () {
    const { config, dockercfg } = yield* locationsOf(options)
    if (config === undefined)
      return yield* new CredentialsFailure({
        source: "Docker's configuration",
        problem: "there is no place for it: neither HOME nor DOCKER_CONFIG is set",
        fix: "Set one of them, or give a path"
      })
    const file = { path: config, predecessor: dockercfg }
    yield* AuthFileLogins.store(file, keyOf, host, login, options.helpers)
  })

/** The key of Docker Hub is the URL of its first index. */
const keyOf = (host: Host.Host): string =>
  Host.isDockerHub(host) ? "https://index.docker.io/v1/" : host

/**
 * Erases the login of a host from where `layer` reads it, as `docker logout` does: every spelling
 * of the host in `auths`, and what the helper keeps that the file names for the host. If there is
 * nothing to erase, that is a success, and nothing is written. All layers of this process forget
 * the login at once. Entries of podman's for single repositories of the host stay.
 *
 * Fails with `InvalidUrl` if `host` is not a host, and with `CredentialsFailure` if the file is
 * broken or cannot be replaced, or the helper fails or is not installed.
 *
 * @since 0.1.0
 * @category operations
 */
export const erase = (
  host: string,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, Services> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const { config, dockercfg } = yield* locationsOf(options)
    const isLegacy =
      dockercfg !== undefined &&
      (config === undefined || (yield* AuthFileSource.optional(files, config)).length === 0)
    const path = isLegacy ? dockercfg : config
    yield* path === undefined
      ? StoredLogin.placeOf(host)
      : AuthFileLogins.erase({ path, legacy: isLegacy }, host, options.helpers)
  })

/**
 * Reads `DOCKER_AUTH_CONFIG`: the text of such a file in the environment, as CI systems supply it.
 * If the variable is not set there are no credentials.
 *
 * `get` fails with `CredentialsFailure` if the text is broken, or a helper that it names fails.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEnvironment: Layer.Layer<
  Credentials,
  CredentialsFailure,
  CommandExecutor.CommandExecutor
> = Layer.effect(
  Credentials,
  Effect.gen(function* () {
    const name = "DOCKER_AUTH_CONFIG"
    const text = yield* AuthFileSource.variable(name)
    const helpers = yield* CredentialHelper.make()
    const load = Option.isNone(text)
      ? Effect.succeed([])
      : AuthFileSource.parsed(text.value, { source: `the environment variable ${name}` })
    return AuthFileSource.source(load, helpers, [name + (Option.isNone(text) ? " (not set)" : "")])
  })
)
