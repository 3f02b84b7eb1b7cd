/**
 * Changes to the entries of an index that somebody else made: all else of it stays as it is, what
 * is not known included.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Descriptor from "../Descriptor.js"
import type * as Digest from "../Digest.js"
import type { Manifest } from "../Manifest.js"
import { type Document, decode, InvalidManifest, parse } from "./ManifestDocument.js"
import { inOrder } from "./ManifestEncoding.js"

/**
 * Returns the index with another entry after all others. Fails with `InvalidManifest` if it nests
 * so deep that it cannot be written.
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

const withEntries = Effect.fnUntraced(function* (
  { bytes, descriptor: { mediaType } }: Manifest,
  change: (entries: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
) {
  const document = Option.getOrElse(parse(bytes), (): Document => ({}))
  const entries = document["manifests"]
  const manifests = change(Array.isArray(entries) ? entries : [])
  const changed = yield* Effect.try({
    try: () => new TextEncoder().encode(JSON.stringify({ ...document, manifests })),
    catch: () =>
      new InvalidManifest({ reason: "Json", message: "the index nests too deep to be changed" })
  })
  return {
    bytes: changed,
    descriptor: Descriptor.fromBytes(changed, mediaType),
    content: yield* decode(mediaType, parse(changed))
  }
})
