/** A registry that is a script, without sockets, and a client of it that tries again at once. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import type { Handler } from "./fake/Handler.js"
import { internet, type Options } from "./fake/Internet.js"

/**
 * A client of `http://registry.test` whose requests `answer` gets, and the lines of those requests.
 */
export const scripted = (
  answer: Handler,
  options: Options = {}
): Effect.Effect<{ readonly registry: Registry.Service; readonly wire: Array<string> }> =>
  Effect.gen(function* () {
    const wire: Array<string> = []
    const { client } = internet(
      {
        "http://registry.test": (seen) => {
          const range = seen.headers["content-range"]
          wire.push(range === undefined ? seen.line : `${seen.line} ${range}`)
          return answer(seen)
        }
      },
      options
    )
    const registry = yield* RegistryClient.make({
      url: "http://registry.test",
      retry: { attempts: 3, base: "1 millis", maxDelay: "5 millis", deadline: "1 minute" }
    }).pipe(
      Effect.provideService(HttpClient.HttpClient, client),
      Effect.provide(Layer.merge(Credentials.layerAnonymous, TokenCache.layerMemory)),
      Effect.orDie
    )
    return { registry, wire }
  })
