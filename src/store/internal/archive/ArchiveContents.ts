/** What an archive of either form holds: blobs by digest, and an index of its manifests. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { LimitExceeded, type StorageFailure } from "../../../RegistryError.js"
import type * as Digest from "../../../spec/Digest.js"
import * as Catalog from "../layout/Catalog.js"
import type { LayoutIndex } from "../layout/LayoutIndex.js"
import type { Place } from "./ArchiveEntries.js"
import { type ArchiveFile, documentLimit } from "./ArchiveFile.js"

/** A blob of the archive, or a document that it stands for. */
export interface Stored {
  readonly size: number
  readonly stream: (
    borrowed: boolean,
    start?: number,
    end?: number
  ) => Stream.Stream<Uint8Array, StorageFailure>
  /** All of it, for what is small. */
  readonly bytes: Effect.Effect<Uint8Array, StorageFailure>
}

/** What an archive holds. */
export interface ArchiveContents {
  readonly format: "oci" | "docker"
  readonly name: string
  readonly index: LayoutIndex
  readonly find: (digest: Digest.Digest) => Stored | undefined
  readonly catalog: Catalog.Catalog
}

/** Puts together what an archive holds. */
export const make = (
  parts: Pick<ArchiveContents, "format" | "name" | "index" | "find">
): ArchiveContents => ({
  ...parts,
  catalog: new Catalog.Catalog({
    place: parts.name,
    has: (digest) => Effect.sync(() => parts.find(digest) !== undefined),
    document: (digest) => document(parts, digest)
  })
})

/** Reads a document that the archive has. */
export const document = (
  { find, name }: Pick<ArchiveContents, "find" | "name">,
  digest: Digest.Digest
): Effect.Effect<Option.Option<Uint8Array>, StorageFailure | LimitExceeded> =>
  Effect.gen(function* () {
    const stored = find(digest)
    if (stored === undefined) return Option.none()
    if (stored.size > documentLimit)
      return yield* new LimitExceeded({ what: `${digest} in ${name}`, limit: documentLimit })
    return Option.some(yield* stored.bytes)
  })

/** What stands at a place of a file. */
export const placed = (file: ArchiveFile, { size, start }: Place): Stored => ({
  size,
  stream: (borrowed, from = 0, to = size) =>
    file.stream(start + from, start + Math.min(to, size), borrowed),
  bytes: file.read(start, size)
})

/** What is made up for an archive. */
export const made = (bytes: Uint8Array): Stored => ({
  size: bytes.length,
  stream: (_, start, end) => Stream.sync(() => bytes.slice(start, end)),
  bytes: Effect.sync(() => bytes.slice())
})
