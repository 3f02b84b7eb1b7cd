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
import type { CredentialsFailure } from "../RegistryError.js"
import * as CredentialHelper from "./CredentialHelper.js"
import { Credentials } from "./Credentials.js"
import * as AuthFile from "./internal/AuthFile.js"
import * as AuthFiles from "./internal/AuthFiles.js"

/**
 * What layers over files need: the platform's files and programs. `effect-oci/node` provides them.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor

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
  options: {
    readonly path?: string | undefined
    readonly helpers?: CredentialHelper.Options | undefined
  } = {}
): Layer.Layer<Credentials, CredentialsFailure, Services> =>
  Layer.effect(
    Credentials,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const helpers = yield* CredentialHelper.make(options.helpers)
      if (options.path !== undefined)
        return AuthFiles.source(AuthFiles.required(files, options.path), helpers)
      const home = yield* AuthFiles.home
      const folder = Option.orElse(yield* AuthFiles.variable("DOCKER_CONFIG"), () =>
        Option.map(home, (home) => path.join(home, ".docker"))
      )
      const load = Effect.gen(function* () {
        const current = Option.isNone(folder)
          ? []
          : yield* AuthFiles.optional(files, path.join(folder.value, "config.json"))
        return current.length > 0 || Option.isNone(home)
          ? current
          : yield* AuthFiles.optional(files, path.join(home.value, ".dockercfg"), { legacy: true })
      })
      return AuthFiles.source(load, helpers)
    })
  )

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
    const text = yield* AuthFiles.variable(name)
    const helpers = yield* CredentialHelper.make()
    const load = Option.isNone(text)
      ? Effect.succeed([])
      : Effect.map(
          AuthFile.parse(text.value, { source: `the environment variable ${name}` }),
          (file) => [file]
        )
    return AuthFiles.source(load, helpers)
  })
)
