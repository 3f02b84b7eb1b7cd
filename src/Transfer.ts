/**
 * Transfers of blobs: the events that show their progress, the state of an upload session, with
 * which any process can continue it, and uploads as sinks.
 *
 * @since 0.1.0
 */
import type * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { dual, identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { fromStreamOnce, type Known } from "./BlobSource.js"
import * as EventStream from "./internal/EventStream.js"
import * as PullStream from "./internal/PullStream.js"
import * as Rate from "./internal/Rate.js"
import type { PutBlobOptions, Registry } from "./Registry.js"
import type { Descriptor } from "./spec/Descriptor.js"
import type { Digest } from "./spec/Digest.js"
import type { RepositoryName } from "./spec/Reference.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  UploadState
} from "./internal/UploadState.js"

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/**
 * The transfer that an event is about. `digest` is absent while that of an upload is being
 * computed, and `size`, in bytes, while it is unknown.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly direction: "upload" | "download"
  readonly repository: RepositoryName
  readonly digest?: Digest | undefined
  readonly size?: number | undefined
}

/**
 * What happens in a transfer.
 *
 * - `Started`: it begins. This is the first event.
 * - `Bytes`: `offset` bytes are transferred, `rate` bytes per second in the mean of the last
 *   seconds. Sent at most five times a second.
 * - `Retried`: a failure, described in `problem`, interrupted it at `offset`, and it will be tried
 *   again.
 * - `Resumed`: it continues at byte `offset`, which may be smaller than that of the last event; 0
 *   if it starts over.
 * - `Verified`: the content has the digest `digest`.
 * - `Completed`: it is done. `skipped` says that the content was there already.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | { readonly _tag: "Started"; readonly subject: Subject }
  | {
      readonly _tag: "Bytes"
      readonly subject: Subject
      readonly offset: number
      readonly rate: number
    }
  | {
      readonly _tag: "Retried"
      readonly subject: Subject
      readonly offset: number
      readonly problem: string
    }
  | { readonly _tag: "Resumed"; readonly subject: Subject; readonly offset: number }
  | { readonly _tag: "Verified"; readonly subject: Subject; readonly digest: Digest }
  | { readonly _tag: "Completed"; readonly subject: Subject; readonly skipped: boolean }

/**
 * The function that is called for each event of the transfers of a fiber and its children. There is
 * none by default. `observe` provides one, and `events` one that makes a stream of them.
 *
 * @since 0.1.0
 * @category services
 */
export class Observer extends Context.Reference<Observer>()("effect-oci/Transfer/Observer", {
  defaultValue: (): ((event: Event) => Effect.Effect<void>) | undefined => undefined
}) {}

/**
 * Runs an effect and calls `onEvent` for each event of its transfers. A transfer waits for it, so a
 * slow one slows it down. An observer around this one is not called.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as BlobSource from "effect-oci/BlobSource"
 * import * as Transfer from "effect-oci/Transfer"
 * import * as Console from "effect/Console"
 *
 * const push = Artifact.push("ghcr.io/owner/notes:v1", {
 *   artifactType: "application/vnd.example.notes",
 *   files: [{ mediaType: "text/plain", source: BlobSource.fromBytes(new Uint8Array(8)) }]
 * })
 * const pushed = push.pipe(
 *   Transfer.observe((event) => Console.log(event._tag, event.subject.digest))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const observe: {
  (
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): Effect.Effect<A, E, R> =>
    Effect.provideService(self, Observer, (event) => Effect.asVoid(onEvent(event)))
)

/**
 * Runs an effect and streams the events of its transfers, and then its result. The effect is
 * interrupted when the stream is. Fails with the error of the effect.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as Transfer from "effect-oci/Transfer"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const pull = Effect.flatMap(Artifact.pull("ghcr.io/owner/name:tag"), ({ files }) =>
 *   Effect.forEach(files, ({ content }) => Stream.runDrain(content))
 * )
 * const pulled = Transfer.events(pull).pipe(
 *   Stream.runForEach((event) => Console.log(event._tag))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const events = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Stream.Stream<Event | { readonly _tag: "Result"; readonly value: A }, E, R> =>
  EventStream.make((onEvent) => observe(self, onEvent))

/**
 * Calls the observer, if there is one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const emit = (event: Event): Effect.Effect<void> =>
  Effect.flatMap(Observer, (observer) => (observer === undefined ? Effect.void : observer(event)))

/**
 * Tells the observer, if there is one, how many bytes have passed through a stream whose first byte
 * is at `offset`. Without an observer, the stream is returned as it is; with one, a fiber samples
 * the count, so that no chunk costs an Effect.
 *
 * @since 0.1.0
 * @category combinators
 */
export const track: {
  (
    subject: Subject,
    offset?: number
  ): <E, R>(self: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    subject: Subject,
    offset?: number
  ): Stream.Stream<Uint8Array, E, R>
} = dual(
  (args) => Predicate.hasProperty(args[0], Stream.StreamTypeId),
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    subject: Subject,
    offset = 0
  ): Stream.Stream<Uint8Array, E, R> =>
    PullStream.unwrap(
      Effect.map(Observer, (observer) =>
        observer === undefined
          ? self
          : PullStream.unwrapScoped(tracked(observer, self, subject, offset))
      )
    )
)

const tracked = Effect.fnUntraced(function* <E, R>(
  observer: (event: Event) => Effect.Effect<void>,
  self: Stream.Stream<Uint8Array, E, R>,
  subject: Subject,
  offset: number
) {
  let count = offset
  let reported = -1
  let told = { count: offset, at: yield* Clock.currentTimeMillis, rate: 0 }
  const tell = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const seconds = (now - told.at) / 1000
    if (seconds > 0) {
      const rate = Rate.smoothed(told.rate, (count - told.count) / seconds, seconds)
      told = { count, at: now, rate }
    }
    return reported === count
      ? Effect.void
      : Effect.suspend(() => {
          reported = count
          return observer({ _tag: "Bytes", subject, offset: count, rate: told.rate })
        })
  })
  yield* Effect.forkScoped(Effect.schedule(tell, Schedule.spaced("200 millis")))
  return PullStream.tapFlushing(
    self,
    (bytes) => {
      count += bytes.length
      // Who sends a blob of a known size may never ask for more than its last byte.
      return count === subject.size
    },
    tell
  )
})

// -----------------------------------------------------------------------------
// Uploads at the end of a pipe
// -----------------------------------------------------------------------------

/**
 * Uploads the bytes of a stream that is run into the sink as a blob, and returns its descriptor.
 * The stream is pulled as fast as the registry takes the bytes. It is run only once: an upload that
 * needs the bytes again fails with `BodyNotReplayable`. When the sink is interrupted, or its stream
 * fails, the upload is cancelled. Size and digest in `known` are checked.
 *
 * Fails as `Registry.putBlob` does.
 *
 * @example
 * ```ts
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Transfer from "effect-oci/Transfer"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const stored = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/backup")
 *   const content = Stream.make(new TextEncoder().encode("hello"))
 *   return yield* Stream.run(content, Transfer.sink(registry, repository))
 * })
 * ```
 *
 * @since 0.1.0
 * @category sinks
 */
export const sink = (
  registry: Pick<Registry.Service, "putBlob">,
  repository: RepositoryName,
  known: Known & PutBlobOptions = {}
): Sink.Sink<Descriptor, Uint8Array, never, Registry.PutBlobError> =>
  Sink.unwrapScoped(
    Effect.gen(function* () {
      // None ends it. A bound of one: the registry sets the pace.
      const queue = yield* Effect.acquireRelease(
        Queue.bounded<Option.Option<Chunk.Chunk<Uint8Array>>>(1),
        Queue.shutdown
      )
      const content = Stream.flattenChunks(Stream.filterMapWhile(Stream.fromQueue(queue), identity))
      const upload = yield* registry
        .putBlob(repository, fromStreamOnce(content, known), known)
        .pipe(Effect.forkScoped)
      // An interrupted upload ends what it is sending, for which there must be an end: it comes
      // after the interruption, so that nothing is committed.
      yield* Effect.addFinalizer(() =>
        Effect.zipRight(Fiber.interruptAsFork(upload, FiberId.none), Queue.shutdown(queue))
      )
      // An upload that ends early, failed or skipped, takes nothing more.
      const offer = (item: Option.Option<Chunk.Chunk<Uint8Array>>) =>
        Effect.raceFirst(Queue.offer(queue, item), Effect.as(Fiber.await(upload), false))
      return Sink.foldChunksEffect(true, identity, (_, chunk: Chunk.Chunk<Uint8Array>) =>
        offer(Option.some(chunk))
      ).pipe(
        Sink.ignoreLeftover,
        Sink.mapEffect(() => Effect.zipRight(offer(Option.none()), Fiber.join(upload)))
      )
    })
  )
