/**
 * The patience of one transfer: after a fault it waits and goes on, until too many faults in a row
 * have brought no progress.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isTransient, TransportFailure } from "../../RegistryError.js"
import * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Retry from "../http/Retry.js"

/**
 * Waits until the transfer may go on after a fault, or fails with the fault when the patience is at
 * its end. `offset` is how far the transfer is, in bytes: beyond all it has reached before, all
 * attempts are granted anew.
 */
export type Again = <F extends { readonly _tag: string; readonly message: string }>(
  fault: F,
  offset: number
) => Effect.Effect<void, F>

/**
 * The patience of a new transfer, as the retry options of the endpoint have it. Observers are told
 * of each fault.
 */
export const patience = (to: Endpoint, subject: Transfer.Subject): Again => {
  let driver: Schedule.ScheduleDriver<unknown, { readonly _tag: string }> | undefined
  let reached = 0
  return (fault, offset) =>
    Effect.gen(function* () {
      yield* Transfer.emit({ _tag: "Retried", subject, offset, problem: fault.message })
      if (driver === undefined || offset > reached)
        driver = yield* Schedule.driver(Retry.schedule<{ readonly _tag: string }>(to))
      reached = Math.max(reached, offset)
      // A session that is lost or elsewhere is no temporary fault, but trying again helps.
      const temporary = isTransient(fault) ? fault : new TransportFailure({ reason: "Reset" })
      yield* Effect.mapError(driver.next(temporary), () => fault)
    })
}
