/**
 * Servers on ports of their own that answer as a test says, and write down together what came to
 * which of them.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeader, OutgoingHttpHeaders } from "node:http"
import { buffer } from "node:stream/consumers"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { layerHttpClient } from "../../src/node/NodeHttp.js"
import { serve } from "./serve.js"

/** A request with its whole body. */
export interface Request {
  /** Method, path and query. */
  readonly line: string
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

export interface Response {
  readonly status: number
  /** A header with several values goes out as several lines. */
  readonly headers?: Readonly<Record<string, OutgoingHttpHeader | ReadonlyArray<string>>>
  readonly body?: string
}

/** `registry PUT /u/1?digest=… Basic … [12]`: where, what, with which authorization, and length. */
export type Log = Array<string>

/** An origin of this name, such as `http://127.0.0.1:34819`. */
export const origin = (name: string, log: Log, respond: (request: Request) => Response) =>
  Effect.map(
    serve((incoming, outgoing) => {
      buffer(incoming).then(
        (body) => {
          const { headers } = incoming
          const line = `${incoming.method} ${incoming.url}`
          log.push(
            `${name} ${line} ${headers.authorization ?? "-"}${body.length === 0 ? "" : ` [${body.length}]`}`
          )
          const { body: text, headers: own, status } = respond({ line, headers, body })
          outgoing.writeHead(status, own as OutgoingHttpHeaders).end(text)
        },
        () => undefined
      )
    }),
    ({ url }) => url.replace(/\/$/, "")
  )

/** `alice:hunter2`. */
export const basic = "Basic YWxpY2U6aHVudGVyMg=="

/** As a registry that wants a password for everything. */
export const guarded =
  (respond: (request: Request) => Response): ((request: Request) => Response) =>
  (request) =>
    request.headers.authorization === basic
      ? respond(request)
      : { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }

/** A client over sockets that knows a password for the registry, and has been asked for it. */
export const clientOf = Effect.fnUntraced(function* (
  url: string,
  options: Partial<RegistryClient.EndpointOptions> = {}
) {
  const services = yield* Layer.build(
    Layer.mergeAll(
      layerHttpClient,
      TokenCache.layerMemory,
      Credentials.layerBasic({
        host: new URL(url).host,
        username: "alice",
        password: Redacted.make("hunter2")
      })
    )
  )
  const registry = yield* Effect.provide(
    RegistryClient.make({ url, retry: { attempts: 0 }, ...options }),
    services
  )
  yield* Effect.ignore(registry.ping)
  return registry
})
