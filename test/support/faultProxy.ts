/**
 * A proxy before a registry that breaks exchanges as it is told: at a request, at a byte, in either
 * direction.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Transform } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * What happens to one exchange.
 *
 * - `cut`, `reset`: the connection is closed, or reset, once `at` bytes of the body (of the request
 *   if `up`, else of the answer) went through.
 * - `stall`: nothing more goes through from that byte on, and the connection stays, taking in what
 *   comes.
 * - `flip`: the byte at `at` of a blob or manifest becomes another one. Other bodies have no
 *   digest, so that nobody could tell, and go through.
 * - `status`: an answer of the proxy's own: before the registry has seen anything, or (`late`)
 *   instead of the registry's own answer.
 */
export type Fault =
  | { readonly kind: "cut" | "reset" | "stall" | "flip"; readonly up: boolean; readonly at: number }
  | {
      readonly kind: "status"
      readonly status: number
      readonly late: boolean
      /** What `Retry-After` says, in seconds. */
      readonly retryAfter?: number
    }

export interface FaultProxy {
  readonly url: string
  /**
   * The faults of the exchanges to come, by their order of arrival; an exchange without one goes
   * through.
   */
  faults: Array<Fault | undefined>
  /** How long every answer pauses after each piece, in milliseconds. */
  pause: number
  /** `METHOD path range` of every request, with the status that went back, if one did. */
  readonly log: Array<{ readonly line: string; readonly fault?: Fault; status?: number }>
  /** Exchanges under way. */
  readonly active: () => number
}

export const faultProxy = (upstream: string): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const target = new URL(upstream)
        const active = new Set<IncomingMessage>()
        const proxy = {
          url: "",
          faults: [],
          pause: 0,
          log: [],
          active: () => active.size
        } as FaultProxy & {
          url: string
        }
        const server = createServer((incoming, outgoing) => {
          active.add(incoming)
          outgoing.once("close", () => active.delete(incoming))
          exchange(proxy, target, incoming, outgoing)
        })
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
        proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        return { proxy, server }
      }),
      ({ server }) =>
        Effect.promise(() => {
          server.closeAllConnections()
          return new Promise<void>((resolve) => server.close(() => resolve()))
        })
    ),
    ({ proxy }) => proxy
  )

const exchange = (
  proxy: FaultProxy,
  target: URL,
  incoming: IncomingMessage,
  outgoing: ServerResponse
): void => {
  const { headers, method, url } = incoming
  const next = proxy.faults.shift()
  const fault = next?.kind === "flip" && !/\/(blobs|manifests)\//.test(url ?? "") ? undefined : next
  const entry: FaultProxy["log"][number] = {
    line: headers.range === undefined ? `${method} ${url}` : `${method} ${url} ${headers.range}`,
    ...(fault !== undefined && { fault })
  }
  proxy.log.push(entry)
  const answer = (status: number) => {
    incoming.resume()
    entry.status = status
    const body = JSON.stringify({ errors: [{ code: "UNAVAILABLE", message: "broken on purpose" }] })
    const after = fault?.kind === "status" ? fault.retryAfter : undefined
    if (after !== undefined) outgoing.setHeader("retry-after", after)
    outgoing
      .writeHead(status, { "content-type": "application/json", "content-length": body.length })
      .end(body)
  }
  if (fault?.kind === "status" && !fault.late) {
    answer(fault.status)
    return
  }
  const strike = (kind: "cut" | "reset" | "stall") => {
    upstream.destroy()
    if (kind === "cut") incoming.socket.destroy()
    if (kind === "reset") incoming.socket.resetAndDestroy()
  }
  const upstream = request(
    {
      host: target.hostname,
      port: target.port,
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers, host: incoming.headers.host }
    },
    (response) => {
      if (fault?.kind === "status") {
        response.resume()
        answer(fault.status)
        return
      }
      const breaking = fault !== undefined && !fault.up ? fault : undefined
      if (breaking !== undefined && breaking.kind !== "flip" && breaking.at < 0) {
        strike(breaking.kind)
        return
      }
      entry.status = response.statusCode ?? 0
      outgoing.writeHead(response.statusCode ?? 0, response.headers)
      outgoing.flushHeaders()
      relay(response, outgoing, breaking, strike, proxy.pause)
    }
  )
  upstream.on("error", () => {
    if (!outgoing.headersSent && !incoming.destroyed && fault === undefined)
      incoming.socket.destroy()
  })
  outgoing.on("close", () => upstream.destroy())
  relay(incoming, upstream, fault?.kind !== "status" && fault?.up ? fault : undefined, strike)
}

/** Passes a body on, up to the byte at which it breaks. */
const relay = (
  from: IncomingMessage,
  to: NodeJS.WritableStream,
  fault: Exclude<Fault, { kind: "status" }> | undefined,
  strike: (kind: "cut" | "reset" | "stall") => void,
  pause = 0
): void => {
  from.on("error", () => undefined)
  if (fault === undefined) {
    const paused = new Transform({
      transform: (piece, _, next) => void setTimeout(next, pause, null, piece)
    })
    if (pause > 0) from.pipe(paused).pipe(to)
    else from.pipe(to)
    return
  }
  const { at, kind } = fault
  if (kind === "flip") {
    from.pipe(flipping(at)).pipe(to)
    return
  }
  let left = at
  let struck = false
  const fire = () => {
    if (struck) return
    struck = true
    // What went through before is on its way out first.
    setImmediate(() => strike(kind))
  }
  from.on("data", (bytes: Buffer) => {
    if (struck) return
    if (bytes.length < left) {
      left -= bytes.length
      to.write(bytes)
    } else {
      to.write(bytes.subarray(0, left))
      fire()
    }
  })
  // A body shorter than the byte in question breaks at its end, where there is nothing left to wait
  // for.
  from.on("end", () => (kind === "stall" ? to.end() : fire()))
}

/** Makes the byte at `at` another one. */
const flipping = (at: number): Transform => {
  let offset = 0
  return new Transform({
    transform: (piece: Buffer, _, next) => {
      const changed = Buffer.from(piece)
      const byte = piece[at - offset]
      if (byte !== undefined) changed[at - offset] = byte ^ 1
      offset += piece.length
      next(null, changed)
    }
  })
}
