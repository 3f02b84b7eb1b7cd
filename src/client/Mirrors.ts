/**
 * A registry with copies elsewhere: content is read from the first that has it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import type { Registry } from "../Registry.js"

/**
 * The registry with its mirrors in front: see `HostOptions.mirrors`. Its errors are those of the registry itself; what a mirror failed with is logged
 * at debug level.
 *
 * @since 0.1.0
 * @category combinators
 */
export const mirrored = (registry: Registry.Service, mirrors: ReadonlyArray<Registry.Service>): Registry.Service =>
  mirrors.length === 0
    ? registry
    : {
        ...registry,
        getManifest: (repository, reference) => first(registry, mirrors, (at) => at.getManifest(repository, reference)),
        getBlob: (repository, blob) => firstStream(registry, mirrors, (at) => at.getBlob(repository, blob)),
        getBlobRange: (repository, digest, range) =>
          firstStream(registry, mirrors, (at) => at.getBlobRange(repository, digest, range)),
        headManifest: (repository, reference) =>
          instead(registry, mirrors, (at) => at.headManifest(repository, reference)),
        headBlob: (repository, digest) => instead(registry, mirrors, (at) => at.headBlob(repository, digest))
      }

/** The mirrors in order, then the registry. */
const first = <A, E extends Error, R>(
  registry: Registry.Service,
  mirrors: ReadonlyArray<Registry.Service>,
  read: (at: Registry.Service) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  mirrors.reduceRight(
    (next, mirror) => Effect.catchAll(read(mirror), (error) => Effect.zipRight(passOver(error), next)),
    read(registry)
  )

/**
 * The same, until the first byte. What has come since then cannot be continued from elsewhere: it was not verified yet, and the rest would be verified
 * without it.
 */
const firstStream = <E extends Error, R>(
  registry: Registry.Service,
  mirrors: ReadonlyArray<Registry.Service>,
  read: (at: Registry.Service) => Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  mirrors.reduceRight(
    (next, mirror) =>
      Stream.suspend(() => {
        let begun = false
        const marked = ByteStream.tap(read(mirror), () => {
          begun = true
        })
        return Stream.catchAll(marked, (error) =>
          begun ? Stream.fail(error) : Stream.unwrap(Effect.as(passOver(error), next))
        )
      }),
    read(registry)
  )

/** The registry; while it fails, the first mirror that has something. That a mirror lacks it says nothing of the registry. */
const instead = <A, E extends Error, R>(
  registry: Registry.Service,
  mirrors: ReadonlyArray<Registry.Service>,
  read: (at: Registry.Service) => Effect.Effect<Option.Option<A>, E, R>
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.catchAll(read(registry), (failure) =>
    mirrors.reduceRight<Effect.Effect<Option.Option<A>, E, R>>(
      (next, mirror) =>
        Effect.matchEffect(read(mirror), {
          onFailure: (error) => Effect.zipRight(passOver(error), next),
          onSuccess: (found) => (Option.isSome(found) ? Effect.succeed(found) : next)
        }),
      Effect.fail(failure)
    )
  )

const passOver = (error: Error): Effect.Effect<void> => Effect.logDebug(`A mirror is passed over: ${error.message}`)
