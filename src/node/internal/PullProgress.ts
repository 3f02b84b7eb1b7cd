/** How far a pull of several files is, all together. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { smoothed } from "../../internal/Rate.js"
import type { Digest } from "../../spec/Digest.js"
import * as Transfer from "../../Transfer.js"

/**
 * A number of files, and the bytes of their contents: equal ones count once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Amount {
  readonly files: number
  readonly bytes: number
}

/**
 * What is to be on disk (`known`), what was there already (`present`), and what came since
 * (`moved`), whose bytes are also those of files under way. A download that continues has the bytes
 * of its partial file at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly known: Amount
  readonly present: Amount
  readonly moved: Amount
}

/**
 * How far a pull is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress extends Summary {
  /** How much of all bytes is there, from 0 to 1. */
  readonly share: number
  /** Bytes per second, in the mean of the last seconds. */
  readonly rate: number
  /** How many seconds the rest takes at that rate. Absent while nothing moves. */
  readonly remaining?: number
}

/** One content, under so many names. */
export interface Content {
  readonly digest: Digest
  readonly size: number
  readonly files: number
  readonly isPresent: boolean
}

interface Moved {
  readonly size: number
  readonly files: number
  offset: number
  /** Where this download began. */
  from: number
  isDone: boolean
}

/** Counts what a pull does. */
export class PullProgress {
  private readonly known: Amount
  private readonly present: Amount
  private readonly moving: ReadonlyMap<string, Moved>
  private readonly one = Effect.unsafeMakeSemaphore(1)
  private told = { bytes: 0, at: 0, rate: 0 }

  constructor(
    contents: ReadonlyArray<Content>,
    private readonly onProgress: ((progress: Progress) => Effect.Effect<unknown>) | undefined
  ) {
    this.known = amountOf(contents)
    this.present = amountOf(contents.filter(({ isPresent }) => isPresent))
    this.moving = new Map(
      contents
        .filter(({ isPresent }) => !isPresent)
        .map(({ digest, files, size }) => [
          digest,
          { files, size, offset: 0, from: 0, isDone: false }
        ])
    )
  }

  /** Runs the downloads of a pull, and tells how far they are: at the start and end, too. */
  observe<A, E, R>(pull: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    if (this.onProgress === undefined) return pull
    return Effect.gen(this, function* () {
      const outer = yield* Transfer.Observer
      this.told = { ...this.told, at: yield* Clock.currentTimeMillis }
      yield* this.tell(true)
      const result = yield* Transfer.observe(pull, (event) =>
        Effect.zipRight(this.take(event), outer === undefined ? Effect.void : outer(event))
      )
      yield* this.tell(true)
      return result
    })
  }

  /** Notes that a content is under all its names. */
  done(digest: Digest): void {
    const moved = this.moving.get(digest)
    if (moved === undefined) return
    moved.offset = moved.size
    moved.isDone = true
  }

  /** The counts by now. */
  summary(): Summary {
    const moved = { files: 0, bytes: 0 }
    for (const { files, isDone, offset } of this.moving.values()) {
      moved.bytes += offset
      if (isDone) moved.files += files
    }
    return { known: this.known, present: this.present, moved }
  }

  private take(event: Transfer.Event): Effect.Effect<void> {
    const { digest = "", direction } = event.subject
    const moved = this.moving.get(digest)
    if (moved === undefined || direction !== "download" || !("offset" in event)) return Effect.void
    moved.offset = Math.min(event.offset, moved.size)
    if (event._tag === "Resumed") moved.from = moved.offset
    return this.tell(false)
  }

  /** Tells how far all is, five times a second at most. */
  private tell(isDue: boolean): Effect.Effect<void> {
    const told = Effect.gen(this, function* () {
      const now = yield* Clock.currentTimeMillis
      const seconds = (now - this.told.at) / 1000
      if (!isDue && seconds < 0.2) return
      let bytes = 0
      for (const { from, offset } of this.moving.values()) bytes += offset - from
      if (seconds > 0) {
        const rate = smoothed(this.told.rate, (bytes - this.told.bytes) / seconds, seconds)
        this.told = { bytes, at: now, rate }
      }
      const { rate } = this.told
      const summary = this.summary()
      const there = summary.present.bytes + summary.moved.bytes
      const left = this.known.bytes - there
      yield* this.onProgress?.({
        ...summary,
        rate,
        share: this.known.bytes === 0 ? 1 : there / this.known.bytes,
        ...(rate > 0 && { remaining: left / rate })
      }) ?? Effect.void
    })
    return this.one.withPermits(1)(told)
  }
}

const amountOf = (contents: ReadonlyArray<Content>): Amount => ({
  files: contents.reduce((all, { files }) => all + files, 0),
  bytes: contents.reduce((all, { size }) => all + size, 0)
})
