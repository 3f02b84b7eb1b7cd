/**
 * What one exchange has sent: a password or token for the registry and its token server, headers of
 * the application's own, signed URLs. Careless servers repeat what they were sent, and nothing that
 * is shown of their responses may (T13).
 */
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import { type Redact, redactor } from "../../protocol/internal/RedactedText.js"
import * as RedactedUrl from "../../protocol/internal/RedactedUrl.js"

/**
 * The requests of one exchange so far, those to token servers and redirected ones included. `url` is
 * that of its operation, and `isOwn` says whether the client wrote it itself: then no server can
 * have put a secret into it.
 */
export interface Sent {
  url: string
  isOwn: boolean
  readonly requests: Array<HttpClientRequest>
}

/** Returns the record of an exchange that begins. */
export const make = (): Sent => ({ url: "", isOwn: false, requests: [] })

const exchanges = new WeakMap<HttpClientRequest, Sent>()

/** Adds a request that is about to be sent. */
export const add = (sent: Sent, request: HttpClientRequest): void => {
  sent.requests.push(request)
}

/** Remembers which exchange a response belongs to, by the request that it has. */
export const answered = (sent: Sent, request: HttpClientRequest): void => {
  exchanges.set(request, sent)
}

/**
 * Returns what was sent in the exchange of a response with this request. Where nobody recorded the
 * exchange, that is the request itself, and `first`, with which the exchange began.
 */
export const of = (request: HttpClientRequest, first = request): Sent =>
  exchanges.get(request) ?? {
    url: first.url,
    isOwn: false,
    requests: first === request ? [request] : [first, request]
  }

/** Returns what replaces the secrets of an exchange in texts of its servers. */
export const redactorOf = ({ requests }: Sent): Redact => redactor(requests.flatMap(secretsOf))

/**
 * Returns a URL of an exchange as it may be shown. Another than the client's own can hold what was
 * sent before, and one that came with the operation what this very registry was sent earlier.
 */
export const shownUrl = ({ isOwn, requests, url: first }: Sent, url: string): string => {
  if (isOwn && url === first) return RedactedUrl.redact(url)
  const redact = redactor(
    requests
      .filter((request) => url === first || request.url !== url)
      .flatMap((request) => [...inHeaders(request), ...inForm(request)])
  )
  // A host that all else goes to is no secret, be it in a header of the application's own.
  const path = /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0] ?? ""
  const isKnown = first.toLowerCase().startsWith(`${path.toLowerCase()}/`)
  return RedactedUrl.redact((isKnown ? path : redact(path)) + redact(url.slice(path.length)))
}

/** Returns all that a request says and nobody else may see. */
const secretsOf = (request: HttpClientRequest): ReadonlyArray<string> => [
  ...inHeaders(request),
  ...inForm(request),
  ...RedactedUrl.secretsOf(request.url)
]

/** What every request may say. Any other header is one of the application's own. */
const open = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "b3",
  "content-length",
  "content-range",
  "content-type",
  "host",
  "range",
  "traceparent",
  "tracestate",
  "user-agent"
])

const inHeaders = ({ headers }: HttpClientRequest): ReadonlyArray<string> =>
  Object.entries(headers).flatMap(([name, value]) => (open.has(name) ? [] : inValue(value)))

/**
 * What a header shows: all of it, what follows a scheme, the password by itself where that is Basic,
 * and the value of each cookie.
 */
const inValue = (value: string): ReadonlyArray<string> => {
  const shown = value.slice(value.indexOf(" ") + 1)
  const parts = value.split(/; */).map((part) => part.slice(part.indexOf("=") + 1))
  if (!/^basic /i.test(value)) return [value, shown, ...parts]
  const login = Either.getOrElse(Encoding.decodeBase64String(shown), () => "")
  return [value, shown, login.slice(login.indexOf(":") + 1)]
}

/** The password or refresh token in the form of a token request. */
const inForm = ({ body }: HttpClientRequest): ReadonlyArray<string> => {
  if (body._tag !== "Uint8Array" || body.contentType !== "application/x-www-form-urlencoded")
    return []
  const form = new URLSearchParams(new TextDecoder().decode(body.body))
  return ["password", "refresh_token"].flatMap((name) => form.getAll(name))
}
