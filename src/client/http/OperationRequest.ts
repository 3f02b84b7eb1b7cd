/** The request of an operation to an endpoint. */
import type * as Headers from "@effect/platform/Headers"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { Sender } from "../../auth/Authorization.js"
import type { Demand } from "../../auth/Credentials.js"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import { type Operation, requiredScopes, toRequest } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import type { Endpoint } from "./Endpoint.js"

/**
 * A request on its way to an endpoint, without its body. `isOwn`: whether the client wrote its URL
 * itself; `template`: its path in spans, if it has a span; `transfer`: the direction in which a
 * blob travels, if one does.
 */
export interface Outgoing {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly isOwn: boolean
  readonly demand: Demand
  readonly template: string | undefined
  readonly transfer: "download" | "upload" | undefined
  /** What is done to it each time before it is sent, if anything is. */
  readonly map?: (
    request: HttpClientRequest.HttpClientRequest
  ) => HttpClientRequest.HttpClientRequest
}

/** Makes the request of an operation. */
export const outgoing = (to: Endpoint, operation: Operation): Outgoing => {
  const { template, transfer } = factsOf(operation)
  return {
    request: make(to, operation),
    isOwn: !("location" in operation || ("link" in operation && operation.link !== undefined)),
    demand: demandOf(to, operation),
    template,
    transfer
  }
}

/** What an operation needs authorization for. */
export const demandOf = (to: Endpoint, operation: Operation): Demand => ({
  origin: to.origin,
  repository: "repository" in operation ? operation.repository : undefined,
  scopes: requiredScopes(operation)
})

const make = (to: Endpoint, operation: Operation): HttpClientRequest.HttpClientRequest => {
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
