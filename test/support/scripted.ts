/** A registry that is a script, without sockets, and a client of it that tries again at once. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../src/Registry.js"
import { clientOver } from "./fake/Client.js"
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
    const registry = yield* clientOver(client, "http://registry.test", {
      retry: { attempts: 3, base: "1 millis", maxDelay: "5 millis", deadline: "1 minute" }
    })
    return { registry, wire }
  })
