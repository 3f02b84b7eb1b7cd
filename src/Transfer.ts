/**
 * Transfers under way: the state of an upload session, which any process can continue, and the
 * events by which a transfer can be watched.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { fromStreamOnce, type Known } from "./BlobSource.js"
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
 * Which transfer an event is about. `digest` is absent while the digest of an upload is still being
 * computed; `size`, in bytes, while unknown.
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
 * What happens to a transfer. `Started` comes first; `Bytes` says how far it is (`offset`, in
 * bytes, sampled five times a second at most) and how fast it goes (`rate`, in bytes per second, a
 * mean over the last seconds). After a fault (`problem`) `Retried` says that it waits to go on, and
 * `Resumed` from which byte it does, which may lie before `offset`; 0 is all over again. `Verified`
 * when the content proved to have `digest`; `Completed` when all is done, with `skipped` when the
 * registry had the content already.
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
 * Who watches the transfers of a fiber and its children: nobody by default. Provide it to be called
 * on every event, or use `events`.
 *
 * @since 0.1.0
 * @category services
 */
export class Observer extends Context.Reference<Observer>()("effect-oci/Transfer/Observer", {
  defaultValue: (): Option.Option<(event: Event) => Effect.Effect<void>> => Option.none()
}) {}

/**
 * Runs a program and streams the events of its transfers, then its result. The program is
 * interrupted when the stream is.
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
 *   Stream.runForEach((event) => (event._tag === "Bytes" ? Console.log(event.offset) : Console.log(event._tag)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const events = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Stream.Stream<Event | { readonly _tag: "Result"; readonly value: A }, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      // None ends it. Offering waits for the consumer and is given up with it, so nothing is left
      // to wait for a consumer that stopped.
      const queue = yield* Effect.acquireRelease(
        Queue.bounded<Option.Option<Event>>(64),
        Queue.shutdown
      )
      const observer = Option.some((event: Event) =>
        Effect.asVoid(Queue.offer(queue, Option.some(event)))
      )
      const fiber = yield* Effect.provideService(self, Observer, observer).pipe(
        Effect.exit,
        Effect.zipLeft(Queue.offer(queue, Option.none())),
        Effect.forkScoped
      )
      return Stream.concat(
        Stream.filterMapWhile(Stream.fromQueue(queue), identity),
        Stream.fromEffect(
          Effect.map(Effect.flatten(Fiber.join(fiber)), (value) => ({
            _tag: "Result" as const,
            value
          }))
        )
      )
    })
  )

/**
 * Tells the observer, if there is one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const emit = (event: Event): Effect.Effect<void> =>
  Effect.flatMap(
    Observer,
    Option.match({ onNone: () => Effect.void, onSome: (observe) => observe(event) })
  )

/**
 * Lets the observer, if there is one, see how many bytes have passed, starting from `offset`. Costs
 * nothing without an observer, and no Effect per chunk with one: a fiber samples the count.
 *
 * @since 0.1.0
 * @category combinators
 */
export const track = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  subject: Subject,
  offset = 0
): Stream.Stream<Uint8Array, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const observer = yield* Observer
      if (Option.isNone(observer)) return stream
      let count = offset
      let reported = -1
      let told = { count: offset, at: yield* Clock.currentTimeMillis, rate: 0 }
      const tell = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const seconds = (now - told.at) / 1000
        if (seconds > 0) {
          // Older samples count less and less: half as much after a second and a half.
          const weight = told.rate === 0 ? 1 : 1 - 2 ** (-seconds / 1.5)
          told = {
            count,
            at: now,
            rate: told.rate + weight * ((count - told.count) / seconds - told.rate)
          }
        }
        return reported === count
          ? Effect.void
          : Effect.suspend(() => {
              reported = count
              return observer.value({ _tag: "Bytes", subject, offset: count, rate: told.rate })
            })
      })
      yield* Effect.forkScoped(Effect.schedule(tell, Schedule.spaced("200 millis")))
      const loop: Channel.Channel<
        Chunk.Chunk<Uint8Array>,
        Chunk.Chunk<Uint8Array>,
        E,
        E,
        unknown,
        unknown
      > = Channel.readWithCause({
        onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
          for (const bytes of chunk) count += bytes.length
          const given = Channel.flatMap(Channel.write(chunk), () => loop)
          // Who sends a blob of a known size may never ask for more than its last byte.
          return count === subject.size ? Channel.zipRight(Channel.fromEffect(tell), given) : given
        },
        onFailure: Channel.failCause,
        onDone: () => Channel.fromEffect(tell)
      })
      return Stream.pipeThroughChannel(stream, loop)
    })
  )

// -----------------------------------------------------------------------------
// Uploads at the end of a pipe
// -----------------------------------------------------------------------------

/**
 * An upload as a Sink: the bytes of whatever stream is run into it become a blob, whose descriptor
 * it answers. The stream is read as fast as the registry takes it, once, so that a step that would
 * need it again fails with `BodyNotReplayable`; whatever `known` declares is checked. A Sink that
 * is interrupted, or whose stream fails, cancels the upload. Fails like `Registry.putBlob`.
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
 *   return yield* Stream.run(Stream.make(new TextEncoder().encode("hello")), Transfer.sink(registry, repository))
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
