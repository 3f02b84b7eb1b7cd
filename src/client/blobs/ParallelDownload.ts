/**
 * A large download over several connections: beside the one whose bytes are delivered as they come,
 * others fetch segments that lie ahead. Segments wait in memory and are delivered in order, so that
 * to whoever reads it this is one stream from the first byte to the last. How many connections
 * there are `ParallelPlan` says.
 *
 * The ordinary download is what everything begins with, and what it comes back to: it goes on until
 * it meets a segment, fills the gap where one failed, and brings the rest when more connections
 * turn out to be of no use.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import * as Transfer from "../../Transfer.js"
import * as ParallelPlan from "./ParallelPlan.js"

/** The bytes from `start` to `end`, exclusive. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * What is downloaded, and how.
 *
 * - `progress`: the byte that is delivered next. `ordinary` moves it, as this module does.
 * - `end`: where the download ends.
 * - `ordinary`: the download on one connection from `progress` on, which ends after `left()` more
 *   bytes, and calls `onWait` whenever its consumer has to wait.
 * - `segment`: the bytes of a span. `begins` is called with each of its responses, and one for
 *   which it returns false is not wanted.
 * - `permit`: allows one more connection, if the registry's limit does, until it is released.
 */
export interface Options<E, E2> {
  readonly tuning: ParallelPlan.Figures
  readonly connections: number
  readonly progress: { at: number }
  readonly end: number
  readonly ordinary: (options: {
    readonly left: () => number
    readonly onWait: () => void
  }) => Stream.Stream<Uint8Array, E>
  readonly segment: (span: Span, begins: () => boolean) => Stream.Stream<Uint8Array, E2>
  readonly isTransient: (error: E2) => boolean
  readonly permit: () => (() => void) | undefined
}

/**
 * A segment under way. `held` is what has come of it and was not delivered; `at` the byte that is
 * delivered next, `count` how many have come. `isOver`: nothing more comes, be it whole or not.
 */
interface Segment extends Span {
  readonly onTrial: boolean
  held: Array<Uint8Array>
  at: number
  count: number
  isOver: boolean
  readonly news: Effect.Latch
  readonly abandoned: Effect.Latch
}

/**
 * What the connections and the consumer share.
 *
 * - `segments`: those under way or waiting, in order.
 * - `next`: where the segment after them begins; unknown while the ordinary download goes on to the
 *   end.
 * - `isOrdinary`: whether the ordinary download is being delivered.
 * - `working`: the connections that have brought a whole segment since their number changed;
 *   `proven`: those that ever have.
 * - `changed`: opens when anything of this has changed; then there is a new one.
 */
interface State<E, E2> extends Options<E, E2> {
  readonly clock: Clock.Clock
  readonly first: number
  plan: ParallelPlan.State
  segments: Array<Segment>
  next: number | undefined
  isOrdinary: boolean
  readonly working: Set<number>
  readonly proven: Set<number>
  changed: Effect.Latch
}

/** Downloads from `progress` to `end`. */
export const stream = <E, E2>(options: Options<E, E2>): Stream.Stream<Uint8Array, E> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const state: State<E, E2> = {
        ...options,
        clock: yield* Effect.clock,
        first: options.progress.at,
        plan: ParallelPlan.begin(options.connections, options.tuning),
        segments: [],
        next: undefined,
        isOrdinary: false,
        working: new Set(),
        proven: new Set([0]),
        changed: Effect.unsafeMakeLatch(false)
      }
      for (let n = 0; n < options.connections; n++) yield* Effect.forkScoped(connection(state, n))
      return delivered(state)
    })
  )

const changed = <E, E2>(state: State<E, E2>): void => {
  const { changed } = state
  state.changed = Effect.unsafeMakeLatch(false)
  changed.unsafeOpen()
}

const replan = <E, E2>(state: State<E, E2>, plan: ParallelPlan.State): void => {
  const { connections } = state.plan
  state.plan = plan
  if (plan.connections === connections) return
  state.working.clear()
  changed(state)
}

/** Measures while the consumer waits. */
const measure = <E, E2>(state: State<E, E2>, isWarm: boolean): void => {
  const now = { at: state.progress.at, time: state.clock.unsafeCurrentTimeMillis() }
  replan(state, ParallelPlan.measured(state.plan, now, isWarm))
}

// -----------------------------------------------------------------------------
// Connections
// -----------------------------------------------------------------------------

/**
 * Fetches one segment after another, as long as it is wanted. The first connection is that of the
 * ordinary download while there is one.
 */
const connection = <E, E2>(state: State<E, E2>, n: number): Effect.Effect<never> =>
  Effect.forever(
    Effect.suspend(() => {
      const span = wanted(state, n)
      if (span === undefined) return state.changed.await
      const release = n === 0 ? constVoid : state.permit()
      if (release === undefined) {
        replan(state, ParallelPlan.declined(state.plan))
        return state.changed.await
      }
      return Effect.ensuring(fetched(state, n, span), Effect.sync(release))
    })
  )

/** What a connection is to fetch now, if anything. */
const wanted = <E, E2>(state: State<E, E2>, n: number): Span | undefined => {
  const { connections, end, isOrdinary, next, plan, progress, segments, tuning } = state
  if (n >= plan.connections || plan.connections === 1 || (n === 0 && isOrdinary)) return undefined
  if (next === undefined) {
    if (!isOrdinary || n > 1) return undefined
    const start = ParallelPlan.ahead(plan, progress.at, end)
    if (start !== undefined) return { start, end: start + tuning.segment }
    replan(state, ParallelPlan.ended(plan))
    return undefined
  }
  // What is being delivered does not wait.
  const [first] = segments
  const from = first === undefined ? next : first.at === progress.at ? first.end : first.start
  const span = { start: next, end: Math.min(end, next + tuning.segment) }
  return next >= end || span.end - from > connections * tuning.segment ? undefined : span
}

const fetched = <E, E2>(state: State<E, E2>, n: number, span: Span): Effect.Effect<void> =>
  Effect.suspend(() => {
    const segment: Segment = {
      ...span,
      onTrial: !state.proven.has(n),
      held: [],
      at: span.start,
      count: 0,
      isOver: false,
      news: Effect.unsafeMakeLatch(false),
      abandoned: Effect.unsafeMakeLatch(false)
    }
    const append = () => {
      state.segments.push(segment)
      state.next = span.end
      changed(state)
    }
    // Until its first response has come, nothing depends on the second connection.
    let isOurs = state.next !== undefined
    let isLate = false
    if (isOurs) append()
    const begins = () => {
      if (isOurs) return true
      isLate = !state.isOrdinary || state.progress.at > span.start
      isOurs = !isLate
      if (isOurs) append()
      return isOurs
    }
    const take = (chunk: Chunk.Chunk<Uint8Array>) => {
      for (const bytes of chunk) {
        if (segment.isOver) BorrowedStream.giveBack(bytes)
        else {
          segment.held.push(bytes)
          segment.count += bytes.length
          segment.news.unsafeOpen()
        }
      }
      return undefined
    }
    return PullStream.runForEachChunk(state.segment(span, begins), take).pipe(
      observedAt(state),
      Effect.raceFirst(segment.abandoned.await),
      Effect.exit,
      Effect.flatMap((exit) =>
        Effect.sync(() => {
          if (isLate) replan(state, ParallelPlan.late(state.plan))
          else if (Exit.isFailure(exit)) replan(state, failed(state, exit))
          else if (!segment.isOver) {
            state.working.add(n)
            state.proven.add(n)
          }
          segment.isOver = true
          segment.news.unsafeOpen()
          changed(state)
        })
      )
    )
  })

const failed = <E, E2>(
  { isTransient, plan }: State<E, E2>,
  { cause }: Exit.Failure<void, E2>
): ParallelPlan.State =>
  Option.exists(Cause.failureOption(cause), isTransient)
    ? ParallelPlan.refused(plan)
    : ParallelPlan.ended(plan)

/** Shows observers the faults of a segment where the download is: they see one stream. */
const observedAt =
  <E, E2>({ progress }: State<E, E2>) =>
  <A, E3, R>(self: Effect.Effect<A, E3, R>): Effect.Effect<A, E3, R> =>
    Effect.flatMap(Transfer.Observer, (observer) =>
      observer === undefined
        ? self
        : Transfer.observe(self, (event) =>
            observer("offset" in event ? { ...event, offset: progress.at } : event)
          )
    )

// -----------------------------------------------------------------------------
// Delivery
// -----------------------------------------------------------------------------

/** How many bytes of a segment are delivered at a time. */
const piece = 1024 * 1024

const delivered = <E, E2>(state: State<E, E2>): Stream.Stream<Uint8Array, E> =>
  Stream.flatten(Stream.repeatEffectOption(following(state)))

/** The stream that follows, from `progress` on. */
const following = <E, E2>(
  state: State<E, E2>
): Effect.Effect<Stream.Stream<Uint8Array, E>, Option.Option<never>> =>
  Effect.suspend(() => {
    const { plan, progress, segments } = state
    while (segments[0] !== undefined && isDone(segments[0])) segments.shift()
    changed(state)
    if (progress.at >= state.end) return Effect.fail(Option.none())
    const [first] = segments
    if (first?.at === progress.at) return Effect.succeed(ofSegment(state, first))
    if (first !== undefined || plan.connections === 1 || state.next === undefined)
      return Effect.succeed(ordinary(state))
    return Effect.zipRight(state.changed.await, following(state))
  })

const isDone = ({ held, isOver }: Segment): boolean => isOver && held.length === 0

/** The ordinary download, up to the next segment. */
const ordinary = <E, E2>(state: State<E, E2>): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    const { first, progress, segments, tuning } = state
    state.isOrdinary = true
    if (segments.length === 0) state.next = undefined
    changed(state)
    return Stream.ensuring(
      state.ordinary({
        left: () => (segments[0]?.start ?? Number.POSITIVE_INFINITY) - progress.at,
        onWait: () => {
          if (state.plan.connections === 1)
            measure(state, progress.at - first >= tuning.segment / 2)
        }
      }),
      Effect.sync(() => {
        state.isOrdinary = false
        changed(state)
      })
    )
  })

/** What has come of a segment, and comes, until it is over. */
const ofSegment = <E, E2>(state: State<E, E2>, segment: Segment): Stream.Stream<Uint8Array> => {
  const next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> = Effect.suspend(() => {
    const { held } = segment
    if (held.length > 0) {
      let size = 0
      let count = 0
      while (count < held.length && size < piece) size += held[count++]?.length ?? 0
      segment.at += size
      state.progress.at += size
      return Effect.succeed(Chunk.unsafeFromArray(held.splice(0, count)))
    }
    if (segment.isOver) return Effect.fail(Option.none())
    measure(state, state.working.size >= state.plan.connections)
    segment.news.unsafeClose()
    return Effect.zipRight(awaited(state, segment), next)
  })
  return Stream.repeatEffectChunkOption(next)
}

/**
 * Waits for the next bytes of a segment: on a connection that is not known to work, only so long.
 */
const awaited = <E, E2>(state: State<E, E2>, segment: Segment): Effect.Effect<void> =>
  segment.onTrial && segment.count === 0
    ? Effect.raceFirst(
        segment.news.await,
        Effect.delay(
          Effect.sync(() => {
            segment.isOver = true
            segment.abandoned.unsafeOpen()
            replan(state, ParallelPlan.refused(state.plan))
          }),
          Duration.millis(state.tuning.patience)
        )
      )
    : segment.news.await
