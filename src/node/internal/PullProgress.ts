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
  readonly fraction: number
  /** Bytes per second, in the mean of the last seconds. */
  readonly rate: number
  /** How many milliseconds the rest takes at that rate. Absent while nothing moves. */
  readonly remaining?: number | undefined
}

/** One content, under so many names, of which some are missing. If all are, it is downloaded. */
export interface Content {
  readonly digest: Digest
  readonly size: number
  readonly files: number
  readonly missing: number
}

interface Moved {
  readonly size: number
  offset: number
  /** Where this download began. */
  from: number
  isDone: boolean
}

/** Counts what a pull does. */
export class PullProgress {
  private readonly known: Amount
  private readonly present: Amount
  private readonly moving = new Map<string, Moved>()
  private files = 0
  private readonly one = Effect.unsafeMakeSemaphore(1)
  private told = { bytes: 0, at: 0, rate: 0 }

  constructor(
    contents: ReadonlyArray<Content>,
    private readonly onProgress: ((progress: Progress) => Effect.Effect<unknown>) | undefined
  ) {
    // An archive that is unpacked at two places is downloaded for each, and counts once.
    const sizes = new Map(contents.map(({ digest, size }) => [digest, size]))
    for (const { digest, files, missing, size } of contents)
      if (missing === files) this.moving.set(digest, { size, offset: 0, from: 0, isDone: false })
    this.known = {
      files: sum(contents.map(({ files }) => files)),
      bytes: sum(sizes.values())
    }
    this.present = {
      files: this.known.files - sum(contents.map(({ missing }) => missing)),
      bytes: this.known.bytes - sum(Array.from(this.moving.values(), ({ size }) => size))
    }
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
  done({ digest, missing }: Content): void {
    this.files += missing
    const moved = this.moving.get(digest)
    if (moved === undefined) return
    moved.offset = moved.size
    moved.isDone = true
  }

  /** The counts by now. */
  summary(): Summary {
    const bytes = sum(Array.from(this.moving.values(), ({ offset }) => offset))
    return { known: this.known, present: this.present, moved: { files: this.files, bytes } }
  }

  private take(event: Transfer.Event): Effect.Effect<void> {
    const { digest = "", direction } = event.subject
    const moved = this.moving.get(digest)
    if (moved === undefined || moved.isDone) return Effect.void
    if (direction !== "download" || !("offset" in event)) return Effect.void
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
      const bytes = sum(Array.from(this.moving.values(), ({ from, offset }) => offset - from))
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
        fraction: this.known.bytes === 0 ? 1 : there / this.known.bytes,
        ...(rate > 0 && { remaining: Math.round((left / rate) * 1000) })
      }) ?? Effect.void
    })
    return this.one.withPermits(1)(told)
  }
}

const sum = (numbers: Iterable<number>): number => {
  let all = 0
  for (const number of numbers) all += number
  return all
}
