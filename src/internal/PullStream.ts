/**
 * Streams that are a pull, as the streams of Effect 4 are: an effect that brings the next chunk. A
 * combinator wraps a function around it, where one of `Stream` adds a channel, whose steps and
 * finalizers cost more than a small blob. To everybody else they are ordinary streams.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Brings the next chunk; fails with `None` at the end, after which it is not run again. */
export type Pull<A, E, R = never> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>

/**
 * Begins a run of a stream, whose resources belong to a Scope. It only makes the pull: whatever
 * there is to do is done when that is run for the first time.
 */
export type Open<out A, out E, out R> = (scope: Scope.Scope) => Pull<A, E, R>

const Opened: unique symbol = Symbol.for("effect-oci/PullStream/Opened")

interface Pulled<out A, out E, out R> extends Stream.Stream<A, E, R> {
  readonly [Opened]?: Open<A, E, R>
}

// -----------------------------------------------------------------------------
// Making and opening
// -----------------------------------------------------------------------------

/** Makes a stream of what begins its runs. Most are never run as channels, so none is made. */
export const make = <A, E, R>(open: Open<A, E, R>): Stream.Stream<A, E, R> =>
  Object.assign(
    Stream.suspend(() =>
      Stream.unwrapScoped(
        Effect.map(Effect.scope, (scope) => Stream.repeatEffectChunkOption(open(scope)))
      )
    ),
    { [Opened]: open }
  )

/** Begins a run of any stream. */
export const open = <A, E, R>(self: Pulled<A, E, R>, scope: Scope.Scope): Pull<A, E, R> =>
  self[Opened]?.(scope) ??
  lazily((then) => Effect.flatMap(Scope.extend(Stream.toPull(self), scope), then))

/** The end, for a pull that has no more. */
export const end: Pull<never, never> = Effect.fail(Option.none())

/** Makes a pull that an effect makes when it is run for the first time, and hands to `then`. */
const lazily = <A, E, R>(
  first: (then: (pull: Pull<A, E, R>) => Pull<A, E, R>) => Pull<A, E, R>
): Pull<A, E, R> => {
  let pull: Pull<A, E, R> | undefined
  const then = (next: Pull<A, E, R>) => {
    pull = next
    return next
  }
  return Effect.suspend(() => pull ?? first(then))
}

/** Runs an effect before a pull is run for the first time. */
export const opening = <A, E, R, R2>(
  before: Effect.Effect<unknown, never, R2>,
  pull: Pull<A, E, R>
): Pull<A, E, R | R2> => lazily<A, E, R | R2>((then) => Effect.flatMap(before, () => then(pull)))

/** The pull of an effect that brings the next bytes, and no bytes at the end. */
export const untilEmpty = <E, R>(next: Effect.Effect<Uint8Array, E, R>): Pull<Uint8Array, E, R> =>
  Effect.matchEffect(next, {
    onFailure: (error) => Effect.fail(Option.some(error)),
    onSuccess: (bytes): Pull<Uint8Array, never> =>
      bytes.length === 0 ? end : Effect.succeed(Chunk.of(bytes))
  })

/** Makes a stream of one item. */
export const succeed = <A>(item: A): Stream.Stream<A> =>
  make(() => {
    let isOver = false
    return Effect.suspend((): Pull<A, never> => {
      if (isOver) return end
      isOver = true
      return Effect.succeed(Chunk.of(item))
    })
  })

/** Makes a stream that ends at once. */
export const empty: Stream.Stream<never> = make(() => end)

/** Makes a stream that fails at once. */
export const fail = <E>(error: E): Stream.Stream<never, E> =>
  make(() => Effect.fail(Option.some(error)))

/** Makes a stream when it runs. */
export const suspend = <A, E, R>(self: () => Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
  make((scope) => lazily((then) => then(open(self(), scope))))

/** Flattens an effect of a stream. */
export const unwrap = <A, E, R, E2, R2>(
  effect: Effect.Effect<Stream.Stream<A, E, R>, E2, R2>
): Stream.Stream<A, E | E2, R | R2> =>
  make((scope) =>
    lazily<A, E | E2, R | R2>((then) =>
      Effect.matchCauseEffect(effect, {
        onFailure: failed,
        onSuccess: (self) => then(open(self, scope))
      })
    )
  )

/** Flattens an effect of a stream, and keeps its Scope open as long as the stream runs. */
export const unwrapScoped = <A, E, R, E2, R2>(
  effect: Effect.Effect<Stream.Stream<A, E, R>, E2, R2>
): Stream.Stream<A, E | E2, R | Exclude<R2, Scope.Scope>> =>
  make((scope) => open(unwrap(Scope.extend(effect, scope)), scope))

// -----------------------------------------------------------------------------
// Changing
// -----------------------------------------------------------------------------

/** Maps the chunks. */
export const mapChunks = <A, E, R, B>(
  self: Stream.Stream<A, E, R>,
  f: (chunk: Chunk.Chunk<A>) => Chunk.Chunk<B>
): Stream.Stream<B, E, R> => make((scope) => Effect.map(open(self, scope), f))

/** Maps the errors. */
export const mapError = <A, E, R, E2>(
  self: Stream.Stream<A, E, R>,
  f: (error: E) => E2
): Stream.Stream<A, E2, R> => make((scope) => Effect.mapError(open(self, scope), Option.map(f)))

/** Runs a stream in a context. */
export const provideContext = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  context: Context.Context<R>
): Stream.Stream<A, E> => make((scope) => Effect.provide(open(self, scope), context))

/**
 * Calls plain side effects while a stream is read, which must not throw: `onPull` when the consumer
 * asks for more, `onChunk` with each chunk before the consumer gets it, `onEnd` when the stream
 * ends or fails, with the cause if it fails.
 */
export const observe = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  on: {
    readonly onPull?: () => void
    readonly onChunk?: (chunk: Chunk.Chunk<A>) => void
    readonly onEnd?: (cause?: Cause.Cause<E>) => void
  }
): Stream.Stream<A, E, R> =>
  make((scope) => {
    const pull = match(open(self, scope), {
      onChunk: (chunk) => {
        on.onChunk?.(chunk)
        return Effect.succeed(chunk)
      },
      onFailure: (cause) => {
        on.onEnd?.(cause)
        return failed(cause)
      },
      onEnd: () => {
        on.onEnd?.()
        return end
      }
    })
    return Effect.suspend(() => {
      on.onPull?.()
      return pull
    })
  })

/** Goes on with another stream after an error, when the resources of the first one are closed. */
export const catchAll = <A, E, R, A2, E2, R2>(
  self: Stream.Stream<A, E, R>,
  f: (error: E) => Stream.Stream<A2, E2, R2>
): Stream.Stream<A | A2, E2, R | R2> =>
  make((scope) =>
    lazily<A | A2, E2, R | R2>((then) =>
      Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (attempt) =>
        then(
          match<A, E, R, Chunk.Chunk<A | A2>, Option.Option<E2>, R | R2>(open(self, attempt), {
            onChunk: Effect.succeed,
            onFailure: (cause) =>
              Either.match(Cause.failureOrCause(cause), {
                onLeft: (error) =>
                  Effect.zipRight(
                    Scope.close(attempt, Exit.fail(error)),
                    Effect.suspend(() => then(open(f(error), scope)))
                  ),
                onRight: Effect.failCause
              }),
            onEnd: () => end
          })
        )
      )
    )
  )

/**
 * Hands the arrays that pass to `take`, a plain function that must not throw. Where that returns
 * true for the last array of a chunk, and when the stream has ended, `flush` runs before the
 * consumer gets what follows.
 */
export const tapFlushing = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void>
): Stream.Stream<Uint8Array, E, R> =>
  make((scope) =>
    match(open(self, scope), {
      onChunk: (chunk) => {
        let isDue = false
        for (const bytes of chunk) isDue = take(bytes)
        return isDue ? Effect.as(flush, chunk) : Effect.succeed(chunk)
      },
      onFailure: failed,
      onEnd: () => Effect.zipRight(flush, end)
    })
  )

/** Runs an effect when a stream has come to its end, before the consumer is told. */
export const ending = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  effect: Effect.Effect<unknown>
): Stream.Stream<A, E, R> =>
  make((scope) =>
    Effect.catchIf(open(self, scope), Option.isNone, () => Effect.zipRight(effect, end))
  )

/**
 * Runs an effect once when a stream has ended or failed, or is not read any more; `isOver` is false
 * of the last. It is not interrupted.
 */
export const ensuring = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  finalizer: (exit: Exit.Exit<unknown, unknown>, isOver: boolean) => Effect.Effect<unknown>
): Stream.Stream<A, E, R> =>
  make((scope) => {
    let isDone = false
    const finish = (exit: Exit.Exit<unknown, unknown>, isOver: boolean) =>
      Effect.uninterruptible(
        Effect.suspend(() => {
          if (isDone) return Effect.void
          isDone = true
          return finalizer(exit, isOver)
        })
      )
    const pull = match(open(self, scope), {
      onChunk: Effect.succeed,
      onFailure: (cause) => Effect.zipRight(finish(Exit.failCause(cause), true), failed(cause)),
      onEnd: () => Effect.zipRight(finish(Exit.void, true), end)
    })
    return opening(
      Scope.addFinalizerExit(scope, (exit) => finish(exit, false)),
      pull
    )
  })

/**
 * Ends a stream of bytes early: `left` says, with each chunk that comes, after how many bytes. What
 * the chunk has beyond them is dropped.
 */
export const endAfter = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  left: () => number
): Stream.Stream<Uint8Array, E, R> =>
  make((scope) => {
    let isOver = false
    const pull = Effect.map(open(self, scope), (chunk) => {
      let wanted = left()
      const out: Array<Uint8Array> = []
      for (const bytes of chunk) {
        isOver = wanted <= bytes.length
        out.push(isOver ? bytes.subarray(0, wanted) : bytes)
        if (isOver) break
        wanted -= bytes.length
      }
      return Chunk.unsafeFromArray(out)
    })
    return Effect.suspend(() => (isOver ? end : pull))
  })

/**
 * A plain state machine on the way of some bytes: emits what its generators yield, and fails with
 * what they return, if anything.
 */
export interface Transformer<out A, out E> {
  readonly push: (bytes: Uint8Array) => Generator<A, E | undefined>
  readonly end: () => Generator<A, E | undefined>
}

/**
 * Changes a stream by a state machine that is made when it runs. However much comes of one array,
 * at most `most` items are emitted at a time, and the machine stops until the consumer wants more.
 */
export const transform = <E, R, A, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  makeMachine: () => Transformer<A, E2>,
  most = 16
): Stream.Stream<A, E | E2, R> =>
  make((scope) => {
    const input = open(self, scope)
    let machine: Transformer<A, E2> | undefined
    /** What is to be emitted before more is read. */
    let items: Generator<A, E2 | undefined> | undefined
    let isEnded = false
    let failure: E2 | undefined
    const drain = (): Pull<A, E | E2, R> => {
      const out: Array<A> = []
      while (items !== undefined && out.length < most) {
        const item = items.next()
        if (item.done === true) {
          items = undefined
          failure = item.value
        } else out.push(item.value)
      }
      return out.length === 0 ? next() : Effect.succeed(Chunk.unsafeFromArray(out))
    }
    const next = (): Pull<A, E | E2, R> => {
      if (failure !== undefined) return Effect.fail(Option.some(failure))
      return isEnded ? end : read
    }
    const read: Pull<A, E | E2, R> = match(input, {
      onChunk: (chunk) => {
        machine ??= makeMachine()
        items = pushed(machine, chunk)
        return drain()
      },
      onFailure: failed,
      onEnd: () => {
        machine ??= makeMachine()
        items = machine.end()
        isEnded = true
        return drain()
      }
    })
    return Effect.suspend(() =>
      items === undefined
        ? next()
        : // Little input can make much work, which is not to keep others waiting.
          Effect.flatMap(Effect.yieldNow(), drain)
    )
  })

function* pushed<A, E>(
  machine: Transformer<A, E>,
  chunk: Chunk.Chunk<Uint8Array>
): Generator<A, E | undefined> {
  for (const bytes of chunk) {
    const failure = yield* machine.push(bytes)
    if (failure !== undefined) return failure
  }
  return undefined
}

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

/** Goes on with what a pull has brought: a chunk, a failure, or the end. */
export const match = <A, E, R, B, E2, R2>(
  pull: Pull<A, E, R>,
  on: {
    readonly onChunk: (chunk: Chunk.Chunk<A>) => Effect.Effect<B, E2, R2>
    readonly onFailure: (cause: Cause.Cause<E>) => Effect.Effect<B, E2, R2>
    readonly onEnd: () => Effect.Effect<B, E2, R2>
  }
): Effect.Effect<B, E2, R | R2> =>
  Effect.matchCauseEffect(pull, {
    onSuccess: on.onChunk,
    onFailure: (cause) =>
      Option.match(Cause.flipCauseOption(cause), { onNone: on.onEnd, onSome: on.onFailure })
  })

/** The pull of a stream that has failed. */
export const failed = <E>(cause: Cause.Cause<E>): Pull<never, E> =>
  Effect.failCause(Cause.map(cause, Option.some))

/**
 * Runs a stream. The effect that `f` returns, if it does, is run before the next chunk is asked
 * for; where it returns false, nothing more is read.
 */
export const runForEachChunk = <A, E, R, E2 = never, R2 = never>(
  self: Stream.Stream<A, E, R>,
  f: (chunk: Chunk.Chunk<A>) => Effect.Effect<unknown, E2, R2> | false | undefined
): Effect.Effect<void, E | E2, R | R2> =>
  Effect.scopedWith((scope) => {
    const loop: Effect.Effect<void, E | E2, R | R2> = match<A, E, R, void, E | E2, R | R2>(
      open(self, scope),
      {
        onChunk: (chunk) => {
          const step = f(chunk)
          if (step === false) return Effect.void
          return step === undefined ? loop : Effect.flatMap(step, () => loop)
        },
        onFailure: Effect.failCause,
        onEnd: () => Effect.void
      }
    )
    return loop
  })

/**
 * Runs a stream, and hands its arrays to `take`, a plain function that must not throw. Where that
 * returns true, and when the stream has ended or failed, `flush` runs before the next array. When
 * the stream has failed, the failure of `flush` does not count.
 */
export const runFlushing = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void, E2>
): Effect.Effect<void, E | E2, R> =>
  Effect.scopedWith((scope) => {
    const loop: Effect.Effect<void, E | E2, R> = match<Uint8Array, E, R, void, E | E2, R>(
      open(self, scope),
      {
        onChunk: (chunk) => {
          let isFull = false
          for (const bytes of chunk) isFull = take(bytes)
          return isFull ? Effect.flatMap(flush, () => loop) : loop
        },
        onFailure: (cause) => Effect.zipRight(Effect.ignore(flush), Effect.failCause(cause)),
        onEnd: () => flush
      }
    )
    return loop
  })
