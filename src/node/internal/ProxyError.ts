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
import { isTransientStatus } from "../../RegistryError.js"

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
    /** `status`: that of its response, if it is an HTTP proxy and has sent one. */
    { status, ...options }: ErrorOptions & { readonly status?: number } = {}
  ) {
    super(message, options)
    if (status !== undefined) this.status = status
  }

  readonly status?: number
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

/** Returns the error of a response with which a proxy declines to lead to a target. */
export const ofStatus = (proxy: URL, status: number, target: string): ProxyError => {
  const host = hostOf(proxy)
  // Of Basic, tinyproxy refuses a wrong password as the server itself would.
  if (status === 407 || status === 401) {
    const problem =
      proxy.username === ""
        ? "wants a user name and password: write them into its URL"
        : "does not accept the user name and password in its URL: correct them"
    return new ProxyError(
      "ERR_PROXY_REFUSED",
      `The proxy ${host} (${status}) ${problem}; ${settings}`,
      { status }
    )
  }
  return isTransientStatus(status)
    ? new ProxyError(
        "ERR_PROXY_UNREACHED",
        `The proxy ${host} cannot reach ${target} (${status}): check that name and port`,
        { status }
      )
    : new ProxyError(
        "ERR_PROXY_REFUSED",
        `The proxy ${host} does not let through to ${target} (${status}): ` +
          `ask whoever runs it, or see whether another is meant; ${settings}`,
        { status }
      )
}

/**
 * Returns the failure of a request through a proxy, by name where it wants a password for plain
 * http, which undici says in words alone.
 */
export const named = (failure: unknown, proxy: URL | undefined, target: string): unknown =>
  proxy !== undefined &&
  failure instanceof Errors.InvalidArgumentError &&
  /\(407\)$/.test(failure.message)
    ? ofStatus(proxy, 407, target)
    : failure

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
    return super.connect(options).then(
      (tunnel) => {
        if (tunnel.statusCode === 200) return tunnel
        tunnel.socket.on("error", () => undefined).destroy()
        throw ofStatus(this.proxy, tunnel.statusCode, options.path ?? "")
      },
      (failure: unknown) => {
        throw failure instanceof Error ? ofConnection(this.proxy, failure) : failure
      }
    )
  }
}

type ConnectOptions = Omit<Dispatcher.ConnectOptions, "origin">
type ConnectCallback = (failure: Error | null, data: Dispatcher.ConnectData) => void
