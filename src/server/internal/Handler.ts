/**
 * What a registry server does with a request, as a function that others can stand before: quirks
 * and faults change requests on their way in, and responses on their way out.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Operation from "../../protocol/Operation.js"

/** A request, and the operation that it asks for. */
export interface Received {
  readonly request: HttpServerRequest
  readonly operation: Either.Either<Operation.Operation, Operation.InvalidRequest>
}

/** Responds to a request. */
export type Handler<R extends Received = Received> = (
  received: R
) => Effect.Effect<HttpServerResponse, never, Scope.Scope>

/** Reads the operation of a request. */
export const received = (request: HttpServerRequest): Effect.Effect<Received> =>
  Effect.map(Effect.either(Operation.fromRequest(request)), (operation) => ({
    request,
    operation
  }))

/** A request that may be carried out, and how: not everybody is served everything. */
export interface Permitted extends Received {
  readonly carryOut: Handler
}
