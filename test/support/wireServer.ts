/**
 * A server that is written byte for byte, for what no HTTP server would do: it sees the head of
 * each request and the connection that it came on.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Certificates from "./certificates.js"
import { authorities, portOf } from "./https.js"

/** A request without a body, and where it came from. */
export interface WireRequest {
  /** Method and path. */
  readonly line: string
  /** The request as it came, without the empty line at its end. */
  readonly head: string
  /** Connections are numbered from 1. */
  readonly connection: number
  readonly socket: Net.Socket
}

/** What was asked on which connection, and the connections that are still open. */
export interface Wire {
  readonly url: string
  /** `1 HEAD /path` */
  readonly log: Array<string>
  readonly open: Set<number>
}

/** Serves `http`, or `https` by the authority "ours", on a free port of this machine. */
export const wireServer = (
  onRequest: (request: WireRequest) => void,
  { secure = false }: { readonly secure?: boolean } = {}
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const open = new Set<number>()
    const sockets = new Set<Net.Socket>()
    let made = 0
    const onConnection = (socket: Net.Socket) => {
      const connection = ++made
      open.add(connection)
      sockets.add(socket)
      let text = ""
      socket.setNoDelay(true)
      socket.setEncoding("latin1")
      socket.on("error", () => undefined)
      socket.on("close", () => {
        open.delete(connection)
        sockets.delete(socket)
      })
      socket.on("data", (part) => {
        text += part
        for (let end = text.indexOf("\r\n\r\n"); end !== -1; end = text.indexOf("\r\n\r\n")) {
          const head = text.slice(0, end)
          text = text.slice(end + 4)
          const line = head.split(" ", 2).join(" ")
          log.push(`${connection} ${line}`)
          onRequest({ line, head, connection, socket })
        }
      })
    }
    const server = secure
      ? Tls.createServer(
          yield* Effect.flatMap(authorities, ({ ours }) => Certificates.server(ours, "localhost")),
          onConnection
        )
      : Net.createServer(onConnection)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const wire: Wire = {
      url: `${secure ? "https" : "http"}://localhost:${portOf(server)}`,
      log,
      open
    }
    return wire
  })
