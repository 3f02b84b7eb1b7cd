/** Several registries seen as one: what one lacks is read from the next. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { make, type Registry } from "../../Registry.js"
import { type CommonError, isAbsent, NameUnknown, Unsupported } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as BeforeFirstByte from "./BeforeFirstByte.js"
import { merged } from "./MergedList.js"
import * as RenamedTransfer from "./RenamedTransfer.js"

/** Makes one registry of several: see `ComposedRegistry.union`. */
export const union = (
  first: Registry.Service,
  others: ReadonlyArray<Registry.Service>
): Registry.Service => {
  const all = [first, ...others]
  return make({
    ...reads(all),
    ...lists(all),
    ...deletions(first, others),
    ping: Effect.forEach(all, ({ ping }) => ping, { discard: true }),
    putManifest: first.putManifest,
    putBlob: first.putBlob,
    startUpload: first.startUpload,
    resumeUpload: first.resumeUpload,
    mountBlob: first.mountBlob
  })
}

const reads = (all: ReadonlyArray<Registry.Service>) =>
  ({
    getManifest: (repository, reference) =>
      firstOf(all.map((at) => at.getManifest(repository, reference))),
    getChangedManifest: (repository, reference, known) =>
      firstOf(all.map((at) => at.getChangedManifest(repository, reference, known))),
    headManifest: (repository, reference) =>
      firstFound(all.map((at) => at.headManifest(repository, reference))),
    headBlob: (repository, digest) => firstFound(all.map((at) => at.headBlob(repository, digest))),
    getBlob: (repository, blob) =>
      firstStream(
        repository,
        all.map((at) => at.getBlob(repository, blob))
      ),
    getBlobBytes: (repository, blob, options) =>
      RenamedTransfer.effectWith(
        firstOf(all.map((at) => at.getBlobBytes(repository, blob, options))),
        RenamedTransfer.asOne(repository)
      ),
    getBlobRange: (repository, digest, range) =>
      firstStream(
        repository,
        all.map((at) => at.getBlobRange(repository, digest, range))
      )
  }) satisfies Partial<Registry.Service>

const lists = (all: ReadonlyArray<Registry.Service>) =>
  ({
    tags: (repository, options) =>
      Stream.suspend(() => {
        let unknown = 0
        const known = all.map((at) =>
          Stream.catchTag(at.tags(repository), "NameUnknown", (error) =>
            ++unknown === all.length ? Stream.fail(error) : Stream.empty
          )
        )
        return merged(known, options)
      }),
    repositories: (options) =>
      merged(
        all.map((at) => at.repositories()),
        options
      ),
    referrers: (repository, digest, options) =>
      Stream.suspend(() => {
        const seen = new Set<Digest>()
        return Stream.flatMap(Stream.fromIterable(all), (at) =>
          at.referrers(repository, digest, options)
        ).pipe(
          Stream.filter((referrer) => !seen.has(referrer.digest)),
          Stream.tap((referrer) => Effect.sync(() => seen.add(referrer.digest)))
        )
      })
  }) satisfies Partial<Registry.Service>

/** What another registry has as well would still be there after its deletion. */
const deletions = (first: Registry.Service, others: ReadonlyArray<Registry.Service>) => {
  const inFirstAlone = (
    operation: keyof Registry.Service,
    find: (
      at: Registry.Service
    ) => Effect.Effect<Option.Option<Descriptor>, Registry.HeadManifestError>
  ): Effect.Effect<void, CommonError> =>
    firstFound(others.map(find)).pipe(
      Effect.map(Option.isSome),
      Effect.catchTags({
        DigestMismatch: () => Effect.succeed(true),
        InvalidDigest: () => Effect.succeed(false)
      }),
      Effect.flatMap((elsewhere) =>
        elsewhere
          ? new Unsupported({
              operation: `${operation} of what a registry has that is not the first of a union`
            })
          : Effect.void
      )
    )
  return {
    deleteTag: (repository, tag) =>
      Effect.zipRight(
        inFirstAlone("deleteTag", (at) => at.headManifest(repository, tag)),
        first.deleteTag(repository, tag)
      ),
    deleteManifest: (repository, digest) =>
      Effect.zipRight(
        inFirstAlone("deleteManifest", (at) => at.headManifest(repository, digest)),
        first.deleteManifest(repository, digest)
      ),
    deleteBlob: (repository, digest) =>
      Effect.zipRight(
        inFirstAlone("deleteBlob", (at) => at.headBlob(repository, digest)),
        first.deleteBlob(repository, digest)
      )
  } satisfies Partial<Registry.Service>
}

/** The first that does not say that it lacks what was asked for; else what the first one said. */
const firstOf = <A, E, R>(reads: ReadonlyArray<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> =>
  reads.reduceRight((next, read) =>
    Effect.catchAll(read, (error) =>
      isAbsent(error) ? Effect.mapError(next, lessVague<E>(error)) : Effect.fail(error)
    )
  )

/** The same for streams, until the first byte. */
const firstStream = <E, R>(
  repository: RepositoryName,
  reads: ReadonlyArray<Stream.Stream<Uint8Array, E, R>>
): Stream.Stream<Uint8Array, E, R> =>
  RenamedTransfer.streamWith(
    reads.reduceRight((next, read) =>
      BeforeFirstByte.orElse(read, (error) =>
        isAbsent(error) ? Stream.mapError(next, lessVague<E>(error)) : Stream.fail(error)
      )
    ),
    RenamedTransfer.asOne(repository)
  )

/** That a registry knows the repository and not what was asked for says more than its opposite. */
const lessVague =
  <E>(absent: E) =>
  (error: E): E =>
    error instanceof NameUnknown ? absent : error

const firstFound = <A, E, R>(
  reads: ReadonlyArray<Effect.Effect<Option.Option<A>, E, R>>
): Effect.Effect<Option.Option<A>, E, R> =>
  reads.reduceRight<Effect.Effect<Option.Option<A>, E, R>>(
    (next, read) =>
      Effect.flatMap(read, (found) => (Option.isSome(found) ? Effect.succeed(found) : next)),
    Effect.succeedNone
  )
