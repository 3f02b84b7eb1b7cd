/**
 * Authentication files as a source of credentials: where they are, reading them, and asking the
 * helpers that they name.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { CredentialsFailure } from "../../RegistryError.js"
import type * as CredentialHelper from "../CredentialHelper.js"
import { anonymous, type Credential, type Credentials, type Demand } from "../Credentials.js"
import * as AuthFile from "./AuthFile.js"
import * as Changes from "./Changes.js"
import * as HelperProgram from "./HelperProgram.js"

/**
 * Files are read again after a minute, in milliseconds: another program may have logged in, and not
 * every refusal says that a login has expired.
 */
const maxAge = 60_000

/** Of places that are remembered, of one reading. */
const capacity = 1000

/**
 * One reading of the files: what they say of places that were looked up, and the default helpers
 * that turned out not to be installed.
 */
interface Reading {
  readonly files: ReadonlyArray<AuthFile.AuthFile>
  readonly at: number
  readonly changes: number
  readonly places: Map<string, ReadonlyArray<AuthFile.Found>>
  readonly missing: Set<string>
}

/**
 * The source that looks into the files that `load` yields, in order: the first that has a
 * credential, from a helper or of its own. They are loaded when first asked for, and again after a
 * minute, a rejection or a failure. A default helper that is not installed is passed over, with a
 * warning. `places` names the files for errors, those that do not exist included.
 *
 * Fails with `CredentialsFailure` when the entry found is broken, or a helper fails.
 *
 * @internal
 */
export const source = (
  load: Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure>,
  helpers: CredentialHelper.Helpers,
  places: ReadonlyArray<string>
): Credentials.Service => {
  let reading: Reading | undefined
  const warned = new Set<string>()

  const warn = (program: string, { file }: AuthFile.Found): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (warned.has(program)) return Effect.void
      warned.add(program)
      return Effect.logWarning(
        `${program}, the default helper in ${file.source}, ` +
          "is not installed or not executable, and done without"
      )
    })

  const askHelper = (
    { missing }: Reading,
    found: AuthFile.Found,
    rejected: Credential | undefined
  ): Effect.Effect<Option.Option<Credential>, CredentialsFailure> =>
    Option.match(found.helper, {
      onNone: () => Effect.succeedNone,
      onSome: ({ isDefault, suffix }) =>
        isDefault && missing.has(suffix)
          ? Effect.succeedNone
          : helpers.get(suffix, found.name, rejected).pipe(
              Effect.catchTag("HelperMissing", ({ program }) => {
                if (!isDefault) return HelperProgram.missing(program)
                missing.add(suffix)
                return Effect.as(warn(program, found), Option.none())
              }),
              Effect.mapBoth({
                onFailure: (error) => namedIn(found.file, error),
                onSuccess: (known) =>
                  Option.map(known, (credential: Credential) => ({
                    ...credential,
                    source: `${HelperProgram.programOf(suffix)} (named in ${found.file.source})`
                  }))
              })
            )
    })

  return {
    get: (demand, rejected) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const changes = Changes.count()
        const current: Reading =
          reading?.changes === changes && rejected === undefined && now < reading.at + maxAge
            ? reading
            : { files: yield* load, at: now, changes, places: new Map(), missing: new Set() }
        reading = current
        const here = lookUp(current, demand)
        for (const found of here) {
          const known = yield* askHelper(current, found, rejected)
          if (Option.isSome(known)) return known.value
          if (Either.isLeft(found.entry)) return yield* found.entry.left
          if (Option.isSome(found.entry.right)) return found.entry.right.value
        }
        const asked = here.flatMap(({ helper }) => Option.toArray(helper))
        return {
          ...anonymous,
          source: [...places, ...asked.map(({ suffix }) => HelperProgram.programOf(suffix))].join(
            ", "
          )
        }
      })
  }
}

/** Returns the failure of a helper with the file that names it. */
export const namedIn = (file: AuthFile.AuthFile, error: CredentialsFailure): CredentialsFailure =>
  new CredentialsFailure({ ...error, source: `${error.source} (named in ${file.source})` })

/** Every request asks, and the keys of a file are many. */
const lookUp = ({ files, places }: Reading, demand: Demand): ReadonlyArray<AuthFile.Found> => {
  const id = `${demand.origin} ${demand.repository ?? ""}`
  const known = places.get(id)
  if (known !== undefined) return known
  const found = files.flatMap((file) => Option.toArray(AuthFile.find(file, demand)))
  if (places.size >= capacity) places.clear()
  places.set(id, found)
  return found
}

/**
 * A variable of the environment, none if it is not set or empty. Fails with `CredentialsFailure`
 * when the source of configuration does.
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

/** The home directory of the user, none if the environment names none. */
export const home: Effect.Effect<Option.Option<string>, CredentialsFailure> = Effect.zipWith(
  variable("HOME"),
  variable("USERPROFILE"),
  (unix, windows) => Option.orElse(unix, () => windows)
)

/**
 * A file that has to exist, as a list of one.
 *
 * Fails with `CredentialsFailure` when it is missing, cannot be read or is broken.
 */
export const required = (
  files: FileSystem.FileSystem,
  path: string
): Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure> =>
  Effect.filterOrFail(
    optional(files, path),
    (found) => found.length > 0,
    () =>
      failure(
        path,
        "there is no such file, or nothing in it",
        "Log in to have it written, or name another file"
      )
  )

/**
 * A file that need not exist or may be empty, as a list of none or one. `legacy` is the form of
 * `~/.dockercfg`.
 *
 * Fails with `CredentialsFailure` when it cannot be read or is broken.
 */
export const optional = (
  files: FileSystem.FileSystem,
  path: string,
  options: { readonly legacy?: boolean | undefined } = {}
): Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure> =>
  files.readFileString(path).pipe(
    Effect.catchAll((error) =>
      error._tag === "SystemError" && error.reason === "NotFound"
        ? Effect.succeed("")
        : Effect.fail(
            failure(path, "it cannot be read", "See that it is a file, and who may read it")
          )
    ),
    Effect.flatMap((text) => parsed(text, { ...options, source: path }))
  )

/** Parses the text of a file. Docker takes an empty file for a missing one, too. */
export const parsed = (
  text: string,
  options: { readonly source: string; readonly legacy?: boolean | undefined }
): Effect.Effect<ReadonlyArray<AuthFile.AuthFile>, CredentialsFailure> =>
  text.trim() === ""
    ? Effect.succeed([])
    : Effect.map(AuthFile.parse(text, options), (file) => [file])

const failure = (source: string, problem: string, fix: string) =>
  new CredentialsFailure({ source, problem, fix })
