/**
 * How often one transfer goes on after faults: until too many of them in a row have brought no
 * progress.
 */
import * as Effect from "effect/Effect"
import { isTransient, TransportFailure } from "../../RegistryError.js"
import * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Retry from "../http/Retry.js"

/**
 * Waits until the transfer may go on after a fault, or fails with the fault when there were too
 * many of them. `offset` is how far the transfer is, in bytes: beyond all that it has reached
 * before, they are counted anew.
 */
export type Again = <F extends { readonly _tag: string; readonly message: string }>(
  fault: F,
  offset: number
) => Effect.Effect<void, F>

/**
 * The attempts of a new transfer, as the endpoint allows them. Observers are told of each fault.
 */
export const make = (to: Endpoint, subject: Transfer.Subject): Again => {
  let again: Retry.Again<{ readonly _tag: string }> = Retry.attempts(to)
  let reached = 0
  return Effect.fnUntraced(function* (fault, offset) {
    yield* Transfer.emit({ _tag: "Retried", subject, offset, problem: fault.message })
    if (offset > reached) again = Retry.attempts(to)
    reached = Math.max(reached, offset)
    // A session that is lost or elsewhere is no temporary fault, but trying again helps.
    const temporary = isTransient(fault) ? fault : new TransportFailure({ reason: "Reset" })
    yield* Effect.mapError(again(temporary), () => fault)
  })
}
