/** Transfers whose events name the repository that a user asked for, not the one that was read. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as PullStream from "../../internal/PullStream.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"

/** What is called for each event. */
export type Observe = (event: Transfer.Event) => Effect.Effect<void>

/** Runs an effect whose observer, if there is one, is the one that `observing` makes of it. */
export const effectWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  observing: (observe: Observe) => Observe
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Transfer.Observer, (observer) =>
    observer === undefined
      ? self
      : Effect.provideService(self, Transfer.Observer, observing(observer))
  )

/** The same for a stream. */
export const streamWith = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  observing: (observe: Observe) => Observe
): Stream.Stream<Uint8Array, E, R> =>
  PullStream.unwrap(
    Effect.map(Transfer.Observer, (observer) =>
      observer === undefined
        ? self
        : Stream.provideService(self, Transfer.Observer, observing(observer))
    )
  )

/** Names `repository` in the events of an effect. */
export const effect = <A, E, R>(
  repository: RepositoryName,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => effectWith(self, renaming(repository))

/** Names `repository` in the events of a stream. */
export const stream = <E, R>(
  repository: RepositoryName,
  self: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> => streamWith(self, renaming(repository))

const renaming =
  (repository: RepositoryName) =>
  (observe: Observe): Observe =>
  (event) =>
    observe({ ...event, subject: { ...event.subject, repository } })

/**
 * An observer that is told of one transfer from `repository`, whatever registries that is tried at,
 * under whatever names: it starts once, and where bytes of a copy were counted that was passed
 * over, it goes on from byte 0.
 */
export const asOne =
  (repository: RepositoryName) =>
  (observe: Observe): Observe => {
    let started = false
    let offset = 0
    return (event) => {
      const subject = { ...event.subject, repository }
      if ("offset" in event) offset = event.offset
      if (event._tag !== "Started" || !started) {
        started ||= event._tag === "Started"
        return observe({ ...event, subject })
      }
      return offset === 0 ? Effect.void : observe({ _tag: "Resumed", subject, offset: 0 })
    }
  }
