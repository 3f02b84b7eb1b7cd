/**
 * What Node's TLS does not know by itself: private authorities, client certificates, and hosts whose certificate is not to be checked. Settings belong
 * to one host each, so that no other host ever sees a client certificate, wherever a registry redirects to (GHSA-h3wm-jjqf-8jm2).
 *
 * @since 0.1.0
 */
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure } from "../RegistryError.js"
import { apiHost } from "../spec/Reference.js"

/**
 * How to meet one host.
 *
 * - `ca`: certificates of authorities (PEM), trusted besides those that Node brings and those of `NODE_EXTRA_CA_CERTS`.
 * - `certificates`: what the host may choose from to know the client by.
 * - `rejectUnauthorized`: whether a host that cannot prove its name is refused, true by default. With `false` anyone on the way can read and change
 *   everything, credentials included; every use of it is logged as a warning.
 *
 * @since 0.1.0
 * @category models
 */
export interface TlsSettings {
  readonly ca?: ReadonlyArray<string> | undefined
  readonly certificates?: ReadonlyArray<ClientCertificate> | undefined
  readonly rejectUnauthorized?: boolean | undefined
}

/**
 * A client certificate with its chain, and its private key, both PEM. `passphrase` is that of an encrypted key.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientCertificate {
  readonly cert: string
  readonly key: Redacted.Redacted
  readonly passphrase?: Redacted.Redacted | undefined
}

/**
 * Settings as Node takes them. The certificates are parsed once, not for every connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectOptions {
  readonly secureContext?: Tls.SecureContext
  readonly rejectUnauthorized?: boolean
}

/**
 * Checks settings and prepares them: what to connect to a host with, the host as in `URL.host` over https. A key is `host` or `host:port`; all names
 * of Docker Hub are one. `ca` is for all hosts. Logs a warning for each host that is not checked.
 *
 * Fails with `CredentialsFailure` when a key is not a host, or a certificate or private key does not parse.
 *
 * @since 0.1.0
 * @category constructors
 */
export const prepare = (
  settings: Readonly<Record<string, TlsSettings>>,
  ca: ReadonlyArray<string>
): Effect.Effect<(host: string) => ConnectOptions, CredentialsFailure> =>
  Effect.gen(function* () {
    const others = yield* connectOptions("every host", {}, ca)
    const byHost = new Map<string, ConnectOptions>()
    for (const [key, own] of Object.entries(settings)) {
      const host = hostOf(key)
      if (host === undefined)
        return yield* new CredentialsFailure({
          source: "the TLS settings",
          problem: "a key is not a host",
          fix: 'Write a host such as "registry.example.com" or "localhost:5000", without scheme, path or user name'
        })
      if (own.rejectUnauthorized === false)
        yield* Effect.logWarning(
          `The certificate of ${host} is not checked: anyone between here and there can read and change everything`
        )
      byHost.set(host, yield* connectOptions(host, own, ca))
    }
    return (host) => byHost.get(host) ?? others
  })

/**
 * The host that a key of the settings names, in the form of `URL.host` over https, or `undefined` if it names none.
 *
 * @since 0.1.0
 * @category getters
 */
export const hostOf = (key: string): string | undefined => {
  const url = URL.canParse(`https://${key}`) ? new URL(`https://${key}`) : undefined
  return url === undefined || url.href !== `https://${url.host}/` || /[/\\?#@\s]/.test(key)
    ? undefined
    : apiHost(url.host)
}

const connectOptions = (
  host: string,
  { ca: own = [], certificates = [], rejectUnauthorized }: TlsSettings,
  shared: ReadonlyArray<string>
): Effect.Effect<ConnectOptions, CredentialsFailure> =>
  Effect.gen(function* () {
    const ca = [...own, ...shared]
    const verification = rejectUnauthorized === undefined ? {} : { rejectUnauthorized }
    if (ca.length === 0 && certificates.length === 0) return verification
    const parse = <A>(what: string, evaluate: () => A) => Effect.try({ try: evaluate, catch: () => broken(host, what) })
    // Of a list in which nothing is a certificate, Node says nothing.
    for (const pem of ca) yield* parse("a certificate of an authority", () => new X509Certificate(pem))
    const known = ca.length === 0 ? undefined : [...Tls.rootCertificates, ...(yield* extraAuthorities), ...ca]
    const secureContext = yield* parse("a client certificate or its private key", () =>
      Tls.createSecureContext({
        ca: known,
        cert: certificates.map(({ cert }) => cert),
        key: certificates.map(({ key, passphrase }) => ({
          pem: Redacted.value(key),
          ...(passphrase !== undefined && { passphrase: Redacted.value(passphrase) })
        }))
      })
    )
    return { ...verification, secureContext }
  })

/** Node forgets them as soon as other authorities are named. As Node does, a file that cannot be read is passed over. */
const extraAuthorities: Effect.Effect<ReadonlyArray<string>> = Effect.suspend(() => {
  const path = process.env["NODE_EXTRA_CA_CERTS"] ?? ""
  return path === ""
    ? Effect.succeed([])
    : Effect.orElseSucceed(
        Effect.map(
          Effect.tryPromise(() => Fs.readFile(path, "utf8")),
          (pem) => [pem]
        ),
        () => []
      )
})

/** OpenSSL's own words can hold what it read, so they are not passed on (T13). */
const broken = (host: string, what: string) =>
  new CredentialsFailure({
    source: `the TLS settings for ${host}`,
    problem: `${what} does not parse`,
    fix: "It must be PEM, of the form -----BEGIN …-----; a key must fit its certificate and its passphrase"
  })
