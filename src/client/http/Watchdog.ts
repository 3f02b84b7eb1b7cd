/**
 * Deadlines of many requests, kept by one fiber. A race with a sleeping fiber for each request, as
 * `Effect.timeout` runs it, would cost half as much as the request itself.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid, identity } from "effect/Function"
import * as Runtime from "../../internal/Runtime.js"

/**
 * When an effect is to be given up: `at` is in milliseconds of its `clock`. Infinity stops the
 * watch until `at` is set again. `onLook` is called before the watchdog looks at it, with the time,
 * and may set it. `abort` gives it up.
 */
export interface Deadline {
  readonly clock: Clock.Clock
  at: number
  onLook: ((now: number) => void) | undefined
  abort: () => void
}

interface Watched extends Deadline {
  expired: boolean
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

/** What an effect came to, to be changed or told of before it is the result. */
export type Ended<A, E> = (exit: Exit.Exit<A, E>) => Exit.Exit<A, E>

/**
 * Runs an effect that sets its own deadline and may move it; there is none at first. When it has
 * passed, the effect is given up, and the result is that of `onExpiry`. `ended` is called with the
 * result, uninterruptibly.
 */
type Watch = <A, E, R>(
  watchdog: Watchdog,
  effect: (deadline: Deadline) => Effect.Effect<A, E, R>,
  onExpiry: (deadline: Deadline) => Exit.Exit<NoInfer<A>, NoInfer<E>>,
  ended?: Ended<A, E>
) => Effect.Effect<A, E, R>

/** Gives an effect up by interrupting it, which is awaited. */
export const watch: Watch = (watchdog, effect, onExpiry, ended = identity) =>
  Effect.uninterruptibleMask((restore) =>
    Runtime.withFiber((parent) => {
      const watched = makeWatched(parent)
      return Effect.flatMap(Effect.forkDaemon(restore(effect(watched))), (fiber) => {
        watched.abort = () => Runtime.interrupt(fiber)
        const awaited = Effect.matchCauseEffect(restore(Fiber.await(fiber)), {
          onFailure: (cause) => {
            end(watchdog, watched)
            return Effect.zipRight(Fiber.interrupt(fiber), ended(Exit.failCause(cause)))
          },
          onSuccess: (exit) => {
            end(watchdog, watched)
            return ended(watched.expired && Exit.isInterrupted(exit) ? onExpiry(watched) : exit)
          }
        })
        return begin(watchdog, watched, awaited)
      })
    })
  )

/**
 * `watch` for an effect that fails soon after `abort` of its deadline, which it sets, was called. A
 * fiber of its own, which `watch` makes to interrupt it, costs a quarter of a small request.
 */
export const watchAbortable: Watch = (watchdog, effect, onExpiry, ended = identity) =>
  Effect.uninterruptibleMask((restore) =>
    Runtime.withFiber((fiber) => {
      const watched = makeWatched(fiber)
      const run = Effect.matchCauseEffect(restore(effect(watched)), {
        onFailure: (cause) => {
          end(watchdog, watched)
          return ended(
            watched.expired && !Cause.isInterrupted(cause)
              ? onExpiry(watched)
              : Exit.failCause(cause)
          )
        },
        onSuccess: (value) => {
          end(watchdog, watched)
          return ended(Exit.succeed(value))
        }
      })
      return begin(watchdog, watched, run)
    })
  )

const makeWatched = (fiber: Runtime.RunningFiber): Watched => ({
  clock: Runtime.clockOf(fiber),
  at: Number.POSITIVE_INFINITY,
  onLook: undefined,
  abort: constVoid,
  expired: false
})

const begin = <A, E, R>(
  watchdog: Watchdog,
  watched: Watched,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  watchdog.watched.add(watched)
  if (watchdog.patrol !== undefined) return effect
  return Effect.flatMap(Effect.forkDaemon(Effect.interruptible(patrol(watchdog))), (fiber) => {
    watchdog.patrol = fiber
    return effect
  })
}

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
      const now = Runtime.elapsed(watched.clock)
      watched.onLook?.(now)
      if (watched.at > now) continue
      watched.expired = true
      watched.abort()
    }
    return watchdog.watched.size === 0 ? Effect.void : patrol(watchdog)
  })
