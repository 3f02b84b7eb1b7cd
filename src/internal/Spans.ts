/**
 * Spans of operations. Where nobody records spans, none are made: a span costs as much as all else
 * of an operation.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BorrowedStream from "./BorrowedStream.js"
import * as PullStream from "./PullStream.js"
import { isRecorded, withFiber } from "./Runtime.js"

/** The attributes of a span. Those that are `undefined` are left out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>

/**
 * Runs an effect in a span `effect-oci/<name>`, whose attribute `error.type` is the tag of the
 * error that the effect fails with. `attributes` is called where the span is made.
 */
export const inSpan = <A, E, R>(
  name: string,
  attributes: () => Attributes,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  withFiber((fiber) =>
    isRecorded(fiber)
      ? Effect.withSpan(
          Effect.tapError(effect, annotate),
          `effect-oci/${name}`,
          optionsOf(attributes())
        )
      : effect
  )

/** The same for a stream: the span lasts from its first pull to its end. */
export const streamInSpan = <A, E, R>(
  name: string,
  attributes: () => Attributes,
  stream: Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  BorrowedStream.map(stream, (stream) =>
    PullStream.unwrap(
      withFiber((fiber) =>
        Effect.succeed(
          isRecorded(fiber)
            ? Stream.withSpan(
                Stream.tapError(stream, annotate),
                `effect-oci/${name}`,
                optionsOf(attributes())
              )
            : stream
        )
      )
    )
  )

const optionsOf = (attributes: Attributes) => ({
  // The capture of a stack trace would cost more than the span.
  captureStackTrace: false,
  attributes: Object.fromEntries(
    Object.entries(attributes).filter(([, value]) => value !== undefined)
  )
})

/** A source can fail with anything. */
const annotate = (error: unknown): Effect.Effect<void> =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? Effect.annotateCurrentSpan("error.type", error._tag)
    : Effect.void
