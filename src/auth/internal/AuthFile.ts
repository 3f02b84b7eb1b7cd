/**
 * The file that `docker login` and `podman login` write: who may log in where, and which helper
 * programs know the rest. One format, read the same wherever it is kept.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { CredentialsFailure } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import {
  type Credential,
  type Demand,
  fromLogin,
  identityToken,
  registryToken
} from "../Credentials.js"
import { members } from "./Members.js"
import { isLossy, problemOf } from "./Sendable.js"

/**
 * A file as it was read. `source` names it in failures. The keys of `auths` are hosts, URLs
 * (Docker's older form) or, podman's form, a host and the beginning of a repository's name; those
 * of `credHelpers` are hosts, and no helper at all is none for this host, the default one included.
 */
export interface AuthFile {
  readonly source: string
  readonly auths: ReadonlyMap<string, Entry>
  readonly credHelpers: ReadonlyMap<string, Option.Option<string>>
  readonly credsStore: Option.Option<string>
}

/** What one key has: nothing but a note that a helper knows it, or one of the forms of a login. */
export interface Entry {
  readonly auth: Option.Option<Redacted.Redacted>
  readonly username: Option.Option<string>
  readonly password: Option.Option<Redacted.Redacted>
  readonly identityToken: Option.Option<Redacted.Redacted>
  readonly registryToken: Option.Option<Redacted.Redacted>
}

/**
 * Reads the text of a file. `legacy` is the form of `~/.dockercfg`, which is `auths` alone.
 *
 * Fails with `CredentialsFailure` when the text is not JSON, or not of this form.
 */
export const parse = (
  text: string,
  options: { readonly source: string; readonly legacy?: boolean | undefined }
): Effect.Effect<AuthFile, CredentialsFailure> =>
  Effect.gen(function* () {
    const { source } = options
    const json = parseJson(text)
    if (Option.isNone(json))
      return yield* failure(
        source,
        "it is not JSON",
        "Correct it, or log in again if a login wrote it"
      )
    const file = decodeFile(options.legacy === true ? { auths: json.value } : json.value)
    return Option.isSome(file)
      ? { source, ...file.value }
      : yield* failure(
          source,
          "it does not have the form of Docker's config.json",
          '"auths", "credHelpers" and "credsStore" are read: ' +
            "objects of objects and of strings, and a string"
        )
  })

/**
 * What a file says of a place: the helper to ask, under `name`, if there is one, and the entry that
 * counts where no helper knows anybody.
 */
export interface Found {
  readonly file: AuthFile
  readonly name: string
  readonly helper: Option.Option<{ readonly suffix: string; readonly isDefault: boolean }>
  readonly entry: Either.Either<Option.Option<Credential>, CredentialsFailure>
}

/**
 * Looks for the place of a demand, none if its origin is no host. The helper named for the host
 * comes before the default helper. `auths` is searched for the repository, then for what its name
 * begins with, then for the host; hosts must be equal after normalisation (T15), and all names of
 * Docker Hub are one. `entry` is a `CredentialsFailure` when the entry is broken.
 */
export const find = (file: AuthFile, demand: Demand): Option.Option<Found> =>
  Option.map(placeOf(demand), (place) => {
    const own = keyOf(file.credHelpers.keys(), demand, { ...place, paths: [] })
    const key = keyOf(file.auths.keys(), demand, place)
    const entry = key === undefined ? undefined : file.auths.get(key)
    return {
      file,
      name: place.name,
      helper:
        own === undefined
          ? Option.map(file.credsStore, (suffix) => ({ suffix, isDefault: true }))
          : Option.map(file.credHelpers.get(own) ?? Option.none(), (suffix) => ({
              suffix,
              isDefault: false
            })),
      entry:
        key === undefined || entry === undefined
          ? Either.right(Option.none())
          : Either.map(
              credentialOf(file.source, key, entry),
              Option.map((credential) => ({ ...credential, source: file.source }))
            )
    }
  })

// -----------------------------------------------------------------------------
// The format
// -----------------------------------------------------------------------------

const text = Schema.optional(Schema.String)

const EntryJson = Schema.Struct({
  auth: text,
  username: text,
  password: text,
  identitytoken: text,
  registrytoken: text
})

const FileJson = Schema.Struct({
  auths: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  credHelpers: Schema.optional(
    Schema.Record({ key: Schema.String, value: Schema.NullOr(Schema.String) })
  ),
  credsStore: text
})

const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

const decodeFile = (json: unknown): Option.Option<Omit<AuthFile, "source">> =>
  Option.gen(function* () {
    const file = yield* Schema.decodeUnknownOption(FileJson)(
      members(json, Object.keys(FileJson.fields))
    )
    // Maps, since "__proto__" may be a key (T21).
    const auths = new Map<string, Entry>()
    for (const [key, value] of Object.entries(file.auths ?? {}))
      auths.set(key, yield* decodeEntry(value))
    const credHelpers = new Map(
      Object.entries(file.credHelpers ?? {}).map(([key, suffix]) => [key, nonEmpty(suffix)])
    )
    return { auths, credHelpers, credsStore: nonEmpty(file.credsStore) }
  })

const decodeEntry = (json: unknown): Option.Option<Entry> =>
  Option.map(
    Schema.decodeUnknownOption(EntryJson)(members(json ?? {}, Object.keys(EntryJson.fields))),
    (entry) => {
      const secret = (text: string | undefined) => Option.map(nonEmpty(text), Redacted.make)
      return {
        auth: secret(entry.auth),
        username: nonEmpty(entry.username),
        password: secret(entry.password),
        identityToken: secret(entry.identitytoken),
        registryToken: secret(entry.registrytoken)
      }
    }
  )

const nonEmpty = (text: string | null | undefined): Option.Option<string> =>
  text === null || text === undefined || text === "" ? Option.none() : Option.some(text)

/** The credential of an entry, if a request can carry it as it is. */
const credentialOf = (
  source: string,
  key: string,
  entry: Entry
): Either.Either<Option.Option<Credential>, CredentialsFailure> => {
  const name = ServerText.escaped(key, 255)
  const broken = (problem: string) =>
    failure(source, problem, "Correct it, or log in again if a login wrote it")
  return Either.flatMap(
    loginOf(entry, (member, problem) => broken(`"${member}" of ${name} ${problem}`)),
    (login) => {
      const problem = Option.getOrUndefined(Option.map(login, problemOf))
      return problem === undefined
        ? Either.right(login)
        : Either.left(broken(`the login of ${name} cannot be sent: ${problem}`))
    }
  )
}

/** The order is Docker's: tokens before passwords, `auth` before the pair. */
const loginOf = (
  { auth, identityToken: identity, password, registryToken: registry, username }: Entry,
  broken: (member: string, problem: string) => CredentialsFailure
): Either.Either<Option.Option<Credential>, CredentialsFailure> => {
  const found = (credential: Credential) => Either.right(Option.some(credential))
  const lossy = (member: string) => Either.left(broken(member, "holds bytes that are not UTF-8"))
  if (Option.isSome(registry)) return found(registryToken(registry.value))
  if (Option.isSome(identity))
    return isLossy(Redacted.value(identity.value))
      ? lossy("identitytoken")
      : found(identityToken(identity.value))
  if (Option.isSome(auth)) {
    const bytes = decodeBase64(Redacted.value(auth.value))
    const text = Option.flatMap(bytes, decodeUtf8)
    if (Option.isSome(bytes) && Option.isNone(text)) return lossy("auth")
    const login = Option.flatMap(text, splitLogin)
    return Option.isSome(login)
      ? found(fromLogin(...login.value))
      : Either.left(broken("auth", 'is not the base64 form of "user:password"'))
  }
  if (Option.isNone(username) || Option.isNone(password)) return Either.right(Option.none())
  if (isLossy(username.value)) return lossy("username")
  if (isLossy(Redacted.value(password.value))) return lossy("password")
  return found(fromLogin(username.value, password.value))
}

/** Standard base64, on one line or several, with or without its padding. */
const decodeBase64 = (text: string): Option.Option<Uint8Array> => {
  const bare = text.replace(/\s+/g, "").replace(/={1,2}$/, "")
  return Either.getRight(Encoding.decodeBase64(bare + "=".repeat((4 - (bare.length % 4)) % 4)))
}

const decodeUtf8 = Option.liftThrowable((bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
)

/** NULs at the end are the padding of an old client. */
const splitLogin = (
  login: string
): Option.Option<readonly [username: string, password: Redacted.Redacted]> => {
  const at = login.indexOf(":")
  if (at < 1) return Option.none()
  let end = login.length
  while (login.charAt(end - 1) === "\0") end--
  return Option.some([login.slice(0, at), Redacted.make(login.slice(at + 1, end))])
}

const failure = (source: string, problem: string, fix: string): CredentialsFailure =>
  new CredentialsFailure({ source, problem, fix })

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

/**
 * Where a demand is made: the `host` to compare, the `name` to ask helpers for, and `paths`, from
 * the longest.
 */
interface Place {
  readonly host: string
  readonly name: string
  readonly paths: ReadonlyArray<string>
}

const placeOf = ({ origin, repository }: Demand): Option.Option<Place> =>
  Option.map(Option.fromNullable(hostOf(origin, origin)), (host) => {
    const parts = repository?.split("/") ?? []
    return {
      host,
      name: new URL(origin).host,
      paths: parts.map((_, index) => `${host}/${parts.slice(0, parts.length - index).join("/")}`)
    }
  })

/**
 * The key for a place: podman's longest first, then the host, exactly as it is spelled before any
 * other spelling.
 */
const keyOf = (
  keys: Iterable<string>,
  { origin }: Demand,
  { host, name, paths }: Place
): string | undefined => {
  const all = [...keys]
  const scoped = new Map(all.map((key) => [scopeOf(key, origin), key]))
  for (const path of paths) {
    const key = scoped.get(path)
    if (key !== undefined) return key
  }
  return all.find((key) => key === name) ?? all.find((key) => hostOf(key, origin) === host)
}

/**
 * The normalised host of a key without a path, or with one that is no repository's: a URL, or the
 * end of a first-generation index.
 */
const hostOf = (key: string, origin: string): string | undefined => {
  const bare = key.replace(/^https?:\/\//i, "")
  const [written = ""] = bare.split("/", 1)
  const path = bare.slice(written.length)
  if (/^\/?$|^\/v[12]\/?$/.test(path)) return normalised(written, origin)
  if (bare === key || /\/(access|refresh)-token\/?$/.test(path)) return undefined
  const host = normalised(written, origin)
  return host === Host.dockerHub ? undefined : host
}

/** Whether a key is for the host of a demand, in whatever spelling, and for no part of it alone. */
export const isKeyOf =
  ({ origin }: Demand) =>
  (key: string): boolean => {
    const host = hostOf(key, origin)
    return host !== undefined && host === hostOf(origin, origin)
  }

/** Whether a key is one of those under which Docker Desktop keeps the tokens of Docker Hub. */
export const isDesktopToken = (key: string): boolean =>
  /^https?:\/\/index\.docker\.io\/v1\/(access|refresh)-token\/?$/i.test(key)

/** A host and the beginning of a repository's name, the host normalised. */
const scopeOf = (key: string, origin: string): string | undefined => {
  const slash = key.indexOf("/")
  if (slash === -1 || hostOf(key, origin) !== undefined) return undefined
  const host = normalised(key.slice(0, slash), origin)
  return host === undefined ? undefined : host + key.slice(slash)
}

/** A port that the scheme of the demand implies is left out. */
const normalised = (host: string, origin: string): string | undefined =>
  Option.getOrUndefined(Host.fromString(host, origin.startsWith("http:") ? "http" : "https"))
