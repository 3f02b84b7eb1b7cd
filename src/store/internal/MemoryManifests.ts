/** The manifests, tags and lists of a registry in memory. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { BlobUnknown, ManifestUnknown } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import type { MemoryRepositories, Operations, Repository } from "./MemoryRepositories.js"
import { list } from "./SortedList.js"
import * as StoredManifest from "./StoredManifest.js"

/** Makes the operations on manifests. `strict` refuses those whose content the repository lacks. */
export const manifests = (
  repositories: MemoryRepositories,
  strict: boolean
): Operations<"getManifest" | "headManifest" | "putManifest" | "deleteTag" | "deleteManifest"> => ({
  getManifest: Effect.fnUntraced(function* (repository, reference) {
    if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
    yield* repositories.get(repository)
    const manifest = repositories.findManifest(repository, reference)
    return manifest ?? (yield* new ManifestUnknown({ repository, reference }))
  }),

  headManifest: (repository, reference) =>
    Effect.sync(() =>
      Option.fromNullable(repositories.findManifest(repository, reference)?.descriptor)
    ),

  putManifest: Effect.fnUntraced(function* (name, put, { onlyIf, tags = [] } = {}) {
    const manifest = yield* StoredManifest.received(put)
    const { descriptor } = manifest
    const now = yield* Clock.currentTimeMillis
    // From here to the end is one step, so that no other writer comes between.
    const changed =
      onlyIf &&
      StoredManifest.conditionFailure(name, onlyIf, repositories.find(name)?.tags.get(onlyIf.tag))
    if (changed !== undefined) return yield* changed
    const lacking = strict ? missing(repositories.find(name), manifest) : undefined
    if (lacking !== undefined)
      return yield* new BlobUnknown({ repository: name, digest: lacking.digest })
    const repository = repositories.open(name)
    repository.manifests.set(descriptor.digest, manifest)
    repository.putAt.set(descriptor.digest, now)
    const all = onlyIf === undefined ? tags : [onlyIf.tag, ...tags]
    for (const tag of all) repository.tags.set(tag, descriptor.digest)
    return descriptor
  }),

  deleteTag: Effect.fnUntraced(function* (name, tag) {
    const { tags } = yield* repositories.get(name)
    if (!tags.delete(tag)) return yield* new ManifestUnknown({ repository: name, reference: tag })
  }),

  deleteManifest: Effect.fnUntraced(function* (name, digest) {
    const { manifests, putAt, tags } = yield* repositories.get(name)
    if (!manifests.delete(digest))
      return yield* new ManifestUnknown({ repository: name, reference: digest })
    putAt.delete(digest)
    for (const [tag, target] of tags) if (target === digest) tags.delete(tag) // R39
  })
})

/** Makes the lists: all in ASCII order, and in one page. */
export const lists = (
  repositories: MemoryRepositories
): Operations<"tags" | "repositories" | "referrers" | "manifests"> => ({
  tags: (name, options) =>
    Stream.unwrap(Effect.map(repositories.get(name), ({ tags }) => list(tags.keys(), options))),

  repositories: (options) => Stream.suspend(() => list(repositories.names, options)),

  referrers: (name, digest, { artifactType } = {}) =>
    Stream.suspend(() =>
      Stream.fromIterable(
        [...(repositories.find(name)?.manifests.values() ?? [])]
          .filter((manifest) =>
            Option.exists(Manifest.subject(manifest), (subject) => subject.digest === digest)
          )
          .map(Manifest.referrer)
          .filter(StoredManifest.isOfType(artifactType))
      )
    ),

  manifests: (name) =>
    Stream.fromIterableEffect(
      Effect.map(repositories.get(name), ({ manifests, putAt }) =>
        Array.from(manifests.values(), ({ descriptor }) => ({
          descriptor,
          putAt: new Date(putAt.get(descriptor.digest) ?? 0)
        }))
      )
    )
})

/** Returns the first piece of content that a manifest refers to and the repository lacks (R12). */
const missing = (
  repository: Repository | undefined,
  manifest: Manifest.Manifest
): Descriptor | undefined =>
  StoredManifest.required(manifest).find(
    ({ digest }) =>
      repository?.blobs.has(digest) !== true && repository?.manifests.has(digest) !== true
  )
