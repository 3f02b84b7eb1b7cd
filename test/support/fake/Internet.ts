/** Origins without sockets, and the `HttpClient` that reaches them. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { gather } from "../fixtures.js"
import * as Handler from "./Handler.js"

export interface Options {
  /** Of the body of such a request only the first piece is read before it is answered. */
  readonly unread?: string
}

/**
 * Serves handlers by their origins. `log` holds each request in order: method, URL, `Authorization`
 * or `-`. Any other origin answers 599.
 */
export const internet = (
  origins: Readonly<Record<string, Handler.Handler>>,
  options: Options = {}
) => {
  const log: Array<string> = []
  const seen: Array<Handler.Seen> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const broken = (cause: unknown) =>
        new HttpClientError.RequestError({ request, reason: "Transport", cause })
      const unread = `${request.method} ${url.pathname}` === options.unread
      const bytes = yield* Effect.mapError(bodyOf(request, unread), broken)
      const headers = { ...lengthOf(request), ...request.headers }
      const arrived = Handler.seen({ method: request.method, url, headers, bytes })
      log.push(`${request.method} ${request.url} ${arrived.authorization ?? "-"}`)
      seen.push(arrived)
      const handler = origins[url.origin] ?? (() => Handler.status(599))
      const reply = yield* Handler.reply(handler, arrived)
      return reply === "cut"
        ? yield* broken("cut")
        : HttpClientResponse.fromWeb(request, Handler.toResponse(reply))
    })
  )
  return { client, log, seen }
}

const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest, unread: boolean) =>
  body._tag === "Stream"
    ? gather(unread ? Stream.take(body.stream, 1) : upTo(body.stream, body.contentLength))
    : Effect.succeed(body._tag === "Uint8Array" ? body.body : new Uint8Array())

const lengthOf = ({ body }: HttpClientRequest.HttpClientRequest) =>
  body.contentLength === undefined ? {} : { "content-length": String(body.contentLength) }

/**
 * A server answers when it has the bytes that it was told of, whether or not the client has more.
 */
const upTo = <E>(stream: Stream.Stream<Uint8Array, E>, length = Number.POSITIVE_INFINITY) => {
  let count = 0
  return Stream.takeUntil(stream, (bytes) => {
    count += bytes.length
    return count >= length
  })
}
