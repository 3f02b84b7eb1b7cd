/**
 * Responses that are changed on their way out. The platform derives some headers from a body; those
 * of a changed response are the ones that it is given, and no others.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Stream from "effect/Stream"

type Response = HttpServerResponse.HttpServerResponse

/** Values of headers, by their names in lower case: one, several on lines of their own, or none. */
export type Changes = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/** Returns the body of a response as a stream, empty where it has none. */
export const bodyOf = ({ body }: Response): Stream.Stream<Uint8Array, unknown> =>
  body._tag === "Stream" ? body.stream : Stream.fromIterable(bytesOf(body) ?? [])

/** Returns a response with this body, and otherwise the same. */
export const withBody = <E>(response: Response, body: Stream.Stream<Uint8Array, E>): Response =>
  changed(response, response.status, {}, HttpBody.stream(body, ""))

/** Returns a response with these bytes, as long as it says, and otherwise the same. */
export const withBytes = (response: Response, bytes: Uint8Array, changes: Changes = {}): Response =>
  changed(
    response,
    response.status,
    { "content-length": String(bytes.length), ...changes },
    HttpBody.raw(bytes)
  )

/** Returns a response with other headers. */
export const withHeaders = (response: Response, changes: Changes): Response =>
  changed(response, response.status, changes, response.body)

/** Returns a response with another status. */
export const withStatus = (response: Response, status: number): Response =>
  changed(response, status, {}, response.body)

const bytesOf = (body: HttpBody.HttpBody): [Uint8Array] | undefined =>
  (body._tag === "Uint8Array" || body._tag === "Raw") &&
  body.body instanceof Uint8Array &&
  body.body.length > 0
    ? [body.body]
    : undefined

const changed = (
  { headers }: Response,
  status: number,
  changes: Changes,
  body: HttpBody.HttpBody
): Response => {
  const kept = Object.entries(headers).filter(([name]) => !(name in changes))
  const bytes = bytesOf(body)
  const changedBody =
    body._tag === "Stream" ? HttpBody.stream(body.stream, "") : bytes && HttpBody.raw(bytes[0])
  const empty = HttpServerResponse.empty({ status, headers: Object.fromEntries(kept) })
  return Object.entries(changes).reduce(
    (response, [name, value]) =>
      value === undefined
        ? response
        : HttpServerResponse.setHeader(
            response,
            name,
            typeof value === "string" ? value : (Lines.from(value) as unknown as string)
          ),
    changedBody === undefined ? empty : HttpServerResponse.setBody(empty, changedBody)
  )
}

/**
 * The platform's headers have one value each. Node takes several, and sends each on a line of its
 * own; web responses take them for the one value that they mean together (RFC 9110 section 5.3).
 */
class Lines extends Array<string> {
  override toString(): string {
    return this.join(", ")
  }
}
