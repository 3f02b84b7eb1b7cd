/**
 * Where authentication files are: the environment that says so, and reading them.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CredentialsFailure } from "../RegistryError.js"
import * as AuthFile from "./AuthFile.js"

/**
 * A variable of the environment, none if it is not set or empty. Fails with `CredentialsFailure` when the source of configuration does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const variable = (name: string): Effect.Effect<Option.Option<string>, CredentialsFailure> =>
  Effect.mapBoth(Config.option(Config.string(name)), {
    onFailure: () =>
      new CredentialsFailure({
        source: `the environment variable ${name}`,
        problem: "it cannot be read",
        fix: "See what the ConfigProvider does"
      }),
    onSuccess: Option.filter((value) => value !== "")
  })

/**
 * The home directory of the user, none if the environment names none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const home: Effect.Effect<Option.Option<string>, CredentialsFailure> = Effect.zipWith(
  variable("HOME"),
  variable("USERPROFILE"),
  (unix, windows) => Option.orElse(unix, () => windows)
)

/**
 * A file that has to exist, as a list of one.
 *
 * Fails with `CredentialsFailure` when it is missing, cannot be read or is broken.
 *
 * @since 0.1.0
 * @category constructors
 */
export const required = (
  files: FileSystem.FileSystem,
  path: string
): Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure> =>
  Effect.filterOrFail(
    optional(files, path),
    (found) => found.length > 0,
    () => failure(path, "there is no such file, or nothing in it", "Log in to have it written, or name another file")
  )

/**
 * A file that need not exist or may be empty, as a list of none or one. `legacy` is the form of `~/.dockercfg`.
 *
 * Fails with `CredentialsFailure` when it cannot be read or is broken.
 *
 * @since 0.1.0
 * @category constructors
 */
export const optional = (
  files: FileSystem.FileSystem,
  path: string,
  options: { readonly legacy?: boolean } = {}
): Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure> =>
  files.readFileString(path).pipe(
    Effect.catchAll((error) =>
      error._tag === "SystemError" && error.reason === "NotFound"
        ? Effect.succeed("")
        : Effect.fail(failure(path, "it cannot be read", "See that it is a file, and who may read it"))
    ),
    // Docker takes an empty file for a missing one, too.
    Effect.flatMap((text) =>
      text.trim() === ""
        ? Effect.succeed([])
        : Effect.map(AuthFile.parse(text, { ...options, source: path }), (file) => [file])
    )
  )

const failure = (source: string, problem: string, fix: string) => new CredentialsFailure({ source, problem, fix })
