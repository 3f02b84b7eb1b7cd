/** The request of an operation to an endpoint. */
import type * as Headers from "@effect/platform/Headers"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { Sender } from "../../auth/Authorization.js"
import type { Demand } from "../../auth/Credentials.js"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import { type Operation, requiredScopes, toRequest } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import type { Endpoint } from "./Endpoint.js"

/** What an operation needs authorization for. */
export const demandOf = (to: Endpoint, operation: Operation): Demand => ({
  origin: to.origin,
  repository: "repository" in operation ? operation.repository : undefined,
  scopes: requiredScopes(operation)
})

/** Makes the request of an operation, without its body. */
export const make = (to: Endpoint, operation: Operation): HttpClientRequest.HttpClientRequest => {
  const request = toRequest(to.base, operation)
  return HttpClientRequest.setHeaders(
    to.namespace !== undefined && factsOf(operation).isPull === true
      ? HttpClientRequest.setUrl(request, `${request.url}?ns=${encodeURIComponent(to.namespace)}`)
      : request,
    to.standardHeaders
  )
}

/**
 * Sends requests with an application's headers. They go to the registry, which may be its own token
 * server, and not to where an upload has its location or a realm leads.
 */
export const withHeaders = <E>(
  origin: string,
  headers: Headers.Headers,
  client: Sender<E>
): Sender<E> => ({
  execute: (request) =>
    client.execute(
      Trust.isAt(origin, request.url)
        ? HttpClientRequest.setHeaders(request, { ...headers, ...request.headers })
        : request
    )
})
