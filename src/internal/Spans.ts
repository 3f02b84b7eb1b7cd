/** Whether spans are worth making. */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"

/**
 * Tells an effect whether anybody gets to see a span: the tracer that Effect has by default keeps
 * none, and a span costs as much as all else of an operation.
 */
export const whenRecorded = <A, E, R>(
  use: (recorded: boolean) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.withFiberRuntime((fiber) => use(isRecorded(fiber)))

/** Tells whether anybody gets to see a span of the fiber. */
export const isRecorded = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== byDefault && fiber.getFiberRef(FiberRef.currentTracerEnabled)

const byDefault = Context.get(DefaultServices.liveServices, Tracer.Tracer)
