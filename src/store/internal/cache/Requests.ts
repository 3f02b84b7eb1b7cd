/** Requests to the upstream registry that several callers wait for, each sent once. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { isAbsent, isTransient } from "../../../RegistryError.js"
import * as Transfer from "../../../Transfer.js"

/** Responses beyond this many are forgotten, the oldest first. */
const capacity = 10_000

/**
 * Requests by their keys. They are fibers of the scope: they go on when their first caller, or all,
 * are interrupted, and leave nothing behind however they end (V23). That something is absent is
 * remembered for a time; no other failure is (V27).
 */
export class Requests<A, E> {
  private readonly running = new Map<string, Deferred.Deferred<A, E>>()
  private readonly remembered = new Map<
    string,
    { readonly response: Effect.Effect<A, E>; readonly until: number }
  >()

  /** `timeToLive` is in milliseconds. */
  constructor(
    private readonly scope: Scope.Scope,
    private readonly timeToLive: number
  ) {}

  /** Returns what is remembered; else what the request returns, sent now or under way. */
  run(key: string, request: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const sent = Effect.tapError(request, (error) =>
      isAbsent(error) ? this.remember(key, Effect.fail(error)) : Effect.void
    )
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const found = this.remembered.get(key)
      return found !== undefined && now < found.until ? found.response : this.join(key, sent)
    })
  }

  /** Remembers a response for a time. */
  remember(key: string, response: Effect.Effect<A, E>): Effect.Effect<void> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      this.remembered.delete(key)
      for (const oldest of this.remembered.keys()) {
        if (this.remembered.size < capacity) break
        this.remembered.delete(oldest)
      }
      this.remembered.set(key, { response, until: now + this.timeToLive })
    })
  }

  /** Found or begun in one synchronous step, or two callers could begin at once. */
  private join(key: string, request: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.uninterruptibleMask((restore) => {
      const running = this.running.get(key)
      if (running !== undefined) return restore(Deferred.await(running))
      const begun = Deferred.unsafeMake<A, E>(FiberId.none)
      this.running.set(key, begun)
      return Effect.interruptible(request).pipe(
        Effect.onExit((exit) => {
          this.running.delete(key)
          return Deferred.done(begun, exit)
        }),
        ofNobody,
        Effect.forkIn(this.scope),
        Effect.zipRight(restore(Deferred.await(begun)))
      )
    })
  }
}

/** Runs what is shared by callers, so that no transfer in it is that of the first one. */
export const ofNobody = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provideService(effect, Transfer.Observer, undefined)

/** What HEAD finds; where it finds nothing, or is refused, what GET says counts (V24). */
export const headOrElse = <A, E, A2, E2>(
  head: Effect.Effect<Option.Option<A>, E>,
  get: Effect.Effect<A2, E2>
): Effect.Effect<A | A2, E | E2> =>
  Effect.matchEffect(head, {
    onFailure: (error): Effect.Effect<A | A2, E | E2> =>
      isTransient(error) ? Effect.fail(error) : get,
    onSuccess: Option.match({
      onNone: (): Effect.Effect<A | A2, E | E2> => get,
      onSome: (found) => Effect.succeed(found)
    })
  })
