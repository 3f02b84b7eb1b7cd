/** A registry with copies elsewhere: content is read from the first that has it. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BlobBytes from "../../internal/BlobBytes.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as CompletedDownload from "../../internal/CompletedDownload.js"
import * as PullStream from "../../internal/PullStream.js"
import { make, type Registry } from "../../Registry.js"
import {
  DigestMismatch,
  RangeMismatch,
  SizeMismatch,
  TransportFailure,
  Unsupported
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import { isRepositoryName, type RepositoryName, type Tag } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import * as RenamedTransfer from "./RenamedTransfer.js"
import type { Place } from "./RoutedRegistry.js"

/**
 * A registry that has repositories of another one, below `prefix` if that is given: `<prefix>/app`
 * for `app`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mirror {
  readonly registry: Registry.Service
  readonly prefix?: RepositoryName | undefined
}

/**
 * Puts mirrors in front of a registry: see `ComposedRegistry.mirrored`. Fails as the registry
 * itself does; what a mirror failed with is logged. A mirror where the name of a repository would
 * be too long is passed over.
 */
export const mirrored = (
  registry: Registry.Service,
  mirrors: ReadonlyArray<Mirror>
): Registry.Service =>
  mirrors.length === 0
    ? registry
    : make({
        ping: registry.ping,
        putManifest: registry.putManifest,
        deleteTag: registry.deleteTag,
        deleteManifest: registry.deleteManifest,
        tags: registry.tags,
        repositories: registry.repositories,
        referrers: registry.referrers,
        manifests: registry.manifests,
        putBlob: registry.putBlob,
        deleteBlob: registry.deleteBlob,
        startUpload: registry.startUpload,
        resumeUpload: registry.resumeUpload,
        mountBlob: registry.mountBlob,
        ...reads((repository) => ({
          original: { registry, repository },
          copies: mirrors.flatMap(({ prefix, registry }) => {
            const name = prefix === undefined ? repository : `${prefix}/${repository}`
            return isRepositoryName(name) ? [{ registry, repository: name }] : []
          })
        }))
      })

/** Where a repository is read from: its copies, in order, and then the original. */
export interface Sources {
  readonly copies: ReadonlyArray<Place>
  readonly original: Place
}

/** So long a copy is not asked that did not respond (V29). */
const rest = Duration.minutes(1)

/** Says where a repository is read from. A manifest has a `reference`, a blob none. */
export type SourcesOf = (repository: RepositoryName, reference?: Tag | Digest.Digest) => Sources

/** Makes the operations that read content, over what `sourcesOf` says of each repository. */
export const reads = (sourcesOf: SourcesOf) => {
  // In milliseconds of the clock, until when registries that did not respond are left alone.
  const resting = new WeakMap<Registry.Service, number>()

  const asked: Asked = (repository, reference) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const { copies, original } = sourcesOf(repository, reference)
      const isAwake = ({ registry }: Place) => (resting.get(registry) ?? now) <= now
      return { original, copies: copies.filter(isAwake) }
    })

  const passOver = ({ registry }: Place, error: Error): Effect.Effect<void> =>
    isSilence(error)
      ? Effect.flatMap(Clock.currentTimeMillis, (now) => {
          resting.set(registry, now + Duration.toMillis(rest))
          return Effect.logWarning(
            `A mirror does not respond, and is passed over for a minute: ${error.message}`
          )
        })
      : Effect.logDebug(`A mirror is passed over: ${error.message}`)

  return {
    ...documents(asked, passOver),
    ...blobs(asked, passOver)
  }
}

type Asked = (...of: Parameters<SourcesOf>) => Effect.Effect<Sources>
type PassOver = (place: Place, error: Error) => Effect.Effect<void>

/** Whether a registry did not respond: what is asked of it next would wait as long. */
const isSilence = (error: Error): boolean =>
  error instanceof TransportFailure && error.reason !== "Reset"

const documents = (asked: Asked, passOver: PassOver) => {
  /** The copies in order, then the original. */
  const first = <A, E extends Error, R>(
    of: Parameters<SourcesOf>,
    read: (place: Place) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    Effect.flatMap(asked(...of), ({ copies, original }) =>
      copies.reduceRight(
        (next, copy) =>
          Effect.catchAll(read(copy), (error) => Effect.zipRight(passOver(copy, error), next)),
        read(original)
      )
    )

  /**
   * The original; while it fails, the first copy that has something. That a copy lacks it says
   * nothing of the original.
   */
  const instead = <A, E extends Error, R>(
    of: Parameters<SourcesOf>,
    read: (place: Place) => Effect.Effect<Option.Option<A>, E, R>
  ): Effect.Effect<Option.Option<A>, E, R> =>
    Effect.flatMap(asked(...of), ({ copies, original }) =>
      Effect.catchAll(read(original), (failure) =>
        copies.reduceRight<Effect.Effect<Option.Option<A>, E, R>>(
          (next, copy) =>
            Effect.matchEffect(read(copy), {
              onFailure: (error) => Effect.zipRight(passOver(copy, error), next),
              onSuccess: (found) => (Option.isSome(found) ? Effect.succeed(found) : next)
            }),
          Effect.fail(failure)
        )
      )
    )

  return {
    getManifest: (repository, reference) =>
      first([repository, reference], (at) => at.registry.getManifest(at.repository, reference)),
    getChangedManifest: (repository, reference, known) =>
      first([repository, reference], (at) =>
        at.registry.getChangedManifest(at.repository, reference, known)
      ),
    headManifest: (repository, reference) =>
      instead([repository, reference], (at) => at.registry.headManifest(at.repository, reference)),
    headBlob: (repository, digest) =>
      instead([repository], (at) => at.registry.headBlob(at.repository, digest))
  } satisfies Partial<Registry.Service>
}

/**
 * Reads from the copies in order and then from the original, each from the byte that comes after
 * those that were read. `read` is called with that number of bytes (V31).
 */
const continued = <E extends Error, R>(
  passOver: PassOver,
  { copies, original }: Sources,
  subject: Transfer.Subject,
  read: (place: Place, at: number) => Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> => {
  let at = 0
  const from = (place: Place) =>
    ByteStream.tap(read(place, at), (bytes) => {
      at += bytes.length
    })
  const told = (error: Error) =>
    at === 0
      ? Effect.void
      : Effect.zipRight(
          Transfer.emit({ _tag: "Retried", subject, offset: at, problem: error.message }),
          Transfer.emit({ _tag: "Resumed", subject, offset: at })
        )
  const after = (n: number): Stream.Stream<Uint8Array, E, R> => {
    const copy = copies[n]
    return copy === undefined
      ? from(original)
      : PullStream.catchAll(from(copy), (error) =>
          PullStream.unwrap(
            passOver(copy, error).pipe(
              Effect.zipRight(told(error)),
              Effect.map(() => after(n + 1))
            )
          )
        )
  }
  return after(0)
}

const blobs = (asked: Asked, passOver: PassOver) => {
  const getBlob = wholeBlobs(asked, passOver)
  return {
    getBlob,
    getBlobBytes: (repository, blob, options) => {
      const gathered = BlobBytes.make(getBlob, (_, __, limit) =>
        ByteStream.collect(getBlob(repository, blob), limit)
      )
      return RenamedTransfer.effectWith(
        Effect.catchIf(gathered(repository, blob, options), isOther, () =>
          // Of what is read as a whole, nobody has seen anything yet.
          Effect.flatMap(asked(repository), ({ original }) =>
            original.registry.getBlobBytes(original.repository, blob, options)
          )
        ),
        RenamedTransfer.asOne(repository)
      )
    },
    getBlobRange: (repository, digest, range) => {
      const subject: Transfer.Subject = { direction: "download", repository, digest }
      return RenamedTransfer.stream(
        repository,
        PullStream.unwrap(
          Effect.map(asked(repository), (sources) =>
            continued(passOver, sources, subject, (place, at) =>
              range.end !== undefined && at > 0 && range.start + at > range.end
                ? PullStream.empty
                : place.registry.getBlobRange(place.repository, digest, {
                    ...range,
                    start: range.start + at
                  })
            )
          )
        )
      )
    }
  } satisfies Partial<Registry.Service>
}

/** In bytes: what may come in one piece. */
const small = 1024 * 1024

const wholeBlobs =
  (asked: Asked, passOver: PassOver): Registry.Service["getBlob"] =>
  (repository, blob) => {
    const known: BlobBytes.Known = typeof blob === "string" ? { digest: blob } : blob
    const { digest, size } = known
    const subject: Transfer.Subject = { direction: "download", repository, digest, size }
    const content = ({ borrowed, hashed }: BorrowedStream.Form) =>
      PullStream.unwrap(
        Effect.gen(function* () {
          const sources = yield* asked(repository)
          const isAlone = sources.copies.length === 0
          // A large blob of a known size is hashed here alone: where other content comes, some of
          // it has been passed on before it shows. Observers hear of its end where it is read.
          const isObserved = (yield* Transfer.Observer) !== undefined
          const isHashedThere = isAlone ? hashed : size === undefined || size <= small || isObserved
          const whole = ({ registry, repository }: Place) =>
            BorrowedStream.formOf(registry.getBlob(repository, blob), {
              borrowed,
              hashed: isHashedThere
            })
          if (isAlone) return whole(sources.original)
          const verifier = yield* ByteStream.verifier(hashed ? { digest, size } : { size })
          // What begins at the first byte tells observers of itself.
          let isTold = true
          const parts = continued(passOver, sources, subject, (place, at) => {
            isTold = at === 0
            return isTold ? whole(place) : remainder(place, known, at, () => whole(place), subject)
          })
          return PullStream.ending(
            verifier.verify(parts),
            // Of what was not read from its first byte on at the end, nobody has told.
            Effect.suspend(() => (isTold ? Effect.void : CompletedDownload.emit(subject, digest)))
          )
        })
      )
    return BorrowedStream.make((form) =>
      RenamedTransfer.streamWith(content(form), RenamedTransfer.asOne(repository))
    )
  }

/** Whether content is not what was asked for. */
const isOther = (error: Error): boolean =>
  error instanceof DigestMismatch || error instanceof SizeMismatch

/**
 * A blob from byte `at` on: by a range, or where there are no such ranges, the whole of it without
 * what comes before. It is not verified by itself.
 */
const remainder = (
  { registry, repository }: Place,
  { digest, size }: BlobBytes.Known,
  at: number,
  whole: () => Stream.Stream<Uint8Array, Registry.GetBlobError>,
  subject: Transfer.Subject
): Stream.Stream<Uint8Array, Registry.GetBlobError> =>
  at === size
    ? PullStream.empty
    : PullStream.catchAll(registry.getBlobRange(repository, digest, { start: at }), (error) =>
        error instanceof Unsupported || error instanceof RangeMismatch
          ? ByteStream.drop(whole(), at)
          : PullStream.fail(error)
      ).pipe(
        (content) =>
          RenamedTransfer.streamWith(
            content,
            (observe) => (event) => (event._tag === "Retried" ? observe(event) : Effect.void)
          ),
        Transfer.track(subject, at)
      )
