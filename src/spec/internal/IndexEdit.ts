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
 * Returns the index with another entry after all others. Where it has one of that digest, this one
 * is corrected in its place: what the entry says wins, and all else of it is kept. Fails with
 * `InvalidManifest` if the index becomes too large to be read.
 */
export const withEntry = (
  index: Manifest,
  entry: Descriptor.Descriptor
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) => {
    const [first] = entries.filter((there) => isOf(there, entry.digest))
    return first === undefined
      ? [...entries, inOrder(entry)]
      : entries.flatMap((there) =>
          there === first ? [corrected(there, entry)] : isOf(there, entry.digest) ? [] : [there]
        )
  })

/** Returns the index without the entries of a digest. Fails as `withEntry` does. */
export const withoutEntry = (
  index: Manifest,
  digest: Digest.Digest
): Effect.Effect<Manifest, InvalidManifest> =>
  withEntries(index, (entries) => entries.filter((entry) => !isOf(entry, digest)))

const isOf = (entry: unknown, digest: Digest.Digest): boolean =>
  Predicate.hasProperty(entry, "digest") && entry.digest === digest

const corrected = (there: unknown, entry: Descriptor.Descriptor): unknown => {
  if (!Predicate.isRecord(there)) return inOrder(entry)
  const annotations = { ...Object(there["annotations"]), ...entry.annotations }
  return {
    ...there,
    ...inOrder(entry),
    ...(Object.keys(annotations).length > 0 && { annotations })
  }
}

/**
 * Returns the index with other entries, or the index itself where they are the same. Fails as
 * `withEntry` does.
 */
export const withEntries = Effect.fnUntraced(function* (
  index: Manifest,
  change: (entries: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
) {
  const { mediaType } = index.descriptor
  const document = Either.getOrElse(parse(index.bytes), (): Document => ({}))
  const entries = document["manifests"]
  const manifests = change(Array.isArray(entries) ? entries : [])
  if (JSON.stringify(manifests) === JSON.stringify(entries)) return index
  const changed = new TextEncoder().encode(JSON.stringify({ ...document, manifests }))
  return {
    bytes: changed,
    descriptor: Descriptor.fromBytes(changed, mediaType),
    content: yield* decode(mediaType, parse(changed))
  }
})
