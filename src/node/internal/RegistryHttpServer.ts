/**
 * Node's HTTP server as a registry needs it: uploads may take any time as long as they move,
 * connections that stand still are closed, and a stop lets requests end.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES
} from "node:http"
import { createServer as createTlsServer } from "node:https"
import { Server as NetServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as HttpServer from "@effect/platform/HttpServer"
import { ServeError } from "@effect/platform/HttpServerError"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ErrorBody from "../../protocol/ErrorBody.js"

/** Where to listen, and for how long to wait; durations in milliseconds. */
export interface Options {
  readonly port: number
  readonly host: string
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** For how long a connection may stand still while the server waits for its client. */
  readonly idleTimeout: number
  /** For how long an idle connection stays open when the server stops. */
  readonly quietPeriod: number
  /** For how long requests may go on when the server stops. */
  readonly shutdownTimeout: number
}

/**
 * Makes the server, which listens when the Effect ends. When the Scope of what it serves closes it
 * accepts no more connections, and closes each of those that it has with its next response. Idle
 * ones are closed after `quietPeriod`, and those with requests after `shutdownTimeout`.
 */
export const make = (
  options: Options
): Effect.Effect<HttpServer.HttpServer, ServeError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(listening(options), (running) =>
      running.stop(options)
    )
    const address = server.http.address()
    if (address === null || typeof address === "string")
      return yield* new ServeError({ cause: new Error("The server does not listen on TCP") })
    return HttpServer.make({
      address: { _tag: "TcpAddress", hostname: address.address, port: address.port },
      serve: (app, middleware) =>
        Effect.gen(function* () {
          const handler = yield* middleware === undefined
            ? NodeHttpServer.makeHandler(app)
            : NodeHttpServer.makeHandler(app, middleware)
          yield* Effect.acquireRelease(
            Effect.sync(() => server.serve(handler)),
            // The application answers until no connection is left, and is released then.
            () => server.stop(options)
          )
        })
    })
  })

const settings: ServerOptions = {
  // Node's 300 s would end a large upload that is still moving; `idleTimeout` ends those that are
  // not.
  requestTimeout: 0,
  headersTimeout: 60_000,
  // Longer than clients keep idle connections, or a request meets the end of its connection.
  keepAliveTimeout: 65_000,
  // That is refused here, with a list of errors.
  requireHostHeader: false,
  // Ten tags of 128 characters and a token of 8 KiB have room.
  maxHeaderSize: 32 * 1024
}

const listening = (options: Options): Effect.Effect<RunningServer, ServeError> =>
  Effect.async((resume) => {
    const http =
      options.tls === undefined
        ? createServer(settings)
        : createTlsServer({ ...settings, ...options.tls })
    const failed = (cause: Error) => resume(new ServeError({ cause }))
    http.once("error", failed).listen(options.port, options.host, () => {
      http.off("error", failed)
      resume(Effect.succeed(new RunningServer(http, options.idleTimeout)))
    })
  })

class RunningServer {
  /** The connections, and the responses that are due on each. */
  private readonly connections = new Map<Duplex, Set<ServerResponse>>()
  private quietPeriod: number | undefined

  constructor(
    readonly http: Server,
    private readonly idleTimeout: number
  ) {
    http.on("connection", (socket) => this.connected(socket))
    http.on("request", (request, response) => this.began(request, response))
    http.on("checkContinue", (request, response) => {
      this.expecting(request, response)
      http.emit("request", request, response)
    })
    http.on("checkExpectation", (_request, response) =>
      respond(response, 417, "The server expects nothing but 100-continue")
    )
    http.setTimeout(idleTimeout, (socket) => this.timedOut(socket))
    http.on("clientError", (error, socket) => this.malformed(error, socket))
    http.on("connect", (_request, socket) => refuse(socket, 405, "This is not a proxy"))
  }

  /** Has requests handled. One without a host is none (RFC 9112 section 3.2). */
  serve(handler: RequestListener): void {
    this.http.on("request", (request, response) => {
      if (request.headers.host === undefined && request.httpVersion === "1.1")
        respond(response, 400, "The request has no Host")
      else handler(request, response)
    })
  }

  /** Ends when no connection is left. */
  stop({ quietPeriod, shutdownTimeout }: Options): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      this.quietPeriod = quietPeriod
      const end = setTimeout(() => this.http.closeAllConnections(), shutdownTimeout)
      // That of node:http would close idle connections at once, on which requests may be coming.
      NetServer.prototype.close.call(this.http, () => {
        clearTimeout(end)
        resume(Effect.void)
      })
      for (const [socket, responses] of this.connections) {
        for (const response of responses) response.shouldKeepAlive = false
        this.closeWhenQuiet(socket)
      }
    })
  }

  private connected(socket: Socket): void {
    this.connections.set(socket, new Set())
    socket.once("close", () => this.connections.delete(socket))
  }

  private began({ socket }: IncomingMessage, response: ServerResponse): void {
    const responses = this.connections.get(socket)
    responses?.add(response)
    response.once("close", () => {
      responses?.delete(response)
      // One whose head had been sent when the server stopped leaves its connection open.
      this.closeWhenQuiet(socket)
    })
    if (this.quietPeriod !== undefined) response.shouldKeepAlive = false
  }

  /**
   * Lets a client that waits for a 100 send its body when that is first read, so that it hears of a
   * refusal instead (RFC 9110 section 10.1.1). Node ends the connection with a response that comes
   * without a 100: the client may send the body all the same, or not.
   */
  private expecting(request: IncomingMessage, response: ServerResponse): void {
    const { headers, _read: read } = request
    const proceed = () => {
      const [next = response] = this.connections.get(request.socket) ?? []
      // Node would write it into the response to an earlier request.
      if (!response.headersSent && next === response) response.writeContinue()
    }
    if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined)
      return void proceed()
    request._read = (size) => {
      request._read = read
      request._read(size)
      proceed()
    }
  }

  private closeWhenQuiet(socket: Duplex): void {
    if (this.quietPeriod === undefined) return
    setTimeout(() => {
      if (this.connections.get(socket)?.size === 0) socket.end(() => socket.destroy())
    }, this.quietPeriod)
  }

  /** Closes a connection on which nothing moves, unless it is the server that is at work. */
  private timedOut(socket: Socket): void {
    const [response] = this.connections.get(socket) ?? []
    const isReading = response !== undefined && response.req.readableLength > 0
    const isWorking = isReading || (response?.req.complete === true && socket.writableLength === 0)
    if (isWorking) socket.setTimeout(this.idleTimeout)
    else socket.destroy()
  }

  /** What Node's parser does not take never becomes a request. */
  private malformed({ code }: NodeJS.ErrnoException, socket: Duplex): void {
    const [response] = this.connections.get(socket) ?? []
    if (response?.headersSent === true || !socket.writable) return void socket.destroy()
    const [status, message] = malformations[code ?? ""] ?? [400, "This is not HTTP/1.1"]
    refuse(socket, status, message)
  }
}

const malformations: Readonly<Record<string, readonly [status: number, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "The head of the request did not come in time"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "The extensions of a chunk are too large"],
  HPE_HEADER_OVERFLOW: [431, "The head of the request is too large"]
}

const respond = (response: ServerResponse, status: number, message: string): void => {
  const [body, headers] = refusal(message)
  response.writeHead(status, headers).end(response.req.method === "HEAD" ? undefined : body)
}

/** Writes a response without Node, and closes the connection when the client has had time. */
const refuse = (socket: Duplex, status: number, message: string): void => {
  if (socket.writableEnded) return
  // Node leaves the socket of a CONNECT alone: its errors would end the process.
  socket.on("error", () => socket.destroy())
  const [body, headers] = refusal(message)
  const fields = Object.entries({ ...headers, connection: "close" })
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      ...fields.map(([name, value]) => `${name}: ${value}`),
      "",
      body
    ].join("\r\n")
  )
  setTimeout(() => socket.destroy(), 1000).unref()
}

const refusal = (message: string) => {
  const body = ErrorBody.encode([{ code: "UNSUPPORTED", message }])
  return [
    body,
    {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "docker-distribution-api-version": "registry/2.0"
    }
  ] as const
}
