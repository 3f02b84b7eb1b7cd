/**
 * Registries and storage that a test writes by hand, on sockets of 127.0.0.1, and a client on
 * undici whose every request they note in one log.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Registry } from "../../src/Registry.js"
import type { Options } from "./fake/Client.js"
import * as Client from "./fake/Client.js"
import { serve } from "./serve.js"

/** Method, path with query, and `Range` or `Content-Range`, as they were received. */
export const lineOf = ({ headers, method, url }: IncomingMessage): string =>
  [method, url, headers.range ?? headers["content-range"]]
    .filter((part) => part !== undefined)
    .join(" ")

/** An origin whose requests are noted in `log`, after its name if it has one. */
export const origin = (log: Array<string>, listener: RequestListener, name = "") =>
  Effect.map(
    serve((request, response) => {
      log.push(name === "" ? lineOf(request) : `${name}: ${lineOf(request)}`)
      listener(request, response)
    }),
    ({ counted, url }) => ({ url: url.slice(0, -1), counted })
  )

/** An answer as a listener gives it. */
export const reply = (
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string | ReadonlyArray<string>>> = {},
  body?: string | Uint8Array
): void => {
  for (const [name, value] of Object.entries(headers))
    response.setHeader(name, typeof value === "string" ? value : [...value])
  response.writeHead(status)
  response.end(body)
}

/** A client of a registry, on sockets, that tries again at once. */
export const clientOf = (
  url: string,
  options: Options = {}
): Effect.Effect<Registry.Service, never, Scope.Scope> =>
  Client.clientOf(url, { retry: { attempts: 2, base: "1 millis" }, ...options })

/** A registry on a socket, a client of it, the log of its requests, and its connections. */
export const registryAt = (listener: RequestListener, options: Options = {}) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const { counted, url } = yield* origin(log, listener)
    return { registry: yield* clientOf(url, options), log, counted, url }
  })
