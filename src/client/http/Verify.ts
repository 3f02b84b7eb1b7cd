/** Whether a login works. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Login } from "../../auth/Credentials.js"
import * as TokenCache from "../../auth/TokenCache.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import type { Endpoint } from "./Endpoint.js"
import { demandOf } from "./OperationRequest.js"
import * as Ping from "./Ping.js"
import * as Pipeline from "./Pipeline.js"

/**
 * Pings a registry with a login and nothing else: no other credential, no token that was issued
 * before, and none that is issued to nobody. Returns whether the registry asked for it.
 */
export const isAskedFor = (
  to: Endpoint,
  login: Login
): Effect.Effect<boolean, Registry.PingError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const services: Pipeline.Services = {
      client: yield* HttpClient.HttpClient,
      credentials: { get: () => Effect.succeed(login) },
      cache: yield* TokenCache.TokenCache,
      loginOnly: true
    }
    const { send } = Pipeline.pipeline(to, Pipeline.exchanging(to, services))
    const ping = Operation.Ping()
    yield* Effect.flatMap(send(ping), Ping.check)
    return (yield* services.cache.challenges(demandOf(to, ping))).length > 0
  }).pipe(Effect.provide(Layer.fresh(TokenCache.layerNone)))
