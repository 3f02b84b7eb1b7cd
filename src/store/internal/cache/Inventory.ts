/**
 * The inventories of a cache: in each repository of the store one manifest that names what is
 * there, so that the cache which opens the store after this one finds it again.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../../BlobSource.js"
import type { Registry } from "../../../Registry.js"
import type { CommonError } from "../../../RegistryError.js"
import * as Descriptor from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import { RepositoryName, Tag, unsafeParseTag } from "../../../spec/Reference.js"
import type { Cache } from "./Cache.js"
import { childrenOf, readStored } from "./CachedManifests.js"
import { blobOf, type Entry } from "./Content.js"

const inventoryTag = unsafeParseTag("effect-oci.cache")
const artifactType = "application/vnd.effect-oci.cache.v1+json"
const annotation = "dev.effect-oci.cache"

/** What an annotation says of a layer of an inventory. */
const Item = Schema.parseJson(
  Schema.Struct({
    mediaType: Schema.String,
    used: Schema.NonNegativeInt,
    repositories: Schema.Array(RepositoryName),
    tags: Schema.Array(Schema.Tuple(RepositoryName, Tag))
  })
)

/** What the annotation of an inventory says: where uploads are that had not ended. */
const Uploads = Schema.parseJson(Schema.Array(Schema.String))

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

/** Says that the inventory of a repository is to be written. */
export type Changed = (home: RepositoryName) => void

/**
 * Writes inventories as they change, in a fiber of the scope; changes that come while one is being
 * written are written together. At the end of the scope, those are written whose content was only
 * used, for the order of use.
 */
export const keep = (
  cache: Cache,
  changes: { readonly homes: Set<RepositoryName>; readonly latch: Effect.Latch }
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const written = new Map<RepositoryName, Written>()
    const writeAll = (homes: Iterable<RepositoryName>) =>
      Effect.forEach([...homes], (home) => write(cache, home, written), { discard: true })
    yield* Effect.addFinalizer(() => {
      const used = new Set(changes.homes)
      for (const entry of cache.content.all())
        if (entry.used > (written.get(entry.home)?.used ?? 0)) used.add(entry.home)
      return writeAll(used)
    })
    yield* changes.latch.await.pipe(
      Effect.zipRight(
        Effect.suspend(() => {
          const homes = [...changes.homes]
          changes.homes.clear()
          changes.latch.unsafeClose()
          return writeAll(homes)
        })
      ),
      Effect.forever,
      Effect.forkScoped
    )
  })

interface Written {
  readonly digest: Digest
  /** The last use that is in it. */
  readonly used: number
}

const write = (
  { content, fills, store, tags }: Cache,
  home: RepositoryName,
  written: Map<RepositoryName, Written>
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const entries = [...content.all()].filter((entry) => entry.home === home)
    const uploads = [...fills.values()].flatMap(({ home: at, location }) =>
      // A location with a query may be signed: it is a secret.
      at === home && location?.includes("?") === false ? [location] : []
    )
    const named = new Map<Digest, Array<readonly [RepositoryName, Tag]>>()
    for (const { read, repository, tag } of tags.all())
      if (read !== undefined)
        named.set(read.digest, [...(named.get(read.digest) ?? []), [repository, tag]])
    const layers = entries.map((entry) => {
      const { digest, mediaType } = entry.descriptor
      const item = {
        mediaType,
        used: entry.used,
        repositories: [...entry.repositories],
        tags: named.get(digest) ?? []
      }
      return { ...blobOf(entry), annotations: { [annotation]: Schema.encodeSync(Item)(item) } }
    })
    const inventory = Manifest.image({
      artifactType,
      config: Descriptor.empty,
      layers,
      annotations: { [annotation]: Schema.encodeSync(Uploads)(uploads) }
    })
    const { digest } = inventory.descriptor
    const before = written.get(home)?.digest
    if (before === digest) return
    yield* store.putBlob(home, BlobSource.fromBytes(new TextEncoder().encode("{}")))
    yield* store.putManifest(home, inventory, { tags: [inventoryTag] })
    written.set(home, { digest, used: entries.at(-1)?.used ?? 0 })
    if (before !== undefined) yield* Effect.ignore(store.deleteManifest(home, before))
  }).pipe(
    Effect.uninterruptible,
    Effect.catchAll((error) =>
      error._tag === "BlobUnknown"
        ? Effect.void // Something was evicted since: that is a change, too.
        : Effect.logWarning(`The cache cannot write what ${home} has: ${error.message}`)
    )
  )

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/**
 * Finds what an earlier cache has stored, and clears what it had not finished (V23). What the store
 * does not have as it was is not taken.
 */
export const load = (cache: Cache): Effect.Effect<void, CommonError> =>
  Effect.gen(function* () {
    const { content, store, tags } = cache
    const homes = yield* Effect.catchTag(
      Stream.runCollect(store.repositories()),
      "Unsupported",
      (error) => Effect.as(Effect.logWarning(`The cache begins empty: ${error.message}`), [])
    )
    const found = yield* Effect.forEach(homes, (home) => loadFrom(store, home), { concurrency: 4 })
    const items = found.flat().sort((a, b) => a.entry.used - b.entry.used)
    for (const { entry, named } of items) {
      if (content.get(entry.descriptor.digest) !== undefined) {
        yield* Effect.ignore(store.deleteBlob(entry.home, entry.descriptor.digest))
        continue
      }
      content.load(entry)
      for (const [repository, tag] of named) {
        const { descriptor } = entry
        const checked = Number.NEGATIVE_INFINITY
        tags.set({ repository, tag, descriptor, checked, read: descriptor })
      }
    }
    yield* content.reserve(0)
  })

interface Loaded {
  readonly entry: Entry
  readonly named: ReadonlyArray<readonly [RepositoryName, Tag]>
}

const loadFrom = (
  store: Registry.Service,
  home: RepositoryName
): Effect.Effect<ReadonlyArray<Loaded>, CommonError> =>
  Effect.gen(function* () {
    const inventory = yield* store.getManifest(home, inventoryTag)
    if (!Option.contains(Manifest.artifactType(inventory), artifactType)) return []
    const { content } = inventory
    if (content._tag !== "ImageManifest") return []
    const uploads = yield* decode(Uploads, content.annotations)
    for (const location of Option.getOrElse(uploads, () => []))
      yield* Effect.ignore(
        Effect.scoped(store.resumeUpload({ repository: home, location, offset: 0 }))
      )
    return yield* Effect.forEach(content.layers, (layer) => loadItem(store, home, layer), {
      concurrency: 16
    })
  }).pipe(
    Effect.map((items) => items.flatMap((item) => (item === undefined ? [] : [item]))),
    Effect.catchTags({
      ManifestUnknown: () => Effect.succeed([]),
      NameUnknown: () => Effect.succeed([]),
      DigestMismatch: (error) => unreadable(home, error),
      InvalidDigest: (error) => unreadable(home, error),
      InvalidManifest: (error) => unreadable(home, error),
      MediaTypeMismatch: (error) => unreadable(home, error)
    })
  )

const loadItem = Effect.fnUntraced(function* (
  store: Registry.Service,
  home: RepositoryName,
  layer: Descriptor.Descriptor
) {
  const { digest, size } = layer
  const item = Option.getOrUndefined(yield* decode(Item, layer.annotations))
  if (item === undefined) return undefined
  const descriptor = { mediaType: item.mediaType, digest, size }
  const there: Effect.Effect<Option.Option<Entry["children"]>, unknown> = item.mediaType ===
  MediaType.octetStream
    ? Effect.map(store.headBlob(home, digest), (found) =>
        Option.isSome(found) && found.value.size === size ? Option.some(undefined) : Option.none()
      )
    : Effect.map(readStored(store, { descriptor, home }), (manifest) =>
        Option.some(childrenOf(manifest))
      )
  const found = yield* Effect.catchAll(there, () => Effect.succeedNone)
  if (Option.isNone(found)) {
    yield* Effect.ignore(store.deleteBlob(home, digest))
    return undefined
  }
  return {
    entry: {
      descriptor,
      home,
      repositories: new Set(item.repositories),
      children: found.value,
      readers: { count: 0 },
      used: item.used
    },
    named: item.tags
  }
})

const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  annotations: Readonly<Record<string, string>> | undefined
): Effect.Effect<Option.Option<A>> =>
  Effect.option(Schema.decodeUnknown(schema)(annotations?.[annotation]))

const unreadable = (home: RepositoryName, error: Error) =>
  Effect.as(
    Effect.logWarning(`The cache does not find what it had in ${home}: ${error.message}`),
    []
  )
