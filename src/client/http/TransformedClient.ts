/** The place of an application's own `transformClient` in the pipeline. */
import * as HttpClient from "@effect/platform/HttpClient"
import { type HttpClientError, RequestError } from "@effect/platform/HttpClientError"
import * as Effect from "effect/Effect"
import type { Sender } from "../../auth/Authorization.js"
import * as ClientFailure from "./ClientFailure.js"
import type * as Transport from "./Transport.js"

/** Changes a client, as `EndpointOptions.transformClient` says. */
export type Transform = (client: HttpClient.HttpClient) => HttpClient.HttpClient

/**
 * Sends requests as `transform` would have them sent. It is given a client whose failures are those
 * of HTTP; what comes back of the sender's own is what the sender failed with.
 */
export const transformed = <E extends object>(
  transform: Transform,
  sender: Sender<E>,
  bounds: Transport.Bounds
): Sender<E | ClientFailure.ClientFailure> => {
  // Effect may hand an error on as a proxy of it, but what it holds stays the same.
  const failures = new WeakMap<object, E>()
  const client = transform(
    HttpClient.makeWith<HttpClientError, never, HttpClientError, never>(
      Effect.flatMap((request) =>
        Effect.mapError(sender.execute(request), (error) => {
          failures.set(error, error)
          return new RequestError({ request, reason: "Transport", cause: error })
        })
      ),
      Effect.succeed
    )
  )
  return {
    execute: (request) =>
      Effect.catchAll(client.execute(request), (failure) => {
        // What a status means is for the operation to say.
        if (failure._tag === "ResponseError" && failure.reason === "StatusCode")
          return Effect.succeed(failure.response)
        const { cause } = failure
        const own = typeof cause === "object" && cause !== null ? failures.get(cause) : undefined
        return Effect.fail(own ?? ClientFailure.ofRequest(request, failure, bounds))
      })
  }
}
