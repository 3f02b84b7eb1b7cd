/** Work that several ask for, and which is done once. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"

/**
 * Runs an effect for each key, once, in a fiber of its own that lasts as long as a scope: whoever
 * asks waits for its end, and nobody's interruption is that of others.
 */
export class Shared<A, E> {
  private readonly ends = new Map<string, Deferred.Deferred<A, E>>()

  constructor(private readonly scope: Scope.Scope) {}

  /** Returns what the effect that was first given for a key returns. */
  get(key: string, effect: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.uninterruptibleMask((restore) => {
      const known = this.ends.get(key)
      if (known !== undefined) return restore(Deferred.await(known))
      const end = Deferred.unsafeMake<A, E>(FiberId.none)
      this.ends.set(key, end)
      return Effect.interruptible(Effect.suspend(effect)).pipe(
        Effect.exit,
        Effect.flatMap((exit) => Deferred.done(end, exit)),
        Effect.forkIn(this.scope),
        Effect.zipRight(restore(Deferred.await(end)))
      )
    })
  }
}
