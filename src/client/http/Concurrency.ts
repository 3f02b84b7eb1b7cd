/**
 * How many requests, downloads and uploads a client has under way at one registry: each kind has so
 * many permits, which go to whoever has waited longest. The kinds do not wait for each other, since
 * an upload may well consist of a download from the same registry.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Stream from "effect/Stream"
import * as PullStream from "../../internal/PullStream.js"

/**
 * The permits of one endpoint.
 *
 * - `exchange`: for a request whose bodies are in memory or bounded, with its response.
 * - `download`: for a stream, from its first pull to its end or abandonment, or until its permit is
 *   released.
 * - `upload`: for an effect that reads a source, whose streams it marks as such.
 *
 * Whoever waits for a permit may be what the holder of one waits for: a consumer may open a second
 * download before it asks the first for more. So a transfer that has waited for its consumer or
 * source for a second loses its permit to the next in the queue, and goes on without one. While the
 * registry is slow a transfer keeps its permit, and so does every `exchange`, in which nobody
 * else's code runs.
 */
export interface Concurrency {
  readonly exchange: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly download: <A, E, R>(
    use: (permit: DownloadPermit) => Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E, R>
  readonly upload: <A, E, R>(
    use: (
      source: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
    ) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

/**
 * What a download does with its permit: `revocable` is a stream whose consumer may keep it waiting,
 * `release` gives the permit back before the end. `another` takes one more, for a request that
 * waits for nobody's code, if that is free; it returns what releases it.
 */
export interface DownloadPermit {
  readonly revocable: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  readonly release: () => void
  readonly another: () => (() => void) | undefined
}

/** As many permits as `limit` of each kind, and at least one. */
export const make = (limit: number): Concurrency => {
  const exchanges = makePermits(limit)
  const downloads = makePermits(limit)
  const uploads = makePermits(limit)
  return {
    exchange: (effect) => withPermit(exchanges, Deferred.await, () => effect),
    download: (use) =>
      PullStream.suspend(() => {
        let held: Permit | undefined
        const releaseHeld = () => {
          if (held !== undefined) release(downloads, held)
        }
        const acquired = Effect.uninterruptibleMask((restore) =>
          Effect.map(
            acquire(downloads, (granted) => restore(grantedOrRevoked(downloads, granted))),
            (permit) => {
              held = permit
              return permit
            }
          )
        )
        return PullStream.ensuring(
          PullStream.unwrap(
            Effect.zipWith(acquired, Effect.clock, (permit, clock) =>
              use({
                revocable: (stream) => {
                  const idle = () => setIdle(permit, clock)
                  return PullStream.observe(stream, {
                    onPull: () => setBusy(permit),
                    onChunk: idle,
                    onEnd: idle
                  })
                },
                release: releaseHeld,
                another: () => {
                  const free = acquireFree(downloads)
                  return free && (() => release(downloads, free))
                }
              })
            )
          ),
          () => Effect.sync(releaseHeld)
        )
      }),
    upload: (use) =>
      withPermit(
        uploads,
        (granted) => grantedOrRevoked(uploads, granted),
        (permit) =>
          Effect.clockWith((clock) =>
            use((stream) =>
              PullStream.observe(stream, {
                onPull: () => setIdle(permit, clock),
                onChunk: () => setBusy(permit),
                onEnd: () => setBusy(permit)
              })
            )
          )
      )
  }
}

/**
 * `idleSince`: when its holder began to wait for the caller, in milliseconds; Infinity while it
 * does not.
 */
interface Permit {
  idleSince: number
}

interface Waiting {
  readonly permit: Permit
  readonly granted: Deferred.Deferred<void>
}

/** Nobody waits while a permit is free: whoever releases one gives it to the first in the queue. */
interface Permits {
  readonly limit: number
  readonly held: Set<Permit>
  readonly queue: Set<Waiting>
}

const makePermits = (limit: number): Permits => ({
  limit: Math.max(1, limit),
  held: new Set(),
  queue: new Set()
})

const withPermit = <A, E, R>(
  permits: Permits,
  wait: (granted: Deferred.Deferred<void>) => Effect.Effect<void>,
  use: (permit: Permit) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    const used = (permit: Permit) =>
      Effect.matchCauseEffect(restore(use(permit)), {
        onFailure: (cause) => {
          release(permits, permit)
          return Effect.failCause(cause)
        },
        onSuccess: (value) => {
          release(permits, permit)
          return Effect.succeed(value)
        }
      })
    const free = acquireFree(permits)
    return free === undefined
      ? Effect.flatMap(
          acquire(permits, (granted) => restore(wait(granted))),
          used
        )
      : used(free)
  })

/** Takes a permit if one is free. */
const acquireFree = ({ held, limit }: Permits): Permit | undefined => {
  if (held.size >= limit) return undefined
  const permit: Permit = { idleSince: Number.POSITIVE_INFINITY }
  held.add(permit)
  return permit
}

/** To be run uninterruptibly, but for the wait. */
const acquire = (
  permits: Permits,
  wait: (granted: Deferred.Deferred<void>) => Effect.Effect<void>
): Effect.Effect<Permit> =>
  Effect.suspend(() => {
    const free = acquireFree(permits)
    if (free !== undefined) return Effect.succeed(free)
    const permit: Permit = { idleSince: Number.POSITIVE_INFINITY }
    const waiting: Waiting = { permit, granted: Deferred.unsafeMake(FiberId.none) }
    permits.queue.add(waiting)
    return Effect.flatMap(Effect.exit(wait(waiting.granted)), (exit) => {
      if (Exit.isSuccess(exit)) return Effect.succeed(permit)
      if (!permits.queue.delete(waiting)) release(permits, permit)
      return Effect.failCause(exit.cause)
    })
  })

const release = (permits: Permits, permit: Permit): void => {
  if (!permits.held.delete(permit)) return // It was revoked.
  for (const next of permits.queue) {
    permits.queue.delete(next)
    permits.held.add(next.permit)
    Deferred.unsafeDone(next.granted, Effect.void)
    return
  }
}

/** How long a transfer may wait for the caller before its permit is revoked. */
const idleLimit = Duration.seconds(1)

/** Waits, and revokes once a second the permit of a transfer that is idle. */
const grantedOrRevoked = (
  permits: Permits,
  granted: Deferred.Deferred<void>
): Effect.Effect<void> =>
  Effect.raceFirst(
    Deferred.await(granted),
    Effect.forever(
      Effect.flatMap(Effect.zipRight(Effect.sleep(idleLimit), Clock.currentTimeMillis), (now) =>
        Effect.sync(() => {
          for (const permit of permits.held) {
            if (permit.idleSince + Duration.toMillis(idleLimit) <= now)
              return release(permits, permit)
          }
        })
      )
    )
  )

const setIdle = (permit: Permit, clock: Clock.Clock): void => {
  permit.idleSince = clock.unsafeCurrentTimeMillis()
}

const setBusy = (permit: Permit): void => {
  permit.idleSince = Number.POSITIVE_INFINITY
}
