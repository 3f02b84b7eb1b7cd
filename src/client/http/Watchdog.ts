/**
 * Deadlines of many requests, kept by one fiber. A race with a sleeping fiber for each request, as
 * `Effect.timeout` runs it, would cost half as much as the request itself.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "../../internal/Runtime.js"

/**
 * When an effect is to be given up: `at` is in milliseconds of its `clock`. Infinity stops the
 * watch until `at` is set again. `onLook` is called before the watchdog looks at it, with the time,
 * and may set it.
 */
export interface Deadline {
  readonly clock: Clock.Clock
  at: number
  onLook: ((now: number) => void) | undefined
}

interface Watched extends Deadline {
  expire: () => void
}

/**
 * Where the requests of an endpoint are watched. The fiber that does it runs only while there are
 * any, and looks every `tick`.
 */
export interface Watchdog {
  readonly tick: Duration.Duration
  readonly watched: Set<Watched>
  patrol: Fiber.RuntimeFiber<void> | undefined
}

/**
 * A watchdog that looks once a second, or every `shortest` if that is less: no deadline is overrun
 * by more.
 */
export const make = (shortest: Duration.Duration): Watchdog => ({
  tick: Duration.min(shortest, Duration.seconds(1)),
  watched: new Set(),
  patrol: undefined
})

/**
 * Runs an effect that sets its own deadline and may move it; there is none at first. When it has
 * passed, the effect is interrupted, which is awaited, and the result is that of `onExpiry`.
 */
export const watch = <A, E, R, A2, E2>(
  watchdog: Watchdog,
  effect: (deadline: Deadline) => Effect.Effect<A, E, R>,
  onExpiry: () => Effect.Effect<A2, E2>
): Effect.Effect<A | A2, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Runtime.withFiber((parent) => {
      let expired = false
      const clock = Runtime.clockOf(parent)
      const watched: Watched = {
        clock,
        at: Number.POSITIVE_INFINITY,
        onLook: undefined,
        expire: () => undefined
      }
      return Effect.flatMap(Effect.forkDaemon(restore(effect(watched))), (fiber) => {
        watched.expire = () => {
          expired = true
          Runtime.interrupt(fiber)
        }
        watchdog.watched.add(watched)
        const ended = Effect.flatMap(
          Effect.exit(restore(Fiber.await(fiber))),
          (awaited): Effect.Effect<A | A2, E | E2> => {
            end(watchdog, watched)
            if (Exit.isFailure(awaited))
              return Effect.zipRight(Fiber.interrupt(fiber), Effect.failCause(awaited.cause))
            return expired && Exit.isInterrupted(awaited.value) ? onExpiry() : awaited.value
          }
        )
        return watchdog.patrol === undefined ? Effect.zipRight(begin(watchdog), ended) : ended
      })
    })
  )

const begin = (watchdog: Watchdog): Effect.Effect<void> =>
  Effect.map(Effect.forkDaemon(Effect.interruptible(patrol(watchdog))), (fiber) => {
    watchdog.patrol = fiber
  })

/**
 * A sleeping fiber would keep the process alive, so nothing is left to sleep when nobody is
 * watched.
 */
const end = (watchdog: Watchdog, watched: Watched): void => {
  watchdog.watched.delete(watched)
  if (watchdog.watched.size > 0) return
  if (watchdog.patrol !== undefined) Runtime.interrupt(watchdog.patrol)
  watchdog.patrol = undefined
}

const patrol = (watchdog: Watchdog): Effect.Effect<void> =>
  Effect.flatMap(Effect.sleep(watchdog.tick), () => {
    for (const watched of watchdog.watched) {
      const now = watched.clock.unsafeCurrentTimeMillis()
      watched.onLook?.(now)
      if (watched.at <= now) watched.expire()
    }
    return watchdog.watched.size === 0 ? Effect.void : patrol(watchdog)
  })
