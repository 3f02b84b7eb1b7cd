/**
 * What the index of a layout leads to: by digest alone, whatever a descriptor says that it is, and
 * through documents of any type (S8). Only what an image manifest says are its config and layers
 * ends there.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { DigestMismatch, type InvalidManifest, StorageFailure } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import * as ManifestDocument from "../../../spec/internal/ManifestDocument.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as MediaType from "../../../spec/MediaType.js"
import { documentLimit, type Found, type IndexError, type Layout, readBytes } from "./Layout.js"
import type { LayoutIndex } from "./LayoutIndex.js"

/** Why a document cannot be read. Nothing is known then of what it leads to. */
export type ReachError = IndexError | DigestMismatch | InvalidManifest

/** A descriptor that stands in a manifest, or in `index.json`. */
export interface Reference {
  readonly descriptor: Descriptor
  readonly by: Digest.Digest | undefined
}

/** All that is reached so far. */
export class Reach {
  readonly reached = new Set<Digest.Digest>()
  /** What manifests are made of. */
  readonly references: Array<Reference> = []
  private readonly read = new Set<Digest.Digest>()

  constructor(
    private readonly layout: Layout,
    /** What is done about a document that cannot be read. */
    private readonly onUnreadable: (
      error: ReachError,
      digest: Digest.Digest
    ) => Effect.Effect<void, ReachError>
  ) {}

  /** Returns whether all that an index names was followed. */
  knows(index: LayoutIndex): boolean {
    for (const digest of index.digests) if (!this.read.has(digest)) return false
    return digestsIn(index.content).every((digest) => this.reached.has(digest))
  }

  /** Follows what an index names, and was not followed before. */
  follow(index: LayoutIndex): Effect.Effect<void, ReachError> {
    const entries = [...index.digests].flatMap((digest) => index.descriptor(digest) ?? [])
    const others = digestsIn(index.content).map((digest) => ({ digest, mediaType: "", size: -1 }))
    return Effect.gen(this, function* () {
      for (const descriptor of entries)
        if (!this.read.has(descriptor.digest)) this.references.push({ descriptor, by: undefined })
      // Of what is named twice, the last counts.
      let level: ReadonlyArray<Descriptor> = [...others, ...entries]
      while (level.length > 0) {
        const unread = new Map<Digest.Digest, Descriptor>()
        for (const descriptor of level) {
          this.reached.add(descriptor.digest)
          if (!this.read.has(descriptor.digest)) unread.set(descriptor.digest, descriptor)
        }
        const next = yield* Effect.forEach(
          unread.values(),
          (descriptor) =>
            Effect.catchAll(this.leadsTo(descriptor, index), (error) =>
              Effect.as(this.onUnreadable(error, descriptor.digest), [])
            ),
          { concurrency: 16 }
        )
        for (const digest of unread.keys()) this.read.add(digest)
        level = next.flat()
      }
    })
  }

  /** Returns the documents that a document names. */
  private leadsTo(
    descriptor: Descriptor,
    index: LayoutIndex
  ): Effect.Effect<ReadonlyArray<Descriptor>, ReachError> {
    const { digest, mediaType } = descriptor
    const isManifest = ManifestMediaType.isDecoded(mediaType)
    return Effect.gen(this, function* () {
      const found = yield* this.layout.find(digest)
      if (Option.isNone(found)) {
        const path = this.layout.blob(digest)
        // An image index may name what was not copied; a crash may leave empty files (V34).
        const isEmpty = isManifest && Option.isSome(yield* this.layout.files.info(path))
        return isEmpty || index.has(digest) ? yield* lost(path) : []
      }
      if (!isManifest && !(yield* this.isDocument(found.value))) return []
      const bytes = yield* readBytes(this.layout, found.value)
      if (Digest.isVerifiable(digest)) {
        const hasher = yield* Effect.orDie(Digest.hasherFor(digest))
        hasher.update(bytes)
        const actual = hasher.digest()
        if (actual !== digest) return yield* new DigestMismatch({ expected: digest, actual })
      }
      const document = ManifestDocument.parse(bytes)
      if (Either.isLeft(document) && !isManifest) return []
      const type = yield* ManifestDocument.mediaTypeOf(mediaType, document).pipe(
        Effect.catchAll(() => Effect.succeed(mediaType))
      )
      const content = yield* ManifestDocument.decode(type, document)
      const parts =
        content._tag === "ImageManifest"
          ? [content.config, ...content.layers]
          : content._tag === "ImageIndex"
            ? content.manifests
            : []
      for (const part of parts) this.references.push({ descriptor: part, by: digest })
      const ends = new Set(
        content._tag === "ImageManifest" ? parts.filter(isLeaf).map((part) => part.digest) : []
      )
      const types = new Map(parts.map((part) => [part.digest, part.mediaType]))
      const named = digestsIn(Either.getOrUndefined(document))
      for (const end of named) this.reached.add(end)
      return named
        .filter((name) => !ends.has(name))
        .map((name) => ({ digest: name, mediaType: types.get(name) ?? "", size: -1 }))
    })
  }

  /** Tells a document from other content by its first character, and by its size. */
  private isDocument({ path, size }: Found): Effect.Effect<boolean, IndexError> {
    if (size > documentLimit) return Effect.succeed(false)
    return Effect.map(this.layout.files.beginning(path, 64), (bytes) =>
      new TextDecoder().decode(bytes).trimStart().startsWith("{")
    )
  }
}

const lost = (path: string) =>
  new StorageFailure({
    path,
    cause: new Error(
      "the manifest is lost, and what it refers to is not known. Put it again, or delete it"
    )
  })

const isLeaf = ({ mediaType }: Descriptor): boolean =>
  !MediaType.isImageManifest(mediaType) && !MediaType.isIndex(mediaType)

/** All digests in a value, wherever they stand. */
const digestsIn = (value: unknown): ReadonlyArray<Digest.Digest> => {
  const found = new Set<Digest.Digest>()
  const left: Array<unknown> = [value]
  while (left.length > 0) {
    const item = left.pop()
    if (Digest.isDigest(item)) found.add(item)
    else if (typeof item === "object" && item !== null)
      for (const [key, member] of Object.entries(item)) left.push(key, member)
  }
  return [...found]
}
