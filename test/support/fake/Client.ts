/** A client of a registry that a test has made. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as TokenCache from "../../../src/auth/TokenCache.js"
import * as RegistryClient from "../../../src/client/RegistryClient.js"
import * as NodeHttp from "../../../src/node/NodeHttp.js"
import type { Registry } from "../../../src/Registry.js"

export type Options = Partial<RegistryClient.EndpointOptions>

/** What a client is made of, by default sockets, nobody in particular, and a cache of its own. */
export interface Services {
  readonly http?: Layer.Layer<HttpClient.HttpClient, unknown>
  readonly credentials?: Layer.Layer<Credentials.Credentials, unknown>
  readonly cache?: Layer.Layer<TokenCache.TokenCache>
}

export const clientOf = (
  url: string,
  options: Options = {},
  {
    cache = TokenCache.layerMemory,
    credentials = Credentials.layerAnonymous,
    http = NodeHttp.layer()
  }: Services = {}
): Effect.Effect<Registry.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const services = yield* Layer.build(Layer.mergeAll(http, credentials, cache))
    return yield* Effect.provide(RegistryClient.make({ url, ...options }), services)
  }).pipe(Effect.orDie)

/**
 * A client over an `HttpClient` without sockets. Its layers hold nothing but memory, which they
 * have for as long as the test runs.
 */
export const clientOver = (
  client: HttpClient.HttpClient,
  url: string,
  options: Options = {},
  services: Omit<Services, "http"> = {}
): Effect.Effect<Registry.Service> =>
  Effect.gen(function* () {
    const http = Layer.succeed(HttpClient.HttpClient, client)
    const registry = clientOf(url, options, { ...services, http })
    return yield* Scope.extend(registry, yield* Scope.make())
  })

/** The password of alice, `hunter2`, for the host of a URL. */
export const alice = (url: string) =>
  Credentials.layerBasic({
    host: new URL(url).host,
    username: "alice",
    password: Redacted.make("hunter2")
  })

/** A client that knows alice's password for a registry on sockets, and has been asked for it. */
export const askedClientOf = (url: string, options: Options = {}) =>
  Effect.tap(
    clientOf(url, { retry: { attempts: 0 }, ...options }, { credentials: alice(url) }),
    (registry) => Effect.ignore(registry.ping)
  )
