/**
 * Connections through a SOCKS proxy, version 5 (RFC 1928, RFC 1929). undici has an agent for them
 * in its newest versions, which waits for TLS without bound, takes IPv6 addresses for names, and
 * has pools of its own, with other limits than those of this library.
 */
import * as Net from "node:net"
import { buildConnector, errors as Errors } from "@effect/platform-node/Undici"
import ipaddr from "ipaddr.js"

/** Whether a proxy's URL is of some version of SOCKS; `connector` says which it speaks. */
export const isSocks = ({ protocol }: URL): boolean => /^socks(4a?|5h?)?:$/.test(protocol)

/**
 * What is wrong with the URL of a SOCKS proxy, if anything is. It can hold a password, so nothing
 * of it is repeated.
 */
export const problemOf = (proxy: URL): string | undefined => {
  if (proxy.hostname === "") return "its URL has no host"
  const { password, username } = loginOf(proxy)
  return Math.max(bytesOf(username).length, bytesOf(password).length) > 255
    ? "its user name or password has more than 255 bytes"
    : undefined
}

/**
 * Makes connections for undici through a proxy. Names are resolved by the proxy, for `socks5` as
 * for `socks5h`. `timeout`, in milliseconds, bounds each of three steps: the connection to the
 * proxy, what the proxy is told, and TLS.
 */
export const connector = (
  proxy: URL,
  tls: buildConnector.BuildOptions & { readonly timeout: number }
): buildConnector.connector => {
  const secure = buildConnector(tls)
  return (options, callback) => {
    const target = {
      host: options.hostname,
      port: Number(options.port) || (options.protocol === "https:" ? 443 : 80)
    }
    if (/^socks4/.test(proxy.protocol)) {
      callback(
        new ProxyError(
          "ERR_PROXY_UNSUPPORTED",
          "Only version 5 of SOCKS is supported: name a proxy as socks5://… or http://…, " +
            `or except ${target.host} in NO_PROXY`
        ),
        null
      )
      return
    }
    open(proxy, target, tls.timeout, (outcome) => {
      if (outcome instanceof Error) callback(outcome, null)
      else if (options.protocol === "https:") secure({ ...options, httpSocket: outcome }, callback)
      else callback(null, outcome)
    })
  }
}

/**
 * What a SOCKS proxy said, or is not asked. The code tells whether it may pass
 * (`ERR_PROXY_UNREACHED`); the message is fit for users.
 */
export class ProxyError extends Error {
  constructor(
    readonly code: "ERR_PROXY_REFUSED" | "ERR_PROXY_UNREACHED" | "ERR_PROXY_UNSUPPORTED",
    message: string
  ) {
    super(message)
  }
}

interface Target {
  readonly host: string
  readonly port: number
}

/** Connects to a target. What is read from the socket then comes from the target. */
const open = (
  proxy: URL,
  target: Target,
  timeout: number,
  done: (outcome: Net.Socket | Error) => void
): void => {
  const port = proxy.port === "" ? 1080 : Number(proxy.port)
  const name = `The SOCKS proxy at ${proxy.hostname}:${port}`
  const dialogue = dialogueWith(name, loginOf(proxy), target)
  let step = dialogue.next()
  let received = Buffer.alloc(0)
  const socket = Net.connect({ host: proxy.hostname.replace(/^\[|\]$/g, ""), port })
  const settle = () => {
    clearTimeout(timer)
    socket.off("data", onData).off("error", onError).off("close", onClose)
  }
  const onError = (failure: Error) => {
    settle()
    // What it fails with from now on has been told already.
    socket.on("error", () => undefined).destroy()
    done(failure)
  }
  const onClose = () =>
    onError(new ProxyError("ERR_PROXY_UNREACHED", `${name} closed the connection`))
  const overdue = () => onError(new Errors.ConnectTimeoutError(`${name} did not answer in time`))
  const onData = (bytes: Buffer) => {
    received = Buffer.concat([received, bytes])
    try {
      while (step.done !== true && received.length >= step.value.expected) {
        const { expected } = step.value
        step = dialogue.next(received.subarray(0, expected))
        received = received.subarray(expected)
        if (step.done !== true) socket.write(step.value.send)
      }
    } catch (failure) {
      return onError(failure instanceof Error ? failure : new Error(String(failure)))
    }
    if (step.done !== true) return
    settle()
    socket.pause()
    // What the target said meanwhile.
    if (received.length > 0) socket.unshift(received)
    done(socket)
  }
  let timer = setTimeout(overdue, timeout)
  socket
    .setNoDelay(true)
    .setKeepAlive(true, 60_000)
    .on("data", onData)
    .on("error", onError)
    .on("close", onClose)
    .once("connect", () => {
      clearTimeout(timer)
      timer = setTimeout(overdue, timeout)
      if (step.done !== true) socket.write(step.value.send)
    })
}

/** What is sent to the proxy, and how many bytes answer it. */
interface Step {
  readonly send: Uint8Array
  readonly expected: number
}

/** The whole dialogue before the connection is the target's. Throws `ProxyError`. */
function* dialogueWith(
  proxy: string,
  { password, username }: Login,
  target: Target
): Generator<Step, void, Uint8Array> {
  const refused = (what: string) => new ProxyError("ERR_PROXY_REFUSED", `${proxy} ${what}`)
  const hasLogin = username !== "" || password !== ""
  const methods = hasLogin ? [noLogin, withLogin] : [noLogin]
  const [version, method] = yield {
    send: Uint8Array.of(5, methods.length, ...methods),
    expected: 2
  }
  if (version !== 5) throw refused("does not speak SOCKS 5: if it is an HTTP proxy, use http://…")
  if (method === withLogin && hasLogin) {
    const [user, secret] = [bytesOf(username), bytesOf(password)]
    const [, status] = yield {
      send: Uint8Array.of(1, user.length, ...user, secret.length, ...secret),
      expected: 2
    }
    if (status !== 0) throw refused("does not accept the user name and password in its URL")
  } else if (method !== noLogin)
    throw refused(
      hasLogin
        ? "accepts no user name and password, and no connection without them"
        : "demands a user name and password: write them into its URL"
    )

  const place = `${target.host}:${target.port}`
  const [, status = 255, , type, length = 0] = yield {
    send: Uint8Array.of(5, 1, 0, ...addressOf(target.host), target.port >> 8, target.port & 255),
    // As much as every response has, of a name its length.
    expected: 5
  }
  if (status !== 0) {
    const reason = unreached.get(status)
    throw reason === undefined
      ? refused(`does not allow a connection to ${place} (code ${status})`)
      : new ProxyError("ERR_PROXY_UNREACHED", `${proxy} cannot reach ${place}: ${reason}`)
  }
  // Where the proxy connected from, of which one byte has been read.
  const sizes = new Map([
    [1, 4],
    [3, length + 1],
    [4, 16]
  ])
  yield { send: new Uint8Array(0), expected: (sizes.get(type ?? 0) ?? 4) + 1 }
}

const noLogin = 0
const withLogin = 2

/** The failures that may pass (RFC 1928 section 6); the others are the proxy's decision. */
const unreached = new Map([
  [1, "general failure"],
  [3, "the network is unreachable"],
  [4, "the host is unreachable"],
  [5, "the connection was refused"],
  [6, "the time to live expired"]
])

const addressOf = (host: string): ReadonlyArray<number> => {
  if (ipaddr.isValid(host)) {
    const bytes = ipaddr.parse(host).toByteArray()
    return [bytes.length === 4 ? 1 : 4, ...bytes]
  }
  const name = bytesOf(host).subarray(0, 255)
  return [3, name.length, ...name]
}

interface Login {
  readonly username: string
  readonly password: string
}

const loginOf = ({ password, username }: URL): Login => ({
  username: decodeURIComponent(username),
  password: decodeURIComponent(password)
})

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
