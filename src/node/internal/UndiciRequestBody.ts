/**
 * A stream as the body of a request through undici: pulled by a fiber as the socket takes it, and
 * not before its connection stands.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"

type Item = IteratorResult<Uint8Array, undefined>

const end: Item = { done: true, value: undefined }

/**
 * The two ends of the body: `pump`, the effect that reads the stream, and the iterator that undici
 * reads. The pump is one chunk ahead, so that the next one is hashed while one is sent. `close`
 * ends the iterator, and `onClose` is told of it, so that nobody goes on pulling at a stream whose
 * bytes are not wanted any more.
 */
export class Outgoing implements AsyncIterableIterator<Uint8Array, undefined> {
  private ready: ReadonlyArray<Uint8Array> = []
  private given = 0
  private closed = false
  private failure: { readonly cause: unknown } | undefined
  private asked:
    | { readonly resolve: (item: Item) => void; readonly reject: (cause: unknown) => void }
    | undefined
  onClose: () => void = constVoid
  /** Open while nothing is ready, from the first time that undici asks. */
  private readonly room = Effect.unsafeMakeLatch(false)

  next(): Promise<Item> {
    return new Promise((resolve, reject) => {
      this.asked = { resolve, reject }
      this.answer()
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

  /** Reads a stream. It never fails: the failure of the stream is undici's to report. */
  pump<E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<void> {
    type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, never, E, void, unknown>
    const loop: Loop = Channel.flatMap(Channel.fromEffect(this.room.await), () => read)
    const read: Loop = Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
        this.room.unsafeClose()
        this.ready = [...chunk]
        this.given = 0
        this.answer()
        return Channel.flatMap(Channel.fromEffect(sent), () => loop)
      },
      onFailure: (cause) =>
        Channel.sync(() => {
          this.failure = { cause: Cause.squash(cause) }
          this.answer()
        }),
      onDone: () => Channel.sync(() => this.finish())
    })
    // undici asks for more when what it had is sent, and the pump is one chunk ahead of it. What is
    // smaller than the buffer of a socket may stay there.
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
    if (asked === undefined) return
    const bytes = this.ready[this.given]
    if (bytes !== undefined) {
      this.asked = undefined
      this.given++
      asked.resolve({ done: false, value: bytes })
    } else if (this.failure !== undefined) asked.reject(this.failure.cause)
    else if (this.closed) asked.resolve(end)
    if (this.given >= this.ready.length) this.room.unsafeOpen()
  }
}

/** Lets undici write what it got, before more is read. */
const sent = Effect.async<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
