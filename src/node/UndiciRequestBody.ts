/**
 * A stream as the body of a request through undici: pulled by a fiber whenever the socket has room, and not before its connection stands.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"

type Item = IteratorResult<Uint8Array, undefined>

const end: Item = { done: true, value: undefined }

/**
 * The two ends of the body: `pump`, the effect that reads the stream, and the iterator that undici reads. `close` ends the iterator, and `onClose` is
 * told of it, so that nobody goes on pulling at a stream whose bytes are not wanted any more.
 *
 * @since 0.1.0
 * @category models
 */
export class Outgoing implements AsyncIterableIterator<Uint8Array, undefined> {
  private chunks: Iterator<Uint8Array> | undefined
  private closed = false
  private failure: { readonly cause: unknown } | undefined
  private asked: { readonly resolve: (item: Item) => void; readonly reject: (cause: unknown) => void } | undefined
  private readonly wanted = Effect.unsafeMakeLatch(false)
  onClose: () => void = constVoid

  next(): Promise<Item> {
    const { chunks } = this
    const item = chunks?.next()
    if (item?.done === false) return Promise.resolve(item)
    this.chunks = undefined
    if (this.failure !== undefined) return Promise.reject(this.failure.cause)
    if (this.closed) return Promise.resolve(end)
    return new Promise((resolve, reject) => {
      this.asked = { resolve, reject }
      this.wanted.unsafeOpen()
    })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  return(): Promise<Item> {
    this.close()
    return Promise.resolve(end)
  }

  close(): void {
    this.onClose()
    this.finish()
  }

  /** Reads a stream, one chunk whenever the last one was taken. It never fails: the failure of the stream is undici's to report. */
  pump<E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<void> {
    type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, never, E, void, unknown>
    const wanted = Channel.fromEffect(this.wanted.await)
    const loop: Loop = Channel.flatMap(wanted, () => read)
    const read: Loop = Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
        this.wanted.unsafeClose()
        this.chunks = chunk[Symbol.iterator]()
        this.answer()
        return loop
      },
      onFailure: (cause) =>
        Channel.sync(() => {
          this.failure = { cause: Cause.squash(cause) }
          this.answer()
        }),
      onDone: () => Channel.sync(() => this.finish())
    })
    // undici asks for more when what it had is sent, but for arrays that are smaller than the buffer of a socket.
    return Effect.provideService(
      Channel.runDrain(Channel.pipeTo(Stream.toChannel(stream), loop)),
      ByteStream.BuffersReused,
      true
    )
  }

  private finish(): void {
    this.closed = true
    this.answer()
  }

  private answer(): void {
    const { asked } = this
    this.asked = undefined
    if (asked !== undefined) this.next().then(asked.resolve, asked.reject)
  }
}
