/**
 * When the requests to one registry may begin (CP25): so many of each kind in a time, and none for
 * a while after the registry has said that there are too many, whoever sent those.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { TokenBucket } from "../../internal/TokenBucket.js"
import type { Operation } from "../../protocol/Operation.js"
import { TooManyRequests } from "../../RegistryError.js"
import { type Kind, kinds, type Rate, type Rates } from "./Rates.js"
import type { RetryOptions } from "./Retry.js"

type Permitted = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** What was not sent, since a pause has begun. */
const held: unique symbol = Symbol("held")

interface Request<A, E, R> {
  readonly isShort: boolean
  readonly effect: Effect.Effect<A, E, R>
  readonly permitted: Permitted
}

/** The pace of requests to one registry. */
export class Pace {
  private readonly rates: ReadonlyMap<Kind, Queue>
  private pausedUntil = Number.NEGATIVE_INFINITY
  /** The refusals in a row, each after the pause for the last. */
  private refusals = 0
  /** The first request after a pause: the others wait for what becomes of it. */
  private probe: Deferred.Deferred<void> | undefined

  constructor(
    rates: Rates,
    private readonly retry: RetryOptions
  ) {
    this.rates = new Map(
      Object.entries(rates).flatMap(([kind, rate]: [string, Rate | undefined]) =>
        rate === undefined ? [] : [[kind as Kind, new Queue(rate)]]
      )
    )
  }

  /**
   * Runs an effect that sends an operation when that may begin, with a permit, for which others
   * wait. `isShort`: whether it ends with the response, and not with a transfer.
   */
  paced<A, E, R>(
    operation: Operation,
    isShort: boolean,
    effect: Effect.Effect<A, E, R>,
    permitted: Permitted
  ): Effect.Effect<A, E | TooManyRequests, R> {
    const request = { isShort, effect, permitted }
    return Effect.suspend(() =>
      this.refusals === 0 && this.rates.size === 0
        ? this.sent(request)
        : Effect.zipRight(this.kept(operation), this.admitted(request))
    )
  }

  /**
   * Has all requests wait, as long as the registry asks for, or twice as long as the last time
   * where it does not. What was under way already lengthens that only if it was told more.
   */
  refused(error: TooManyRequests): Effect.Effect<void> {
    // Whoever does without retries decides by themselves what to send when.
    if (this.retry.attempts === 0) return Effect.void
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const isFirst = this.refusals === 0 || now >= this.pausedUntil
      const backoff = isFirst ? Duration.toMillis(this.retry.base) * 2 ** this.refusals : 0
      const wait = Math.max(backoff, error.retryAfter ?? 0)
      const until = now + Math.min(wait, Duration.toMillis(this.retry.maxDelay))
      this.pausedUntil = isFirst ? until : Math.max(this.pausedUntil, until)
      if (isFirst) this.refusals++
    })
  }

  private kept({ _tag }: Operation): Effect.Effect<void> {
    const queues = kinds[_tag].flatMap((kind) => this.rates.get(kind) ?? [])
    return Effect.forEach(queues, (queue) => queue.next, { discard: true })
  }

  /** Sends it, unless a pause has begun by when it has its permit. */
  private sent<A, E, R>(request: Request<A, E, R>): Effect.Effect<A, E | TooManyRequests, R> {
    const checked = Effect.suspend(
      (): Effect.Effect<A | typeof held, E, R> =>
        this.refusals === 0 ? request.effect : Effect.succeed(held)
    )
    return Effect.flatMap(request.permitted(checked), (result) =>
      result === held ? this.admitted(request) : Effect.succeed(result)
    )
  }

  private admitted<A, E, R>(request: Request<A, E, R>): Effect.Effect<A, E | TooManyRequests, R> {
    const permitted = request.permitted(request.effect)
    return Effect.flatMap(Clock.currentTimeMillis, (since) => {
      const admit: Effect.Effect<A, E | TooManyRequests, R> = Effect.uninterruptibleMask(
        (restore) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            if (this.refusals === 0) return restore(this.sent(request))
            // It is later only where the clock was set back.
            const latest = now + Duration.toMillis(this.retry.maxDelay)
            this.pausedUntil = Math.min(this.pausedUntil, latest)
            // No sleep has parts of a nanosecond: they would be waited for without an end.
            const wait = Math.max(0, Math.round((this.pausedUntil - now) * 1e6) / 1e6)
            if (now + wait - since > Duration.toMillis(this.retry.deadline))
              return new TooManyRequests({ retryAfter: wait })
            if (wait > 0) return restore(Effect.zipRight(Effect.sleep(wait), admit))
            if (this.probe !== undefined)
              return restore(Effect.zipRight(Deferred.await(this.probe), admit))
            return request.isShort
              ? this.probing(restore(permitted))
              : this.ending(restore(permitted))
          })
      )
      return admit
    })
  }

  private probing<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const probe = Deferred.unsafeMake<void>(FiberId.none)
    this.probe = probe
    return Effect.onExit(this.ending(effect), () => {
      this.probe = undefined
      return Deferred.succeed(probe, undefined)
    })
  }

  /** Whatever comes to its end after a pause, and is not refused, ends the row of refusals. */
  private ending<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { refusals } = this
    return Effect.onExit(effect, (exit) =>
      Effect.sync(() => {
        if (this.refusals === refusals && !Exit.isInterrupted(exit)) this.refusals = 0
      })
    )
  }
}

/** Those who wait for a rate, in order. Whoever is interrupted meanwhile takes nothing. */
class Queue {
  private readonly bucket: TokenBucket
  private readonly turn = Effect.unsafeMakeSemaphore(1)
  private waiting = 0

  constructor({ burst, per, requests }: Rate) {
    const atOnce = burst ?? (requests * 1000) / Duration.toMillis(per)
    const whole = Math.max(1, Math.floor(atOnce))
    this.bucket = new TokenBucket({ count: requests, per }, whole, Math.ceil(whole / 2))
  }

  /** Ends when one more may begin. */
  readonly next: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (this.waiting === 0 && this.bucket.earliest(now) <= now) {
      this.bucket.take(now)
      return Effect.void
    }
    this.waiting++
    return Effect.ensuring(
      this.turn.withPermits(1)(this.due),
      Effect.sync(() => this.waiting--)
    )
  })

  private readonly due: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const wait = Math.ceil(this.bucket.earliest(now) - now)
    if (wait > 0) return Effect.zipRight(Effect.sleep(wait), this.due)
    this.bucket.take(now)
    return Effect.void
  })
}
