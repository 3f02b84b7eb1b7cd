/** How long operations take, and how they end. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Stream from "effect/Stream"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"

/**
 * How an operation ended: `abandoned` says that it was interrupted, or that the consumer of a
 * stream wanted no more.
 */
export type Outcome = "completed" | "failed" | "abandoned"

/** Is told the end of an operation, and the milliseconds from its beginning. */
export type OnEnd = (
  outcome: Outcome,
  duration: number,
  exit: Exit.Exit<unknown, unknown>
) => Effect.Effect<void>

/** Runs an effect and tells its end. */
export const effect = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  onEnd: OnEnd
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeMillis, (began) =>
    Effect.onExit(self, (exit) => ended(onEnd, began, exit, Exit.isSuccess(exit)))
  )

/** The same for a stream, from its first pull to its end. */
export const stream = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  onEnd: OnEnd
): Stream.Stream<A, E, R> =>
  BorrowedStream.map(self, (self) =>
    PullStream.unwrap(
      Effect.map(Clock.currentTimeMillis, (began) =>
        // A consumer that wants no more ends a stream with success, too.
        PullStream.ensuring(self, (exit, isOver) =>
          ended(onEnd, began, exit, isOver && Exit.isSuccess(exit))
        )
      )
    )
  )

const ended = (
  onEnd: OnEnd,
  began: number,
  exit: Exit.Exit<unknown, unknown>,
  completed: boolean
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    onEnd(
      completed
        ? "completed"
        : Exit.isSuccess(exit) || Exit.isInterrupted(exit)
          ? "abandoned"
          : "failed",
      now - began,
      exit
    )
  )
