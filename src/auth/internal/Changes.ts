/** Logins that this process stores and erases while others of its fibers have read earlier ones. */
import * as Effect from "effect/Effect"

let changes = 0

/**
 * Returns how many logins this process has stored and erased: what was read before the last one is
 * out of date.
 */
export const count = (): number => changes

/** Counts a login that is stored or erased by `effect`, whether or not that succeeds. */
export const counted = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.ensuring(
    effect,
    Effect.sync(() => {
      changes++
    })
  )
