/**
 * The connection that a request came on, and how it breaks. `@effect/platform` has no word for it:
 * on Node the socket of the request is broken; a request without a socket is marked, for the client
 * in the same process to fail as it would have on a socket.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as RequestBody from "./RequestBody.js"

/**
 * How a connection breaks: `FIN` closes it in order, after what was written; `RST` resets it
 * (V36).
 */
export type Break = "FIN" | "RST"

/** What Node's requests have, of which this module needs no more. */
interface Socket {
  readonly writable: boolean
  readonly once: (event: "close", listener: () => void) => unknown
  readonly write: (bytes: string, done: () => void) => unknown
  readonly end: () => unknown
  readonly destroy: () => unknown
  destroySoon?: () => unknown
  readonly resetAndDestroy: () => unknown
}

const broken = new WeakMap<object, Break>()

/**
 * Breaks the connection of a request once what was written is on its way, and never returns on a
 * socket: its request is interrupted when the connection is closed. A connection that is closed
 * with unread bytes is reset, so what the client still sends is read. Without a socket it returns
 * at once, and `failure` tells what happened.
 */
export const breakOff = (
  request: HttpServerRequest,
  how: Break
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.suspend(() => {
    const { source } = request
    const socket = socketOf(source)
    if (socket === undefined) {
      if (typeof source === "object" && source !== null) broken.set(source, how)
      return Effect.void
    }
    if (how === "FIN") socket.end()
    else socket.write("", () => reset(socket))
    return Effect.interruptible(
      Effect.gen(function* () {
        if (how === "FIN") yield* RequestBody.drain(request)
        // A client that does not take the end of a connection for one is not waited for.
        yield* Effect.sleep("10 seconds")
        socket.destroy()
        yield* Effect.never
      })
    )
  })

/**
 * Returns what a client fails with whose request was not answered, or undefined. `source` is what
 * the platform made the request from: a web `Request`.
 */
export const failure = (source: object): Error | undefined => {
  const how = broken.get(source)
  return how === undefined ? undefined : errorOf(how)
}

/** Returns the error of a connection that broke, with the code that it has on Node. */
export const errorOf = (how: Break): Error =>
  how === "FIN"
    ? Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" })
    : Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" })

/**
 * Node would send FIN before RST, and the client see the end of the connection: it finishes
 * writing first, which is done. A connection over TLS cannot be reset.
 */
const reset = (socket: Socket): void => {
  socket.destroySoon = socket.destroy
  try {
    socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}

/**
 * Whether a request came on a socket: what is written to that is sent, and nobody in this process
 * gets to see the arrays.
 */
export const isSocket = ({ source }: HttpServerRequest): boolean => socketOf(source) !== undefined

/**
 * Waits until a response is the next one on its connection, and ends that to a client that has
 * gone. `@effect/platform-node` would write either, and wait for an end that a closed connection
 * never has.
 */
export const awaitTurn = (request: HttpServerRequest): Effect.Effect<void> =>
  Effect.async((resume) => {
    const response: unknown = Reflect.get(request, "resolvedResponse")
    const socket = socketOf(request.source)
    if (socket === undefined || !isResponse(response)) return resume(Effect.void)
    const proceed = () => {
      if (!socket.writable && !response.writableEnded) response.end()
      resume(Effect.void)
    }
    // Responses to pipelined requests have a socket in turn.
    if (response.socket !== null || !socket.writable) return proceed()
    const queue = queued.get(socket) ?? queueOf(socket)
    queue.add(proceed)
    response.once("socket", () => {
      queue.delete(proceed)
      proceed()
    })
  })

/** What waits on each connection for its turn, or for the connection to be closed. */
const queued = new WeakMap<Socket, Set<() => void>>()

const queueOf = (socket: Socket): Set<() => void> => {
  const queue = new Set<() => void>()
  queued.set(socket, queue)
  socket.once("close", () => {
    for (const proceed of queue) proceed()
  })
  return queue
}

interface Response {
  readonly socket: unknown
  readonly writableEnded: boolean
  readonly once: (event: "socket", listener: () => void) => unknown
  readonly end: () => unknown
}

const isResponse = (value: unknown): value is Response =>
  typeof value === "object" &&
  value !== null &&
  typeof Reflect.get(value, "writableEnded") === "boolean" &&
  typeof Reflect.get(value, "end") === "function"

const socketOf = (source: unknown): Socket | undefined => {
  if (typeof source !== "object" || source === null || !("socket" in source)) return undefined
  const { socket } = source
  return canBreak(socket) ? socket : undefined
}

const canBreak = (value: unknown): value is Socket =>
  typeof value === "object" &&
  value !== null &&
  ["write", "end", "destroy", "resetAndDestroy"].every(
    (name) => typeof Reflect.get(value, name) === "function"
  )
