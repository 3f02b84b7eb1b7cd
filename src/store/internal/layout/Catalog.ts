/**
 * What the manifests of a layout say: who refers to whom, which manifests stand in others, and how
 * large blobs have to be. Each manifest is read once, and no other blob.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { LayoutIndex } from "./LayoutIndex.js"

/**
 * Where manifests are, in the words of a warning, which of them are there, and what reads those.
 */
export interface Documents {
  readonly place: string
  readonly has: (digest: Digest) => Effect.Effect<boolean, { readonly message: string }>
  readonly document: (
    digest: Digest
  ) => Effect.Effect<Option.Option<Uint8Array>, { readonly message: string }>
}

/** What the manifests of one index say. */
export interface Contents {
  /** The manifests that stand in an index. */
  readonly members: ReadonlySet<Digest>
  /** Those that do not stand in `index.json`. */
  readonly nested: ReadonlyMap<Digest, Descriptor>
  readonly referrers: ReadonlyMap<Digest, ReadonlyArray<Descriptor>>
  /** The sizes that descriptors say blobs have, in bytes. */
  readonly sizes: ReadonlyMap<Digest, ReadonlySet<number>>
}

/** What one manifest says. */
interface Said {
  readonly references: ReadonlyArray<Descriptor>
  readonly isIndex: boolean
  readonly subject: Digest | undefined
  readonly referrer: Descriptor
}

/** The contents of one index, which are gathered when they are first asked for. */
export class Catalog {
  private said = new Map<Digest, Said>()
  private gathered: { readonly index: LayoutIndex; readonly contents: Contents } | undefined
  private readonly gathering = Effect.unsafeMakeSemaphore(1)

  constructor(private readonly documents: Documents) {}

  /** Returns what the manifests of the index say, those left out that cannot be read. */
  contents(index: LayoutIndex): Effect.Effect<Contents> {
    return Effect.suspend(() =>
      this.gathered?.index === index
        ? Effect.succeed(this.gathered.contents)
        : Effect.tap(this.gather(index), (contents) => {
            this.gathered = { index, contents }
          })
    ).pipe(this.gathering.withPermits(1))
  }

  private gather(index: LayoutIndex): Effect.Effect<Contents> {
    return Effect.gen(this, function* () {
      const said = new Map<Digest, Said>()
      const members = new Set<Digest>()
      const nested = new Map<Digest, Descriptor>()
      const referrers = new Map<Digest, Array<Descriptor>>()
      const sizes = new Map<Digest, Set<number>>()
      const seen = new Set<Digest>()
      let level: ReadonlyArray<Descriptor> = [...index.digests].flatMap(
        (digest) => index.descriptor(digest) ?? []
      )
      while (level.length > 0) {
        for (const { digest } of level) seen.add(digest)
        const read = yield* Effect.forEach(level, (manifest) => this.read(manifest, index), {
          concurrency
        })
        const next = new Map<Digest, Descriptor>()
        for (const manifest of read) {
          if (manifest === undefined) continue
          const { isIndex, references, referrer, subject } = manifest
          said.set(referrer.digest, manifest)
          if (subject !== undefined) gatherIn(referrers, subject, referrer)
          for (const reference of references) {
            const { digest, size } = reference
            const known = sizes.get(digest)
            if (known === undefined) sizes.set(digest, new Set([size]))
            else known.add(size)
            if (!isIndex || !ManifestMediaType.isManifest(reference.mediaType)) continue
            members.add(digest)
            if (!index.has(digest)) nested.set(digest, reference)
            if (!seen.has(digest)) next.set(digest, reference)
          }
        }
        level = [...next.values()]
      }
      // Of manifests that are gone, nothing is kept.
      this.said = said
      return { members, nested, referrers, sizes }
    })
  }

  private read(descriptor: Descriptor, index: LayoutIndex): Effect.Effect<Said | undefined> {
    const known = this.said.get(descriptor.digest)
    // One that stands in another alone may have been deleted, and the other one stays as it is.
    if (known !== undefined && index.has(descriptor.digest)) return Effect.succeed(known)
    if (!ManifestMediaType.mayBeDecoded(descriptor.mediaType)) return Effect.succeed(undefined)
    return Effect.gen(this, function* () {
      if (known !== undefined && (yield* this.documents.has(descriptor.digest))) return known
      const found = yield* this.documents.document(descriptor.digest)
      if (Option.isNone(found)) return undefined
      const manifest = yield* Manifest.fromBytes(found.value, descriptor)
      if (manifest.descriptor.digest !== descriptor.digest) return undefined
      return {
        references: Manifest.references(manifest),
        isIndex: MediaType.isIndex(manifest.descriptor.mediaType),
        subject: Option.getOrUndefined(Manifest.subject(manifest))?.digest,
        referrer: Manifest.referrer(manifest)
      }
    }).pipe(
      Effect.catchAll(({ message }) =>
        Effect.as(
          Effect.logWarning(`Manifest ${descriptor.digest} in ${this.documents.place}: ${message}`),
          undefined
        )
      )
    )
  }
}

/** How many manifests are read at a time. */
const concurrency = 16

const gatherIn = <K, A>(map: Map<K, Array<A>>, key: K, item: A): void => {
  const items = map.get(key)
  if (items === undefined) map.set(key, [item])
  else items.push(item)
}
