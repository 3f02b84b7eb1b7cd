/** The manifests, tags and lists of layouts. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ListedManifest, PutCondition, Registry } from "../../../Registry.js"
import {
  BlobUnknown,
  LimitExceeded,
  ManifestUnknown,
  type StorageFailure
} from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import type * as Manifest from "../../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import { list } from "../SortedList.js"
import * as StoredManifest from "../StoredManifest.js"
import { documentLimit, type Layout, readBytes } from "./Layout.js"
import type { LayoutIndex } from "./LayoutIndex.js"
import { present } from "./LayoutMounts.js"
import type { Layouts, Repository } from "./Layouts.js"

type Operations<Name extends keyof Registry.Service> = Pick<Registry.Service, Name>

/** Makes the operations on manifests. `strict` refuses those whose content the repository lacks. */
export const manifests = (
  layouts: Layouts,
  strict: boolean
): Operations<"getManifest" | "headManifest" | "putManifest" | "deleteTag" | "deleteManifest"> => ({
  getManifest: (name, reference) => getManifest(layouts, name, reference),

  headManifest: (name, reference) => headManifest(layouts, name, reference),

  putManifest: putManifestOf(layouts, strict),

  deleteTag: Effect.fnUntraced(function* (name, tag) {
    const { layout } = yield* layouts.get(name)
    const unknown = new ManifestUnknown({ repository: name, reference: tag })
    yield* layout.commit({
      change: (index) => (index.removeTag(tag) ? Effect.void : unknown)
    })
  }),

  deleteManifest: Effect.fnUntraced(function* (name, digest) {
    const { catalog, layout } = yield* layouts.get(name)
    const unknown = new ManifestUnknown({ repository: name, reference: digest })
    const { members } = yield* catalog.contents(yield* layout.index)
    const isMember = members.has(digest) && Option.isSome(yield* layout.find(digest))
    yield* layout.commit({
      change: (index) =>
        index.removeManifest(digest) || isMember ? Effect.void : Effect.fail(unknown),
      // The index that has it among its manifests stays, and is not to lead to it.
      after: (index) =>
        isMember && !index.has(digest) ? layout.files.remove(layout.blob(digest)) : Effect.void
    })
  })
})

const getManifest = Effect.fnUntraced(function* (
  layouts: Layouts,
  name: RepositoryName,
  reference: Tag | Digest.Digest
) {
  if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
  const repository = yield* layouts.get(name)
  const descriptor = yield* find(repository, reference)
  const unknown = new ManifestUnknown({ repository: name, reference })
  if (descriptor === undefined) return yield* unknown
  const found = yield* repository.layout.find(descriptor.digest)
  if (Option.isNone(found)) return yield* unknown
  const bytes = yield* readBytes(repository.layout, found.value)
  return yield* StoredManifest.verified(bytes, descriptor)
})

const headManifest = Effect.fnUntraced(function* (
  layouts: Layouts,
  name: RepositoryName,
  reference: Tag | Digest.Digest
) {
  const repository = yield* layouts.find(name)
  if (Option.isNone(repository)) return Option.none<Descriptor>()
  const { layout } = repository.value
  const descriptor = yield* Effect.catchTag(find(repository.value, reference), "NameUnknown", () =>
    Effect.succeed(undefined)
  )
  if (descriptor === undefined) return Option.none<Descriptor>()
  const { digest, mediaType, size } = descriptor
  // What an entry does not say, the manifest may.
  if (mediaType === "" || size < 0)
    return Option.map(
      yield* Effect.option(getManifest(layouts, name, digest)),
      (manifest) => manifest.descriptor
    )
  const found = yield* layout.find(digest, size)
  return Option.map(found, (): Descriptor => ({ mediaType, digest, size }))
})

const putManifestOf = (layouts: Layouts, strict: boolean): Registry.Service["putManifest"] =>
  Effect.fnUntraced(function* (name, put, { onlyIf, tags = [] } = {}) {
    const manifest = yield* StoredManifest.received(put)
    const { bytes, descriptor } = manifest
    if (bytes.length > documentLimit)
      return yield* new LimitExceeded({ what: "The manifest", limit: documentLimit })
    yield* StoredManifest.checkDigest(manifest)
    const repository = yield* layouts.open(name)
    const { layout } = repository
    // What is refused now need not be stored.
    if (onlyIf !== undefined) yield* checkCondition(layout, yield* layout.indexOrEmpty, onlyIf)
    const lacking = yield* missing(repository, manifest)
    if (strict && lacking !== undefined)
      return yield* new BlobUnknown({ repository: name, digest: lacking.digest })
    yield* store(layout, manifest)
    const all = onlyIf === undefined ? tags : [onlyIf.tag, ...tags]
    yield* layout.commit({
      change: Effect.fnUntraced(function* (index) {
        yield* checkCondition(layout, index, onlyIf)
        // Somebody may have deleted the manifest since it was stored.
        if (Option.isNone(yield* layout.find(descriptor.digest, descriptor.size)))
          yield* store(layout, manifest)
        index.put(descriptor, all)
      })
    })
    return descriptor
  })

/** Makes the lists: all in ASCII order but for the referrers, and in one page. */
export const lists = (
  layouts: Layouts
): Operations<"tags" | "repositories" | "referrers" | "manifests"> => ({
  tags: (name, options) =>
    Stream.unwrap(
      Effect.map(
        Effect.flatMap(layouts.get(name), ({ layout }) => layout.index),
        (index) => list(index.tags, options)
      )
    ),

  repositories: (options) =>
    Stream.unwrap(Effect.map(layouts.names, (names) => list(names, options))),

  referrers: (name, digest, { artifactType } = {}) => {
    const found = Effect.gen(function* () {
      const { catalog, layout } = yield* layouts.get(name)
      const { referrers } = yield* catalog.contents(yield* layout.index)
      return referrers.get(digest) ?? []
    }).pipe(Effect.catchTag("NameUnknown", () => Effect.succeed([])))
    return Stream.filter(Stream.fromIterableEffect(found), StoredManifest.isOfType(artifactType))
  },

  manifests: (name) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { catalog, layout } = yield* layouts.get(name)
        const index = yield* layout.index
        const { nested } = yield* catalog.contents(index)
        return Stream.fromIterable([...index.digests, ...nested.keys()]).pipe(
          Stream.mapEffect((digest) =>
            Effect.gen(function* () {
              const descriptor = yield* headManifest(layouts, name, digest)
              const file = yield* layout.find(digest)
              return Option.isSome(descriptor) && Option.isSome(file)
                ? Option.some<ListedManifest>({
                    descriptor: descriptor.value,
                    putAt: new Date(file.value.modified)
                  })
                : Option.none()
            })
          ),
          Stream.filterMap((found) => found)
        )
      })
    )
})

/** Returns the descriptor of a manifest, from the index or from one of those that it has. */
const find = Effect.fnUntraced(function* (
  { catalog, layout }: Repository,
  reference: Tag | Digest.Digest
) {
  const index = yield* layout.index
  const digest = Digest.isDigest(reference) ? reference : yield* resolve(layout, index, reference)
  if (digest === undefined) return undefined
  return index.descriptor(digest) ?? (yield* catalog.contents(index)).nested.get(digest)
})

/** Returns the manifest that a tag stands on. Fails if it stands on several (S3). */
const resolve = (
  layout: Layout,
  index: LayoutIndex,
  tag: Tag
): Effect.Effect<Digest.Digest | undefined, StorageFailure> => {
  const digests = index.resolve(tag)
  return digests.length < 2
    ? Effect.succeed(digests[0])
    : Effect.fail(
        layout.failure(
          `the name ${tag} stands on several manifests: ${digests.join(", ")}. Put the one that ` +
            "is meant under this tag, or read it by its digest"
        )
      )
}

const checkCondition = Effect.fnUntraced(function* (
  layout: Layout,
  index: LayoutIndex,
  onlyIf: PutCondition | undefined
) {
  if (onlyIf === undefined) return
  const actual = yield* resolve(layout, index, onlyIf.tag)
  const failure = StoredManifest.conditionFailure(layout.repository, onlyIf, actual)
  if (failure !== undefined) yield* failure
})

/**
 * Returns the first piece of content that a manifest refers to and the repository lacks (R12). What
 * it has is kept for the manifest.
 */
const missing = Effect.fnUntraced(function* (repository: Repository, manifest: Manifest.Manifest) {
  const isIndex = manifest.content._tag === "ImageIndex"
  for (const reference of StoredManifest.required(manifest)) {
    const { digest, mediaType, size } = reference
    if (
      isIndex &&
      ManifestMediaType.isManifest(mediaType) &&
      !(yield* isListed(repository, digest))
    )
      return reference
    if (Option.isNone(yield* present(repository, digest, size))) return reference
  }
  return undefined
})

/** Whether a manifest is one of the layout: the file of one that was deleted stays for a time. */
const isListed = Effect.fnUntraced(function* (
  { catalog, layout }: Repository,
  digest: Digest.Digest
) {
  const index = yield* layout.indexOrEmpty
  return index.has(digest) || (yield* catalog.contents(index)).members.has(digest)
})

/** Stores the bytes of a manifest, unless they are there. */
const store = Effect.fnUntraced(function* (
  layout: Layout,
  { bytes, descriptor: { digest, size } }: Manifest.Manifest
) {
  const { files } = layout
  const found = yield* layout.find(digest, size)
  if (Option.isSome(found)) {
    const stored = yield* readBytes(layout, found.value)
    const now = yield* Clock.currentTimeMillis
    if (stored.every((byte, at) => byte === bytes[at]))
      if (yield* files.touch(found.value.path, now)) return
  }
  yield* layout.prepare
  const draft = layout.draft()
  yield* Effect.uninterruptible(
    Effect.zipRight(files.make(draft, bytes), layout.place(draft, digest))
  ).pipe(Effect.onError(() => files.remove(draft)))
})
