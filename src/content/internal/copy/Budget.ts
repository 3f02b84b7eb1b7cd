/** What is left of the requests that a host allows. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { RateLimitObserver } from "../../../internal/RateLimitObserver.js"
import type { Registry } from "../../../Registry.js"
import { TooManyRequests } from "../../../RegistryError.js"

/** Sees to it that so many requests are left of those that a host says to allow (CP26). */
export class Budget {
  private left = Number.POSITIVE_INFINITY
  /** When there are more, in milliseconds of the clock, if that is known. */
  private reset = Number.POSITIVE_INFINITY
  private asking = 0
  /** Until the first response nobody knows, and one after the other asks. */
  private isKnown = false
  private readonly first = Effect.unsafeMakeSemaphore(1)

  constructor(private readonly leave: number) {}

  /** The registry, whose manifests are asked for while there are requests for it. */
  guard(registry: Registry.Service): Registry.Service {
    return {
      ...registry,
      headManifest: (repository, reference) =>
        this.ask(registry.headManifest(repository, reference)),
      getManifest: (repository, reference) => this.ask(registry.getManifest(repository, reference)),
      getChangedManifest: (repository, reference, known) =>
        this.ask(registry.getChangedManifest(repository, reference, known))
    }
  }

  private ask<A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E | TooManyRequests, R> {
    return Effect.suspend(() => {
      if (this.isKnown) return this.counted(request)
      const learning = Effect.suspend(() =>
        this.isKnown
          ? Effect.succeedNone
          : Effect.asSome(Effect.tap(this.counted(request), () => this.learned))
      )
      return Effect.flatMap(
        this.first.withPermits(1)(learning),
        Option.match({ onNone: () => this.counted(request), onSome: Effect.succeed })
      )
    })
  }

  private readonly learned = Effect.sync(() => {
    this.isKnown = true
  })

  private counted<A, E, R>(
    request: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | TooManyRequests, R> {
    return Effect.flatMap(
      Clock.currentTimeMillis,
      (now): Effect.Effect<A, E | TooManyRequests, R> => {
        if (now >= this.reset) this.left = this.reset = Number.POSITIVE_INFINITY
        if (this.left - this.asking <= this.leave)
          return Effect.fail(
            new TooManyRequests({
              remaining: `${this.left - this.asking}`,
              ...(Number.isFinite(this.reset) && { retryAfter: this.reset - now })
            })
          )
        this.asking++
        return request.pipe(
          Effect.provideService(RateLimitObserver, (remaining, reset) => {
            this.left = remaining
            this.reset = now + (reset ?? Number.POSITIVE_INFINITY)
          }),
          Effect.ensuring(Effect.sync(() => this.asking--))
        )
      }
    )
  }
}
