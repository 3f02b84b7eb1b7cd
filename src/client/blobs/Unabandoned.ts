/** Steps of an upload session that end by themselves when they are interrupted. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constFalse, constVoid } from "effect/Function"

/**
 * How long an interrupted step may take to end by itself, and one that waits for somebody else's
 * code.
 */
const grace = Duration.seconds(10)
const idleGrace = Duration.seconds(1)

/**
 * Runs a step of a session in a fiber of its own, and lets it end when interrupted, of which
 * `onInterrupt` is told: a step cut off leaves a session of which nobody knows the newest location,
 * so that nobody can cancel it (Docker's registry refuses all others). After 10 seconds it is cut
 * off all the same, and after 1 if it is `isIdle` then; where interruption is held off altogether,
 * as it is while a session is opened or cancelled, its own timeouts bound the wait.
 */
export const unabandoned = <A, E, R>(
  step: Effect.Effect<A, E, R>,
  {
    isIdle = constFalse,
    onInterrupt = constVoid
  }: { readonly isIdle?: () => boolean; readonly onInterrupt?: () => void } = {}
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDaemon(Effect.interruptible(step)), (fiber) =>
      Effect.onInterrupt(restore(Fiber.join(fiber)), () => {
        onInterrupt()
        const patience = Effect.flatMap(Effect.sleep(idleGrace), () =>
          isIdle() ? Effect.void : Effect.sleep(Duration.subtract(grace, idleGrace))
        )
        // In a fiber of its own as well, since an interrupted fiber cannot wait for a time.
        return Effect.raceFirst(Fiber.await(fiber), patience).pipe(
          Effect.ensuring(Fiber.interrupt(fiber)),
          Effect.interruptible,
          Effect.forkDaemon,
          Effect.flatMap(Fiber.await)
        )
      })
    )
  )
