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
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { CredentialsFailure, type InvalidUrl } from "../RegistryError.js"
import * as CredentialHelper from "./CredentialHelper.js"
import { Credentials, type Login } from "./Credentials.js"
import type * as DockerConfig from "./DockerConfig.js"
import * as AuthFileLogins from "./internal/AuthFileLogins.js"
import * as AuthFileSource from "./internal/AuthFileSource.js"

/**
 * Which file is read or changed: the one at `path`, or else those that podman takes. `uid` is the
 * user's id, of which the path of one of these is made on Linux. And how helpers are run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly path?: string | undefined
  readonly uid?: number | undefined
  readonly helpers?: CredentialHelper.Options | undefined
}

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
  options: Options = {}
): Layer.Layer<Credentials, CredentialsFailure, DockerConfig.Services> =>
  Layer.effect(
    Credentials,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const helpers = yield* CredentialHelper.make(options.helpers)
      const { isNamed, places } = yield* locations(options)
      const read = isNamed ? AuthFileSource.required : AuthFileSource.optional
      const load = Effect.map(
        Effect.forEach(places, (path) => read(files, path)),
        (found) => found.flat()
      )
      return AuthFileSource.source(load, helpers, places.length === 0 ? [nowhere] : places)
    })
  )

const nowhere = "podman's auth.json (neither HOME nor XDG_RUNTIME_DIR is set)"

/** The one file that is named, or else the standard ones in their order. */
const locations = (options: Options) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const named =
      options.path ?? Option.getOrUndefined(yield* AuthFileSource.variable("REGISTRY_AUTH_FILE"))
    if (named !== undefined) return { isNamed: true, places: [named] }
    const home = yield* AuthFileSource.home
    const runtime = Option.orElse(
      Option.map(yield* AuthFileSource.variable("XDG_RUNTIME_DIR"), (folder) =>
        path.join(folder, "containers")
      ),
      () => Option.map(Option.fromNullable(options.uid), (uid) => `/run/containers/${uid}`)
    )
    const config = Option.map(
      Option.orElse(yield* AuthFileSource.variable("XDG_CONFIG_HOME"), () =>
        Option.map(home, (home) => path.join(home, ".config"))
      ),
      (folder) => path.join(folder, "containers")
    )
    const standard = [runtime, config].flatMap((folder) => Option.toArray(folder))
    return { isNamed: false, places: standard.map((folder) => path.join(folder, "auth.json")) }
  })

/**
 * Stores the login of a host in the first of the files that `layer` reads, as `podman login` does,
 * under the key `docker.io` for Docker Hub. Otherwise this is like `DockerConfig.store`, with the
 * same failures.
 *
 * @since 0.1.0
 * @category operations
 */
export const store = (
  host: string,
  login: Login,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, DockerConfig.Services> =>
  Effect.gen(function* () {
    const [path] = (yield* locations(options)).places
    if (path === undefined)
      return yield* new CredentialsFailure({
        source: "podman's auth.json",
        problem: "there is no place for it: neither HOME nor XDG_RUNTIME_DIR is set",
        fix: "Set one of them, or give a path"
      })
    yield* AuthFileLogins.store({ path }, identity, host, login, options.helpers)
  })

/**
 * Erases the login of a host from all the files that `layer` reads. Otherwise this is like
 * `DockerConfig.erase`, with the same failures.
 *
 * @since 0.1.0
 * @category operations
 */
export const erase = (
  host: string,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, DockerConfig.Services> =>
  Effect.gen(function* () {
    for (const path of (yield* locations(options)).places)
      yield* AuthFileLogins.erase({ path }, host, options.helpers)
  })
