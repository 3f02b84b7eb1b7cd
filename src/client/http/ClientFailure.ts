/**
 * What the HTTP client failed with, as a typed error that holds no secret. Clients and runtimes
 * tell what happened in ways of their own.
 */
import type { HttpClientError, ResponseError } from "@effect/platform/HttpClientError"
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import { redact } from "../../protocol/internal/RedactedUrl.js"
import {
  CredentialsFailure,
  codeOf,
  isTransientStatus,
  LimitExceeded,
  TransportFailure
} from "../../RegistryError.js"

/**
 * What a request can fail with: `CredentialsFailure` comes from an HTTP client that found its
 * certificates broken.
 */
export type ClientFailure = TransportFailure | LimitExceeded | CredentialsFailure

/** The facts of a request that an error may show. */
export const facts = (
  request: HttpClientRequest
): { readonly method: string; readonly url: string } => ({
  method: request.method,
  url: redact(request.url)
})

/**
 * That there is no answer. The platform's error holds the request with its credentials, so only the
 * cause beneath it is kept (T13).
 */
export const ofRequest = (
  request: HttpClientRequest,
  { cause }: HttpClientError,
  limits: { readonly headers: number }
): ClientFailure => {
  if (cause instanceof CredentialsFailure) return cause
  const code = codeOf(cause)
  if (code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW")
    return tooManyHeaders(request, limits)
  const status = proxyStatus(cause)
  return status !== undefined
    ? ofProxy(request, status)
    : new TransportFailure({
        ...facts(request),
        reason: reasonOf(code, cause),
        cause: unsigned(cause, request.url)
      })
}

/**
 * That a proxy on the way lets nothing through. One that cannot reach the server says so with the
 * status of a temporary failure.
 */
export const ofProxy = (request: HttpClientRequest, status: number): TransportFailure =>
  new TransportFailure({
    ...facts(request),
    reason: isTransientStatus(status) ? "Connect" : "Proxy",
    status
  })

/** That the body of an answer broke off. */
export const ofBody = ({ cause, request, response }: ResponseError): TransportFailure =>
  new TransportFailure({
    ...facts(request),
    status: response.status,
    reason: codeOf(cause) === "UND_ERR_BODY_TIMEOUT" ? "Stall" : "Reset",
    cause: unsigned(cause, request.url)
  })

/** That an answer has more headers than the limit allows. */
export const tooManyHeaders = (
  request: HttpClientRequest,
  { headers }: { readonly headers: number }
): LimitExceeded =>
  new LimitExceeded({
    ...facts(request),
    what: "The header section of the answer",
    limit: headers,
    option: "limits.headers"
  })

/**
 * Bun and Deno name the URL in their errors, with its query, which can be signed (T13): of such an
 * error, the words are kept without it.
 */
const unsigned = (cause: unknown, url: string): unknown => {
  if (!(cause instanceof Error)) return cause
  const query = URL.canParse(url) ? new URL(url).search : ""
  const beneath = unsigned(cause.cause, url)
  const named =
    query !== "" &&
    [cause.message, ...Object.values(cause)].some(
      (text) => typeof text === "string" && text.includes(query)
    )
  // Node adds the certificate that is for another host, with its issuers in a circle.
  if (!named && !("cert" in cause) && beneath === cause.cause) return cause
  const code = codeOf(cause)
  const message = named ? cause.message.replaceAll(query, "?REDACTED") : cause.message
  return Object.assign(new Error(message, { cause: beneath }), code !== "" && { code })
}

/**
 * What a proxy answered instead of making a tunnel, or that it wants another password. undici, as
 * fetch on Node, says so in the message only.
 */
const proxyStatus = (cause: unknown): number | undefined => {
  if (!(cause instanceof Error)) return undefined
  const [, status] =
    /^Proxy (?:response|Authentication Required) \((\d{3})\)/.exec(cause.message) ?? []
  return status === undefined ? proxyStatus(cause.cause) : Number(status)
}

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

const reasonOf = (code: string, cause: unknown): TransportFailure["reason"] => {
  if (code === "") return reasonOfDeno(cause)
  if (connecting.has(code)) return "Connect"
  if (code === "ERR_PROXY_REFUSED" || code === "ERR_PROXY_UNSUPPORTED") return "Proxy"
  if (
    /CERT|_TLS(_|$)|_SSL_|SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|^EPROTO$/.test(
      code
    )
  )
    return "Tls"
  return code === "UND_ERR_HEADERS_TIMEOUT" ? "Timeout" : "Reset"
}

/** Deno has words and no codes. */
const reasonOfDeno = (cause: unknown): TransportFailure["reason"] => {
  if (!(cause instanceof Error)) return "Reset"
  const [, words] = /client error \(Connect\): (.*)/.exec(cause.message) ?? []
  if (words === undefined) return reasonOfDeno(cause.cause)
  return /certificate|corrupt message|handshake/.test(words) ? "Tls" : "Connect"
}
