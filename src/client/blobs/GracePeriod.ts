/** Steps of an upload session that are given time to end when they are interrupted. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constTrue } from "effect/Function"

/** How long an interrupted step may take to end. */
const grace = Duration.seconds(10)

/**
 * Runs a step of a session in a fiber of its own. When interrupted, it waits up to 10 seconds for
 * the step to end, unless `onInterrupt` returns false, before it interrupts the step. A request
 * that is broken off leaves a session whose newest location nobody knows, so that nobody can cancel
 * it (Docker's registry refuses all others). In an uninterruptible region, as while a session is
 * opened or cancelled, the timeouts of the step bound the wait.
 */
export const withGracePeriod = <A, E, R>(
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
