/**
 * Changes to the entries of an index that somebody else made: all else of it stays as it is, what
 * is not known included.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Descriptor from "../Descriptor.js"
import type * as Digest from "../Digest.js"
import type { Manifest } from "../Manifest.js"
import { type Document, decode, type InvalidManifest, parse } from "./ManifestDocument.js"
import { inOrder } from "./ManifestEncoding.js"

/**
 * Returns the index with another entry after all others. Fails with `InvalidManifest` if it becomes
 * too large to be read.
 */
export const withEntry = (
  index: Manifest,
  entry: Descriptor.Descriptor
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) => [...entries, inOrder(entry)])

/** Returns the index without the entries of a digest. Fails as `withEntry` does. */
export const withoutEntry = (
  index: Manifest,
  digest: Digest.Digest
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) =>
    entries.filter((entry) => !Predicate.hasProperty(entry, "digest") || entry.digest !== digest)
  )

/** Returns the index with other entries. Fails as `withEntry` does. */
export const withEntries = Effect.fnUntraced(function* (
  { bytes, descriptor: { mediaType } }: Manifest,
  change: (entries: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
) {
  const document = Either.getOrElse(parse(bytes), (): Document => ({}))
  const entries = document["manifests"]
  const manifests = change(Array.isArray(entries) ? entries : [])
  const changed = new TextEncoder().encode(JSON.stringify({ ...document, manifests }))
  return {
    bytes: changed,
    descriptor: Descriptor.fromBytes(changed, mediaType),
    content: yield* decode(mediaType, parse(changed))
  }
})
