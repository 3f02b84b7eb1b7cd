/** Manifests that are read only if they are not the one that the caller knows. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Digest from "../spec/Digest.js"
import type { Manifest } from "../spec/Manifest.js"
import type { RepositoryName, Tag } from "../spec/Reference.js"

/** Whether a manifest has these bytes, by whatever algorithm the digest names them. */
export const isOf = ({ bytes, descriptor }: Manifest, digest: Digest.Digest): boolean => {
  if (digest === descriptor.digest) return true
  const algorithm = Digest.comparable(digest)
  return (
    algorithm !== Digest.algorithm(descriptor.digest) &&
    Digest.fromBytes(bytes, algorithm) === digest
  )
}

/** Returns the manifest that is read, unless it is the one with this digest. */
export const unless = <E, R>(
  read: Effect.Effect<Manifest, E, R>,
  known: Digest.Digest
): Effect.Effect<Option.Option<Manifest>, E, R> =>
  Effect.map(read, (manifest) => (isOf(manifest, known) ? Option.none() : Option.some(manifest)))

/** Makes `getChangedManifest` of a registry where reading a manifest costs no more than asking. */
export const by =
  <E>(
    getManifest: (
      repository: RepositoryName,
      reference: Tag | Digest.Digest
    ) => Effect.Effect<Manifest, E>
  ) =>
  (repository: RepositoryName, reference: Tag | Digest.Digest, known: Digest.Digest) =>
    unless(getManifest(repository, reference), known)
