/** A plain HTTP server on a loopback port, for what the embedded registry would never do. */
import { createServer, type RequestListener, type Server } from "node:http"
import * as Effect from "effect/Effect"

/**
 * The server, its URL, and the connections made to it and still open. It leaves idle connections
 * alone, and tells the client to do the same.
 */
export const serve = (listener: RequestListener) =>
  Effect.gen(function* () {
    const counted = { made: 0, open: 0 }
    const server = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const starting = createServer({ keepAliveTimeout: 600_000 }, listener).on(
          "connection",
          (socket) => {
            counted.made++
            counted.open++
            socket.once("close", () => counted.open--)
          }
        )
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) =>
        Effect.async<void>((resume) => {
          running.close(() => resume(Effect.void))
          running.closeAllConnections()
        })
    )
    const address = server.address()
    if (address === null || typeof address === "string")
      return yield* Effect.dieMessage("the server has no port")
    return { url: `http://127.0.0.1:${address.port}/`, counted }
  })

/**
 * Waits until something is so, looking every few milliseconds; the time limit of the test ends it.
 */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    holds() ? Effect.void : Effect.zipRight(Effect.sleep("5 millis"), until(holds))
  )
