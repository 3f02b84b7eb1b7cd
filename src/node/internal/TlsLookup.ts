/**
 * What to connect to a host with: from the settings that a program names, and from the folders on
 * its machine.
 */
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"
import * as CertificateFolders from "../CertificateFolders.js"
import type { TlsSettings } from "../TlsSettings.js"

/**
 * Where settings come from: `tls` has those of single hosts, by `host` or `host:port` (all names of
 * Docker Hub are one); those of other hosts are in `folders`, as `CertificateFolders.find` says;
 * and `ca` is trusted for all hosts.
 */
export interface Sources {
  readonly tls: Readonly<Record<string, TlsSettings | undefined>>
  readonly folders: ReadonlyArray<string>
  readonly ca: ReadonlyArray<string>
}

/** Settings as Node takes them. */
export interface ConnectOptions {
  readonly secureContext?: Tls.SecureContext
  readonly rejectUnauthorized: boolean
}

/**
 * What to connect to `host` with over https, on behalf of the registry
 * with the origin `registry`, if it is known: its authorities are trusted besides the host's own.
 * The folders are read each time, so that renewed certificates are taken; what is in them is parsed
 * again only when it has changed.
 */
export type TlsLookup = (
  host: string,
  registry?: string
) => Either.Either<ConnectOptions, CredentialsFailure>

/**
 * Checks the settings of `tls` and `ca`, and prepares the lookup. Logs a warning for each host that
 * is not checked.
 *
 * Fails with `CredentialsFailure` when a key is not a host, or a certificate or private key does
 * not parse; so does the lookup, for what is in folders.
 */
export const make = (sources: Sources): Effect.Effect<TlsLookup, CredentialsFailure> =>
  Effect.gen(function* () {
    const named = new Map<string, Sourced>()
    for (const [host, settings] of yield* Effect.mapError(
      Host.byHost(sources.tls, "https"),
      ({ message, reason }) =>
        new CredentialsFailure({
          source: "the TLS settings",
          problem: reason === "Duplicate" ? "two keys are the same host" : "a key is not a host",
          fix: message
        })
    )) {
      if (settings.rejectUnauthorized === false)
        yield* Effect.logWarning(
          `The certificate of ${host} is not checked: ` +
            "anyone between here and there can read and change everything"
        )
      named.set(host, { source: `the TLS settings for ${host}`, settings })
    }
    const settingsOf = (host: string): Either.Either<Sourced, CredentialsFailure> => {
      const own = named.get(host)
      return own !== undefined
        ? Either.right(own)
        : Either.map(
            CertificateFolders.find(sources.folders, host),
            Option.match({
              onNone: () => nothing,
              onSome: ({ folder, settings }) => ({ source: folder, settings })
            })
          )
    }
    const everywhere: Sourced = {
      source: "the TLS settings for every host",
      settings: { ca: sources.ca }
    }
    const contextOf = contexts()
    const lookup: TlsLookup = (url, registry = "") =>
      Either.gen(function* () {
        const host = Option.getOrElse(Host.fromString(url, "https"), () => url)
        const own = yield* settingsOf(host)
        // Also one that is reached over http.
        const acting = Option.getOrUndefined(
          Host.fromString(registry.replace(/^https?:\/\//, ""), "https")
        )
        const theirs = acting === undefined || acting === host ? nothing : yield* settingsOf(acting)
        const secureContext = yield* contextOf(`${host} ${acting}`, own, [own, theirs, everywhere])
        const rejectUnauthorized = own.settings.rejectUnauthorized ?? true
        return secureContext === undefined
          ? { rejectUnauthorized }
          : { rejectUnauthorized, secureContext }
      })
    for (const host of ["", ...named.keys()]) yield* lookup(host)
    return lookup
  })

interface Sourced {
  /** Where they are from, as errors call it. */
  readonly source: string
  readonly settings: TlsSettings
}

const nothing: Sourced = { source: "", settings: {} }

/**
 * To make a context takes tens of milliseconds, for all the authorities that Node brings: those of
 * equal content are one.
 */
const contexts = () => {
  const made = new Map<string, { readonly content: string; readonly context: Tls.SecureContext }>()
  return (
    name: string,
    { settings: { certificates = [] }, source }: Sourced,
    trusted: ReadonlyArray<Sourced>
  ): Either.Either<Tls.SecureContext | undefined, CredentialsFailure> =>
    Either.gen(function* () {
      const ca = trusted.flatMap(({ settings }) => settings.ca ?? [])
      if (ca.length === 0 && certificates.length === 0) return undefined
      const cert = certificates.map(({ cert }) => cert)
      const key = certificates.map(({ key, passphrase }) => ({
        pem: Redacted.value(key),
        ...(passphrase !== undefined && { passphrase: Redacted.value(passphrase) })
      }))
      const content = JSON.stringify([ca, cert, key])
      const known = [...made.values()].find((entry) => entry.content === content)?.context
      // Of a list in which nothing is a certificate, Node says nothing.
      for (const { settings, source } of known === undefined ? trusted : [])
        for (const pem of settings.ca ?? [])
          yield* parse(source, "a certificate of an authority", () => new X509Certificate(pem))
      const context =
        known ??
        (yield* parse(source, "a client certificate or its private key", () =>
          Tls.createSecureContext({
            ...(ca.length > 0 && { ca: [...trustedByNode(), ...ca] }),
            cert,
            key
          })
        ))
      made.set(name, { content, context })
      return context
    })
}

/**
 * Node forgets them as soon as other authorities are named. Before it could tell them, it had a
 * list and a variable.
 */
const trustedByNode = (): ReadonlyArray<string> => {
  if ("getCACertificates" in Tls && typeof Tls.getCACertificates === "function")
    return Tls.getCACertificates("default")
  const extra = process.env["NODE_EXTRA_CA_CERTS"] ?? ""
  // As Node does, a file that cannot be read is passed over.
  return [
    ...Tls.rootCertificates,
    ...Either.getOrElse(
      Either.try(() => [Fs.readFileSync(extra, "utf8")]),
      () => []
    )
  ]
}

/** OpenSSL's own words can hold what it read, so they are not passed on (T13). */
const parse = <A>(
  source: string,
  what: string,
  evaluate: () => A
): Either.Either<A, CredentialsFailure> =>
  Either.try({
    try: evaluate,
    catch: () =>
      new CredentialsFailure({
        source,
        problem: `${what} does not parse`,
        fix:
          "It must be PEM, of the form -----BEGIN …-----; " +
          "a key must fit its certificate and its passphrase"
      })
  })
