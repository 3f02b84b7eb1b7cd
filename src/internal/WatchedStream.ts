/** A stream of bytes that is read ahead, and fails where its source stalls or ends too early. */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

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
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const state: State<E | E2> = {
        held: [],
        size: 0,
        count: 0,
        idle: 0,
        ended: undefined,
        news: Effect.unsafeMakeLatch(false),
        room: Effect.unsafeMakeLatch(true)
      }
      yield* read(self, state, options)
      yield* Effect.forkScoped(watch(state, options))
      return consume(state, options)
    })
  )

const end = <E>(state: State<E>, exit: Exit.Exit<void, E>): Effect.Effect<void> =>
  Effect.sync(() => {
    state.ended ??= exit
    state.news.unsafeOpen()
  })

/** Reads the source in a fiber of the scope, as far as there is room. */
const read = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  state: State<E | E2>,
  options: Options<E2>
): Effect.Effect<void, never, R | Scope.Scope> => {
  const { ahead, length = Number.POSITIVE_INFINITY } = options
  type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, E, E, void, unknown>
  const loop: Loop = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
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
      if (isOver) return Channel.void
      if (state.size < ahead) return loop
      state.room.unsafeClose()
      return Channel.flatMap(Channel.fromEffect(state.room.await), () => loop)
    },
    onFailure: Channel.failCause,
    onDone: () => Channel.void
  })
  return Channel.runDrain(Channel.pipeTo(Stream.toChannel(self), loop)).pipe(
    Effect.exit,
    Effect.flatMap((exit) =>
      end(
        state,
        Exit.isSuccess(exit) && options.length !== undefined && state.count < length
          ? Exit.fail(options.onFault("Reset"))
          : exit
      )
    ),
    Effect.forkScoped
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
): Stream.Stream<Uint8Array, E | E2> => {
  const loop = (): Channel.Channel<Chunk.Chunk<Uint8Array>, unknown, E | E2> => {
    if (state.size > 0) {
      const chunk = Chunk.unsafeFromArray(state.held)
      state.held = []
      state.size = 0
      state.room.unsafeOpen()
      return Channel.flatMap(Channel.write(chunk), loop)
    }
    if (state.ended !== undefined) return Channel.fromEffect(state.ended)
    onWait?.()
    state.news.unsafeClose()
    return state.count === length
      ? Channel.fromEffect(Effect.ignore(Effect.timeout(state.news.await, lingering)))
      : Channel.flatMap(Channel.fromEffect(state.news.await), loop)
  }
  return Stream.fromChannel(Channel.suspend(loop))
}
