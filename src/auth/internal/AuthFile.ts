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
import { apiHost } from "../../spec/Reference.js"
import {
  type Credential,
  type Demand,
  fromLogin,
  identityToken,
  registryToken
} from "../Credentials.js"
import { isHeaderSafe } from "./Secrets.js"

/**
 * A file as it was read. `source` names it in failures. The keys of `auths` are hosts, URLs
 * (Docker's older form) or, podman's form, a host and the beginning of a repository's name; those
 * of `credHelpers` are hosts.
 */
export interface AuthFile {
  readonly source: string
  readonly auths: ReadonlyMap<string, Entry>
  readonly credHelpers: ReadonlyMap<string, string>
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
  Effect.suspend(() => {
    const { source } = options
    const json = Option.getOrUndefined(parseJson(text))
    if (json === undefined)
      return broken(source, "it is not JSON", "Correct it, or log in again if a login wrote it")
    const decoded = Option.getOrUndefined(
      decodeFile(options.legacy === true ? { auths: json } : json)
    )
    if (decoded === undefined) {
      return broken(
        source,
        "it does not have the form of Docker's config.json",
        '"auths", "credHelpers" and "credsStore" are read: objects of objects and of strings, and a string'
      )
    }
    return Effect.succeed({
      source,
      // A Map, since "__proto__" may be a key (T21).
      auths: new Map(
        Object.entries(decoded.auths ?? {}).map(([key, entry]) => [key, entryOf(entry)])
      ),
      credHelpers: new Map(Object.entries(decoded.credHelpers ?? {})),
      credsStore: nonEmpty(decoded.credsStore)
    })
  })

/**
 * What a file says of a place: the helper to ask, under `name`, if there is one, and the entry that
 * counts where no helper knows anybody.
 */
export interface Found {
  readonly file: AuthFile
  readonly name: string
  readonly helper: Option.Option<{ readonly suffix: string; readonly isDefault: boolean }>
  readonly entry: Effect.Effect<Option.Option<Credential>, CredentialsFailure>
}

/**
 * Looks for the place of a demand, none if its origin is no host. The helper named for the host
 * comes before the default helper. `auths` is searched for the repository, then for what its name
 * begins with, then for the host; hosts must be equal after normalisation (T15), and all names of
 * Docker Hub are one. `entry` fails with `CredentialsFailure` when the entry is broken.
 */
export const find = (file: AuthFile, demand: Demand): Option.Option<Found> =>
  Option.map(placeOf(demand), (place) => {
    const own = [...file.credHelpers].find(([key]) => hostOf(key, demand.origin) === place.host)
    const key = keyOf(file.auths.keys(), demand, place)
    const entry = key === undefined ? undefined : file.auths.get(key)
    return {
      file,
      name: place.name,
      helper:
        own === undefined
          ? Option.map(file.credsStore, (suffix) => ({ suffix, isDefault: true }))
          : Option.some({ suffix: own[1], isDefault: false }),
      entry:
        key === undefined || entry === undefined
          ? Effect.succeedNone
          : credentialOf(file.source, key, entry)
    }
  })

// -----------------------------------------------------------------------------
// The format
// -----------------------------------------------------------------------------

const text = Schema.optional(Schema.NullOr(Schema.String))

const EntryJson = Schema.Struct({
  auth: text,
  username: text,
  password: text,
  identitytoken: text,
  registrytoken: text
})

const FileJson = Schema.Struct({
  auths: Schema.optional(
    Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.NullOr(EntryJson) }))
  ),
  credHelpers: Schema.optional(
    Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String }))
  ),
  credsStore: text
})

const decodeFile = Schema.decodeUnknownOption(FileJson)
const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

const nonEmpty = (text: string | null | undefined): Option.Option<string> =>
  text === null || text === undefined || text === "" ? Option.none() : Option.some(text)

const entryOf = (entry: Schema.Schema.Type<typeof EntryJson> | null): Entry => {
  const secret = (text: string | null | undefined) => Option.map(nonEmpty(text), Redacted.make)
  return {
    auth: secret(entry?.auth),
    username: nonEmpty(entry?.username),
    password: secret(entry?.password),
    identityToken: secret(entry?.identitytoken),
    registryToken: secret(entry?.registrytoken)
  }
}

const broken = (source: string, problem: string, fix: string) =>
  new CredentialsFailure({ source, problem, fix })

/** Docker's order: tokens before passwords, `auth` before the pair. */
const credentialOf = (
  source: string,
  key: string,
  entry: Entry
): Effect.Effect<Option.Option<Credential>, CredentialsFailure> => {
  const of = (member: string) => `"${member}" of ${JSON.stringify(key.slice(0, 255))}`
  if (Option.isSome(entry.registryToken)) {
    return isHeaderSafe(Redacted.value(entry.registryToken.value))
      ? Effect.succeedSome(registryToken(entry.registryToken.value))
      : broken(
          source,
          `${of("registrytoken")} is not what a header can carry`,
          "Look for white space or a line break"
        )
  }
  if (Option.isSome(entry.identityToken))
    return Effect.succeedSome(identityToken(entry.identityToken.value))
  if (Option.isSome(entry.auth)) {
    const login = decodeAuth(Redacted.value(entry.auth.value))
    return login === undefined
      ? broken(
          source,
          `${of("auth")} is not the base64 form of "user:password"`,
          "Correct it, or log in again if a login wrote it"
        )
      : Effect.succeedSome(fromLogin(login.username, login.password))
  }
  return Effect.succeed(
    Option.map(Option.all([entry.username, entry.password]), ([username, password]) =>
      fromLogin(username, password)
    )
  )
}

/**
 * Standard base64, on one line or several, with or without its padding; NULs at the end are the
 * padding of an old client.
 */
const decodeAuth = (
  auth: string
): { readonly username: string; readonly password: Redacted.Redacted } | undefined => {
  const bare = auth.replace(/\s+/g, "").replace(/={1,2}$/, "")
  const padded = bare + "=".repeat((4 - (bare.length % 4)) % 4)
  const decoded = Option.getOrUndefined(Either.getRight(Encoding.decodeBase64String(padded)))
  const at = decoded?.indexOf(":") ?? -1
  if (decoded === undefined || at < 1) return undefined
  let end = decoded.length
  while (decoded.charAt(end - 1) === "\0") end--
  return { username: decoded.slice(0, at), password: Redacted.make(decoded.slice(at + 1, end)) }
}

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
    const parts = Option.match(repository, { onNone: () => [], onSome: (name) => name.split("/") })
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
  const [host = ""] = bare.split("/", 1)
  return bare === host ||
    bare !== key ||
    /^\/v[12]\/$/.test(bare.slice(host.length)) ||
    bare === `${host}/`
    ? normalised(host, origin)
    : undefined
}

/** A host and the beginning of a repository's name, the host normalised. */
const scopeOf = (key: string, origin: string): string | undefined => {
  const slash = key.indexOf("/")
  if (slash === -1 || hostOf(key, origin) !== undefined) return undefined
  const host = normalised(key.slice(0, slash), origin)
  return host === undefined ? undefined : host + key.slice(slash)
}

/**
 * A port that the scheme of the demand implies is left out, and Docker Hub has one name. A user
 * name in a host makes it nobody's.
 */
const normalised = (host: string, origin: string): string | undefined => {
  const scheme = origin.slice(0, origin.indexOf(":") + 1)
  const written = `${scheme}//${host}`
  if (!URL.canParse(written)) return undefined
  const url = new URL(written)
  return url.href === `${scheme}//${url.host}/` && !/[\\@?#\s]/.test(host)
    ? apiHost(url.host)
    : undefined
}
