/** What is left of the requests that a host allows. */
import * as Effect from "effect/Effect"
import { RateLimitObserver } from "../../../internal/RateLimitObserver.js"
import type { Registry } from "../../../Registry.js"
import { TooManyRequests } from "../../../RegistryError.js"

/** Sees to it that so many requests are left of those that a host says to allow (CP26). */
export class Budget {
  private left = Number.POSITIVE_INFINITY
  private asking = 0

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
    return Effect.suspend((): Effect.Effect<A, E | TooManyRequests, R> => {
      if (this.left - this.asking <= this.leave) return Effect.fail(new TooManyRequests({}))
      this.asking++
      return request.pipe(
        Effect.provideService(RateLimitObserver, (remaining) => {
          this.left = remaining
        }),
        Effect.ensuring(Effect.sync(() => this.asking--))
      )
    })
  }
}
