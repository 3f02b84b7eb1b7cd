/** An archive as a registry of one repository, to be read. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import * as BlobBytes from "../../../internal/BlobBytes.js"
import { make as makeRegistry, type Registry } from "../../../Registry.js"
import {
  BlobUnknown,
  LimitExceeded,
  ManifestUnknown,
  NameUnknown,
  StorageFailure
} from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import { list } from "../SortedList.js"
import * as StoredBlob from "../StoredBlob.js"
import * as StoredManifest from "../StoredManifest.js"
import * as ArchiveContents from "./ArchiveContents.js"
import * as ArchiveImages from "./ArchiveImages.js"

type Operations<Name extends keyof Registry.Service> = Pick<Registry.Service, Name>

/** Makes the registry of what an archive holds. What it cannot do fails with `Unsupported`. */
export const make = (
  contents: ArchiveContents.ArchiveContents,
  repository: RepositoryName
): Registry.Service =>
  makeRegistry({
    ping: Effect.void,
    ...manifests(contents, repository),
    ...lists(contents, repository),
    ...blobs(contents, repository)
  })

const check = (
  repository: RepositoryName,
  name: RepositoryName
): Effect.Effect<void, NameUnknown> =>
  name === repository ? Effect.void : Effect.fail(new NameUnknown({ repository: name }))

/** The index that lacks what is not there, for the error that says so. */
const indexOf = (contents: ArchiveContents.ArchiveContents, digest: Digest.Digest) =>
  Effect.map(ArchiveImages.partialIndex(contents, digest), (index) => index && { index })

const manifests = (
  contents: ArchiveContents.ArchiveContents,
  repository: RepositoryName
): Operations<"getManifest" | "headManifest"> => {
  const find = Effect.fnUntraced(function* (reference: Tag | Digest.Digest) {
    const { catalog, index } = contents
    const digest = Digest.isDigest(reference) ? reference : yield* resolve(contents, reference)
    if (digest === undefined) return undefined
    return index.descriptor(digest) ?? (yield* catalog.contents(index)).nested.get(digest)
  })

  const getManifest: Registry.Service["getManifest"] = Effect.fnUntraced(
    function* (name, reference) {
      if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
      yield* check(repository, name)
      const descriptor = yield* find(reference)
      const bytes =
        descriptor &&
        Option.getOrUndefined(yield* ArchiveContents.document(contents, descriptor.digest))
      if (descriptor !== undefined && bytes !== undefined)
        return yield* StoredManifest.verified(bytes, descriptor)
      const index = descriptor && (yield* indexOf(contents, descriptor.digest))
      return yield* new ManifestUnknown({ repository: name, reference, ...index })
    }
  )

  return {
    getManifest,
    headManifest: Effect.fnUntraced(function* (name, reference) {
      if (name !== repository) return Option.none()
      const descriptor = yield* find(reference)
      const stored = descriptor && contents.find(descriptor.digest)
      if (descriptor === undefined || stored === undefined) return Option.none()
      const { digest, mediaType } = descriptor
      // What an entry does not say, the manifest may.
      return mediaType === ""
        ? Option.map(
            yield* Effect.option(getManifest(name, digest)),
            ({ descriptor }) => descriptor
          )
        : Option.some({ mediaType, digest, size: stored.size })
    })
  }
}

/** Returns the manifest that a tag stands on. Fails if it stands on several (S3). */
const resolve = (
  { index, name }: ArchiveContents.ArchiveContents,
  tag: Tag
): Effect.Effect<Digest.Digest | undefined, StorageFailure> => {
  const digests = index.resolve(tag)
  return digests.length < 2
    ? Effect.succeed(digests[0])
    : Effect.fail(
        new StorageFailure({
          path: name,
          cause: new Error(
            `the name ${tag} stands on several manifests: ` +
              digests.map((digest) => `${digest} (${index.names(digest).join(", ")})`).join(", ") +
              ". Read the one that is meant by its digest"
          )
        })
      )
}

const lists = (
  contents: ArchiveContents.ArchiveContents,
  repository: RepositoryName
): Operations<"tags" | "repositories" | "referrers"> => ({
  tags: (name, options) =>
    Stream.unwrap(Effect.map(check(repository, name), () => list(contents.index.tags, options))),

  repositories: (options) => list([repository], options),

  referrers: (name, digest, { artifactType } = {}) =>
    Stream.filter(
      Stream.fromIterableEffect(
        Effect.map(contents.catalog.contents(contents.index), ({ referrers }) =>
          name === repository ? (referrers.get(digest) ?? []) : []
        )
      ),
      StoredManifest.isOfType(artifactType)
    )
})

const blobs = (
  contents: ArchiveContents.ArchiveContents,
  repository: RepositoryName
): Operations<"headBlob" | "getBlob" | "getBlobBytes" | "getBlobRange"> => {
  const find = Effect.fnUntraced(function* (name: RepositoryName, digest: Digest.Digest) {
    yield* check(repository, name)
    const stored = contents.find(digest)
    if (stored !== undefined) return stored
    const index = yield* indexOf(contents, digest)
    return yield* new BlobUnknown({ repository: name, digest, ...index })
  })

  const getBlob = StoredBlob.download((name, digest) =>
    Effect.map(find(name, digest), ({ stream }) => ({ bytes: stream, isVerified: false }))
  )

  return {
    headBlob: (name, digest) =>
      Effect.sync(() => {
        const stored = name === repository ? contents.find(digest) : undefined
        return Option.map(Option.fromNullable(stored), ({ size }) =>
          StoredBlob.descriptorOf(digest, size)
        )
      }),

    getBlob,

    getBlobBytes: BlobBytes.make(
      getBlob,
      Effect.fnUntraced(function* (name, blob, limit) {
        const verifier = yield* ByteStream.verifier(blob)
        const { bytes, size } = yield* find(name, blob.digest)
        if (size > limit.limit) return yield* new LimitExceeded(limit)
        const read = yield* bytes
        const problem = verifier.finish(read)
        return problem === undefined ? read : yield* problem
      })
    ),

    getBlobRange: StoredBlob.range((name, digest) =>
      Effect.map(find(name, digest), ({ size, stream }) => ({
        size,
        bytes: (start, end, borrowed) => stream(borrowed, start, end)
      }))
    )
  }
}

/** The images of an archive, as its index has them. */
export const imagesOf = ({
  index
}: ArchiveContents.ArchiveContents): ReadonlyArray<{
  readonly descriptor: Descriptor
  readonly names: ReadonlyArray<string>
}> =>
  [...index.digests].flatMap((digest) => {
    const descriptor = index.descriptor(digest)
    return descriptor === undefined ? [] : [{ descriptor, names: index.names(digest) }]
  })
