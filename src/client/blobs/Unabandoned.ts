/** Steps of an upload session that end by themselves when they are interrupted. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constTrue } from "effect/Function"

/** How long an interrupted step may take to end by itself. */
const grace = Duration.seconds(10)

/**
 * Runs a step of a session in a fiber of its own, and lets it end when interrupted, of which
 * `onInterrupt` is told, and says whether the step will end by itself: a step cut off leaves a
 * session of which nobody knows the newest location, so that nobody can cancel it (Docker's
 * registry refuses all others). After 10 seconds it is cut off all the same; where interruption is
 * held off altogether, as it is while a session is opened or cancelled, its own timeouts bound the
 * wait.
 */
export const unabandoned = <A, E, R>(
  step: Effect.Effect<A, E, R>,
  onInterrupt: () => boolean = constTrue
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDaemon(Effect.interruptible(step)), (fiber) =>
      Effect.onInterrupt(restore(Fiber.join(fiber)), (): Effect.Effect<unknown> => {
        if (!onInterrupt()) return Fiber.interrupt(fiber)
        // In a fiber of its own as well, since an interrupted fiber cannot wait for a time.
        return Effect.raceFirst(Fiber.await(fiber), Effect.sleep(grace)).pipe(
          Effect.ensuring(Fiber.interrupt(fiber)),
          Effect.interruptible,
          Effect.forkDaemon,
          Effect.flatMap(Fiber.await)
        )
      })
    )
  )
