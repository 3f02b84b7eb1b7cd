/**
 * Private authorities, client certificates, and hosts whose certificate is not checked. Settings
 * belong to one host each: no other host is shown a client certificate, wherever a registry
 * redirects to (GHSA-h3wm-jjqf-8jm2).
 *
 * @since 0.1.0
 */
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
