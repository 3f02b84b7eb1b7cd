/**
 * What the HTTP client failed with, as a typed error that holds no secret. Clients and runtimes
 * tell what happened in ways of their own.
 */
import type { HttpClientError, ResponseError } from "@effect/platform/HttpClientError"
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as Sent from "../../auth/internal/Sent.js"
import { codeOf } from "../../internal/CauseDetails.js"
import * as TransportCause from "../../internal/TransportCause.js"
import {
  CredentialsFailure,
  type Exchange,
  isTransientStatus,
  LimitExceeded,
  TransportFailure
} from "../../RegistryError.js"

/**
 * What a request can fail with: `CredentialsFailure` comes from an HTTP client that found its
 * certificates broken.
 */
export type ClientFailure = TransportFailure | LimitExceeded | CredentialsFailure

/** What counts here of the bounds of an exchange. */
interface Bounds {
  readonly limits: { readonly headers: number }
  readonly sent: Sent.Sent
}

/** Returns the facts of a request that an error may show. */
export const facts = (
  request: HttpClientRequest,
  sent: Sent.Sent
): Pick<Exchange, "server" | "onBehalfOf"> & {
  readonly method: string
  readonly url: string
} => ({
  method: request.method,
  url: Sent.shownUrl(sent, request),
  ...(isRedirected(request, sent) && { server: "Redirect", onBehalfOf: Sent.operationOf(sent) })
})

/** Whether a request went to another server than that of its operation. */
const isRedirected = ({ url }: HttpClientRequest, sent: Sent.Sent): boolean => {
  const end = sent.url.indexOf("/", sent.url.indexOf("//") + 2)
  return sent.url !== "" && url.slice(0, end) !== sent.url.slice(0, end)
}

/**
 * Makes the error of a request without a response. The platform's error holds the request with its
 * credentials, so only the cause beneath it is kept (T13).
 */
export const ofRequest = (
  request: HttpClientRequest,
  { cause }: HttpClientError,
  { limits, sent }: Bounds
): ClientFailure => {
  if (cause instanceof CredentialsFailure) return cause
  const code = codeOf(cause)
  if (code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW")
    return tooManyHeaders(request, { limits, sent })
  const status = proxyStatus(cause)
  if (status !== undefined && !isNamedProxy(cause)) return ofProxy(request, status, sent)
  return new TransportFailure({
    ...facts(request, sent),
    status,
    reason: TransportCause.ofRequest(cause),
    cause: shown(cause, sent, request.url)
  })
}

/**
 * Makes the error of a proxy that lets nothing through. One that cannot reach the server says so
 * with the status of a temporary failure.
 */
export const ofProxy = (
  request: HttpClientRequest,
  status: number,
  sent: Sent.Sent
): TransportFailure =>
  new TransportFailure({
    ...facts(request, sent),
    reason: isTransientStatus(status) ? "Connect" : "Proxy",
    status
  })

/** Makes the error of a body that broke off. */
export const ofBody = ({ cause, request, response }: ResponseError): TransportFailure => {
  const sent = Sent.of(response.request)
  return new TransportFailure({
    ...facts(request, sent),
    status: response.status,
    reason: TransportCause.ofBody(cause),
    cause: shown(cause, sent, request.url)
  })
}

/** Makes the error of a response with more headers than the limit allows. */
export const tooManyHeaders = (
  request: HttpClientRequest,
  { limits, sent }: Bounds
): LimitExceeded =>
  new LimitExceeded({
    ...facts(request, sent),
    what: "The header section of the response",
    limit: limits.headers,
    option: "limits.headers"
  })

/**
 * Returns the cause without secrets. Bun and Deno name the URL in their errors, with its query,
 * which can be signed (T13).
 */
const shown = (cause: unknown, sent: Sent.Sent, url: string): unknown => {
  const [text = ""] = url.split("#", 1)
  const query = text.includes("?") ? text.slice(text.indexOf("?")) : ""
  const redact = Sent.redactorOf(sent)
  return TransportCause.shown(cause, (words) =>
    redact(query.length > 1 ? words.replaceAll(query, "?REDACTED") : words)
  )
}

/** Whether an error is one of this library, which says which proxy it was. */
const isNamedProxy = (cause: unknown): boolean => codeOf(cause).startsWith("ERR_PROXY_")

/**
 * The status that a proxy responds with instead of making a tunnel, or that it wants another
 * password. undici by itself, as fetch on Node, says so in the message only.
 */
const proxyStatus = (cause: unknown): number | undefined => {
  if (!(cause instanceof Error)) return undefined
  if (isNamedProxy(cause) && "status" in cause && typeof cause.status === "number")
    return cause.status
  const [, status] =
    /^Proxy (?:response|Authentication Required) \((\d{3})\)/.exec(cause.message) ?? []
  return status === undefined ? proxyStatus(cause.cause) : Number(status)
}
