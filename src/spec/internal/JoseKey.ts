/**
 * Keys and signatures by the package `jose`, which is loaded when one is used: programs without
 * either do not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as Digest from "../Digest.js"
import * as OpenStruct from "./OpenStruct.js"

/**
 * How manifests are signed ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)).
 *
 * @since 0.1.0
 * @category models
 */
export type SigningAlgorithm = "ES256" | "ES384" | "ES512" | "RS256" | "RS384" | "RS512"

/** All of them. */
export const algorithms: ReadonlyArray<SigningAlgorithm> = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512"
]

/** Loads the package. */
export const load = Effect.promise(() => import("jose"))

/** What the package has. */
export type Jose = Effect.Effect.Success<typeof load>

/** A private or a public key. */
export type Key = Awaited<ReturnType<Jose["importSPKI"]>>

/** Reads the public key of a JWK, whatever else it has. */
export const publicKeyOf = async (
  jose: Jose,
  { crv, e, kty, n, x, y }: Readonly<Record<string, unknown>>,
  algorithm: SigningAlgorithm
): Promise<Key> => {
  const jwk = kty === "RSA" ? { kty, n, e } : { kty, crv, x, y }
  const key = await jose.importJWK(jwk as Parameters<Jose["importJWK"]>[0], algorithm, {
    extractable: true
  })
  if (key instanceof Uint8Array) throw new Error("a public key is not a secret")
  return key
}

/** Writes a public key as JWK, with its fingerprint as `kid` and its members in order. */
export const describe = async (
  jose: Jose,
  key: Key
): Promise<Readonly<Record<string, unknown>>> => {
  const jwk = { ...(await jose.exportJWK(key)), kid: await fingerprint(jose, key) }
  return OpenStruct.sorted(Object.entries(jwk))
}

/** Reads the public key of a certificate, which is base64 of its DER, as in `x5c`. */
export const certifiedKey = (
  jose: Jose,
  certificate: string,
  algorithm: SigningAlgorithm
): Promise<Key> =>
  jose.importX509(
    `-----BEGIN CERTIFICATE-----\n${certificate}\n-----END CERTIFICATE-----`,
    algorithm,
    { extractable: true }
  )

/** Names a public key as libtrust does. */
export const fingerprint = async (jose: Jose, key: Key): Promise<string> => {
  const pem = await jose.exportSPKI(key)
  return fingerprintOf(
    Either.getOrThrow(Encoding.decodeBase64(bodiesOf(pem, "PUBLIC KEY")[0] ?? ""))
  )
}

/**
 * Names a public key (the DER of its SPKI) as libtrust does: 240 bits of its hash, in base 32, in
 * groups of four.
 */
export const fingerprintOf = (der: Uint8Array): string => {
  const bits = BigInt(`0x${Digest.encoded(Digest.fromBytes(der)).slice(0, 60)}`).toString(2)
  const letters = bits
    .padStart(240, "0")
    .replace(/.{5}/g, (five) => base32.charAt(Number.parseInt(five, 2)))
  return letters.replace(/.{4}(?=.)/g, "$&:")
}

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

/** Takes the blocks of a label out of a PEM, in base64. */
export const bodiesOf = (pem: string, label: string): ReadonlyArray<string> =>
  pem
    .split(`-----BEGIN ${label}-----`)
    .slice(1)
    .map((block) => (block.split("-----END ", 1)[0] ?? "").replace(/\s/g, ""))

/** A private key as people have it: PKCS #8 in PEM, and its certificates in PEM, its own first. */
export interface Written {
  readonly privateKey: Redacted.Redacted
  readonly algorithm?: SigningAlgorithm | undefined
  readonly certificates?: string | undefined
}

/** What is wrong with a key, and what to do: nothing of the key itself. */
export interface KeyProblem {
  readonly problem: string
  readonly fix: string
}

/** Reads a private key, and the certificates as `x5c` has them. */
export const read = Effect.fnUntraced(function* ({
  algorithm = "ES256",
  certificates,
  privateKey
}: Written) {
  const jose = yield* load
  const key = yield* Effect.tryPromise({
    try: () => jose.importPKCS8(Redacted.value(privateKey), algorithm, { extractable: true }),
    catch: (): KeyProblem => ({
      problem: `it is not a private key for ${algorithm}, as PKCS #8 in PEM`,
      fix: "Convert it (openssl pkcs8 -topk8 -nocrypt -in key.pem), or name its algorithm"
    })
  })
  const publicKey = yield* Effect.promise(async () =>
    publicKeyOf(jose, { ...(await jose.exportJWK(key)) }, algorithm)
  )
  const x5c =
    certificates === undefined ? undefined : yield* chain(jose, certificates, algorithm, publicKey)
  return { jose, algorithm, privateKey: key, publicKey, x5c }
})

/** The certificates, the first of which has to be that of the key. */
const chain = Effect.fnUntraced(function* (
  jose: Jose,
  certificates: string,
  algorithm: SigningAlgorithm,
  key: Key
) {
  const bodies = bodiesOf(certificates, "CERTIFICATE")
  const certified = yield* Effect.tryPromise({
    try: async () => fingerprint(jose, await certifiedKey(jose, bodies[0] ?? "", algorithm)),
    catch: (): KeyProblem => ({
      problem: "its certificate does not parse",
      fix: "Give certificates in PEM, that of the key first"
    })
  })
  return certified === (yield* Effect.promise(() => fingerprint(jose, key)))
    ? bodies
    : yield* Effect.fail<KeyProblem>({
        problem: "its certificate is of another key",
        fix:
          "Give the certificate of the private key, " +
          "and after it those that lead to its authority"
      })
})
