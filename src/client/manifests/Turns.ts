/** Turns at things that have names: whoever wants the same one waits, in this whole process. */
import * as Effect from "effect/Effect"

interface Turn {
  readonly semaphore: Effect.Semaphore
  users: number
}

/** Shared by all clients: two of one registry change the same lists. */
const turns = new Map<string, Turn>()

/** Runs an effect while nobody else has the turn of this name. */
export const run = <A, E, R>(
  name: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const turn = turns.get(name) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
      turn.users++
      turns.set(name, turn)
      return turn
    }),
    ({ semaphore }) => semaphore.withPermits(1)(effect),
    (turn) =>
      Effect.sync(() => {
        if (--turn.users === 0) turns.delete(name)
      })
  )
