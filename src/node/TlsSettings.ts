/**
 * What Node's TLS does not know by itself: private authorities, client certificates, and hosts whose certificate is not to be checked. Settings
 * belong to one host each, so that no other host ever sees a client certificate, wherever a registry redirects to (GHSA-h3wm-jjqf-8jm2).
 *
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"
import { apiHost } from "../spec/Reference.js"

/**
 * How to meet one host.
 *
 * - `ca`: certificates of authorities (PEM), trusted besides those that Node brings and those of `NODE_EXTRA_CA_CERTS`. Those of a registry are
 *   trusted for its token server and its storage as well, while the registry is spoken to, as docker and podman do: they can be of the same private
 *   authority.
 * - `certificates`: what the host, and no other, may choose from to know the client by.
 * - `rejectUnauthorized`: whether the host is refused when it cannot prove its name, true by default, whatever `NODE_TLS_REJECT_UNAUTHORIZED` says.
 *   With `false` anyone on the way can read and change everything, credentials included; every use of it is logged as a warning.
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
