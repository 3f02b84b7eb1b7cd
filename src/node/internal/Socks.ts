/**
 * Connections through a SOCKS proxy, by the package `socks`: version 5 (RFC 1928, RFC 1929), and 4
 * with the extension 4a. undici has an agent for version 5 in its newest releases, which waits for
 * TLS without bound, takes IPv6 addresses for names, and has pools of its own, with other limits
 * than those of this library.
 */
import type * as Net from "node:net"
import { buildConnector, errors as Errors } from "@effect/platform-node/Undici"
import { ProxyError, connector as toProxy } from "./ProxyError.js"

/** Whether a proxy's URL is of some version of SOCKS. */
export const isSocks = ({ protocol }: URL): boolean => /^socks(4a?|5h?)?:$/.test(protocol)

/**
 * What is wrong with the URL of a SOCKS proxy, if anything is. It can hold a password, so nothing
 * of it is repeated.
 */
export const problemOf = (proxy: URL): string | undefined => {
  if (proxy.hostname === "") return "its URL has no host"
  const { password, userId } = loginOf(proxy)
  return Math.max(Buffer.byteLength(userId), Buffer.byteLength(password)) > 255
    ? "its user name or password has more than 255 bytes"
    : undefined
}

/**
 * Makes connections for undici through a proxy, which resolves all names. `timeout`, in
 * milliseconds, bounds each of three steps: the connection to the proxy, what the proxy is told,
 * and TLS.
 */
export const connector = (
  proxy: URL,
  tls: buildConnector.BuildOptions & { readonly timeout: number }
): buildConnector.connector => {
  const connect = toProxy(proxy, buildConnector({ timeout: tls.timeout }))
  const secure = buildConnector(tls)
  return (options, callback) => {
    const target = {
      host: options.hostname,
      port: Number(options.port) || (options.protocol === "https:" ? 443 : 80)
    }
    open(proxy, target, tls.timeout, connect).then(
      (socket) =>
        options.protocol === "https:"
          ? secure({ ...options, httpSocket: socket }, callback)
          : callback(null, socket),
      (failure) => callback(failure, null)
    )
  }
}

interface Target {
  readonly host: string
  readonly port: number
}

/** Connects to a target. What is read from the socket then comes from the target. */
const open = async (
  proxy: URL,
  target: Target,
  timeout: number,
  connect: buildConnector.connector
): Promise<Net.Socket> => {
  // The package is an optional peer: only who has such a proxy needs it.
  const { SocksClient } = await import("socks").catch((cause: unknown) => {
    const message =
      "A SOCKS proxy needs the package socks: run npm install socks, name a proxy as http://…, " +
      `or except ${target.host} in NO_PROXY`
    throw new ProxyError("ERR_PROXY_UNSUPPORTED", message, { cause })
  })
  const host = proxy.hostname.replace(/^\[|\]$/g, "")
  const port = Number(proxy.port) || 1080
  // The package would connect by itself, and lose the codes of the system.
  const socket = await new Promise<Net.Socket>((resolve, reject) => {
    const place = { hostname: host, port: String(port), protocol: "http:" }
    connect(place, (failure, connected) =>
      failure === null ? resolve(connected) : reject(failure)
    )
  })
  try {
    await SocksClient.createConnection({
      command: "connect",
      proxy: { host, port, type: versionOf(proxy), ...loginOf(proxy) },
      destination: target,
      existing_socket: socket,
      timeout
    })
    return socket
  } catch (failure) {
    socket.destroy()
    // The error of the package holds the password, and of the system's error only the words.
    const words = failure instanceof Error ? failure.message : ""
    throw socket.errored ?? failureOf(words, proxy, target)
  }
}

/** What the package says in words alone, as an error with a code. */
const failureOf = (words: string, proxy: URL, target: Target): Error => {
  const name = `The SOCKS proxy at ${proxy.hostname}:${proxy.port || 1080}`
  const place = `${target.host}:${target.port}`
  const refused = (what: string) => new ProxyError("ERR_PROXY_REFUSED", `${name} ${what}`)
  const unreached = (what: string) => new ProxyError("ERR_PROXY_UNREACHED", `${name} ${what}`)

  if (/timed out/.test(words))
    return new Errors.ConnectTimeoutError(`${name} did not answer in time`)
  if (/socket closed/i.test(words)) return unreached("closed the connection")
  if (/destination/.test(words)) return refused("takes names of 255 bytes at most")

  const { password, userId } = loginOf(proxy)
  const hasLogin = userId !== "" || password !== ""
  if (/authentication/i.test(words) && !hasLogin)
    return refused("demands a user name and password: write them into its URL")
  if (/authentication failed/i.test(words))
    return refused("does not accept the user name and password in its URL")
  if (/authentication/i.test(words))
    return refused("accepts no user name and password, and no connection without them")

  const [, reply] = /rejected connection - \(?(\w+)/.exec(words) ?? []
  const reason = mayPass.get(reply ?? "")
  if (reason !== undefined) return unreached(`cannot reach ${place}: ${reason}`)
  // Version 4 has four replies: what is none of them does not come from such a proxy.
  if (reply === undefined || (reply === "undefined" && versionOf(proxy) === 4))
    return refused(`does not speak SOCKS ${versionOf(proxy)}: if it is an HTTP proxy, use http://…`)
  const said = reply === "undefined" ? "an unknown reply" : reply
  return refused(`does not allow a connection to ${place} (${said})`)
}

/**
 * The replies that may pass (RFC 1928 section 6; version 4 says `Failed` of all that is not the
 * user's name); the others are the proxy's decision.
 */
const mayPass = new Map([
  ["Failed", "rejected or failed"],
  ["Failure", "general failure"],
  ["NetworkUnreachable", "the network is unreachable"],
  ["HostUnreachable", "the host is unreachable"],
  ["ConnectionRefused", "the connection was refused"],
  ["TTLExpired", "the time to live expired"]
])

const versionOf = ({ protocol }: URL): 4 | 5 => (protocol.startsWith("socks4") ? 4 : 5)

const loginOf = ({ password, username }: URL) => ({
  userId: decodeURIComponent(username),
  password: decodeURIComponent(password)
})
