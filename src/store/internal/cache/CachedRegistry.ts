/** A registry that stores what is read from another one. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { make as makeRegistry, type Registry } from "../../../Registry.js"
import type { CommonError } from "../../../RegistryError.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Cache } from "./Cache.js"
import * as CachedBlobs from "./CachedBlobs.js"
import * as CachedManifests from "./CachedManifests.js"
import { Content } from "./Content.js"
import * as Inventory from "./Inventory.js"
import { Tags } from "./Tags.js"
import { Windows } from "./Window.js"

/**
 * How a registry is cached.
 *
 * @since 0.1.0
 * @category models
 */
export interface CachedOptions {
  /**
   * Keeps the content: a registry that the cache has for itself, in memory or on disk, which can
   * delete blobs.
   */
  readonly store: Registry.Service
  /**
   * The most bytes to store, 10 GiB by default. What was used least recently is deleted first. A
   * blob that there is no room for is read from upstream each time.
   */
  readonly capacity?: number | undefined
  /** How long a tag stays what it was without being asked for again, a minute by default. */
  readonly tagTimeToLive?: Duration.DurationInput | undefined
  /**
   * How long it is remembered that the upstream registry has no such manifest or blob, ten seconds
   * by default. No other failure is remembered.
   */
  readonly absenceTimeToLive?: Duration.DurationInput | undefined
  /**
   * Whether a tag is served as it was last, and `ping` succeeds, while the upstream registry fails.
   * False by default. A tag that it says to be absent is absent.
   */
  readonly staleTags?: boolean | undefined
  /**
   * The most memory for the bytes of downloads in progress, for those who read them at the same
   * time, in bytes: 32 MiB by default, for all downloads together.
   */
  readonly memory?: number | undefined
}

/** Makes a registry that stores what is read: see `ComposedRegistry.cached`. */
export const make = (
  upstream: Registry.Service,
  options: CachedOptions
): Effect.Effect<Registry.Service, CommonError, Scope.Scope> =>
  Effect.gen(function* () {
    const changes = { homes: new Set<RepositoryName>(), latch: Effect.unsafeMakeLatch(false) }
    const changed = (home: RepositoryName) => {
      changes.homes.add(home)
      changes.latch.unsafeOpen()
    }
    const { capacity = 10 * 1024 ** 3, memory = 32 * 1024 ** 2, staleTags = false, store } = options
    const cache: Cache = {
      upstream,
      store,
      scope: yield* Effect.scope,
      content: new Content(store, capacity, changed),
      fills: new Map(),
      tags: new Tags(),
      windows: new Windows(memory),
      changed,
      tagTimeToLive: Duration.toMillis(options.tagTimeToLive ?? "1 minute"),
      absenceTimeToLive: Duration.toMillis(options.absenceTimeToLive ?? "10 seconds"),
      staleTags
    }
    yield* Inventory.load(cache)
    yield* Inventory.keep(cache, changes)
    return makeRegistry({
      ping: staleTags ? Effect.ignore(upstream.ping) : upstream.ping,
      ...CachedManifests.manifests(cache),
      ...CachedBlobs.blobs(cache),
      tags: upstream.tags,
      repositories: upstream.repositories,
      referrers: upstream.referrers,
      manifests: upstream.manifests
    })
  })
