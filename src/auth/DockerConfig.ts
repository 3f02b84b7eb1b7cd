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
 * What the layers of files need: the platform's files and programs. `effect-oci/node` brings them.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor

/**
 * Docker's configuration: `path` if it is given, else `$DOCKER_CONFIG/config.json` or
 * `~/.docker/config.json`, and where there is none `~/.dockercfg`. The environment is read through
 * `Config` when the layer is built, the file when credentials are first asked for, and again after
 * a minute or a rejection.
 *
 * For a registry, the helper that `credHelpers` names for it is asked, or else the default helper,
 * `credsStore`. Where there is none, or it knows nobody, the entry in `auths` counts: its
 * `registrytoken`, `identitytoken`, `auth`, or `username` and `password`, in this order. Keys are
 * compared with the registry's host as a whole (T15); a scheme, a path that is no repository's and
 * the port that the scheme implies make no difference, and all names of Docker Hub are one; what
 * Docker Desktop keeps under `https://index.docker.io/v1/access-token` and `/refresh-token` is no
 * login. As in Docker, names of members are compared without case, and an empty or `null` helper in
 * `credHelpers` is none for that registry, the default one included. A default helper that is not
 * installed, or cannot be executed, is passed over, with a warning.
 *
 * Where the files are missing there are no credentials, but a `path` must exist. Asking for
 * credentials fails with `CredentialsFailure`, which names the file, when it cannot be read, it or
 * the entry is broken, no request could carry the login as it is (bytes that are not UTF-8, a user
 * name with a colon), a helper fails, or the one of `credHelpers` is not installed.
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
 * `DOCKER_AUTH_CONFIG`: the text of such a file in the environment, as CI systems supply it.
 * Nothing if it is not set.
 *
 * Asking for credentials fails with `CredentialsFailure` when the text is broken, or a helper that
 * it names fails.
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
