/**
 * A registry in memory, complete and strict: for tests without a network, and as what an embedded
 * server serves. It behaves as the distribution specification wants a registry to behave, its
 * optional parts included, and forgets everything with the process.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as ByteRange from "../protocol/ByteRange.js"
import { Registries } from "../Registries.js"
import { type ListOptions, Registry } from "../Registry.js"
import {
  BlobUnknown,
  DigestMismatch,
  InvalidManifest,
  InvalidUrl,
  ManifestUnknown,
  NameUnknown,
  RangeMismatch
} from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as Digest from "../spec/Digest.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import * as Reference from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import * as MemoryUploads from "./internal/MemoryUploads.js"

/**
 * A `Registry` whose open upload sessions can be seen, so that a test can tell that none was left
 * behind.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryRegistry extends Registry.Service {
  readonly uploads: Effect.Effect<ReadonlyArray<Transfer.UploadState>>
}

/**
 * How strict a registry in memory is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * What happens to a manifest whose config, layers or manifests the repository lacks. `"reject"`,
   * the default, fails with `BlobUnknown`; `"accept"` stores it. Both are allowed (R12). A subject
   * and layers that are not to be distributed may always be missing (R11, C63).
   */
  readonly missingReferences?: "reject" | "accept" | undefined
}

/**
 * An empty registry. A repository comes into being with the first content put into it, and stays
 * when that is deleted.
 *
 * @example
 * ```ts
 * import * as BlobSource from "effect-oci/BlobSource"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import * as Reference from "effect-oci/Reference"
 * import * as Effect from "effect/Effect"
 *
 * const put = Effect.gen(function*() {
 *   const registry = yield* MemoryRegistry.make()
 *   const repository = yield* Reference.parseRepositoryName("team/app")
 *   return yield* registry.putBlob(repository, BlobSource.fromBytes(new TextEncoder().encode("hello")))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<MemoryRegistry> =>
  Effect.sync(() => unsafeMake(options))

/**
 * A layer with one empty registry.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Registry> =>
  Layer.effect(Registry, make(options))

/**
 * A layer with one registry for every host, empty when it is first asked for. Docker Hub is one
 * host under all its names. A text that is not a host fails with `InvalidUrl`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (options: Options = {}): Layer.Layer<Registries> =>
  Layer.sync(Registries, () => {
    const registries = new Map<string, Registry.Service>()
    return {
      get: (host) =>
        Effect.map(canonicalHost(host), (name) => {
          const registry = registries.get(name) ?? unsafeMake(options)
          registries.set(name, registry)
          return registry
        })
    }
  })

const canonicalHost = (host: string): Effect.Effect<string, InvalidUrl> => {
  const invalid = (problem: string) => new InvalidUrl({ url: host.slice(0, 128), problem })
  return Reference.parse(`${host}/a/b`).pipe(
    Effect.mapError(({ message }) => invalid(message)),
    Effect.filterOrFail(
      ({ repository }) => repository === "a/b",
      () => invalid("this is not a host of a registry")
    ),
    Effect.map((reference) => reference.host)
  )
}

// -----------------------------------------------------------------------------
// State
// -----------------------------------------------------------------------------

// Every change is made in one synchronous step, so that no fiber sees half of it.

interface Repository {
  readonly blobs: Map<Digest.Digest, Uint8Array>
  readonly manifests: Map<Digest.Digest, Manifest.Manifest>
  readonly tags: Map<Reference.Tag, Digest.Digest>
}

const unsafeMake = (options: Options): MemoryRegistry => {
  const repositories = new Map<Reference.RepositoryName, Repository>()
  const uploads = MemoryUploads.unsafeMake((name, digest, bytes) => {
    createRepository(name).blobs.set(digest, bytes)
    return blobDescriptor(digest, bytes)
  })

  const repositoryOf = (name: Reference.RepositoryName): Effect.Effect<Repository, NameUnknown> =>
    Effect.suspend(() => {
      const repository = repositories.get(name)
      return repository === undefined
        ? Effect.fail(new NameUnknown({ repository: name }))
        : Effect.succeed(repository)
    })

  const createRepository = (name: Reference.RepositoryName): Repository => {
    const repository = repositories.get(name) ?? {
      blobs: new Map(),
      manifests: new Map(),
      tags: new Map()
    }
    repositories.set(name, repository)
    return repository
  }

  // ---------------------------------------------------------------------------
  // Manifests
  // ---------------------------------------------------------------------------

  const findManifest = (
    name: Reference.RepositoryName,
    reference: Reference.Tag | Digest.Digest
  ) => {
    const repository = repositories.get(name)
    const digest = Digest.isDigest(reference) ? reference : repository?.tags.get(reference)
    return Option.fromNullable(digest === undefined ? undefined : repository?.manifests.get(digest))
  }

  const getManifest: Registry.Service["getManifest"] = Effect.fnUntraced(
    function* (name, reference) {
      if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
      yield* repositoryOf(name)
      return yield* Effect.mapError(
        findManifest(name, reference),
        () => new ManifestUnknown({ repository: name, reference })
      )
    }
  )

  const headManifest: Registry.Service["headManifest"] = (name, reference) =>
    Effect.sync(() => Option.map(findManifest(name, reference), (manifest) => manifest.descriptor))

  const putManifest: Registry.Service["putManifest"] = Effect.fnUntraced(function* (
    name,
    given,
    { tags = [] } = {}
  ) {
    const { digest, mediaType } = given.descriptor
    yield* Digest.hasherFor(digest)
    // The bytes are the truth: what the caller decoded from them is not.
    const manifest = yield* Manifest.fromBytes(new Uint8Array(given.bytes), {
      mediaType,
      digest
    }).pipe(
      Effect.catchTag("MediaTypeMismatch", ({ message }) =>
        Effect.fail(new InvalidManifest({ reason: "MediaType", path: "mediaType", message }))
      )
    )
    const actual = manifest.descriptor.digest
    if (actual !== digest) return yield* new DigestMismatch({ expected: digest, actual })
    return yield* Effect.suspend(() => {
      const lacking =
        options.missingReferences === "accept"
          ? undefined
          : missing(repositories.get(name), manifest)
      if (lacking !== undefined)
        return Effect.fail(new BlobUnknown({ repository: name, digest: lacking.digest }))
      const repository = createRepository(name)
      repository.manifests.set(digest, manifest)
      for (const tag of tags) repository.tags.set(tag, digest)
      return Effect.succeed(manifest.descriptor)
    })
  })

  const deleteTag: Registry.Service["deleteTag"] = (name, tag) =>
    Effect.flatMap(repositoryOf(name), (repository) =>
      repository.tags.delete(tag)
        ? Effect.void
        : new ManifestUnknown({ repository: name, reference: tag })
    )

  const deleteManifest: Registry.Service["deleteManifest"] = (name, digest) =>
    Effect.flatMap(repositoryOf(name), (repository) => {
      if (!repository.manifests.delete(digest))
        return new ManifestUnknown({ repository: name, reference: digest })
      for (const [tag, target] of repository.tags)
        if (target === digest) repository.tags.delete(tag) // R39
      return Effect.void
    })

  // ---------------------------------------------------------------------------
  // Lists
  // ---------------------------------------------------------------------------

  const tags: Registry.Service["tags"] = (name, listOptions) =>
    Stream.unwrap(
      Effect.map(repositoryOf(name), (repository) => list(repository.tags.keys(), listOptions))
    )

  const repositoryNames: Registry.Service["repositories"] = (listOptions) =>
    Stream.suspend(() => list(repositories.keys(), listOptions))

  const referrers: Registry.Service["referrers"] = (name, digest, { artifactType } = {}) =>
    Stream.suspend(() => {
      const manifests = [...(repositories.get(name)?.manifests.values() ?? [])]
      const found = manifests.filter((manifest) =>
        Option.exists(Manifest.subject(manifest), (subject) => subject.digest === digest)
      )
      return Stream.fromIterable(
        found
          .map(Manifest.referrer)
          .filter(
            (descriptor) => artifactType === undefined || descriptor.artifactType === artifactType
          )
      )
    })

  // ---------------------------------------------------------------------------
  // Blobs
  // ---------------------------------------------------------------------------

  const findBlob = (name: Reference.RepositoryName, digest: Digest.Digest) =>
    Option.fromNullable(repositories.get(name)?.blobs.get(digest))

  const readBlob = (name: Reference.RepositoryName, digest: Digest.Digest) =>
    Effect.flatMap(repositoryOf(name), () =>
      Effect.mapError(findBlob(name, digest), () => new BlobUnknown({ repository: name, digest }))
    )

  const headBlob: Registry.Service["headBlob"] = (name, digest) =>
    Effect.sync(() => Option.map(findBlob(name, digest), (bytes) => blobDescriptor(digest, bytes)))

  const getBlob: Registry.Service["getBlob"] = (name, blob) => {
    const { digest, size } = typeof blob === "string" ? { digest: blob, size: undefined } : blob
    const subject: Transfer.Subject = { direction: "download", repository: name, digest, size }
    const stored = Stream.unwrap(Effect.map(readBlob(name, digest), pieces))
    return Stream.execute(Transfer.emit({ _tag: "Started", subject })).pipe(
      Stream.concat(ByteStream.verify(Transfer.track(stored, subject), { digest, size })),
      Stream.concat(
        Stream.execute(
          Effect.zipRight(
            Transfer.emit({ _tag: "Verified", subject, digest }),
            Transfer.emit({ _tag: "Completed", subject, skipped: false })
          )
        )
      )
    )
  }

  const getBlobRange: Registry.Service["getBlobRange"] = (name, digest, { start, end }) => {
    const range = end === undefined ? { start } : { start, end }
    const expected = ByteRange.formatRequest(range)
    return ByteRange.isRequest(range)
      ? Stream.unwrap(
          Effect.flatMap(readBlob(name, digest), (bytes) =>
            Option.match(ByteRange.resolve(range, bytes.length), {
              onNone: () => new RangeMismatch({ expected, actual: `bytes */${bytes.length}` }),
              onSome: (found) => Effect.succeed(pieces(bytes.subarray(found.start, found.end + 1)))
            })
          )
        )
      : Stream.fail(new RangeMismatch({ expected, actual: "" }))
  }

  const deleteBlob: Registry.Service["deleteBlob"] = (name, digest) =>
    Effect.flatMap(repositoryOf(name), (repository) =>
      repository.blobs.delete(digest) ? Effect.void : new BlobUnknown({ repository: name, digest })
    )

  const mount = (
    name: Reference.RepositoryName,
    digest: Digest.Digest,
    from: Option.Option<Reference.RepositoryName>
  ) =>
    Effect.sync(() => {
      const sources = Option.match(from, {
        onNone: () => [...repositories.keys()],
        onSome: (source) => [source]
      })
      return Option.map(
        Option.firstSomeOf(sources.map((source) => findBlob(source, digest))),
        (bytes) => {
          createRepository(name).blobs.set(digest, bytes)
          return blobDescriptor(digest, bytes)
        }
      )
    })

  const mountBlob: Registry.Service["mountBlob"] = (name, digest, from) =>
    Effect.map(mount(name, digest, from), Option.isSome)

  const putBlob: Registry.Service["putBlob"] = (name, source, { mountFrom } = {}) => {
    const declared = Option.getOrUndefined(source.digest)
    const size = Option.getOrUndefined(source.size)
    const subject: Transfer.Subject = {
      direction: "upload",
      repository: name,
      digest: declared,
      size
    }
    const present = (digest: Digest.Digest) =>
      Effect.flatMap(headBlob(name, digest), (found) =>
        Option.isNone(found) && mountFrom !== undefined
          ? mount(name, digest, Option.some(mountFrom))
          : Effect.succeed(found)
      )
    const upload = Effect.gen(function* () {
      const session = yield* uploads.start(name)
      const hasher = Digest.hasher("sha256")
      const bytes = ByteStream.verify(Transfer.track(source.open(0), subject), { size })
      yield* session.write(declared === undefined ? ByteStream.tap(bytes, hasher.update) : bytes)
      const descriptor = yield* session.commit(declared ?? hasher.digest())
      yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
      return descriptor
    })
    return Effect.gen(function* () {
      yield* Transfer.emit({ _tag: "Started", subject })
      const found = declared === undefined ? Option.none<Descriptor>() : yield* present(declared)
      const descriptor = Option.isSome(found) ? found.value : yield* Effect.scoped(upload)
      yield* Transfer.emit({ _tag: "Completed", subject, skipped: Option.isSome(found) })
      return descriptor
    })
  }

  return {
    ping: Effect.void,
    getManifest,
    headManifest,
    putManifest,
    deleteTag,
    deleteManifest,
    tags,
    repositories: repositoryNames,
    referrers,
    headBlob,
    getBlob,
    getBlobRange,
    putBlob,
    deleteBlob,
    startUpload: uploads.start,
    resumeUpload: uploads.resume,
    mountBlob,
    uploads: uploads.open
  }
}

// -----------------------------------------------------------------------------
// Rules of the specification
// -----------------------------------------------------------------------------

/** The first piece of content that a manifest refers to and the repository lacks (R12). */
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

/** In ASCII order, the whole rest after `last`. A page of none is the end of the list (C83). */
const list = <A extends string>(
  items: Iterable<A>,
  { last, n }: ListOptions<A> = {}
): Stream.Stream<A> =>
  n === 0
    ? Stream.empty
    : Stream.fromIterable([...items].filter((item) => last === undefined || item > last).sort())

const blobDescriptor = (digest: Digest.Digest, bytes: Uint8Array): Descriptor => ({
  mediaType: MediaType.octetStream,
  digest,
  size: bytes.length
})

const pieceSize = 64 * 1024

/**
 * Many chunks, as from a network, so that progress shows and a consumer that stops early has not
 * been given everything.
 */
const pieces = (bytes: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.unfold(0, (at) =>
    at < bytes.length
      ? Option.some([bytes.subarray(at, at + pieceSize), at + pieceSize])
      : Option.none()
  )
