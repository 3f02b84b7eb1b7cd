/**
 * A caller's stream as the body of a request that appends to an upload session. Whatever becomes of
 * the stream, the request comes to its end: one that breaks off leaves a session that Docker's
 * registry can neither continue nor cancel.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"
import { SourceFailure } from "./SourceFailure.js"

/** Up to so many bytes, zeros make up for what is missing of a body whose length was announced. */
const maxFilling = 64 * 1024 * 1024

const zeros = new Uint8Array(64 * 1024)

/**
 * A pull that can be stopped while it waits, which ends it. It runs in a fiber of its own, one
 * chunk each time that it is asked for.
 */
interface Stoppable<E> {
  readonly pull: PullStream.Pull<Uint8Array, E>
  readonly stop: () => void
}

const stoppable = <E, R>(
  source: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Stoppable<E>, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const pull = PullStream.open(source, yield* Effect.scope)
    const asked = Effect.unsafeMakeLatch(false)
    let item: PullStream.Pull<Uint8Array, E> | undefined
    let isStopped = false
    let wake = constVoid
    const deliver = (next: PullStream.Pull<Uint8Array, E>) => {
      item = next
      wake()
    }
    const produce: Effect.Effect<void, never, R> = Effect.zipRight(
      asked.await,
      Effect.flatMap(Effect.exit(pull), (exit) => {
        asked.unsafeClose()
        deliver(exit)
        return exit._tag === "Success" ? produce : Effect.void
      })
    )
    yield* Effect.forkScoped(produce)
    const waiting = Effect.async<void>((resume) => {
      wake = () => {
        wake = constVoid
        resume(Effect.void)
      }
      if (item !== undefined || isStopped) wake()
    })
    const taken: PullStream.Pull<Uint8Array, E> = Effect.suspend(() => {
      if (isStopped) return Effect.fail(Option.none())
      const next = item
      if (next === undefined) {
        asked.unsafeOpen()
        return Effect.zipRight(waiting, taken)
      }
      item = undefined
      return next
    })
    return {
      pull: taken,
      stop: () => {
        isStopped = true
        wake()
      }
    }
  })

/**
 * What the last run of a body sent of its source.
 *
 * - `count`: how many bytes the HTTP client was given.
 * - `isAll`: whether these were all there is to send.
 * - `isPassedOn`: whether the client has passed them on, as far as can be told: one that reads
 *   ahead may hold what it was given last until it asks for more.
 * - `failure`: what the source failed with.
 */
export interface Sent<E> {
  readonly count: number
  readonly isAll: boolean
  readonly isPassedOn: boolean
  readonly failure: Cause.Cause<E> | undefined
}

/**
 * One run of a body: what of the source waits to be given, how many bytes were given, and before
 * the client asked last; whether the source was seen to end, with what failure, and how many zeros
 * are due in its place.
 */
interface Run<E> {
  queue: ReadonlyArray<Uint8Array>
  given: number
  asked: number
  isEnded: boolean
  readonly readsAhead: boolean
  failure?: Cause.Cause<E> | undefined
  zeros?: number
}

/** A run that has not begun. */
const fresh = { queue: [], given: 0, asked: 0, isEnded: false, readsAhead: false }

/** The body of `length` bytes, or of as many as the source has. */
export const make = <E, R>(
  source: Stream.Stream<Uint8Array, E, R>,
  length: number | undefined
): Effect.Effect<SourceBody<E>, never, R> =>
  Effect.map(
    Effect.context<R>(),
    (context) => new SourceBody(stoppable(PullStream.provideContext(source, context)), length)
  )

/** A source as the body of a request, of which there may be several runs. */
export class SourceBody<E> {
  /** The source as `isEmpty` opened it, for the first run to go on with. */
  private opened: Stoppable<E> | undefined
  /** The source as it was opened last. */
  private current: Stoppable<E> | undefined
  private isStopped = false
  private run: Run<E> = { ...fresh }

  constructor(
    private readonly source: Effect.Effect<Stoppable<E>, never, Scope.Scope>,
    private readonly length: number | undefined
  ) {}

  /**
   * Whether the source has no bytes. It is opened to tell; the first run of the body goes on from
   * there.
   */
  readonly isEmpty: Effect.Effect<boolean, SourceFailure<E>, Scope.Scope> = Effect.gen(
    this,
    function* () {
      const opened = yield* this.open()
      this.opened = opened
      const first = yield* Effect.exit(opened.pull)
      if (Exit.isSuccess(first)) {
        this.run = { ...fresh, queue: [...first.value] }
        return false
      }
      const failure = Option.getOrUndefined(Cause.flipCauseOption(first.cause))
      return failure === undefined ? true : yield* Effect.fail(new SourceFailure(failure))
    }
  )

  /**
   * The body itself. Where the source fails, or `stop` was called, it ends, after as many zeros as
   * a known length still needs. It fails where nothing was sent yet, or more than 64 MiB are
   * missing. Each further run of it runs the source again.
   */
  readonly stream: Stream.Stream<Uint8Array, unknown> = PullStream.make((scope) =>
    PullStream.opening(
      Effect.gen(this, function* () {
        const readsAhead = yield* ByteStream.BuffersReused
        this.run = { ...fresh, queue: this.opened === undefined ? [] : this.run.queue, readsAhead }
        if (this.opened === undefined) yield* Scope.extend(this.open(), scope)
        this.opened = undefined
      }),
      this.next
    )
  )

  /** Lets the body end. False where it can only be broken off. */
  stop(): boolean {
    this.isStopped = true
    this.current?.stop()
    return this.missing() <= maxFilling
  }

  /** What became of the last run. */
  sent(): Sent<E> {
    const { length, run } = this
    return {
      count: run.given,
      isAll: length === undefined ? run.isEnded : run.given === length,
      isPassedOn: !run.readsAhead || run.asked === run.given,
      failure: run.failure
    }
  }

  private open() {
    return Effect.tap(this.source, (reader) => {
      this.current = reader
      if (this.isStopped) reader.stop()
    })
  }

  private missing(): number {
    return this.length === undefined ? 0 : this.length - this.run.given
  }

  private readonly next: PullStream.Pull<Uint8Array, unknown> = Effect.suspend(() => {
    const { current, run } = this
    run.asked = run.given
    if (run.zeros !== undefined) {
      const piece = zeros.subarray(0, Math.min(run.zeros, zeros.length))
      run.zeros -= piece.length
      return piece.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(Chunk.of(piece))
    }
    const [first, ...rest] = run.queue
    if (first !== undefined) {
      run.queue = run.readsAhead ? [] : rest
      return this.give(run.readsAhead ? [first, ...rest] : [first])
    }
    return Effect.matchCauseEffect(current?.pull ?? Effect.fail(Option.none()), {
      onFailure: (cause) => this.over(Option.getOrUndefined(Cause.flipCauseOption(cause))),
      onSuccess: (chunk) => {
        if (this.run.readsAhead) return this.give([...chunk])
        this.run.queue = [...chunk]
        return this.next
      }
    })
  })

  private give(bytes: ReadonlyArray<Uint8Array>): PullStream.Pull<Uint8Array, unknown> {
    for (const { length } of bytes) this.run.given += length
    return Effect.succeed(Chunk.unsafeFromArray([...bytes]))
  }

  /** The source has no more: the body ends here, or goes on with zeros. */
  private over(failure: Cause.Cause<E> | undefined): PullStream.Pull<Uint8Array, unknown> {
    const { run } = this
    run.failure = failure
    run.isEnded = failure === undefined && !this.isStopped
    const left = this.missing()
    if (run.isEnded || (run.given > 0 && left === 0)) return Effect.fail(Option.none())
    if (run.given === 0 || left > maxFilling)
      return Effect.failCause(Cause.map(failure ?? Cause.interrupt(FiberId.none), Option.some))
    run.zeros = left
    return this.next
  }
}

/** The failure of a source is its own, and not that of the request that it breaks off. */
export const explained = <A, E, E2, R>(
  request: Effect.Effect<A, E, R>,
  body: SourceBody<E2>
): Effect.Effect<A, E | SourceFailure<E2>, R> =>
  Effect.catchAllCause(request, (cause): Effect.Effect<never, E | SourceFailure<E2>> => {
    const { failure } = body.sent()
    return failure === undefined || Cause.isInterruptedOnly(failure)
      ? Effect.failCause(cause)
      : Effect.fail(new SourceFailure(failure))
  })
