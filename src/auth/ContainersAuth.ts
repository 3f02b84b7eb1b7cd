/**
 * The credentials that `podman pull`, `skopeo` and `buildah` use on a machine: the files that
 * `podman login` writes, in the format of
 * [containers-auth.json(5)](https://manpages.debian.org/containers-auth.json.5).
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
 * Reads the file at `path` if that is given, or else the one that `REGISTRY_AUTH_FILE` names.
 * Without either it takes the first of these files that has a credential:
 *
 * - `$XDG_RUNTIME_DIR/containers/auth.json`, or `/run/containers/<uid>/auth.json` if the variable
 *   is not set and `uid` is given;
 * - `$XDG_CONFIG_HOME/containers/auth.json`, by default in `~/.config`.
 *
 * An entry may be for a host, a namespace or one repository. The longest that fits counts.
 * Otherwise this is like `DockerConfig.layer`, with the same failures.
 *
 * If the files are missing there are no credentials, but a named one must exist.
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
