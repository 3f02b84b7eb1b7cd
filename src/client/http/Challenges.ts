/**
 * Challenges of a registry answered: one attempt fails with the challenge, and the next one answers
 * it.
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Credentials } from "../../auth/Credentials.js"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import { type AuthChallenge, Unauthorized } from "../../RegistryError.js"
import type { ExchangeError } from "./ExchangeError.js"
import * as Retry from "./Retry.js"

/**
 * The default schedule of `execute`: it tries again while the challenge is answerable, at most
 * three times. Once is the rule; a cached token that has expired, and one for too few scopes, take
 * one attempt more each.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultSchedule: Schedule.Schedule<unknown, AuthChallenge> = Schedule.whileInput(
  Schedule.recurs(3),
  (challenge: AuthChallenge) => challenge.answerable
)

/**
 * Repeats an attempt as long as the schedule goes on. A challenge that it gives up on becomes
 * `Unauthorized`.
 */
export const answered = <R>(
  attempt: Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError>,
  schedule: Schedule.Schedule<unknown, AuthChallenge, R>
): Effect.Effect<HttpClientResponse, ExchangeError, R> =>
  Effect.catchAll(attempt, (error) => {
    const failure = unauthorized(error)
    return isOpen(failure) ? repeated(failure, attempt, schedule) : Effect.fail(failure)
  })

const repeated = <R>(
  error: Open,
  attempt: Effect.Effect<HttpClientResponse, AuthChallenge | ExchangeError>,
  schedule: Schedule.Schedule<unknown, AuthChallenge, R>
): Effect.Effect<HttpClientResponse, ExchangeError, R> =>
  Retry.from(
    error,
    // The schedule sees challenges only, whatever type an application gives it.
    Effect.matchEffect(attempt, {
      onSuccess: (response) => Effect.succeed(Effect.succeed(response)),
      onFailure: (error) => {
        const failure = unauthorized(error)
        return isOpen(failure) ? Effect.fail(failure) : Effect.succeed(Effect.fail(failure))
      }
    }),
    Schedule.mapInput(schedule, ({ challenge }: Open) => challenge)
  ).pipe(Effect.flatten)

/**
 * What a schedule may decide about: the registry's challenge, or the one that its token server gave
 * no token for.
 */
type Open = Unauthorized & { readonly challenge: AuthChallenge }

const isOpen = (error: ExchangeError): error is Open =>
  error._tag === "Unauthorized" && error.challenge !== undefined

const unauthorized = (error: AuthChallenge | ExchangeError): ExchangeError => {
  if (error._tag !== "AuthChallenge") return error
  return new Unauthorized({
    ...exchangeOf(error),
    origin: error.origin,
    reason: "Challenge",
    credential: error.credential,
    challenge: error
  })
}

/**
 * The source, asked for another credential once. It may have another one each time (ECR's helper
 * makes them): what it had the second time is refused for good. A schedule that goes on all the
 * same has it asked anew.
 */
export const renewedOnce = (source: Credentials.Service): Credentials.Service => {
  let renewed = false
  return {
    get: (demand, rejected) => {
      if (rejected === undefined) return source.get(demand)
      if (renewed) {
        renewed = false
        return Effect.succeed(rejected)
      }
      return Effect.map(source.get(demand, rejected), (credential) => {
        renewed = credential.identity !== rejected.identity
        return credential
      })
    }
  }
}
