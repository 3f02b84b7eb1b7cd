/** The manifests, tags and lists of a registry in memory. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ListOptions } from "../../Registry.js"
import {
  BlobUnknown,
  DigestMismatch,
  InvalidManifest,
  ManifestUnknown,
  PreconditionFailed
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { MemoryRepositories, Operations, Repository } from "./MemoryRepositories.js"

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

  putManifest: Effect.fnUntraced(function* (
    name,
    { bytes, descriptor },
    { onlyIf, tags = [] } = {}
  ) {
    const manifest = yield* decode(bytes, descriptor)
    // From here to the end is one step, so that no other writer comes between.
    if (onlyIf !== undefined) {
      const { is: expected, tag } = onlyIf
      const actual = repositories.find(name)?.tags.get(tag) ?? "absent"
      if (actual !== expected)
        return yield* new PreconditionFailed({
          repository: name,
          tag,
          expected,
          actual,
          reason: "Changed"
        })
    }
    const lacking = strict ? missing(repositories.find(name), manifest) : undefined
    if (lacking !== undefined)
      return yield* new BlobUnknown({ repository: name, digest: lacking.digest })
    const repository = repositories.open(name)
    repository.manifests.set(descriptor.digest, manifest)
    const all = onlyIf === undefined ? tags : [onlyIf.tag, ...tags]
    for (const tag of all) repository.tags.set(tag, descriptor.digest)
    return manifest.descriptor
  }),

  deleteTag: Effect.fnUntraced(function* (name, tag) {
    const { tags } = yield* repositories.get(name)
    if (!tags.delete(tag)) return yield* new ManifestUnknown({ repository: name, reference: tag })
  }),

  deleteManifest: Effect.fnUntraced(function* (name, digest) {
    const { manifests, tags } = yield* repositories.get(name)
    if (!manifests.delete(digest))
      return yield* new ManifestUnknown({ repository: name, reference: digest })
    for (const [tag, target] of tags) if (target === digest) tags.delete(tag) // R39
  })
})

/** Makes the lists: all in ASCII order, and in one page. */
export const lists = (
  repositories: MemoryRepositories
): Operations<"tags" | "repositories" | "referrers"> => ({
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
          .filter(
            (referrer) =>
              artifactType === undefined ||
              MediaType.equals(referrer.artifactType ?? "", artifactType)
          )
      )
    )
})

/** The bytes are the truth: what the caller decoded from them is not. */
const decode = Effect.fnUntraced(function* (bytes: Uint8Array, { digest, mediaType }: Descriptor) {
  yield* Digest.hasherFor(digest)
  const manifest = yield* Manifest.fromBytes(new Uint8Array(bytes), { mediaType, digest }).pipe(
    Effect.catchTag("MediaTypeMismatch", ({ message }) =>
      Effect.fail(new InvalidManifest({ reason: "MediaType", path: "mediaType", message }))
    )
  )
  const actual = manifest.descriptor.digest
  if (actual !== digest) return yield* new DigestMismatch({ expected: digest, actual })
  // Whether the repository has all that an index refers to cannot be told of such an entry.
  const [skipped] = manifest.content._tag === "ImageIndex" ? (manifest.content.skipped ?? []) : []
  return skipped === undefined
    ? manifest
    : yield* new InvalidManifest({ reason: "Shape", ...skipped })
})

/** Returns the first piece of content that a manifest refers to and the repository lacks (R12). */
const missing = (
  repository: Repository | undefined,
  manifest: Manifest.Manifest
): Descriptor | undefined =>
  Manifest.references(manifest).find(
    ({ digest, mediaType }) =>
      !MediaType.isNonDistributable(mediaType) &&
      repository?.blobs.has(digest) !== true &&
      repository?.manifests.has(digest) !== true
  )

/** All that is left after `after`. A page of none is the end of the list (C83). */
const list = <A extends string>(
  items: Iterable<A>,
  { after, pageSize }: ListOptions<A> = {}
): Stream.Stream<A> =>
  pageSize === 0
    ? Stream.empty
    : Stream.fromIterable([...items].filter((item) => after === undefined || item > after).sort())
