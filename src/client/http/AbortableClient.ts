/**
 * HTTP clients whose requests anybody can abort, not only the fiber that waits for them: over one
 * of these, a request needs no fiber of its own to be given up when it is late.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import type * as Effect from "effect/Effect"

/** The method of such a client. */
export const executeAbortable: unique symbol = Symbol.for(
  "effect-oci/AbortableClient/executeAbortable"
)

/**
 * A client that sends a request on behalf of `registry`, as `RegistryOrigin` says otherwise, and
 * makes no span of it. A body that is an array is sent as `SentArrays.body` has it. `onStart` is
 * called with what aborts it: then waiting for the response, or for more of its body, fails at
 * once.
 */
export interface AbortableClient extends HttpClient.HttpClient {
  readonly [executeAbortable]: (
    request: HttpClientRequest,
    registry: string,
    onStart: (abort: () => void) => void
  ) => Effect.Effect<HttpClientResponse, HttpClientError>
}

/** Whether a client is one of these. */
export const isAbortable = (
  client: HttpClient.HttpClient & Partial<AbortableClient>
): client is AbortableClient => client[executeAbortable] !== undefined
