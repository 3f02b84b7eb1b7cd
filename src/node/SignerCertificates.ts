/**
 * The certificates of signers: whether those that came with the signature of a manifest of schema 1
 * (`x5c`, [RFC 7515 section 4.1.6](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.6)) lead to
 * an authority that the caller trusts.
 *
 * @since 0.1.0
 */
import { type KeyObject, X509Certificate } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as JoseKey from "../spec/internal/JoseKey.js"
import type { Signer } from "../spec/SignedManifest.js"

/**
 * Occurs when the certificates of a signer do not lead to an authority that is trusted.
 *
 * - `Missing`: the signature came with a key alone.
 * - `Malformed`: a certificate, or one of the roots, cannot be read, or there are more than ten.
 * - `Key`: the first certificate is not that of the key that has signed.
 * - `Issuer`: a certificate was not issued by the one that follows it, or that is not one of an
 *   authority.
 * - `Untrusted`: none of them is one of the roots, or was issued by one.
 * - `Expired`: one of those that lead to the root is no longer valid, or not yet.
 *
 * `path` says which one it is, as in `certificates[0]`, which is that of the signer's key.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidCertificates extends Schema.TaggedError<InvalidCertificates>(
  "effect-oci/InvalidCertificates"
)("InvalidCertificates", {
  reason: Schema.Literal("Missing", "Malformed", "Key", "Issuer", "Untrusted", "Expired"),
  path: Schema.optionalWith(Schema.String, { exact: true }),
  message: Schema.String
}) {}

/**
 * Whom to trust.
 *
 * @since 0.1.0
 * @category models
 */
export interface VerifyOptions {
  /** The certificates of authorities, or of signers themselves, in PEM. */
  readonly roots: string
}

/**
 * Verifies the certificates of a signer that `SignedManifest.verify` has returned, and returns them
 * from that of its key to the root. Each has to be issued by the one that follows, and one of them
 * by a root; all those have to be valid at the time of the `Clock`. What a certificate may be used
 * for, and how long a chain an authority allows, is not looked at, nor is any list of revoked ones.
 *
 * Fails with {@link InvalidCertificates}.
 *
 * @example
 * ```ts
 * import { SignerCertificates } from "effect-oci/node"
 * import * as SignedManifest from "effect-oci/SignedManifest"
 * import * as Effect from "effect/Effect"
 *
 * // The subjects of those who have signed a manifest, all of them certified by an authority.
 * const subjects = (signed: SignedManifest.SignedManifest, roots: string) =>
 *   Effect.flatMap(SignedManifest.verify(signed), Effect.forEach((signer) =>
 *     Effect.map(SignerCertificates.verify(signer, { roots }), ([own]) => own?.subject)
 *   ))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const verify = Effect.fnUntraced(function* (
  { certificates, keyId }: Signer,
  options: VerifyOptions
): Effect.fn.Return<ReadonlyArray<X509Certificate>, InvalidCertificates> {
  const roots = yield* Effect.forEach(
    JoseKey.bodiesOf(options.roots, "CERTIFICATE"),
    parse("roots")
  )
  if (roots.length === 0)
    return yield* refused("Malformed", undefined, "There is no certificate in PEM among the roots")
  if (certificates.length === 0)
    return yield* refused("Missing", undefined, "The signature came without certificates")
  if (certificates.length > most)
    return yield* refused(
      "Malformed",
      undefined,
      `The signature has more than ${most} certificates`
    )
  const chain = yield* Effect.forEach(certificates, parse("certificates"))
  const [own] = chain
  if (own !== undefined && keyIdOf(own.publicKey) !== keyId)
    return yield* refused("Key", nameOf(0), `is not of the key that has signed, ${keyId}`)
  for (const [at, certificate] of chain.entries()) {
    const issuer = chain[at + 1]
    if (issuer !== undefined && !isIssuedBy(certificate, issuer))
      return yield* refused("Issuer", nameOf(at), "was not issued by the certificate after it")
  }
  const path = pathOf(chain, roots)
  if (path === undefined)
    return yield* refused("Untrusted", nameOf(chain.length - 1), "does not lead to a root")
  const now = yield* Clock.currentTimeMillis
  for (const [at, { validFrom, validTo }] of path.entries())
    if (now < Date.parse(validFrom) || now > Date.parse(validTo))
      return yield* refused(
        "Expired",
        at < chain.length ? nameOf(at) : "the root",
        `is valid from ${validFrom} to ${validTo}`
      )
  return path
})

/** So many certificates come with a signature at most. */
const most = 10

const nameOf = (at: number) => `certificates[${at}]`

const refused = (
  reason: InvalidCertificates["reason"],
  path: string | undefined,
  problem: string
): InvalidCertificates =>
  new InvalidCertificates({
    reason,
    ...(path !== undefined && { path }),
    message: path === undefined ? problem : `${path} ${problem}`
  })

const parse = (list: string) => (base64: string, at: number) =>
  Effect.try({
    try: () => new X509Certificate(Buffer.from(base64, "base64")),
    catch: () => refused("Malformed", `${list}[${at}]`, "is not a certificate")
  })

const keyIdOf = (key: KeyObject): string =>
  JoseKey.fingerprintOf(key.export({ type: "spki", format: "der" }))

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean => {
  if (!issuer.ca || !certificate.checkIssued(issuer)) return false
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    // A key that is unknown here, or not one for the signature.
    return false
  }
}

/** The certificates up to the first root, if they lead to one. */
const pathOf = (
  chain: ReadonlyArray<X509Certificate>,
  roots: ReadonlyArray<X509Certificate>
): ReadonlyArray<X509Certificate> | undefined => {
  for (const [at, certificate] of chain.entries()) {
    const path = chain.slice(0, at + 1)
    if (roots.some(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256))
      return path
    const root = roots.find((root) => isIssuedBy(certificate, root))
    if (root !== undefined) return [...path, root]
  }
  return undefined
}
