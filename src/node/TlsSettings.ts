/**
 * What Node's TLS does not know by itself: private authorities, client certificates, and hosts
 * whose certificate is not to be checked. Settings belong to one host each, so that no other host
 * ever sees a client certificate, wherever a registry redirects to (GHSA-h3wm-jjqf-8jm2).
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
   * Certificates of authorities (PEM), trusted besides those that Node brings and those of
   * `NODE_EXTRA_CA_CERTS`. Those of a registry are trusted for its token server and its storage as
   * well, while the registry is spoken to, as docker and podman do: they can be of the same private
   * authority.
   */
  readonly ca?: ReadonlyArray<string> | undefined
  /** Client certificates for this host, and no other, to choose from. */
  readonly certificates?: ReadonlyArray<ClientCertificate> | undefined
  /**
   * Whether the host is refused when it cannot prove its name, true by default, whatever
   * `NODE_TLS_REJECT_UNAUTHORIZED` says. With `false` anyone on the way can read and change
   * everything, credentials included; every use of it is logged as a warning.
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
  /** The certificate with its chain, as PEM. */
  readonly cert: string
  /** The private key, as PEM. */
  readonly key: Redacted.Redacted
  /** That of an encrypted key. */
  readonly passphrase?: Redacted.Redacted | undefined
}
