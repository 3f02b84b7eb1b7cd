/** What is wrong with a proxy, in words fit for users. */
import {
  type buildConnector,
  type Dispatcher,
  errors as Errors,
  Pool
} from "@effect/platform-node/Undici"
import { codeOf } from "../../internal/CauseDetails.js"
import * as TransportCause from "../../internal/TransportCause.js"
import { ofTls } from "../../internal/TransportMessage.js"

/**
 * What a proxy said, or is not asked. The code tells what it means (`TransportCause.ofRequest`);
 * the message is all there is to say.
 */
export class ProxyError extends Error {
  constructor(
    readonly code:
      | "ERR_PROXY_REFUSED"
      | "ERR_PROXY_TLS"
      | "ERR_PROXY_UNREACHED"
      | "ERR_PROXY_UNSUPPORTED",
    message: string,
    options?: ErrorOptions
  ) {
    super(message, options)
  }
}

/** How the user is told to look at what was configured. */
const settings = "see HTTP_PROXY, HTTPS_PROXY and the option http.proxy"

/** Returns the error of a connection to a proxy that could not be made, or broke. */
export const ofConnection = (proxy: URL, cause: Error): Error => {
  // What it responded, and that it made no tunnel in time, is told of elsewhere.
  if (
    cause instanceof ProxyError ||
    cause instanceof Errors.RequestAbortedError ||
    cause instanceof Errors.HeadersTimeoutError
  )
    return cause
  const code = codeOf(cause)
  const host = hostOf(proxy)
  return TransportCause.ofRequest(cause) === "Tls"
    ? new ProxyError(
        "ERR_PROXY_TLS",
        `No secure connection to the proxy: ${code} ${host}; ${ofTls(cause)}`,
        { cause }
      )
    : new ProxyError(
        "ERR_PROXY_UNREACHED",
        code === "UND_ERR_SOCKET" || code === "ECONNRESET"
          ? `The proxy ${host} closed the connection: check that it is an HTTP proxy; ${settings}`
          : `No connection to the proxy: ${code} ${host}; check that it runs; ${settings}`,
        { cause }
      )
}

const hostOf = ({ hostname, port, protocol }: URL): string =>
  `${hostname}:${port || (protocol === "https:" ? 443 : /^socks/.test(protocol) ? 1080 : 80)}`

/** Makes connections to a proxy whose failures say that it is one. */
export const connector =
  (proxy: URL, connect: buildConnector.connector): buildConnector.connector =>
  (options, callback) =>
    connect(options, (...[failure, socket]) =>
      failure === null ? callback(null, socket) : callback(ofConnection(proxy, failure), null)
    )

/**
 * Connections to a proxy that become tunnels. Their failures say that it is one, and have a code of
 * this library's: undici connects again without end after its own `UND_ERR_SOCKET`, as when a proxy
 * closes the connection instead of responding to `CONNECT`.
 */
export class TunnelPool extends Pool {
  constructor(
    private readonly proxy: URL,
    options: Pool.Options
  ) {
    super(proxy, options)
  }

  override connect(options: ConnectOptions): Promise<Dispatcher.ConnectData>
  override connect(options: ConnectOptions, callback: ConnectCallback): void
  override connect(
    options: ConnectOptions,
    callback?: ConnectCallback
  ): Promise<Dispatcher.ConnectData> | undefined {
    if (callback !== undefined) {
      super.connect(options, callback)
      return undefined
    }
    return super.connect(options).catch((failure: unknown) => {
      throw failure instanceof Error ? ofConnection(this.proxy, failure) : failure
    })
  }
}

type ConnectOptions = Omit<Dispatcher.ConnectOptions, "origin">
type ConnectCallback = (failure: Error | null, data: Dispatcher.ConnectData) => void
