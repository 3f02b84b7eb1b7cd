/**
 * What one exchange has sent: a password or token for the registry and its token server, headers of
 * the application's own, signed URLs. Careless servers repeat what they were sent, and nothing that
 * is shown of their responses may (T13).
 */
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type { CredentialInfo } from "../../internal/CredentialInfo.js"
import { type Redact, redactor } from "../../protocol/internal/RedactedText.js"
import * as RedactedUrl from "../../protocol/internal/RedactedUrl.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import type { Credential } from "../Credentials.js"

/**
 * The requests of one exchange so far, those to token servers and redirected ones included. `url`
 * is that of its operation, and `isOwn` says whether the client wrote it itself: then no server can
 * have put a secret into it. `credential` is the one that was used last, or that there was none to
 * use, absent as long as the registry has not asked for any; `scopes` are those that the operation
 * needs. `earlier` is what the registry was sent before. `isAuthorized` says that who authorizes
 * looks at the response, and calls `settle` then, if there is one, with whether the response is a
 * challenge that will be answered: only then is it known whether the request failed.
 */
export interface Sent {
  url: string
  isOwn: boolean
  credential: Credential | undefined
  scopes: ReadonlyArray<string>
  isAuthorized: boolean
  settle: ((isAnswered: boolean) => void) | undefined
  readonly earlier: Earlier
  readonly requests: Array<HttpClientRequest>
}

type Fields = Readonly<Record<string, string>>

/**
 * What a registry was sent in earlier exchanges, and can repeat in a realm or a location that is
 * used later: the application's own headers, and the newest values of `Authorization`.
 */
export class Earlier {
  readonly #headers: ReadonlyArray<Fields>
  readonly #authorizations: Array<string> = []

  constructor(headers: ReadonlyArray<Fields>) {
    this.#headers = headers
  }

  add(authorization: string): void {
    if (this.#authorizations.includes(authorization)) return
    if (this.#authorizations.push(authorization) > 16) this.#authorizations.shift()
  }

  headers(): ReadonlyArray<Fields> {
    return [...this.#headers, ...this.#authorizations.map((authorization) => ({ authorization }))]
  }
}

/** Calls `settle`, once. */
export const settled = (sent: Sent, isAnswered: boolean): void => {
  const { settle } = sent
  sent.settle = undefined
  settle?.(isAnswered)
}

/** Returns the record of an exchange that begins. */
export const make = (earlier: Earlier = new Earlier([])): Sent => ({
  url: "",
  isOwn: false,
  credential: undefined,
  scopes: [],
  isAuthorized: false,
  settle: undefined,
  earlier,
  requests: []
})

const exchanges = new WeakMap<HttpClientRequest, Sent>()

/** Adds a request that is about to be sent. */
export const add = (sent: Sent, request: HttpClientRequest): void => {
  sent.requests.push(request)
  const authorization = request.headers["authorization"]
  if (authorization !== undefined) sent.earlier.add(authorization)
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
    ...make(),
    url: first.url,
    requests: first === request ? [request] : [first, request]
  }

/** Returns what replaces the secrets of an exchange in texts of its servers. */
export const redactorOf = ({ earlier, requests }: Sent): Redact =>
  redactor([
    ...earlier.headers().flatMap(inHeaders),
    ...requests.flatMap(inRequest),
    ...requests.flatMap(({ url }) => RedactedUrl.secretsOf(url))
  ])

/**
 * Returns the URL of a request of an exchange as it may be shown. All but the client's own are
 * those of servers, which can put into them what they were sent, now or earlier.
 */
export const shownUrl = (
  { earlier, isOwn, requests, url: first }: Sent,
  request: HttpClientRequest
): string => {
  const { url } = request
  if (isOwn && url === first) return RedactedUrl.redact(url)
  const redact = redactor([
    ...earlier.headers().flatMap(inHeaders),
    ...[...requests, request].flatMap(inRequest),
    ...requests.flatMap((other) => (other.url === url ? [] : RedactedUrl.secretsOf(other.url)))
  ])
  // A host that all else goes to is no secret, be it in a header of the application's own.
  const path = /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0] ?? ""
  const isKnown = first.toLowerCase().startsWith(`${path.toLowerCase()}/`)
  return RedactedUrl.redact((isKnown ? path : redact(path)) + redact(url.slice(path.length)))
}

/** Returns whose credential was used in an exchange, as errors tell it. */
export const credentialOf = ({ credential }: Sent): CredentialInfo | undefined =>
  credential && {
    kind: credential._tag,
    source: sourceOf(credential),
    ...(credential._tag === "Basic" && { username: ServerText.plain(credential.username, 128) })
  }

const sourceOf = ({ _tag, source }: Credential): string | undefined =>
  source === undefined
    ? // One of an application's own, which has none.
      _tag === "Anonymous"
      ? "the Credentials service"
      : undefined
    : ServerText.plain(source, 4096)

/** Returns the operation of an exchange, as in `GET https://…`, if it was sent. */
export const operationOf = (sent: Sent): string | undefined => {
  const request = sent.requests.find(({ url }) => url === sent.url)
  return request === undefined ? undefined : `${request.method} ${shownUrl(sent, request)}`
}

/** What a request says beside its URL and nobody else may see. */
const inRequest = (request: HttpClientRequest): ReadonlyArray<string> => [
  ...inHeaders(request.headers),
  ...inForm(request)
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

const inHeaders = (headers: Fields): ReadonlyArray<string> =>
  Object.entries(headers).flatMap(([name, value]) =>
    open.has(name.toLowerCase()) ? [] : inValue(value)
  )

/**
 * What a header shows: all of it, what follows a scheme, the password by itself where that is
 * Basic, and the value of each cookie.
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
