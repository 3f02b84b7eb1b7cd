/**
 * Steps of an upload session that end by themselves when they are interrupted.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"

/** How long an interrupted step may take to end by itself. */
const grace = Duration.seconds(10)

/**
 * Runs a step of a session in a fiber of its own, and lets it end when interrupted, of which `onInterrupt` is told: a step cut off leaves a session
 * of which nobody knows the newest location, so that nobody can cancel it (Docker's registry refuses all others). After 10 seconds it is cut off all
 * the same; where interruption is held off altogether, as it is while a session is opened or cancelled, its own timeouts bound the wait.
 *
 * @since 0.1.0
 * @category combinators
 */
export const unabandoned = <A, E, R>(step: Effect.Effect<A, E, R>, onInterrupt = constVoid): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDaemon(Effect.interruptible(step)), (fiber) =>
      Effect.onInterrupt(restore(Fiber.join(fiber)), () => {
        onInterrupt()
        // In a fiber of its own as well, since an interrupted fiber cannot wait for a time.
        return Fiber.await(fiber).pipe(
          Effect.timeout(grace),
          Effect.ensuring(Fiber.interrupt(fiber)),
          Effect.interruptible,
          Effect.forkDaemon,
          Effect.flatMap(Fiber.await)
        )
      })
    )
  )
