/** A registry that takes so many bytes, and so many operations in a time. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { BlobSource } from "../../BlobSource.js"
import * as PullStream from "../../internal/PullStream.js"
import { TokenBucket } from "../../internal/TokenBucket.js"
import { make, type Registry } from "../../Registry.js"
import { type LimitExceeded, TooManyRequests } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as AroundRegistry from "./AroundRegistry.js"
import * as LimitedUploads from "./LimitedUploads.js"
import { growing, Quota, type Reservation } from "./Quota.js"
import { readsOf } from "./Reads.js"

/**
 * What a registry takes. Nothing is limited that is left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * The most that blobs and manifests may have, in bytes, what open uploads have sent included.
   * Content that is in two repositories counts twice.
   */
  readonly bytes?: number | undefined
  /** The bytes that are there already, 0 by default. */
  readonly used?: number | undefined
  /** How many operations may begin in a time, and as many at once after a pause. */
  readonly rate?: { readonly operations: number; readonly per: Duration.DurationInput } | undefined
}

/**
 * A registry with limits, and the bytes that count towards them now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limited extends Registry.Service {
  readonly used: Effect.Effect<number>
}

/** Limits a registry by an option, `bytes` by default: see `ComposedRegistry.limited`. */
export const limited = (
  registry: Registry.Service,
  { bytes = Number.POSITIVE_INFINITY, rate, used = 0 }: Limits,
  option?: string
): Limited => {
  const quota = new Quota(bytes, used, option)
  const within = make({
    ...readsOf(registry),
    deleteTag: registry.deleteTag,
    ...puts(quota, registry),
    ...deletions(quota, registry),
    ...LimitedUploads.uploads(quota, registry, (repository, digest) =>
      hasBlob(quota, registry, repository, digest)
    )
  })
  return {
    ...(rate === undefined ? within : rated(rate, within)),
    used: Effect.sync(() => quota.used)
  }
}

// -----------------------------------------------------------------------------
// Content
// -----------------------------------------------------------------------------

/** Returns the size of what is there, none where that is not known. */
const sizeOf = <E>(
  head: Effect.Effect<Option.Option<Descriptor>, E>
): Effect.Effect<number | undefined> =>
  Effect.match(head, {
    onFailure: () => undefined,
    onSuccess: (found) => Option.getOrUndefined(found)?.size
  })

const isThere = (
  quota: Quota,
  repository: RepositoryName,
  digest: Digest | undefined,
  head: (digest: Digest) => Effect.Effect<Option.Option<Descriptor>, unknown>
): Effect.Effect<boolean> =>
  digest === undefined
    ? Effect.succeed(false)
    : quota.isKept(repository, digest)
      ? Effect.succeed(true)
      : Effect.map(sizeOf(head(digest)), (size) => size !== undefined)

/**
 * Runs an effect with a reservation, which is given back in the end unless it was kept. `put` is
 * told whether the content was there before, and returns the content that is there now, if any is.
 */
const reserved = <A extends Descriptor | undefined, E, R>(
  quota: Quota,
  repository: RepositoryName,
  isThere: Effect.Effect<boolean>,
  put: (reservation: Reservation, wasThere: boolean) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(isThere, (wasThere) =>
    Effect.acquireUseRelease(
      quota.reserve,
      (reservation) =>
        Effect.tap(put(reservation, wasThere), (found) =>
          Effect.sync(() => {
            if (!wasThere && found !== undefined)
              quota.keep(repository, found.digest, found.size, reservation)
          })
        ),
      ({ release }) => release
    )
  )

const hasBlob = (
  quota: Quota,
  registry: Registry.Service,
  repository: RepositoryName,
  digest: Digest | undefined
) => isThere(quota, repository, digest, (digest) => registry.headBlob(repository, digest))

const puts = (quota: Quota, registry: Registry.Service) => {
  return {
    putManifest: (repository, manifest, options) => {
      const there = isThere(quota, repository, manifest.descriptor.digest, (digest) =>
        registry.headManifest(repository, digest)
      )
      return reserved(quota, repository, there, (reservation, wasThere) =>
        Effect.zipRight(
          wasThere ? Effect.void : reservation.grow(manifest.bytes.length),
          registry.putManifest(repository, manifest, options)
        )
      )
    },
    // A session that is left would take what nobody has counted.
    putBlob: (repository, source, { resumable: _, ...options } = {}) =>
      reserved(
        quota,
        repository,
        hasBlob(quota, registry, repository, source.digest),
        (reservation, wasThere) =>
          wasThere
            ? registry.putBlob(repository, source, options)
            : source.size === undefined
              ? registry.putBlob(repository, counted(source, reservation), options)
              : Effect.zipRight(
                  reservation.grow(source.size),
                  registry.putBlob(repository, source, options)
                )
      ),
    mountBlob: (repository, digest, from) =>
      from === undefined
        ? Effect.succeed(false)
        : reserved(
            quota,
            repository,
            hasBlob(quota, registry, repository, digest),
            (reservation, wasThere) =>
              Effect.gen(function* () {
                const found = yield* Effect.orElseSucceed(
                  registry.headBlob(from, digest),
                  Option.none
                )
                if (Option.isNone(found)) return undefined
                if (!wasThere) yield* reservation.grow(found.value.size)
                const isMounted = yield* registry.mountBlob(repository, digest, from)
                return isMounted ? found.value : undefined
              })
          ).pipe(Effect.map((found) => found !== undefined))
  } satisfies Partial<Registry.Service>
}

/** A source that reserves what is read of it. */
const counted = <E, R>(
  source: BlobSource<E, R>,
  reservation: Reservation
): BlobSource<E | LimitExceeded, R> => ({
  ...source,
  open: (offset) => growing(source.open(offset), (size) => reservation.grow(size), offset)
})

const deletions = (quota: Quota, registry: Registry.Service) => {
  /** The size has to be asked for while it can be. */
  const freeing = <E>(
    repository: RepositoryName,
    digest: Digest,
    head: Effect.Effect<Option.Option<Descriptor>, unknown>,
    remove: Effect.Effect<void, E>
  ): Effect.Effect<void, E> =>
    Effect.flatMap(sizeOf(head), (size = 0) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.tap(restore(remove), () => Effect.sync(() => quota.forget(repository, digest, size)))
      )
    )
  return {
    deleteManifest: (repository, digest) =>
      freeing(
        repository,
        digest,
        registry.headManifest(repository, digest),
        registry.deleteManifest(repository, digest)
      ),
    deleteBlob: (repository, digest) =>
      freeing(
        repository,
        digest,
        registry.headBlob(repository, digest),
        registry.deleteBlob(repository, digest)
      )
  } satisfies Partial<Registry.Service>
}

// -----------------------------------------------------------------------------
// Rate
// -----------------------------------------------------------------------------

/** Lets so many operations begin in a time: those that come too early fail, and say when to try. */
const rated = (
  { operations, per }: NonNullable<Limits["rate"]>,
  registry: Registry.Service
): Registry.Service => {
  const bucket = new TokenBucket({ count: operations, per }, operations)
  const begin: Effect.Effect<void, TooManyRequests> = Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => {
      const wait = bucket.earliest(now) - now
      if (wait > 0) return new TooManyRequests({ retryAfter: Math.ceil(wait) })
      bucket.take(now)
      return Effect.void
    }
  )
  return AroundRegistry.around(
    {
      effect: (_, effect) => Effect.zipRight(begin, effect),
      stream: (_, stream) => PullStream.unwrap(Effect.as(begin, stream))
    },
    registry
  )
}
