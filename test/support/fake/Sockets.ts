/** Origins on sockets of 127.0.0.1, each on a port of its own. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import type { ReadableStream } from "node:stream/web"
import * as Effect from "effect/Effect"
import { serve } from "../serve.js"
import * as Handler from "./Handler.js"

/** What is told of each request that an origin gets. */
export type Note = (seen: Handler.Seen) => void

/** Notes requests as `registry PUT /u/1?digest=… Basic … [12]`: who got what, and its length. */
export const noteIn =
  (log: Array<string>, name: string): Note =>
  ({ authorization = "-", bytes, line }) => {
    log.push(`${name} ${line} ${authorization}${bytes.length === 0 ? "" : ` [${bytes.length}]`}`)
  }

/** Serves a handler: its origin, such as `http://127.0.0.1:34819`. */
export const origin = (handler: Handler.Handler, note: Note = () => undefined) =>
  Effect.gen(function* () {
    const { counted, url } = yield* serve((incoming, outgoing) => {
      respond(handler, note, incoming, outgoing).catch(() => outgoing.destroy())
    })
    return { url: url.slice(0, -1), counted }
  })

const respond = async (
  handler: Handler.Handler,
  note: Note,
  incoming: IncomingMessage,
  outgoing: ServerResponse
): Promise<void> => {
  const { headers, method = "", url: target = "" } = incoming
  const request = Handler.seen({
    method,
    url: new URL(target, `http://${headers.host}`),
    line: `${method} ${target}`,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value?.toString()])
    ),
    bytes: await buffer(incoming)
  })
  note(request)
  const interruption = new AbortController()
  outgoing.once("close", () => interruption.abort())
  const reply = await Effect.runPromise(Handler.reply(handler, request), {
    signal: interruption.signal
  })
  if (reply === "cut") return void outgoing.destroy()
  if (!(reply instanceof Response)) {
    const { body, headers = {}, status } = reply
    if (typeof body !== "function")
      return void outgoing.writeHead(status, headers as OutgoingHttpHeaders).end(body)
  }
  const response = Handler.toResponse(reply)
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  outgoing.flushHeaders()
  if (response.body === null) return void outgoing.end()
  await pipeline(Readable.fromWeb(response.body as ReadableStream), outgoing)
}

/** Serves a handler, and notes its requests under a name. */
export const namedOrigin = (name: string, log: Array<string>, handler: Handler.Handler) =>
  Effect.map(origin(handler, noteIn(log, name)), ({ url }) => url)
