/**
 * The response to a request through undici's dispatcher: its body as it comes in, under
 * backpressure, and as the `HttpClientResponse` that Effect knows.
 */
import type { IncomingHttpHeaders } from "node:http"
import type * as Headers from "@effect/platform/Headers"
import type { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as ClientResponse from "@effect/platform/HttpClientResponse"
import type { Dispatcher } from "@effect/platform-node/Undici"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BodyProgress from "../../client/http/BodyProgress.js"
import { BodyResponse } from "../../client/http/BodyResponse.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import { type Block, blockOf, owned, release, settle } from "./BufferPool.js"

/**
 * How many bytes are held for a reader who is slower than the registry, before the connection is
 * told to wait.
 */
const capacity = 1024 * 1024

/**
 * Handles what undici tells of one request: the head of its response, and the body as far as it
 * came and was not read.
 *
 * - `next`: all that has come, waiting for it if need be; at the end nothing. Unless they are
 *   borrowed, the arrays are the caller's for good.
 * - `all`: the whole body, however large, once it is complete.
 * - `abort`: ends the request, and its connection unless the response was over.
 */
export class ResponseBody implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined
  private responded = false
  private aborted = false
  private ended = false
  private failure: { readonly cause: unknown } | undefined
  private buffered: Array<Uint8Array> = []
  private size = 0
  private count = 0
  private gathering = false
  /** Where the last bytes of the body lie. */
  private block: Block | undefined
  private waiting: (() => void) | undefined
  private waking = false

  constructor(
    private readonly on: {
      readonly onResponse: (status: number, headers: IncomingHttpHeaders) => void
      readonly onFailure: (cause: unknown) => void
      readonly onEnd: () => void
    }
  ) {}

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.aborted) controller.abort(new Aborted())
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders
  ): void {
    if (status < 200) return
    this.responded = true
    this.on.onResponse(status, headers)
    // A body that cannot be there would be the response to the next request.
    if ((status === 204 || status === 304) && announcesBody(headers)) {
      this.onResponseEnd()
      controller.abort(new Aborted())
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // Of nothing there is no telling where it lies.
    if (chunk.length === 0) return
    this.lend(chunk)
    const last = this.buffered.at(-1)
    const isNext =
      last?.buffer === chunk.buffer && last.byteOffset + last.length === chunk.byteOffset
    const [from, length] = isNext ? [last.byteOffset, last.length] : [chunk.byteOffset, 0]
    if (isNext) this.buffered.pop()
    // Plain arrays, since a Buffer has another `slice`.
    this.buffered.push(new Uint8Array(chunk.buffer, from, length + chunk.length))
    this.size += chunk.length
    this.count += chunk.length
    if (this.gathering) return
    if (this.size >= capacity) controller.pause()
    this.wakeLater()
  }

  onResponseEnd(): void {
    this.ended = true
    forgotten.unregister(this)
    this.parsed()
    this.on.onEnd()
    this.wake()
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, cause: Error): void {
    this.fail(cause)
  }

  fail(cause: unknown): void {
    if (this.ended) return
    this.ended = true
    forgotten.unregister(this)
    this.failure = { cause }
    this.on.onEnd()
    if (!this.responded) this.on.onFailure(cause)
    this.wake()
  }

  abort(): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    this.controller?.abort(new Aborted())
  }

  /** `abort`, after which whoever waits need not wait for undici to tell of it. */
  abandon(): void {
    this.abort()
    this.fail(new Aborted())
  }

  /** How many bytes of the body have arrived. */
  get arrived(): number {
    return this.count
  }

  get isOver(): boolean {
    return this.ended
  }

  next<E>(
    onFailure: (cause: unknown) => E,
    borrowed: boolean
  ): Effect.Effect<ReadonlyArray<Uint8Array>, E> {
    return Effect.suspend(() => {
      const { buffered } = this
      if (buffered.length > 0) {
        this.buffered = []
        this.size = 0
        if (this.controller?.paused === true) this.controller.resume()
        return Effect.succeed(borrowed ? buffered : buffered.map(owned))
      }
      if (this.failure !== undefined) return Effect.fail(onFailure(this.failure.cause))
      return this.ended
        ? Effect.succeed(buffered)
        : Effect.zipRight(this.more, this.next(onFailure, borrowed))
    })
  }

  all<E>(onFailure: (cause: unknown) => E): Effect.Effect<Uint8Array, E> {
    return Effect.suspend(() => {
      this.gathering = true
      if (this.controller?.paused === true) this.controller.resume()
      if (!this.ended) return Effect.zipRight(this.more, this.all(onFailure))
      return this.failure === undefined
        ? Effect.sync(() => this.gathered())
        : Effect.fail(onFailure(this.failure.cause))
    })
  }

  private gathered(): Uint8Array {
    const { buffered } = this
    if (buffered.length === 1) return buffered[0] ?? new Uint8Array()
    const whole = ByteStream.concat(buffered)
    for (const part of buffered) release(part)
    this.buffered = [whole]
    return whole
  }

  /** Once a body is at another block, the parser needs no more of the one before. */
  private lend(bytes: Uint8Array): void {
    const block = blockOf(bytes)
    if (block !== undefined) block.lent += bytes.length
    if (block === this.block) return
    this.parsed()
    this.block = block
  }

  /** What is still being filled may get the head of the next response. */
  private parsed(): void {
    if (this.block?.isFilling === false) settle(this.block, { isParsed: true })
  }

  private readonly more: Effect.Effect<void> = Effect.async((resume) => {
    this.waiting = () => resume(Effect.void)
    return Effect.sync(() => {
      this.waiting = undefined
    })
  })

  private wake(): void {
    const { waiting } = this
    this.waiting = undefined
    waiting?.()
  }

  /**
   * When the event loop has read what there is: a chunk of 64 KiB at a time would cost its reader
   * more than the hash of it.
   */
  private wakeLater(): void {
    if (this.waiting === undefined || this.waking) return
    this.waking = true
    setImmediate(() => {
      this.waking = false
      this.wake()
    })
  }
}

const announcesBody = (headers: IncomingHttpHeaders): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

class Aborted extends Error {
  override readonly name = "AbortError"
  constructor() {
    super("The request was given up")
  }
}

/**
 * A response that nobody reads to its end would hold its connection for ever. While it is here, no
 * small collection of garbage frees it.
 */
const forgotten = new FinalizationRegistry<ResponseBody>((body) => body.abort())

/**
 * Makes the response with its body. Reading it fails with `ResponseError`, whose cause is undici's;
 * giving up reading closes the connection.
 */
export const make = (
  request: HttpClientRequest.HttpClientRequest,
  status: number,
  headers: Headers.Headers,
  body: ResponseBody
): ClientResponse.HttpClientResponse => {
  const response = new UndiciResponse(request, status, headers, body)
  if (!body.isOver) forgotten.register(response, body, body)
  return response
}

class UndiciResponse extends BodyResponse implements BodyProgress.Telling {
  constructor(
    request: HttpClientRequest.HttpClientRequest,
    status: number,
    headers: Headers.Headers,
    private readonly body: ResponseBody
  ) {
    super(request, status, headers)
  }

  [BodyProgress.arrived](): number {
    return this.body.arrived
  }

  get stream(): Stream.Stream<Uint8Array, ResponseError> {
    return BorrowedStream.make(({ borrowed }) =>
      PullStream.make((scope) => {
        const next = Effect.matchEffect(this.body.next(this.failed(), borrowed), {
          onFailure: (error) => Effect.fail(Option.some(error)),
          onSuccess: (chunks) =>
            chunks.length === 0 ? PullStream.end : Effect.succeed(Chunk.unsafeFromArray(chunks))
        })
        return PullStream.opening(
          Scope.addFinalizer(
            scope,
            Effect.sync(() => this.body.abort())
          ),
          next
        )
      })
    )
  }

  get bytes(): Effect.Effect<Uint8Array, ResponseError> {
    return Effect.onInterrupt(this.body.all(this.failed()), () =>
      Effect.sync(() => this.body.abort())
    )
  }
}
