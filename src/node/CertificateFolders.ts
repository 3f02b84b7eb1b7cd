/**
 * The certificates that container tools keep on a machine, in folders called `certs.d` with one
 * folder for each host. They mean here what they mean to docker and podman.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import { homedir } from "node:os"
import * as Path from "node:path"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { codeOf } from "../internal/CauseDetails.js"
import { CredentialsFailure } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import type { TlsSettings } from "./TlsSettings.js"

/**
 * Returns the folders of container tools, the user's own first: `~/.config/containers/certs.d`
 * (podman, skopeo), `$XDG_CONFIG_HOME/docker/certs.d` or `~/.config/docker/certs.d` (Docker without
 * root), `~/.docker/certs.d` (Docker Desktop), `/etc/containers/certs.d` and `/etc/docker/certs.d`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultFolders = (): ReadonlyArray<string> => [
  Path.join(homedir(), ".config/containers/certs.d"),
  Path.join(process.env["XDG_CONFIG_HOME"] || Path.join(homedir(), ".config"), "docker/certs.d"),
  Path.join(homedir(), ".docker/certs.d"),
  "/etc/containers/certs.d",
  "/etc/docker/certs.d"
]

/**
 * The TLS settings of a host, and the folder they are from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly folder: string
  readonly settings: TlsSettings
}

/**
 * Finds the TLS settings of a host, if one of the folders has any. In its folder, which is called
 * `host` or `host:port`, each `*.crt` has authorities to trust, and each pair of `*.cert` and
 * `*.key` is a client certificate; other files are ignored. The first of `folders` that has the
 * host decides alone. Folders that are missing, or that this user may not enter, count as empty.
 *
 * Fails with `CredentialsFailure` when one half of a pair is missing, or a file cannot be read.
 *
 * @example
 * ```ts
 * import { CertificateFolders } from "effect-oci/node"
 *
 * const found = CertificateFolders.find(
 *   CertificateFolders.defaultFolders(),
 *   "registry.example.com:5000"
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const find = (
  folders: Iterable<string>,
  host: string
): Either.Either<Option.Option<Found>, CredentialsFailure> =>
  Either.gen(function* () {
    const wanted = Option.getOrUndefined(Host.fromString(host, "https"))
    for (const folder of folders) {
      for (const name of Option.getOrElse(yield* list(folder), () => [])) {
        if (!Option.contains(Host.fromString(name, "https"), wanted)) continue
        const own = Path.join(folder, name)
        const files = yield* list(own)
        if (Option.isSome(files))
          return Option.some({ folder: own, settings: yield* read(own, files.value) })
      }
    }
    return Option.none()
  })

const read = (
  folder: string,
  files: ReadonlyArray<string>
): Either.Either<TlsSettings, CredentialsFailure> =>
  Either.gen(function* () {
    const stems = (extension: string) =>
      files
        .filter((file) => file.endsWith(extension))
        .map((file) => file.slice(0, -extension.length))
    const [certs, keys] = [stems(".cert"), stems(".key")]
    const [alone] = [
      ...certs
        .filter((stem) => !keys.includes(stem))
        .map((stem) => [`${stem}.cert`, `${stem}.key`] as const),
      ...keys
        .filter((stem) => !certs.includes(stem))
        .map((stem) => [`${stem}.key`, `${stem}.cert`] as const)
    ]
    if (alone !== undefined)
      return yield* Either.left(
        new CredentialsFailure({
          source: Path.join(folder, alone[0]),
          problem: `${alone[1]} is missing beside it`,
          fix: pairs
        })
      )
    const ca = yield* Either.all(
      stems(".crt").map((stem) => text(Path.join(folder, `${stem}.crt`)))
    )
    const certificates = yield* Either.all(
      certs.map((stem) =>
        Either.all({
          cert: text(Path.join(folder, `${stem}.cert`)),
          key: Either.map(text(Path.join(folder, `${stem}.key`)), (key) => Redacted.make(key))
        })
      )
    )
    return { ca, certificates }
  })

const text = (path: string): Either.Either<string, CredentialsFailure> =>
  Either.mapLeft(
    Either.try(() => Fs.readFileSync(path, "utf8")),
    (cause) => unreadable(path, cause)
  )

/**
 * Lists the names in a folder, sorted, so that the same files always give the same settings; none
 * where there is no such folder for this user.
 */
const list = (
  folder: string
): Either.Either<Option.Option<ReadonlyArray<string>>, CredentialsFailure> =>
  Either.match(
    Either.try(() => Fs.readdirSync(folder).sort()),
    {
      onLeft: (cause) =>
        absent.has(codeOf(cause))
          ? Either.right(Option.none())
          : Either.left(unreadable(folder, cause)),
      onRight: (names) => Either.right(Option.some(names))
    }
  )

const absent = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM"])

const pairs =
  "A client certificate is a pair of .cert and .key; certificates of authorities end in .crt"
const permissions =
  "Let this user read it, or name other folders in the option certificateFolders, [] for none"

const unreadable = (path: string, cause: unknown) =>
  new CredentialsFailure({
    source: path,
    problem: `it cannot be read (${codeOf(cause)})`,
    fix: permissions
  })
