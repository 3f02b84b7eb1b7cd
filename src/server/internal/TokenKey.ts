/**
 * The key that a server's tokens are signed with, by the package `jose`, which is loaded when a key
 * is made: programs without a server do not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { CredentialsFailure } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import type { Granted } from "./AccessRules.js"

/**
 * How tokens are signed ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)): with
 * these, distribution 2.8 and 3 verify them.
 *
 * @since 0.1.0
 * @category models
 */
export type SigningAlgorithm = "ES256" | "ES384" | "ES512" | "RS256" | "RS384" | "RS512"

/**
 * A key as an operator has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyOptions {
  /** The private key: PKCS #8 in PEM (`-----BEGIN PRIVATE KEY-----`). */
  readonly privateKey: Redacted.Redacted
  /** `ES256` by default, for which the key is one of the curve P-256. */
  readonly algorithm?: SigningAlgorithm | undefined
  /**
   * The certificate of the key in PEM, followed by those that lead to one which the registry
   * trusts, if there are any. Tokens carry them as `x5c`.
   */
  readonly certificates?: string | undefined
  /**
   * How the `kid` of tokens is computed: `thumbprint` ([RFC
   * 7638](https://www.rfc-editor.org/rfc/rfc7638)), the default, as distribution 3 does; `libtrust`
   * as distribution 2.8 does. Both look at it only where a token carries no certificates.
   */
  readonly keyId?: "thumbprint" | "libtrust" | undefined
}

/**
 * What a token says ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519#section-4.1), and Docker's
 * [access](https://distribution.github.io/distribution/spec/auth/jwt/)), with times in seconds.
 * `sub` is the user, and empty for whoever has not logged in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claims {
  readonly iss: string
  readonly sub: string
  readonly aud: string
  readonly iat: number
  readonly nbf: number
  readonly exp: number
  readonly jti: string
  readonly access: ReadonlyArray<Granted>
}

/**
 * Signs tokens, and reads its own.
 *
 * - `sign` returns a token.
 * - `verify` returns what a token says, if it was signed with this key, for the audience and by the
 *   issuer that are expected, and is valid `now`, in milliseconds. Key and algorithm are those of
 *   this key, whatever the header of a token says.
 *
 * @since 0.1.0
 * @category models
 */
export interface SigningKey {
  readonly sign: (claims: Claims) => Effect.Effect<string>
  readonly verify: (
    token: string,
    expected: Pick<Claims, "aud" | "iss"> & { readonly now: number }
  ) => Effect.Effect<Option.Option<Claims>>
}

const load = Effect.promise(() => import("jose"))

type Jose = Effect.Effect.Success<typeof load>

/** Makes a key that lasts as long as the program. */
export const generate: Effect.Effect<SigningKey> = Effect.gen(function* () {
  const jose = yield* load
  const { privateKey, publicKey } = yield* Effect.promise(() => jose.generateKeyPair("ES256"))
  const kid = yield* Effect.promise(() => thumbprint(jose, publicKey))
  return make(jose, "ES256", privateKey, publicKey, { kid })
})

/** Reads a key. Fails with `CredentialsFailure`, which says nothing of the private key. */
export const read = Effect.fnUntraced(function* ({
  algorithm = "ES256",
  certificates,
  keyId = "thumbprint",
  privateKey
}: KeyOptions) {
  const jose = yield* load
  const key = yield* Effect.tryPromise({
    try: () => jose.importPKCS8(Redacted.value(privateKey), algorithm, { extractable: true }),
    catch: () =>
      failure(
        `it is not a private key for ${algorithm}, as PKCS #8 in PEM`,
        "Convert it (openssl pkcs8 -topk8 -nocrypt -in key.pem), or name its algorithm"
      )
  })
  const publicKey = yield* Effect.promise(async () => {
    const { crv, e, kty, n, x, y } = await jose.exportJWK(key)
    const jwk = kty === "RSA" ? { kty, n, e } : { kty, crv, x, y }
    return jose.importJWK(jwk as Parameters<Jose["importJWK"]>[0], algorithm, { extractable: true })
  })
  if (publicKey instanceof Uint8Array) return yield* Effect.dieMessage("A public key is no secret")
  const kid = yield* Effect.promise(() =>
    keyId === "libtrust" ? fingerprint(jose, publicKey) : thumbprint(jose, publicKey)
  )
  if (certificates === undefined) return make(jose, algorithm, key, publicKey, { kid })
  const x5c = yield* chain(jose, certificates, algorithm, publicKey)
  return make(jose, algorithm, key, publicKey, { kid, x5c })
})

// -----------------------------------------------------------------------------
// Signatures
// -----------------------------------------------------------------------------

type Key = Awaited<ReturnType<Jose["importSPKI"]>>

interface Names {
  readonly kid: string
  readonly x5c?: ReadonlyArray<string>
}

const make = (
  jose: Jose,
  alg: SigningAlgorithm,
  privateKey: Key,
  publicKey: Key,
  { kid, x5c }: Names
): SigningKey => {
  const header = { alg, typ: "JWT", kid, ...(x5c !== undefined && { x5c: [...x5c] }) }
  return {
    sign: (claims) =>
      Effect.promise(() =>
        new jose.SignJWT({ ...claims }).setProtectedHeader(header).sign(privateKey)
      ),
    verify: (token, { aud, iss, now }) =>
      Effect.tryPromise(() =>
        jose.jwtVerify<Claims>(token, publicKey, {
          algorithms: [alg],
          audience: aud,
          issuer: iss,
          currentDate: new Date(now),
          typ: "JWT",
          requiredClaims: ["exp", "sub", "access"]
        })
      ).pipe(Effect.option, Effect.map(Option.map(({ payload }) => payload)))
  }
}

// -----------------------------------------------------------------------------
// Names of keys
// -----------------------------------------------------------------------------

const thumbprint = async (jose: Jose, key: Key): Promise<string> =>
  jose.calculateJwkThumbprint(await jose.exportJWK(key))

/** As libtrust has it: 240 bits of the hash of the key (SPKI), in base 32, in groups of four. */
const fingerprint = async (jose: Jose, key: Key): Promise<string> => {
  const pem = await jose.exportSPKI(key)
  const der = Either.getOrThrow(Encoding.decodeBase64(bodiesOf(pem, "PUBLIC KEY")[0] ?? ""))
  const bits = BigInt(`0x${Digest.encoded(Digest.fromBytes(der)).slice(0, 60)}`).toString(2)
  const letters = bits
    .padStart(240, "0")
    .replace(/.{5}/g, (five) => base32.charAt(Number.parseInt(five, 2)))
  return letters.replace(/.{4}(?=.)/g, "$&:")
}

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

/** The certificates, the first of which has to be that of the key. */
const chain = Effect.fnUntraced(function* (
  jose: Jose,
  certificates: string,
  algorithm: SigningAlgorithm,
  key: Key
) {
  const bodies = bodiesOf(certificates, "CERTIFICATE")
  const certified = yield* Effect.tryPromise({
    try: async () =>
      thumbprint(
        jose,
        await jose.importX509(
          `-----BEGIN CERTIFICATE-----\n${bodies[0] ?? ""}\n-----END CERTIFICATE-----`,
          algorithm,
          { extractable: true }
        )
      ),
    catch: () =>
      failure("its certificate does not parse", "Give certificates in PEM, that of the key first")
  })
  if (certified !== (yield* Effect.promise(() => thumbprint(jose, key)))) {
    return yield* failure(
      "its certificate is of another key",
      "Give the certificate of the private key, and after it those that lead to its authority"
    )
  }
  return bodies
})

/** The base64 of what PEM has under a label. */
const bodiesOf = (pem: string, label: string): ReadonlyArray<string> =>
  pem
    .split(`-----BEGIN ${label}-----`)
    .slice(1)
    .map((block) => (block.split("-----END ", 1)[0] ?? "").replace(/\s/g, ""))

const failure = (problem: string, fix: string): CredentialsFailure =>
  new CredentialsFailure({ source: "the key that signs tokens", problem, fix })
