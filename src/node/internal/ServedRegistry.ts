/** The server of `NodeRegistryServer`, apart so that it is loaded by those who serve alone. */
import * as HttpServer from "@effect/platform/HttpServer"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Registry } from "../../Registry.js"
import * as RegistryServer from "../../server/RegistryServer.js"
import * as RegistryHttpServer from "./RegistryHttpServer.js"

/** How to serve, and where. */
export interface Options extends RegistryServer.Options {
  /** The port, 0 for one that is free: the URL of the service has it. */
  readonly port: number
  /** The address to listen on, `127.0.0.1` by default; `0.0.0.0` for all of this machine. */
  readonly host?: string | undefined
  /** The certificate and its key, as PEM, to serve https; plain http without. */
  readonly tls?: { readonly cert: string; readonly key: Redacted.Redacted } | undefined
  /**
   * For how long a connection may stand still while the server waits for its client, 1 minute by
   * default. A request may take any time as long as it moves.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * For how long requests may go on when the layer is released, 30 seconds by default. No new
   * connections are accepted then, and those that are there are closed with their next response.
   */
  readonly shutdownTimeout?: Duration.DurationInput | undefined
  /**
   * For how long connections without a request stay open when the layer is released, 250
   * milliseconds by default: a request that is on its way then gets a response.
   */
  readonly quietPeriod?: Duration.DurationInput | undefined
}

/** Serves the `Registry` in the environment on a port. */
export const layer = (
  options: Options
): Layer.Layer<RegistryServer.RegistryServer, ServeError, Registry> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const server = yield* RegistryHttpServer.make({
        port: options.port,
        host: options.host ?? "127.0.0.1",
        tls: options.tls && { cert: options.tls.cert, key: Redacted.value(options.tls.key) },
        idleTimeout: Duration.toMillis(options.idleTimeout ?? "1 minute"),
        quietPeriod: Duration.toMillis(options.quietPeriod ?? "250 millis"),
        shutdownTimeout: Duration.toMillis(options.shutdownTimeout ?? "30 seconds")
      })
      return RegistryServer.layer({ url: urlOf(options, server.address), ...options }).pipe(
        Layer.provide(Layer.succeed(HttpServer.HttpServer, server))
      )
    })
  )

/** Addresses that stand for all of a machine are no place to connect to. */
const urlOf = ({ tls }: Options, address: HttpServer.Address): string => {
  if (address._tag !== "TcpAddress") return ""
  const scheme = tls === undefined ? "http" : "https"
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[address.hostname] ?? address.hostname
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${address.port}`
}
