/**
 * Transfers under way: the state of an upload session, which any process can continue, and the events by which a transfer can be watched.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ByteStream from "./ByteStream.js"
import type { Digest } from "./spec/Digest.js"
import { RepositoryName } from "./spec/Reference.js"

// -----------------------------------------------------------------------------
// Upload state
// -----------------------------------------------------------------------------

/**
 * All there is to know of an upload session: the repository, the newest location the registry gave, and how many bytes it has acknowledged.
 * It holds no hash: whoever continues re-reads what was sent. The location may carry a signature, so treat a stored state as a secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadState {
  readonly repository: RepositoryName
  readonly location: string
  readonly offset: number
}

/**
 * The schema of `UploadState`, for storing it between processes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UploadState: Schema.Schema<
  UploadState,
  { readonly repository: string; readonly location: string; readonly offset: number }
> = Schema.Struct({
  repository: RepositoryName,
  location: Schema.String,
  offset: Schema.NonNegativeInt
})

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/**
 * Which transfer an event is about. `digest` is absent while the digest of an upload is still being computed; `size`, in bytes, while unknown.
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
 * What happens to a transfer. `Started` comes first; `Bytes` says how far it is (`offset`, in bytes, sampled five times a second at most);
 * `Verified` when the content proved to have `digest`; `Completed` when all is done, with `skipped` when the registry had the content already.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | { readonly _tag: "Started"; readonly subject: Subject }
  | { readonly _tag: "Bytes"; readonly subject: Subject; readonly offset: number }
  | { readonly _tag: "Verified"; readonly subject: Subject; readonly digest: Digest }
  | { readonly _tag: "Completed"; readonly subject: Subject; readonly skipped: boolean }

/**
 * Who watches the transfers of a fiber and its children: nobody by default. Provide it to be called on every event, or use `events`.
 *
 * @since 0.1.0
 * @category services
 */
export class Observer extends Context.Reference<Observer>()("effect-oci/Transfer/Observer", {
  defaultValue: (): Option.Option<(event: Event) => Effect.Effect<void>> => Option.none()
}) {}

/**
 * Runs a program and streams the events of its transfers, then its result. The program is interrupted when the stream is.
 *
 * @example
 * import * as Artifact from "effect-oci/Artifact"
 * import * as Transfer from "effect-oci/Transfer"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * const pulled = Transfer.events(Artifact.pull("ghcr.io/owner/name:tag")).pipe(
 *   Stream.runForEach((event) => (event._tag === "Bytes" ? Console.log(event.offset) : Console.log(event._tag)))
 * )
 *
 * @since 0.1.0
 * @category combinators
 */
export const events = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Stream.Stream<Event | { readonly _tag: "Result"; readonly value: A }, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      // None ends it. Offering waits for the consumer and is given up with it, so nothing is left to wait for a consumer that stopped.
      const queue = yield* Effect.acquireRelease(Queue.bounded<Option.Option<Event>>(64), Queue.shutdown)
      const observer = Option.some((event: Event) => Effect.asVoid(Queue.offer(queue, Option.some(event))))
      const fiber = yield* Effect.provideService(self, Observer, observer).pipe(
        Effect.exit,
        Effect.zipLeft(Queue.offer(queue, Option.none())),
        Effect.forkScoped
      )
      return Stream.concat(
        Stream.filterMapWhile(Stream.fromQueue(queue), identity),
        Stream.fromEffect(
          Effect.map(Effect.flatten(Fiber.join(fiber)), (value) => ({ _tag: "Result" as const, value }))
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
  Effect.flatMap(Observer, Option.match({ onNone: () => Effect.void, onSome: (observe) => observe(event) }))

/**
 * Lets the observer, if there is one, see how many bytes have passed, starting from `offset`. Costs nothing without an observer, and no Effect per
 * chunk with one: a fiber samples the count.
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
      let told = -1
      const tell = Effect.suspend(() => {
        if (count === told) return Effect.void
        told = count
        return observer.value({ _tag: "Bytes", subject, offset: count })
      })
      yield* Effect.forkScoped(Effect.schedule(tell, Schedule.spaced("200 millis")))
      return Stream.concat(
        ByteStream.tap(stream, (bytes) => {
          count += bytes.length
        }),
        Stream.execute(tell)
      )
    })
  )
