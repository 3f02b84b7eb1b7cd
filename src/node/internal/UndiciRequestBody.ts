/**
 * A stream as the body of a request through undici: pulled by a fiber as the socket takes it, and
 * not before its connection stands.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { giveBack } from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"

type Item = IteratorResult<Uint8Array, undefined>

const end: Item = { done: true, value: undefined }

/**
 * More bytes than a socket takes without having undici wait: when undici asks for what comes next,
 * all but the last that are fewer are sent.
 */
const mostUnsent = 128 * 1024

/**
 * The two ends of the body: `pump`, the effect that reads the stream, and the iterator that undici
 * reads. The pump is one chunk ahead, so that the next one is hashed while one is sent. `close`
 * ends the iterator, and `onClose` is told of it, so that nobody goes on pulling at a stream whose
 * bytes are not wanted any more.
 */
export class RequestBody implements AsyncIterableIterator<Uint8Array, undefined> {
  private ready: ReadonlyArray<Uint8Array> = []
  private taken = 0
  /** How many bytes of the stream have come. */
  private count = 0
  /** What undici was given, and may not have sent yet. */
  private sending: Array<Uint8Array> = []
  private closed = false
  private failure: { readonly cause: unknown } | undefined
  private waiting:
    | { readonly resolve: (item: Item) => void; readonly reject: (cause: unknown) => void }
    | undefined
  onClose: () => void = constVoid
  /** Open while nothing is ready, from the first time that undici asks. */
  private readonly room = Effect.unsafeMakeLatch(false)
  /** Open when undici asks for what comes after all that is ready, which is sent then. */
  private readonly asked = Effect.unsafeMakeLatch(false)

  /** `length`: how many bytes the request says that there are. */
  constructor(private readonly length: number | undefined) {}

  next(): Promise<Item> {
    let unsent = 0
    let first = this.sending.length
    for (; first > 0; first--) {
      unsent += this.sending[first - 1]?.length ?? 0
      if (unsent >= mostUnsent) break
    }
    for (const bytes of this.sending.splice(0, first)) giveBack(bytes)
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject }
      this.resolve()
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
    // undici asks for more when what it had is sent, and the pump is one chunk ahead of it.
    const pulled = PullStream.runForEachChunk(stream, (chunk) => {
      this.room.unsafeClose()
      this.asked.unsafeClose()
      this.ready = [...chunk]
      this.taken = 0
      for (const { length } of chunk) this.count += length
      this.resolve()
      // undici closes a connection whose response comes before it has seen the end of the body. It
      // is not looked for before all is sent: that tells `SourceBody` that it is.
      return this.count === this.length
        ? this.asked.await
        : Effect.zipRight(written, this.room.await)
    })
    return Effect.zipRight(this.room.await, pulled).pipe(
      Effect.matchCause({
        onFailure: (cause) => {
          this.failure = { cause: Cause.squash(cause) }
          this.resolve()
        },
        onSuccess: () => this.finish()
      }),
      // What is smaller than the buffer of a socket may stay there.
      Effect.provideService(ByteStream.BuffersReused, true)
    )
  }

  private finish(): void {
    this.closed = true
    this.resolve()
  }

  private resolve(): void {
    const { waiting } = this
    if (waiting === undefined) return
    const bytes = this.ready[this.taken]
    if (bytes !== undefined) {
      this.waiting = undefined
      this.taken++
      this.sending.push(bytes)
      waiting.resolve({ done: false, value: bytes })
    } else if (this.failure !== undefined) waiting.reject(this.failure.cause)
    else if (this.closed) waiting.resolve(end)
    else this.asked.unsafeOpen()
    if (this.taken >= this.ready.length) this.room.unsafeOpen()
  }
}

/** Lets undici write what it got, before more is read. */
const written = Effect.async<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
