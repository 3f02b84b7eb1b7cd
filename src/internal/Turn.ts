/** Long work that lets others run. */
import * as Effect from "effect/Effect"

/** How long others wait at most, in milliseconds. */
const longest = 10

/**
 * Makes an effect for many places of some work: where the last turn of timers and sockets is more
 * than 10 ms ago, it waits until they had one. Fibers that never wait for any of those take turns
 * with each other alone, as where everything is in memory.
 */
export const make = (): Effect.Effect<void> => {
  let since = performance.now()
  return Effect.suspend(() =>
    performance.now() - since < longest
      ? Effect.void
      : Effect.async<void>((resume) => {
          const timer = setTimeout(() => {
            since = performance.now()
            resume(Effect.void)
          }, 0)
          return Effect.sync(() => clearTimeout(timer))
        })
  )
}
