/** The events of an effect as a stream. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * Runs an effect that is given what it is to call for each event, and streams these, and then its
 * result. The effect is interrupted when the stream is. Fails with the error of the effect.
 */
export const make = <Event, A, E, R>(
  observed: (onEvent: (event: Event) => Effect.Effect<void>) => Effect.Effect<A, E, R>
): Stream.Stream<Event | { readonly _tag: "Result"; readonly value: A }, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      // None ends it. Offering waits for the consumer and is given up with it, so nothing is left
      // to wait for a consumer that stopped.
      const queue = yield* Effect.acquireRelease(
        Queue.bounded<Option.Option<Event>>(64),
        Queue.shutdown
      )
      const fiber = yield* observed((event) =>
        Effect.asVoid(Queue.offer(queue, Option.some(event)))
      ).pipe(Effect.exit, Effect.zipLeft(Queue.offer(queue, Option.none())), Effect.forkScoped)
      return Stream.concat(
        Stream.filterMapWhile(Stream.fromQueue(queue), identity),
        Stream.fromEffect(
          Effect.map(Effect.flatten(Fiber.join(fiber)), (value) => ({
            _tag: "Result" as const,
            value
          }))
        )
      )
    })
  )
