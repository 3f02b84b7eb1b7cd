/**
 * Whose turn it is in a stream: the consumer's, once a chunk was handed over, or the producer's,
 * once the next one was asked for.
 */
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"

/**
 * Calls `asked` whenever the consumer asks for more, and `given` when it gets something, be it the
 * end. Plain side effects, which must not throw: an Effect per chunk would cost a fifth of the
 * throughput.
 */
export const onTurn = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  on: { readonly asked: () => void; readonly given: () => void }
): Stream.Stream<A, E, R> => {
  const ask = (): Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<A>, E, E, unknown, unknown> => {
    on.asked()
    return read
  }
  const read = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<A>) => {
      on.given()
      return Channel.flatMap(Channel.write(chunk), ask)
    },
    onFailure: (cause) => {
      on.given()
      return Channel.failCause(cause)
    },
    onDone: () => {
      on.given()
      return Channel.void
    }
  })
  return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(stream), Channel.suspend(ask)))
}
