/**
 * What an origin does, as a function from a request to its response. The same handler serves
 * without sockets (`Internet`) and on them (`Sockets`), alone or changed by quirks (`Quirk`).
 */
import * as Effect from "effect/Effect"

/** A request as it came over the wire, with its whole body. */
export interface Seen {
  readonly method: string
  readonly url: URL
  /** Method, and path with query: `GET /v2/`. */
  readonly line: string
  readonly authorization: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
  /** What arrived before the body ended, or broke. */
  readonly bytes: Uint8Array
  /** `bytes` as text. */
  readonly body: string
}

/** Makes a request from its parts. */
export const seen = ({
  bytes,
  headers,
  line,
  method,
  url
}: Pick<Seen, "method" | "url" | "headers" | "bytes"> & {
  readonly line?: string
}): Seen => ({
  method,
  url,
  line: line ?? `${method} ${url.pathname}${url.search}`,
  authorization: headers["authorization"],
  headers,
  bytes,
  body: new TextDecoder().decode(bytes)
})

/** A response part by part, for headers with several values and bodies that are made anew. */
export interface Parts {
  readonly status: number
  /** A header with several values goes out as several lines. */
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body?: string | Uint8Array | (() => ReadableStream<Uint8Array>)
}

/** What becomes of a request: a response, or a connection that breaks. */
export type Outcome = Response | "cut"

/** The same, as a test writes it. */
export type Reply = Outcome | Parts

/** What an origin does. */
export type Handler = (seen: Seen) => Reply | Effect.Effect<Reply>

/** Runs a handler. */
export const reply = (handler: Handler, request: Seen): Effect.Effect<Reply> =>
  Effect.suspend(() => {
    const given = handler(request)
    return Effect.isEffect(given) ? given : Effect.succeed(given)
  })

/** Makes a response of its parts. */
export const toResponse = (reply: Response | Parts): Response => {
  if (reply instanceof Response) return reply
  const { body = null, headers = {}, status } = reply
  const response = new Response(typeof body === "function" ? body() : body, { status })
  // Text brings a media type of its own along.
  response.headers.delete("content-type")
  for (const [name, value] of Object.entries(headers))
    for (const line of typeof value === "string" ? [value] : value)
      response.headers.append(name, line)
  return response
}

/** A handler whose replies come in order; running out of them is a broken connection. */
export const inOrder = (replies: ReadonlyArray<Reply>): Handler => {
  const left = [...replies]
  return () => left.shift() ?? "cut"
}

export const status = (
  code: number,
  body: string | Uint8Array | null = null,
  headers: Record<string, string> = {}
): Response => new Response(body, { status: code, headers })

export const redirect = (code: number, location: string): Response =>
  status(code, "moved", { location })

export const json = (value: unknown, code = 200): Response => status(code, JSON.stringify(value))

/** A 401 with one challenge, none, or several in as many header fields. */
export const unauthorized = (...challenges: ReadonlyArray<string | undefined>): Response => {
  const response = status(
    401,
    '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
  )
  for (const challenge of challenges)
    if (challenge !== undefined) response.headers.append("www-authenticate", challenge)
  return response
}

/** `alice:hunter2`. */
export const basic = "Basic YWxpY2U6aHVudGVyMg=="

/** What a registry does that wants a password for everything. */
export const guarded =
  (handler: Handler): Handler =>
  (request) =>
    request.authorization === basic
      ? handler(request)
      : status(401, null, { "www-authenticate": 'Basic realm="r"' })
