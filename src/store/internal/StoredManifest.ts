/** What every store checks of a manifest that is put into it, and lists of those it has. */
import * as Effect from "effect/Effect"
import type { PutCondition } from "../../Registry.js"
import { DigestMismatch, InvalidManifest, PreconditionFailed } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"

/**
 * Reads a manifest that is put from its bytes, which are the truth: what the caller decoded from
 * them is not. They are copied, since the caller may change them.
 */
export const received = Effect.fnUntraced(function* ({
  bytes,
  descriptor: { digest, mediaType }
}: Manifest.Manifest) {
  yield* Digest.hasherFor(digest)
  const manifest = yield* Manifest.fromBytes(new Uint8Array(bytes), { mediaType, digest }).pipe(
    Effect.catchTag("MediaTypeMismatch", ({ message }) =>
      Effect.fail(new InvalidManifest({ reason: "MediaType", path: "mediaType", message }))
    )
  )
  const actual = manifest.descriptor.digest
  if (actual !== digest) return yield* new DigestMismatch({ expected: digest, actual })
  // Whether the repository has all that an index refers to cannot be told of such an entry.
  const [skipped] = manifest.content._tag === "ImageIndex" ? (manifest.content.skipped ?? []) : []
  return skipped === undefined
    ? manifest
    : yield* new InvalidManifest({ reason: "Shape", ...skipped })
})

/**
 * Checks that a manifest has the digest of its bytes, as all content of a layout has: a signed one
 * of schema 1 has that of its payload (trap 36).
 */
export const checkDigest = ({
  bytes,
  descriptor
}: Manifest.Manifest): Effect.Effect<void, InvalidManifest> =>
  bytes.length === descriptor.size
    ? Effect.void
    : Effect.fail(
        new InvalidManifest({
          reason: "MediaType",
          path: "mediaType",
          message:
            "An image layout cannot have signed manifests of Docker's schema 1: pull the image, " +
            "and push it as another one, by ImageBuild.mutate"
        })
      )

/** Reads a stored manifest, which is what its digest says. */
export const verified = Effect.fnUntraced(function* (bytes: Uint8Array, descriptor: Descriptor) {
  const { digest } = descriptor
  const hasher = yield* Digest.hasherFor(digest)
  hasher.update(bytes)
  const actual = hasher.digest()
  // Before it is decoded, since what is cut off is not invalid but wrong (S5).
  if (actual !== digest) return yield* new DigestMismatch({ expected: digest, actual })
  return yield* Manifest.fromBytes(bytes, descriptor)
})

/** Returns what has to be there before a manifest is put (R12). */
export const required = (manifest: Manifest.Manifest): ReadonlyArray<Descriptor> =>
  Manifest.references(manifest).filter(({ mediaType }) => !MediaType.isNonDistributable(mediaType))

/** Returns the error of a put whose tag is not what it expects, and nothing where it is. */
export const conditionFailure = (
  repository: RepositoryName,
  { is: expected, tag }: PutCondition,
  found: Digest.Digest | undefined
): PreconditionFailed | undefined => {
  const actual = found ?? "absent"
  return actual === expected
    ? undefined
    : new PreconditionFailed({ repository, tag, expected, actual, reason: "Changed" })
}

/** Tells whether a referrer is of the type asked for, if one was (C91). */
export const isOfType =
  (artifactType: string | undefined) =>
  (referrer: Descriptor): boolean =>
    artifactType === undefined || MediaType.equals(referrer.artifactType ?? "", artifactType)
