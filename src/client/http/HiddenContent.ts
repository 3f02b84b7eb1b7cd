/**
 * Content that a registry hides from strangers: it answers 404 for it, and asks for authorization
 * at `/v2/` alone. Where credentials are known, one ping tells.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { anonymous } from "../../auth/Credentials.js"
import * as Operation from "../../protocol/Operation.js"
import { isTransient, isTransientStatus } from "../../RegistryError.js"
import type { Endpoint } from "./Endpoint.js"
import { demandOf } from "./OperationRequest.js"
import { attemptOnce, type Pipeline, type Services } from "./Pipeline.js"
import * as Received from "./Received.js"

/**
 * The pipeline for reads that a caller asked for. Where a request without authorization is answered
 * by 404, credentials for the registry are known, and its response to a ping is a challenge, the
 * request is sent once more, with authorization. One such ping is answered: whatever is asked for
 * before waits for it, and after one that was interrupted, or failed for the moment, there is
 * another.
 */
export const revealed = (
  to: Endpoint,
  services: Services,
  { read, remove, send }: Pipeline
): Pipeline => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let isPinged = false

  /** Whether the registry asks for authorization, although it did not for this operation. */
  const asks = (operation: Operation.Operation): Effect.Effect<boolean> =>
    Effect.gen(function* () {
      const demand = demandOf(to, operation)
      const challenges = services.cache.challenges(demand)
      if (!isPinged) {
        if ((yield* challenges).length > 0) return false
        // That a source is broken is no reason to fail where nobody has asked for credentials.
        const credential = yield* Effect.orElseSucceed(
          services.credentials.get(demand),
          () => anonymous
        )
        if (credential._tag === "Anonymous") return false
        const answer = yield* Effect.either(
          Effect.tap(attemptOnce(to, services, Operation.Ping()), (response) =>
            Received.abandon(Received.from(response))
          )
        )
        isPinged = Either.isLeft(answer)
          ? !isTransient(answer.left)
          : !isTransientStatus(answer.right.status)
      }
      return (yield* challenges).length > 0
    }).pipe(turn.withPermits(1))

  const again = <A, E extends { readonly _tag: string }>(
    operation: Operation.Operation,
    sent: Effect.Effect<A, E>,
    responseOf: (result: A) => Received.Received
  ): Effect.Effect<A, E> =>
    Effect.suspend(() =>
      isPinged || isFurther(operation)
        ? sent
        : Effect.matchEffect(sent, {
            onFailure: (error) =>
              "status" in error && error.status === 404
                ? Effect.flatMap(asks(operation), (more) => (more ? sent : Effect.fail(error)))
                : Effect.fail(error),
            onSuccess: (result) =>
              responseOf(result).status === 404
                ? Effect.flatMap(asks(operation), (more) => (more ? sent : Effect.succeed(result)))
                : Effect.succeed(result)
          })
    )

  return {
    send: (operation, body) => again(operation, send(operation, body), (response) => response),
    read: (operation, limit, expected) =>
      again(operation, read(operation, limit, expected), ([_, response]) => response),
    remove
  }
}

/** Whoever was shown the first page of a list is no stranger to it. */
const isFurther = (operation: Operation.Operation): boolean =>
  ("link" in operation && operation.link !== undefined) ||
  ("last" in operation && operation.last !== undefined)
