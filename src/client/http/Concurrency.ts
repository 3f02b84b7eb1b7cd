/**
 * How much of one registry a client occupies at a time: so many documents, so many downloads and so
 * many uploads, each kind served in the order of its arrival. The kinds do not wait for each other,
 * since an upload may well consist of a download from the same registry.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { onTurn } from "./Turns.js"

/**
 * The places at one endpoint.
 *
 * - `exchange`: for a request whose bodies are in memory or bounded, with its answer.
 * - `download`: for a stream, from its first pull to its end or abandonment, or until it leaves its
 *   place.
 * - `upload`: for an effect that reads a source, whose streams it marks as such.
 *
 * Whoever waits for a place may be what the holder of one waits for: a consumer may open a second
 * download before it asks the first for more. So a transfer that has waited for its consumer or
 * source for a second lends its place to the next in line, and goes on without one. What the
 * registry is slow at keeps its place, and so does every `exchange`, in which nobody else's code
 * runs.
 */
export interface Concurrency {
  readonly exchange: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly download: <A, E, R>(
    use: (place: DownloadPlace) => Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E, R>
  readonly upload: <A, E, R>(
    use: (
      source: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
    ) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

/**
 * What a download does with its place: `shared` is a stream whose consumer may keep it waiting,
 * `leave` gives the place up before the end.
 */
export interface DownloadPlace {
  readonly shared: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  readonly leave: () => void
}

/** As many places as `limit` of each kind, and at least one. */
export const make = (limit: number): Concurrency => {
  const exchanges = makeLine(limit)
  const downloads = makeLine(limit)
  const uploads = makeLine(limit)
  return {
    exchange: (effect) => held(exchanges, Deferred.await, () => effect),
    download: (use) =>
      Stream.suspend(() => {
        let held: Place | undefined
        const free = () => {
          if (held !== undefined) leave(downloads, held)
        }
        const entered = Effect.uninterruptibleMask((restore) =>
          Effect.map(
            enter(downloads, (admitted) => restore(orBorrow(downloads, admitted))),
            (place) => {
              held = place
              return place
            }
          )
        )
        return Stream.ensuring(
          ByteStream.unwrap(
            Effect.zipWith(entered, Effect.clock, (place, clock) =>
              use({
                shared: (stream) =>
                  onTurn(stream, { asked: () => working(place), given: () => idle(place, clock) }),
                leave: free
              })
            )
          ),
          Effect.sync(free)
        )
      }),
    upload: (use) =>
      held(
        uploads,
        (admitted) => orBorrow(uploads, admitted),
        (place) =>
          Effect.clockWith((clock) =>
            use((stream) =>
              onTurn(stream, { asked: () => idle(place, clock), given: () => working(place) })
            )
          )
      )
  }
}

/**
 * `idleSince`: when its holder began to wait for the caller, in milliseconds; Infinity while it
 * does not.
 */
interface Place {
  idleSince: number
}

interface Waiting {
  readonly place: Place
  readonly admitted: Deferred.Deferred<void>
}

/** Nobody waits while a place is free: whoever leaves gives it to the first in line. */
interface Line {
  readonly limit: number
  readonly occupied: Set<Place>
  readonly waiting: Set<Waiting>
}

const makeLine = (limit: number): Line => ({
  limit: Math.max(1, limit),
  occupied: new Set(),
  waiting: new Set()
})

const held = <A, E, R>(
  line: Line,
  wait: (admitted: Deferred.Deferred<void>) => Effect.Effect<void>,
  use: (place: Place) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      enter(line, (admitted) => restore(wait(admitted))),
      (place) =>
        Effect.flatMap(Effect.exit(restore(use(place))), (exit) => {
          leave(line, place)
          return exit
        })
    )
  )

/** To be run uninterruptibly, but for the wait. */
const enter = (
  line: Line,
  wait: (admitted: Deferred.Deferred<void>) => Effect.Effect<void>
): Effect.Effect<Place> =>
  Effect.suspend(() => {
    const place: Place = { idleSince: Number.POSITIVE_INFINITY }
    if (line.occupied.size < line.limit) {
      line.occupied.add(place)
      return Effect.succeed(place)
    }
    const waiting: Waiting = { place, admitted: Deferred.unsafeMake(FiberId.none) }
    line.waiting.add(waiting)
    return Effect.flatMap(Effect.exit(wait(waiting.admitted)), (exit) => {
      if (Exit.isSuccess(exit)) return Effect.succeed(place)
      if (!line.waiting.delete(waiting)) leave(line, place)
      return Effect.failCause(exit.cause)
    })
  })

const leave = (line: Line, place: Place): void => {
  if (!line.occupied.delete(place)) return // It was lent.
  for (const next of line.waiting) {
    line.waiting.delete(next)
    line.occupied.add(next.place)
    Deferred.unsafeDone(next.admitted, Effect.void)
    return
  }
}

const patience = Duration.seconds(1)

/** Waits, and once in a while gives the first in line the place of a transfer that is idle. */
const orBorrow = (line: Line, admitted: Deferred.Deferred<void>): Effect.Effect<void> =>
  Effect.raceFirst(
    Deferred.await(admitted),
    Effect.forever(
      Effect.flatMap(Effect.zipRight(Effect.sleep(patience), Clock.currentTimeMillis), (now) =>
        Effect.sync(() => {
          for (const place of line.occupied) {
            if (place.idleSince + Duration.toMillis(patience) <= now) return leave(line, place)
          }
        })
      )
    )
  )

const idle = (place: Place, clock: Clock.Clock): void => {
  place.idleSince = clock.unsafeCurrentTimeMillis()
}

const working = (place: Place): void => {
  place.idleSince = Number.POSITIVE_INFINITY
}
