/**
 * Logins stored in authentication files and erased from them, or in the helpers that the files
 * name.
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CredentialsFailure, InvalidUrl } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"
import * as CredentialHelper from "../CredentialHelper.js"
import type { Demand, Login } from "../Credentials.js"
import * as AuthFile from "./AuthFile.js"
import * as AuthFileEdit from "./AuthFileEdit.js"
import * as AuthFileSource from "./AuthFileSource.js"
import * as Changes from "./Changes.js"
import * as SharedFile from "./SharedFile.js"
import * as StoredLogin from "./StoredLogin.js"

/**
 * A file to change. `legacy` is the form of `~/.dockercfg`; `predecessor` is a file of that form,
 * which is not read any longer once this one is there.
 */
export interface File {
  readonly path: string
  readonly legacy?: boolean | undefined
  readonly predecessor?: string | undefined
}

type Services = FileSystem.FileSystem | Path.Path | CommandExecutor.CommandExecutor

/**
 * Stores a login in a file, under the key that `keyOf` returns for its host, in place of all other
 * spellings of the host. If the file names a helper for the host, the login is stored there, and
 * the entry only says that there is one.
 */
export const store = (
  file: File,
  keyOf: (host: Host.Host) => string,
  host: string,
  login: Login,
  helpers: CredentialHelper.Options | undefined
): Effect.Effect<void, CredentialsFailure | InvalidUrl, Services> =>
  Effect.gen(function* () {
    const { demand, name } = yield* StoredLogin.placeOf(host)
    const files = yield* FileSystem.FileSystem
    const found = yield* helperIn(files, file, demand)
    const entry =
      found === undefined
        ? yield* StoredLogin.forFile(file.path, name, login)
        : yield* Effect.as(
            found.named(CredentialHelper.store(found.suffix, name, login, helpers)),
            {}
          )
    yield* SharedFile.changed(file.path, (text) =>
      Effect.gen(function* () {
        yield* AuthFileSource.parsed(text, { source: file.path })
        const current = text.trim() === "" ? yield* beginning(files, file) : text
        return AuthFileEdit.withEntry(current, AuthFile.isKeyOf(demand), keyOf(name), entry)
      })
    )
  }).pipe(Changes.counted)

/**
 * Erases the login of a host from a file, in all spellings of the host, and from the helper that
 * the file names for it. If the helper fails, the file is changed nevertheless.
 */
export const erase = (
  file: File,
  host: string,
  helpers: CredentialHelper.Options | undefined
): Effect.Effect<void, CredentialsFailure | InvalidUrl, Services> =>
  Effect.gen(function* () {
    const { demand, name } = yield* StoredLogin.placeOf(host)
    const files = yield* FileSystem.FileSystem
    const found = yield* helperIn(files, file, demand)
    const isOfHost = AuthFile.isKeyOf(demand)
    const isErased = (key: string) =>
      isOfHost(key) || (Host.isDockerHub(name) && AuthFile.isDesktopToken(key))
    const legacy = file.legacy === true
    const change = SharedFile.changed(file.path, (text) =>
      Effect.as(
        AuthFileSource.parsed(text, { source: file.path, legacy }),
        AuthFileEdit.withoutEntries(text, isErased, legacy)
      )
    )
    yield* found === undefined
      ? change
      : Effect.zipRight(change, found.named(CredentialHelper.erase(found.suffix, name, helpers)))
  }).pipe(Changes.counted)

/** The helper that a file names for a place, if it names one, and its failures with that file. */
const helperIn = (files: FileSystem.FileSystem, { legacy, path }: File, demand: Demand) =>
  Effect.map(AuthFileSource.optional(files, path, { legacy }), (found) => {
    const [file] = found
    const helper = file && Option.flatMap(AuthFile.find(file, demand), ({ helper }) => helper)
    return file === undefined || helper === undefined || Option.isNone(helper)
      ? undefined
      : {
          suffix: helper.value.suffix,
          named: <R>(effect: Effect.Effect<void, CredentialsFailure | InvalidUrl, R>) =>
            Effect.mapError(effect, (error) =>
              error._tag === "InvalidUrl" ? error : AuthFileSource.namedIn(file, error)
            )
        }
  })

/** The text that a new file begins with. */
const beginning = (files: FileSystem.FileSystem, { predecessor }: File) =>
  Effect.gen(function* () {
    if (predecessor === undefined) return ""
    const text = yield* SharedFile.read(files, predecessor)
    const found = yield* AuthFileSource.parsed(text, { source: predecessor, legacy: true })
    return found.length === 0 ? "" : `{"auths":${text.trim()}}`
  })
