/**
 * Content identifiers, `algorithm:encoded` ([image-spec,
 * Digests](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests)), and the
 * hashes that compute them. A digest may be well formed and still name an algorithm that cannot be
 * verified here: see {@link isVerifiable}.
 *
 * @since 0.1.0
 */

import { createHash } from "node:crypto"
import type * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Parsed from "./internal/Parsed.js"
import * as ServerText from "./internal/ServerText.js"

/**
 * A digest that fits the grammar and, for a registered algorithm, its encoding.
 *
 * @since 0.1.0
 * @category models
 */
export type Digest = string & Brand.Brand<"Digest">

/**
 * The algorithms that can be computed and verified. SHA-256 is the one to produce ([image-spec,
 * SHA-256](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#sha-256)).
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = "sha256" | "sha512"

/**
 * A hash in progress. It is mutable and its methods are not Effects, because it stands inside the
 * loops that move bytes; create one per run, inside `Effect.sync` or `Stream.suspend`, and never
 * share it between fibers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hasher {
  /**
   * Adds bytes to the hash. They are read before it returns, so the caller may reuse the buffer.
   */
  readonly update: (bytes: Uint8Array) => void
  /** Returns the digest of the bytes so far. More may follow. */
  readonly digest: () => Digest
}

/**
 * Occurs for a text that is not a digest, and for a digest that cannot be verified.
 *
 * - `Syntax`: it does not fit `algorithm ":" encoded`, or is longer than 512 characters.
 * - `Encoding`: the algorithm is
 *   [registered](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms),
 *   but this is not its lower-case hex of the right length.
 * - `Algorithm`: the digest is well formed, but its algorithm cannot be computed here.
 *
 * `input` is cut to 128 characters.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidDigest extends Schema.TaggedError<InvalidDigest>("effect-oci/InvalidDigest")(
  "InvalidDigest",
  {
    input: Schema.String,
    reason: Schema.Literal("Syntax", "Encoding", "Algorithm")
  }
) {
  override get message(): string {
    return `${ServerText.escaped(this.input)} ${explanation[this.reason]}`
  }
}

const explanation = {
  Syntax:
    'is not a digest: expected "algorithm:encoded", such as "sha256:" and 64 hexadecimal digits',
  Encoding: "is not a digest: its algorithm is encoded as lower-case hexadecimal of a fixed length",
  Algorithm: "cannot be verified: only sha256 and sha512 can be computed"
} as const

/**
 * Parses a digest. A well-formed digest with an unregistered algorithm passes.
 *
 * Fails with {@link InvalidDigest} for the reasons `Syntax` and `Encoding`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string): Effect.Effect<Digest, InvalidDigest> =>
  Parsed.toEffect(parsed(input))

/**
 * Returns the digest that a text is, for one that is written in the source. Throws what
 * {@link parse} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParse = (input: string): Digest => Parsed.orThrow(parsed(input))

/**
 * Parses a digest, for those who parse a text that it stands in.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const parsed = (input: string): Either.Either<Digest, InvalidDigest> => {
  const reason = defect(input)
  return reason === undefined ? Either.right(input as Digest) : Either.left(invalid(input, reason))
}

/**
 * Computes the digest of some bytes, at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array, algorithm: Algorithm = "sha256"): Digest =>
  assemble(algorithm, createHash(algorithm).update(bytes).digest("hex"))

/**
 * Makes a new hash of the algorithm.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hasher = (algorithm: Algorithm): Hasher => {
  const hash = createHash(algorithm)
  return {
    update: (bytes) => {
      hash.update(bytes)
    },
    // A copy is finished, so that asking twice, or going on afterwards, cannot throw.
    digest: () => assemble(algorithm, hash.copy().digest("hex"))
  }
}

/**
 * Makes a new hash of the digest's algorithm, to verify content against it. Each run of the Effect
 * makes another one.
 *
 * Fails with {@link InvalidDigest} for the reason `Algorithm` if the digest is not verifiable.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hasherFor = (digest: Digest): Effect.Effect<Hasher, InvalidDigest> =>
  Effect.suspend(() => {
    const name = algorithm(digest)
    return isAlgorithm(name)
      ? Effect.succeed(hasher(name))
      : Effect.fail(invalid(digest, "Algorithm"))
  })

/**
 * Returns whether a value is a digest: {@link parse} as a guard.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDigest = (u: unknown): u is Digest =>
  typeof u === "string" && defect(u) === undefined

/**
 * Returns whether content can be verified against the digest: its algorithm is sha256 or sha512.
 *
 * @since 0.1.0
 * @category guards
 */
export const isVerifiable = (digest: Digest): boolean => isAlgorithm(algorithm(digest))

/**
 * A digest as a string. `Digest.make` returns a string as a digest, and throws `ParseError` where
 * it is not one.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Digest: Schema.refine<Digest, Schema.Schema<string>> = Schema.String.pipe(
  Schema.filter((text: string): text is Digest => isDigest(text), {
    identifier: "Digest",
    description: "a digest",
    arbitrary: () => (fc) =>
      fc
        .uint8Array({ minLength: 1, maxLength: 8 })
        .chain((bytes) => fc.constantFrom(fromBytes(bytes), fromBytes(bytes, "sha512")))
  })
)

/**
 * Returns the part before the colon, such as `sha256`.
 *
 * @since 0.1.0
 * @category getters
 */
export const algorithm = (digest: Digest): string => digest.slice(0, digest.indexOf(":"))

/**
 * Returns the part after the colon, such as 64 hexadecimal digits.
 *
 * @since 0.1.0
 * @category getters
 */
export const encoded = (digest: Digest): string => digest.slice(digest.indexOf(":") + 1)

/**
 * Returns whether two digests cannot be of the same content. Two digests of different algorithms
 * can be.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const disagree = (self: Digest, that: Digest): boolean =>
  // A registry may compute the one in a header with another algorithm (C24).
  self !== that && algorithm(self) === algorithm(that)

/**
 * Returns the algorithm to compute a digest with that is compared to another one: that one's, or
 * SHA-256 if there is none, or it is not verifiable.
 *
 * @since 0.1.0
 * @category getters
 * @internal
 */
export const comparable = (digest: Digest | undefined): Algorithm =>
  digest !== undefined && algorithm(digest) === "sha512" ? "sha512" : "sha256"

// The grammar sets no length. Digests stand in URL paths and file names, and SHA-512 needs 135
// characters.
const maxLength = 512

// C14, C17
const grammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

/**
 * Hexadecimal digits by registered algorithm (C15). BLAKE3 has a syntax, but node:crypto does not
 * compute it.
 */
const registered = new Map([
  ["sha256", 64],
  ["sha512", 128],
  ["blake3", 64]
])

const lowerHex = /^[a-f0-9]+$/

const defect = (input: string): "Syntax" | "Encoding" | undefined => {
  if (input.length > maxLength || !grammar.test(input)) return "Syntax"
  const colon = input.indexOf(":")
  const digits = registered.get(input.slice(0, colon))
  if (digits === undefined) return undefined
  const text = input.slice(colon + 1)
  return text.length === digits && lowerHex.test(text) ? undefined : "Encoding"
}

const isAlgorithm = (name: string): name is Algorithm => name === "sha256" || name === "sha512"

const assemble = (name: Algorithm, hex: string): Digest => `${name}:${hex}` as Digest

const invalid = (input: string, reason: InvalidDigest["reason"]): InvalidDigest =>
  new InvalidDigest({ input: input.slice(0, 128), reason })
