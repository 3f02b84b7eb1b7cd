/** So many of something in a time, and some at once after a pause: a token bucket. */
import * as Duration from "effect/Duration"

/**
 * Says from when on the next one may begin (the generic cell rate algorithm: what the bucket holds
 * is kept as a time). Times are milliseconds of the clock.
 */
export class TokenBucket {
  private readonly interval: number
  private readonly capacity: number
  /** When the next one would begin if all kept to the interval. */
  private next: number | undefined

  /**
   * `count` may begin in the time `per`, and `burst` of them at once after a pause; `saved` of
   * those before the first.
   */
  constructor(
    { count, per }: { readonly count: number; readonly per: Duration.DurationInput },
    private readonly burst: number,
    private readonly saved = burst
  ) {
    this.interval = Duration.toMillis(per) / count
    this.capacity = (burst - 1) * this.interval
  }

  /** When the next one may begin, which is not later than `now` if it may now. */
  earliest(now: number): number {
    this.next ??= now - (Math.min(this.saved, this.burst) - 1) * this.interval
    // It is later only where the clock was set back.
    this.next = Math.min(this.next, now + this.interval)
    return Math.max(this.next, now - this.capacity)
  }

  /** Lets one begin. */
  take(now: number): void {
    this.next = this.earliest(now) + this.interval
  }
}
