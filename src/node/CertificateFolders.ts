/**
 * The certificates that container tools keep on a machine: folders called `certs.d`, with one folder for each host.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import { homedir } from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure, StorageFailure } from "../RegistryError.js"
import { type ClientCertificate, hostOf, type TlsSettings } from "./TlsSettings.js"

/**
 * Where podman, skopeo and Docker look: `~/.config/containers/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d`.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultFolders: ReadonlyArray<string> = [
  Path.join(homedir(), ".config/containers/certs.d"),
  "/etc/containers/certs.d",
  "/etc/docker/certs.d"
]

/**
 * Reads such folders, for `NodeHttp.Options.tls`. In the folder `host` or `host:port`, each `*.crt` holds authorities to trust, and each pair of
 * `*.cert` and `*.key` a client certificate; other files, and folders not named for a host, are passed over. A host is taken whole from the first of the folders that has it. Folders
 * that are missing, or that this user may not enter, are as empty.
 *
 * Fails with `CredentialsFailure` when one half of a pair is missing, and with `StorageFailure` when a file cannot be read.
 *
 * @example
 * import { CertificateFolders, NodeHttp } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Layer.unwrapEffect(Effect.map(CertificateFolders.read(), (tls) => NodeHttp.layer({ tls })))
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  folders: Iterable<string> = defaultFolders
): Effect.Effect<Readonly<Record<string, TlsSettings>>, CredentialsFailure | StorageFailure> =>
  Effect.gen(function* () {
    const found = new Map<string, TlsSettings>()
    for (const folder of folders) {
      for (const name of yield* list(folder)) {
        const host = hostOf(name)
        if (host !== undefined && !found.has(host)) found.set(host, yield* readHost(Path.join(folder, name)))
      }
    }
    return Object.fromEntries(found)
  })

const readHost = (folder: string): Effect.Effect<TlsSettings, CredentialsFailure | StorageFailure> =>
  Effect.gen(function* () {
    const files = yield* list(folder)
    const stems = (extension: string) =>
      files.filter((file) => file.endsWith(extension)).map((file) => file.slice(0, -extension.length))
    const [certs, keys] = [stems(".cert"), stems(".key")]
    const [alone] = [
      ...certs.filter((stem) => !keys.includes(stem)).map((stem) => [`${stem}.cert`, `${stem}.key`] as const),
      ...keys.filter((stem) => !certs.includes(stem)).map((stem) => [`${stem}.key`, `${stem}.cert`] as const)
    ]
    if (alone !== undefined)
      return yield* new CredentialsFailure({
        source: Path.join(folder, alone[0]),
        problem: `${alone[1]} is missing beside it`,
        fix: "A client certificate is a pair of .cert and .key; certificates of authorities end in .crt"
      })
    const ca = yield* Effect.forEach(stems(".crt"), (stem) => text(Path.join(folder, `${stem}.crt`)))
    const certificates = yield* Effect.forEach(certs, (stem) => pair(Path.join(folder, stem)))
    return { ca, certificates }
  })

const pair = (stem: string): Effect.Effect<ClientCertificate, StorageFailure> =>
  Effect.all({ cert: text(`${stem}.cert`), key: Effect.map(text(`${stem}.key`), (key) => Redacted.make(key)) })

const text = (path: string): Effect.Effect<string, StorageFailure> => attempt(path, () => Fs.readFile(path, "utf8"))

/** The names in a folder, sorted, so that the same files always give the same settings. */
const list = (folder: string): Effect.Effect<ReadonlyArray<string>, StorageFailure> =>
  Effect.catchAll(
    attempt(folder, async () => (await Fs.readdir(folder)).sort()),
    (failure) => (isAbsent(failure.cause) ? Effect.succeed([]) : Effect.fail(failure))
  )

const isAbsent = (cause: unknown): boolean =>
  cause instanceof Error &&
  "code" in cause &&
  typeof cause.code === "string" &&
  ["ENOENT", "ENOTDIR", "EACCES"].includes(cause.code)

const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, StorageFailure> =>
  Effect.tryPromise({ try: run, catch: (cause) => new StorageFailure({ path, cause }) })
