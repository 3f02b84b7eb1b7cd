/**
 * What of Effect's runtime is used beyond its public operations, in one place: fibers, their clocks
 * and what they carry.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import type * as MetricLabel from "effect/MetricLabel"
import * as Tracer from "effect/Tracer"

/** A fiber that runs. */
export type RunningFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Runs an effect that is made with the fiber it runs on. */
export const withFiber = <A, E, R>(
  use: (fiber: RunningFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.withFiberRuntime(use)

/** Returns the clock of a fiber, which tells the time at once. */
export const clockOf = (fiber: RunningFiber): Clock.Clock =>
  Context.get(fiber.currentDefaultServices, Clock.Clock)

/** Returns the milliseconds of a clock since any time, which do not change when it is set. */
export const elapsed = (clock: Clock.Clock): number =>
  Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)

/** Tells whether anybody gets to see what a fiber logs at a level. */
export const isLogged = (fiber: RunningFiber, level: LogLevel.LogLevel): boolean =>
  LogLevel.lessThanEqual(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)

/**
 * Tells whether anybody gets to see a span of a fiber: the tracer that Effect has by default keeps
 * none, and a span costs as much as all else of an operation.
 */
export const isRecorded = (fiber: RunningFiber): boolean =>
  fiber.currentTracer !== defaultTracer && fiber.getFiberRef(FiberRef.currentTracerEnabled)

const defaultTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Returns the labels that a fiber adds to all metrics. */
export const metricLabels = (fiber: RunningFiber): ReadonlyArray<MetricLabel.MetricLabel> =>
  fiber.getFiberRef(FiberRef.currentMetricLabels)

/** Interrupts a fiber, without waiting for its end. */
export const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>): void => {
  fiber.unsafeInterruptAsFork(FiberId.none)
}
