/**
 * What an HTTP client says of a request or a body that failed. Clients and runtimes have codes and
 * words of their own, and some put what they received into their errors.
 */
import type { TransportFailure } from "../RegistryError.js"
import * as ServerText from "../spec/internal/ServerText.js"
import { codeOf } from "./CauseDetails.js"

const connecting = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
  "ERR_PROXY_UNREACHED"
])

/** Returns why there is no response. */
export const ofRequest = (cause: unknown): TransportFailure["reason"] => {
  const code = codeOf(cause)
  if (connecting.has(code)) return "Connect"
  if (code === "ERR_PROXY_REFUSED" || code === "ERR_PROXY_UNSUPPORTED") return "Proxy"
  if (
    /CERT|_TLS(_|$)|_SSL_|SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|^EPROTO$/.test(
      code
    )
  )
    return "Tls"
  if (code === "UND_ERR_HEADERS_TIMEOUT") return "Timeout"
  return isMalformed(code, cause) ? "Malformed" : code === "" ? ofDeno(cause) : "Reset"
}

/** Returns why the body of a response broke off. */
export const ofBody = (cause: unknown): TransportFailure["reason"] => {
  const code = codeOf(cause)
  if (code === "UND_ERR_BODY_TIMEOUT") return "Stall"
  return isMalformed(code, cause) ? "Malformed" : "Reset"
}

/**
 * The parser of Node has a code for each way in which a response is not HTTP, undici an error,
 * which has a code as well in some of its versions, Bun and Deno have words. A message that ends
 * too early is a broken connection.
 */
const isMalformed = (code: string, cause: unknown): boolean =>
  code === ""
    ? messagesOf(cause).some((message) =>
        /not match the HTTP\/1|malformed.?http|invalid http|http header parsed/i.test(message)
      )
    : code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE"

/** Deno has words and no codes. */
const ofDeno = (cause: unknown): TransportFailure["reason"] => {
  for (const message of messagesOf(cause)) {
    const [, words] = /client error \(Connect\): (.*)/.exec(message) ?? []
    if (words !== undefined)
      return /certificate|corrupt message|handshake/.test(words) ? "Tls" : "Connect"
  }
  return "Reset"
}

const messagesOf = (cause: unknown, depth = 0): ReadonlyArray<string> =>
  cause instanceof Error && depth < deepest
    ? [cause.message, ...messagesOf(cause.cause, depth + 1)]
    : []

/** Errors can be in a circle. */
const deepest = 8

/** What the system and TLS say of a connection. */
const telling = ["address", "code", "errno", "hostname", "port", "syscall"]

/**
 * Returns a cause that shows nothing of what was sent or received: the error itself if it holds no
 * more than words without secrets and what the system says, else its words, code and address. The
 * HTTP parser of undici puts the response into `data`, that of Node into `rawPacket`.
 */
export const shown = (cause: unknown, redact: (text: string) => string, depth = 0): unknown => {
  if (typeof cause === "string") return wordsOf(cause, redact)
  if (!(cause instanceof Error)) {
    const code = codeOf(cause)
    return code === "" ? undefined : Object.assign(new Error(code), { code })
  }
  if (depth === deepest) return undefined
  const message = wordsOf(cause.message, redact)
  const beneath = shown(cause.cause, redact, depth + 1)
  // One for each address that was tried.
  const tried: ReadonlyArray<unknown> | undefined =
    cause instanceof AggregateError ? cause.errors : undefined
  const errors = tried?.slice(0, 16).map((error) => shown(error, redact, depth + 1))
  const isWhole =
    message === cause.message &&
    beneath === cause.cause &&
    (errors ?? []).every((error, index) => error === tried?.[index]) &&
    Reflect.ownKeys(cause).every((key) => isOpen(key, Reflect.get(cause, key), redact))
  if (isWhole) return cause
  const words = errors === undefined ? new Error(message) : new AggregateError(errors, message)
  if (beneath !== undefined) words.cause = beneath
  words.name = wordsOf(cause.name, redact)
  for (const name of telling) {
    const value: unknown = Reflect.get(cause, name)
    if (value !== undefined && isOpen(name, value, redact)) Object.assign(words, { [name]: value })
  }
  return words
}

/** What `isWhole` looks at by itself. */
const parts = new Set<string | symbol>(["message", "stack", "cause", "errors"])

const isOpen = (key: string | symbol, value: unknown, redact: (text: string) => string): boolean =>
  parts.has(key) ||
  (typeof value === "string"
    ? (telling.includes(String(key)) || key === "name") && wordsOf(value, redact) === value
    : typeof value !== "object" && typeof value !== "function") ||
  value === null

const wordsOf = (text: string, redact: (text: string) => string): string =>
  ServerText.plain(redact(text), 1024)
