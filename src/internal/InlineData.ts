/** The content that a descriptor holds itself, so that no request is needed for it. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import type { Registry } from "../Registry.js"
import { type DigestMismatch, InvalidManifest, type SizeMismatch } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type { Digest, InvalidDigest } from "../spec/Digest.js"
import * as Manifest from "../spec/Manifest.js"
import type { RepositoryName } from "../spec/Reference.js"

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

/** Returns the content that a descriptor holds, if that is what it says. */
export const held = (descriptor: Descriptor): Effect.Effect<Option.Option<Uint8Array>> =>
  Effect.option(read(descriptor) ?? Effect.fail(undefined))

/** Makes `getBlob` that requests nothing of what a descriptor holds. */
export const orElse =
  (getBlob: Registry.Service["getBlob"]): Registry.Service["getBlob"] =>
  (repository, blob) => {
    const inline = read(blob)
    return inline === undefined ? getBlob(repository, blob) : Stream.fromEffect(inline)
  }

/**
 * Gets a manifest that an index lists: as the index holds it, or else as the registry has it. One
 * of another size than the index says is not to be trusted (C29).
 */
export const manifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  descriptor: Descriptor
): Effect.fn.Return<Manifest.Manifest, Registry.GetManifestError> {
  const inline = yield* held(descriptor)
  const found = Option.isSome(inline)
    ? yield* Manifest.fromBytes(inline.value, descriptor)
    : yield* registry.getManifest(repository, descriptor.digest)
  const { digest, size } = found.descriptor
  return size === descriptor.size
    ? found
    : yield* new InvalidManifest({
        reason: "Shape",
        path: "size",
        manifest: digest,
        message: `${digest}: an index says that it has ${descriptor.size} bytes, and it has ${size}`
      })
})
