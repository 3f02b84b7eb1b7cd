/** The content that a descriptor holds itself, so that no request is needed for it. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as ByteStream from "../ByteStream.js"
import type { DigestMismatch, SizeMismatch } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type { Digest, InvalidDigest } from "../spec/Digest.js"

/**
 * Returns the content that a descriptor holds, verified against its digest and size (I6), and
 * nothing for one that holds none.
 */
export const read = (
  blob: Digest | Descriptor
): Effect.Effect<Uint8Array, DigestMismatch | SizeMismatch | InvalidDigest> | undefined => {
  if (typeof blob === "string" || blob.data === undefined) return undefined
  const bytes = Either.getOrElse(Encoding.decodeBase64(blob.data), () => new Uint8Array(0))
  return Effect.flatMap(ByteStream.verifier(blob), (verifier) => {
    const problem = verifier.finish(bytes)
    return problem === undefined ? Effect.succeed(bytes) : Effect.fail(problem)
  })
}
