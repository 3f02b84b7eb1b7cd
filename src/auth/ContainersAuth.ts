/**
 * The credentials that `podman pull`, `skopeo` and `buildah` use on a machine: the files that
 * `podman login` writes.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { CredentialsFailure } from "../RegistryError.js"
import * as CredentialHelper from "./CredentialHelper.js"
import { Credentials } from "./Credentials.js"
import type * as DockerConfig from "./DockerConfig.js"
import * as AuthFiles from "./internal/AuthFiles.js"

/**
 * `path` if it is given, else the one file that `REGISTRY_AUTH_FILE` names; else, of these, the
 * first that has a credential: `$XDG_RUNTIME_DIR/containers/auth.json` (without the variable
 * `/run/containers/<uid>/auth.json`, if `uid` is given) and `$XDG_CONFIG_HOME/containers/auth.json`
 * (by default in `~/.config`). An entry may be for a host, for a namespace or for one repository:
 * the longest that fits counts. Otherwise all is as in `DockerConfig.layer`, its failures too.
 *
 * Where the files are missing there are no credentials, but a named one must exist.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: {
    readonly path?: string | undefined
    readonly uid?: number | undefined
    readonly helpers?: CredentialHelper.Options | undefined
  } = {}
): Layer.Layer<Credentials, CredentialsFailure, DockerConfig.Services> =>
  Layer.effect(
    Credentials,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const helpers = yield* CredentialHelper.make(options.helpers)
      const named = Option.fromNullable(options.path)
      const explicit = Option.isSome(named)
        ? named
        : yield* AuthFiles.variable("REGISTRY_AUTH_FILE")
      if (Option.isSome(explicit))
        return AuthFiles.source(AuthFiles.required(files, explicit.value), helpers)
      const home = yield* AuthFiles.home
      const runtime = Option.orElse(
        Option.map(yield* AuthFiles.variable("XDG_RUNTIME_DIR"), (folder) =>
          path.join(folder, "containers")
        ),
        () => Option.map(Option.fromNullable(options.uid), (uid) => `/run/containers/${uid}`)
      )
      const config = Option.map(
        Option.orElse(yield* AuthFiles.variable("XDG_CONFIG_HOME"), () =>
          Option.map(home, (home) => path.join(home, ".config"))
        ),
        (folder) => path.join(folder, "containers")
      )
      const load = Effect.map(
        Effect.forEach(
          [runtime, config].flatMap((folder) => Option.toArray(folder)),
          (folder) => AuthFiles.optional(files, path.join(folder, "auth.json"))
        ),
        (found) => found.flat()
      )
      return AuthFiles.source(load, helpers)
    })
  )
