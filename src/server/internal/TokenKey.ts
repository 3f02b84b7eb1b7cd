/**
 * The key that a server's tokens are signed with, by the package `jose`, which is loaded when a key
 * is made: programs without a server do not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { CredentialsFailure } from "../../RegistryError.js"
import * as JoseKey from "../../spec/internal/JoseKey.js"
import type { Granted } from "./AccessRules.js"

/**
 * How tokens are signed ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)): with
 * these, distribution 2.8 and 3 verify them.
 *
 * @since 0.1.0
 * @category models
 */
export type SigningAlgorithm = JoseKey.SigningAlgorithm

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
  readonly algorithm?: JoseKey.SigningAlgorithm | undefined
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

/** Makes a key that lasts as long as the program. */
export const generate: Effect.Effect<SigningKey> = Effect.gen(function* () {
  const jose = yield* JoseKey.load
  const { privateKey, publicKey } = yield* Effect.promise(() => jose.generateKeyPair("ES256"))
  const kid = yield* Effect.promise(() => thumbprint(jose, publicKey))
  return make(jose, "ES256", privateKey, publicKey, { kid })
})

/** Reads a key. Fails with `CredentialsFailure`, which says nothing of the private key. */
export const read = Effect.fnUntraced(function* ({ keyId = "thumbprint", ...written }: KeyOptions) {
  const { algorithm, jose, privateKey, publicKey, x5c } = yield* Effect.mapError(
    JoseKey.read(written),
    (problem) => new CredentialsFailure({ source: "the key that signs tokens", ...problem })
  )
  const kid = yield* Effect.promise(() =>
    keyId === "libtrust" ? JoseKey.fingerprint(jose, publicKey) : thumbprint(jose, publicKey)
  )
  return make(jose, algorithm, privateKey, publicKey, { kid, ...(x5c !== undefined && { x5c }) })
})

// -----------------------------------------------------------------------------
// Signatures
// -----------------------------------------------------------------------------

interface Names {
  readonly kid: string
  readonly x5c?: ReadonlyArray<string>
}

const make = (
  jose: JoseKey.Jose,
  alg: JoseKey.SigningAlgorithm,
  privateKey: JoseKey.Key,
  publicKey: JoseKey.Key,
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

const thumbprint = async (jose: JoseKey.Jose, key: JoseKey.Key): Promise<string> =>
  jose.calculateJwkThumbprint(await jose.exportJWK(key))
