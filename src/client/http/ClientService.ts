/** A client of one registry as a service: its endpoint, and the repository it speaks of. */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Request } from "../Request.js"
import type * as Endpoints from "./Endpoint.js"
import type { EndpointTypeId } from "./Endpoint.js"
import type { Exchange } from "./Pipeline.js"
import * as RequestExchange from "./RequestExchange.js"

/**
 * A registry as a client knows it: how to reach it, and what it was seen to support. What is sent
 * through one endpoint shares its limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  readonly [EndpointTypeId]: typeof EndpointTypeId
  /** The URL that `/v2/…` is appended to, without a slash at its end. */
  readonly base: string
  /** The origin of `base`, in the form that `Trust.origin` returns. */
  readonly origin: string
}

/**
 * The client of one registry, for requests in the terms of HTTP. `Registry` is the same registry
 * for programs that want its operations.
 *
 * @example
 * ```ts
 * import * as Request from "effect-oci/Request"
 * import { RegistryClient } from "effect-oci/RegistryClient"
 * import * as Effect from "effect/Effect"
 *
 * const tags = Effect.gen(function*() {
 *   const client = yield* RegistryClient
 *   const response = yield* client.execute(
 *     Request.get("/v2/<name>/tags/list", { name: "megacorp/superapp" })
 *   )
 *   return yield* response.json
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class RegistryClient extends Context.Tag("effect-oci/RegistryClient")<
  RegistryClient,
  RegistryClient.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace RegistryClient {
  /**
   * A client. `defaultName` is the repository of requests that do not say one, and
   * `withDefaultName` returns the same client with another. `execute` sends a request as
   * `RegistryClient.execute` does.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly endpoint: Endpoint
    readonly defaultName: string | undefined
    readonly withDefaultName: (name: string | undefined) => Service
    readonly execute: (
      request: Request,
      options?: { readonly scopes?: ReadonlyArray<string> | undefined }
    ) => Effect.Effect<HttpClientResponse, RequestExchange.RequestError>
  }
}

/** Makes the client of an endpoint over an exchange. */
export const make = (
  endpoint: Endpoints.Endpoint,
  exchange: Exchange,
  defaultName: string | undefined
): RegistryClient.Service => ({
  endpoint,
  defaultName,
  withDefaultName: (other) => make(endpoint, exchange, other),
  execute: (request, options) =>
    RequestExchange.execute(endpoint, exchange, request, { ...options, defaultName })
})
