/**
 * Combinators of streams that only the library itself uses, as channels written by hand: an Effect
 * per chunk would cost a fifth of the throughput.
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * Flattens an effect of a stream. `Stream.unwrap` does the same for any stream of streams, at a
 * cost that exceeds that of a small blob.
 */
export const unwrap = <A, E, R, E2, R2>(
  stream: Effect.Effect<Stream.Stream<A, E, R>, E2, R2>
): Stream.Stream<A, E | E2, R | R2> =>
  Stream.fromChannel(Channel.unwrap(Effect.map(stream, Stream.toChannel)))

/**
 * Calls plain side effects while a stream is read, which must not throw: `onPull` when the consumer
 * asks for more, `onChunk` with each chunk before the consumer gets it, `onEnd` when the stream
 * ends or fails.
 */
export const observe = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  on: {
    readonly onPull: () => void
    readonly onChunk: (chunk: Chunk.Chunk<A>) => void
    readonly onEnd: () => void
  }
): Stream.Stream<A, E, R> => {
  const pull = (): Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<A>, E, E, unknown, unknown> => {
    on.onPull()
    return read
  }
  const read = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<A>) => {
      on.onChunk(chunk)
      return Channel.flatMap(Channel.write(chunk), pull)
    },
    onFailure: (cause) => {
      on.onEnd()
      return Channel.failCause(cause)
    },
    onDone: () => {
      on.onEnd()
      return Channel.void
    }
  })
  return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(self), Channel.suspend(pull)))
}

/**
 * Runs a stream, and hands its arrays to `take`, a plain function that must not throw. Where that
 * returns true, and when the stream has ended or failed, `flush` runs before the next array. When
 * the stream has failed, the failure of `flush` does not count.
 */
export const runFlushing = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void, E2>
): Effect.Effect<void, E | E2, R> => {
  type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, E | E2, E, void, unknown>
  const flushed = Channel.fromEffect(flush)
  const loop: Loop = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
      let full = false
      for (const bytes of chunk) full = take(bytes)
      return full ? Channel.flatMap(flushed, () => loop) : loop
    },
    onFailure: (cause) =>
      Channel.flatMap(Channel.fromEffect(Effect.ignore(flush)), () => Channel.failCause(cause)),
    onDone: () => flushed
  })
  return Channel.runDrain(Channel.pipeTo(Stream.toChannel(self), loop))
}

/**
 * Hands the arrays that pass to `take`, a plain function that must not throw. Where that returns
 * true for the last array of a chunk, and when the stream has ended, `flush` runs before the
 * consumer gets what follows.
 */
export const tapFlushing = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void>
): Stream.Stream<Uint8Array, E, R> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const flushed = Channel.fromEffect(flush)
  const loop: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => {
      let isDue = false
      for (const bytes of chunk) isDue = take(bytes)
      const rest = Channel.flatMap(Channel.write(chunk), () => loop)
      return isDue ? Channel.zipRight(flushed, rest) : rest
    },
    onFailure: Channel.failCause,
    onDone: () => flushed
  })
  return Stream.pipeThroughChannel(self, loop)
}

/**
 * Ends a stream of bytes early: `left` says, with each chunk that comes, after how many bytes. What
 * the chunk has beyond them is dropped.
 */
export const endAfter = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  left: () => number
): Stream.Stream<Uint8Array, E, R> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const loop: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => {
      let wanted = left()
      const out: Array<Uint8Array> = []
      for (const bytes of chunk) {
        if (wanted <= bytes.length) {
          out.push(bytes.subarray(0, wanted))
          return Channel.write(Chunk.unsafeFromArray(out))
        }
        out.push(bytes)
        wanted -= bytes.length
      }
      return Channel.flatMap(Channel.write(chunk), () => loop)
    },
    onFailure: Channel.failCause,
    onDone: () => Channel.void
  })
  return Stream.pipeThroughChannel(self, loop)
}

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
  make: () => Transformer<A, E2>,
  most = 16
): Stream.Stream<A, E | E2, R> => {
  type Loop = Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<Uint8Array>, E | E2, E, unknown, unknown>
  const loop = (machine: Transformer<A, E2>): Loop => {
    const read: Loop = Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<Uint8Array>) => drain(pushed(machine, chunk), () => read),
      onFailure: Channel.failCause,
      onDone: () => drain(machine.end(), () => Channel.void)
    })
    return read
  }
  const drain = (items: Generator<A, E2 | undefined>, next: () => Loop): Loop => {
    const out: Array<A> = []
    while (out.length < most) {
      const item = items.next()
      if (item.done !== true) {
        out.push(item.value)
        continue
      }
      const { value: failure } = item
      const rest = failure === undefined ? next : () => Channel.fail(failure)
      return out.length === 0
        ? rest()
        : Channel.flatMap(Channel.write(Chunk.unsafeFromArray(out)), rest)
    }
    return Channel.write(Chunk.unsafeFromArray(out)).pipe(
      // Little input can make much work, which is not to keep others waiting.
      Channel.zipRight(Channel.fromEffect(Effect.yieldNow())),
      Channel.flatMap(() => drain(items, next))
    )
  }
  return Stream.pipeThroughChannel(
    self,
    Channel.suspend(() => loop(make()))
  )
}

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
