/**
 * The body of a request to a registry server, as a stream that is read as fast as it can be stored.
 */
import type { RequestError } from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * The body as it arrives, or none if it is empty. It can be run once, within the Scope. Fails with
 * the `RequestError` of a connection that breaks.
 */
export const receive = (
  request: HttpServerRequest
): Effect.Effect<
  Option.Option<Stream.Stream<Uint8Array, RequestError>>,
  RequestError,
  Scope.Scope
> => {
  const length = request.headers["content-length"]
  if (length === "0") return Effect.succeedNone
  // A web request without a body has a stream that fails, for no cause, instead of an empty one.
  return length !== undefined
    ? Effect.succeedSome(request.stream)
    : Effect.catchIf(
        begin(request.stream),
        ({ cause }) => cause === undefined,
        () => Effect.succeedNone
      )
}

/**
 * Runs a stream up to its first bytes, so that what fails before them can have a status of its own.
 * None if it has no bytes.
 */
export const begin = <E>(
  stream: Stream.Stream<Uint8Array, E>
): Effect.Effect<Option.Option<Stream.Stream<Uint8Array, E>>, E, Scope.Scope> =>
  Effect.flatMap(Stream.toPull(stream), (pull) =>
    Effect.matchEffect(pull, {
      onFailure: Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail }),
      onSuccess: (first) =>
        Effect.succeedSome(
          Stream.concat(Stream.fromChunk(first), Stream.fromPull(Effect.succeed(pull)))
        )
    })
  )
