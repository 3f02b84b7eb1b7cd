/** A proxy before a registry that sees how many bytes each request brings. */
import { request as ask, type IncomingMessage } from "node:http"
import { pipeline } from "node:stream"
import * as Effect from "effect/Effect"
import { serve } from "./serve.js"

/** One request: its method, its path, and the bytes of its body that came. */
export interface Metered {
  readonly method: string
  readonly path: string
  bytes: number
}

/** Serves what is at `target`. A connection that breaks off does so on the other side, too. */
export const metered = (target: string) =>
  Effect.gen(function* () {
    const log: Array<Metered> = []
    const open = new Set<IncomingMessage>()
    let isBroken = false
    const { url } = yield* serve((request, response) => {
      const { headers, method = "", url: path = "" } = request
      const one = { method, path: path.replace(/\?.*/, ""), bytes: 0 }
      log.push(one)
      if (isBroken) return void request.socket.destroy()
      open.add(request)
      request.once("close", () => open.delete(request))
      const upstream = ask(new URL(path, target), { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        pipeline(answer, response, () => undefined)
      })
      request.on("data", (bytes: Buffer) => {
        one.bytes += bytes.length
      })
      pipeline(request, upstream, (error) => {
        if (error) response.destroy()
      })
    })
    return {
      url: url.replace(/\/$/, ""),
      log,
      /** Breaks off what is open and takes nothing more, or does again. */
      breakOff: (broken: boolean) => {
        isBroken = broken
        for (const { socket } of open) socket.destroy()
      },
      /** The bytes of blobs since the last time. */
      sent: () =>
        log.splice(0).reduce((sum, { bytes, path }) => sum + (/blobs/.test(path) ? bytes : 0), 0)
    }
  })
