/** A stream of bytes that is read ahead, and fails where its source stalls or ends too early. */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Stream from "effect/Stream"
import * as PullStream from "./PullStream.js"

/** How the source is read, and what a fault of it is to the consumer. Sizes are in bytes. */
interface Options<E> {
  readonly ahead: number
  readonly stall: Duration.DurationInput
  readonly length?: number | undefined
  readonly onFault: (reason: "Stall" | "Reset") => E
  /** Called whenever the consumer has to wait for bytes. */
  readonly onWait?: (() => void) | undefined
}

/** What the fiber that reads, the one that watches, and the consumer share. */
interface State<E> {
  /** What was read and not consumed yet, and its bytes. */
  held: Array<Uint8Array>
  size: number
  /** All bytes that were read. */
  count: number
  /** How often in a row the watch found that no bytes had come. */
  idle: number
  ended: Exit.Exit<void, E> | undefined
  /** Opens when bytes have come or the source has ended. */
  readonly news: Effect.Latch
  /** Is closed while `ahead` bytes are held. */
  readonly room: Effect.Latch
}

/** How long the end of a body is awaited after its last byte. */
const lingering = Duration.seconds(1)

/**
 * Reads a stream ahead, up to `ahead` bytes, in a fiber of its own. The stream ends after `length`
 * bytes, whatever follows; the end of the source is awaited for a second, since its connection can
 * be used again then. Only the time in which bytes are awaited counts, not that of a slow consumer:
 * one fiber looks four times in `stall`, and no chunk costs a timer.
 *
 * Fails with `onFault("Stall")` when no bytes arrive for the duration `stall`, and with
 * `onFault("Reset")` when the source ends before `length` bytes.
 */
export const watched = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  options: Options<E2>
): Stream.Stream<Uint8Array, E | E2, R> =>
  PullStream.make((scope) => {
    const state: State<E | E2> = {
      held: [],
      size: 0,
      count: 0,
      idle: 0,
      ended: undefined,
      news: Effect.unsafeMakeLatch(false),
      room: Effect.unsafeMakeLatch(true)
    }
    const started = Effect.zipRight(
      Effect.forkIn(read(self, state, options), scope),
      Effect.forkIn(watch(state, options), scope)
    )
    return PullStream.opening(started, consume(state, options))
  })

const end = <E>(state: State<E>, exit: Exit.Exit<void, E>): Effect.Effect<void> =>
  Effect.sync(() => {
    state.ended ??= exit
    state.news.unsafeOpen()
  })

/** Reads the source, as far as there is room. */
const read = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  state: State<E | E2>,
  options: Options<E2>
): Effect.Effect<void, never, R> => {
  const { ahead, length = Number.POSITIVE_INFINITY } = options
  return PullStream.runForEachChunk(self, (chunk) => {
    state.idle = 0
    let isOver = false
    for (const bytes of chunk) {
      const wanted = Math.min(bytes.length, length - state.count)
      isOver ||= wanted < bytes.length
      if (wanted === 0) continue
      state.held.push(isOver ? bytes.subarray(0, wanted) : bytes)
      state.size += wanted
      state.count += wanted
    }
    state.news.unsafeOpen()
    if (isOver) return false
    if (state.size < ahead) return undefined
    state.room.unsafeClose()
    return state.room.await
  }).pipe(
    Effect.exit,
    Effect.flatMap((exit) =>
      end(
        state,
        Exit.isSuccess(exit) && options.length !== undefined && state.count < length
          ? Exit.fail(options.onFault("Reset"))
          : exit
      )
    )
  )
}

/** Ends the stream when nothing has come for the duration `stall` although there was room. */
const watch = <E, E2>(state: State<E | E2>, options: Options<E2>): Effect.Effect<void> => {
  const tick = Duration.times(options.stall, 0.25)
  const loop: Effect.Effect<void> = Effect.flatMap(Effect.sleep(tick), () => {
    if (state.ended !== undefined) return Effect.void
    state.idle = state.size < options.ahead ? state.idle + 1 : 0
    return state.idle > 4 ? end(state, Exit.fail(options.onFault("Stall"))) : loop
  })
  return loop
}

/** Emits what was read, in one chunk for each pull, and then the end. */
const consume = <E, E2>(
  state: State<E | E2>,
  { length, onWait }: Options<E2>
): PullStream.Pull<Uint8Array, E | E2> => {
  const pull: PullStream.Pull<Uint8Array, E | E2> = Effect.suspend(() => {
    if (state.size > 0) {
      const chunk = Chunk.unsafeFromArray(state.held)
      state.held = []
      state.size = 0
      state.room.unsafeOpen()
      return Effect.succeed(chunk)
    }
    if (state.ended !== undefined)
      return Exit.isSuccess(state.ended) ? PullStream.end : PullStream.failed(state.ended.cause)
    onWait?.()
    state.news.unsafeClose()
    return state.count === length
      ? Effect.zipRight(Effect.ignore(Effect.timeout(state.news.await, lingering)), PullStream.end)
      : Effect.zipRight(state.news.await, pull)
  })
  return pull
}
