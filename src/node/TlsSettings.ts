/**
 * Private authorities, client certificates, and hosts whose certificate is not checked. Settings
 * belong to one host each: no other host is shown a client certificate, wherever a registry
 * redirects to (GHSA-h3wm-jjqf-8jm2).
 *
 * @since 0.1.0
 */
import { readFileSync } from "node:fs"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"

/**
 * The TLS settings of one host.
 *
 * @since 0.1.0
 * @category models
 */
export interface TlsSettings {
  /**
   * Certificates of authorities, as PEM, to trust in addition to those of Node and of
   * `NODE_EXTRA_CA_CERTS`. Those of a registry are also trusted for its token server and its
   * storage in requests on its behalf, as docker and podman do.
   */
  readonly ca?: ReadonlyArray<string> | undefined
  /** The client certificates that this host, and no other, can choose from. */
  readonly certificates?: ReadonlyArray<ClientCertificate> | undefined
  /**
   * Whether to check the certificate of the host, true by default whatever
   * `NODE_TLS_REJECT_UNAUTHORIZED` says. With `false`, anyone on the network path can read and
   * change everything, credentials included; a warning is logged for each host.
   */
  readonly rejectUnauthorized?: boolean | undefined
}

/**
 * A client certificate and its private key.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientCertificate {
  /** The certificate and its chain, as PEM. */
  readonly cert: string
  /** The private key, as PEM. */
  readonly key: Redacted.Redacted
  /** The passphrase of an encrypted key. */
  readonly passphrase?: Redacted.Redacted | undefined
}

/**
 * Reads the certificates of authorities (`ca`) from a file whose path is in the configuration under
 * a name. Without one there are none. It fails where the file cannot be read or has no certificate.
 *
 * @since 0.1.0
 * @category config
 */
export const configCa = (name: string): Config.Config<ReadonlyArray<string>> =>
  Config.withDefault(
    Config.mapOrFail(Config.string(name), (path) =>
      Either.flatMap(read(path), (text) =>
        text.includes("-----BEGIN CERTIFICATE-----")
          ? Either.right<ReadonlyArray<string>>([text])
          : Either.left(ConfigError.InvalidData([], `There is no certificate in ${path}`))
      )
    ),
    []
  )

const read = (path: string): Either.Either<string, ConfigError.ConfigError> =>
  Either.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) =>
      ConfigError.InvalidData(
        [],
        `Cannot read certificates: ${error instanceof Error ? error.message : path}`
      )
  })
