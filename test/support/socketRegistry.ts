/**
 * A registry on a socket that is a script: what it answers to each line (method, path and query),
 * and what it was asked. The client is the one that programs on Node have.
 */
import type { IncomingMessage } from "node:http"
import { buffer } from "node:stream/consumers"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { serve } from "./serve.js"

/** One response; several are given in order, and the last of them for ever after. */
export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface Asked {
  readonly line: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

export type Script = Readonly<Record<string, Reply | ReadonlyArray<Reply>>>

/** Serves a script on a socket; what is not in it is 599. */
export const scriptOn = (script: (url: string) => Script) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const counts = new Map<string, number>()
    const { url: root } = yield* serve((request, response) => {
      const line = `${request.method} ${request.url}`
      const entry = script(url)[line] ?? { status: 599 }
      const replies: ReadonlyArray<Reply> = "length" in entry ? entry : [entry]
      const count = counts.get(line) ?? 0
      counts.set(line, count + 1)
      const {
        body = "",
        headers = {},
        status = 200
      } = replies[Math.min(count, replies.length - 1)] ?? {}
      buffer(request).then((received) => {
        asked.push({ line, headers: request.headers, body: received.toString("utf8") })
        response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body)
      })
    })
    const url = root.replace(/\/$/, "")
    return { url, asked, lines: () => asked.map(({ line }) => line) }
  })

/** A client of the registry at `url` over undici, for as long as the test, which does not retry. */
export const clientOf = (url: string, options: Partial<RegistryClient.EndpointOptions> = {}) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(
      Layer.mergeAll(NodeHttp.layer(), TokenCache.layerMemory, Credentials.layerAnonymous)
    )
    return yield* Effect.provide(
      RegistryClient.make({ url, retry: { attempts: 0 }, ...options }),
      services
    )
  }).pipe(Effect.orDie)

/** A registry that answers as a script says, and its client. */
export const socketRegistry = (script: (url: string) => Script) =>
  Effect.gen(function* () {
    const server = yield* scriptOn(script)
    return { ...server, registry: yield* clientOf(server.url) }
  })
