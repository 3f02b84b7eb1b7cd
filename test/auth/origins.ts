import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import { gather } from "../support/fixtures.js"

/** A request as it went over the wire. */
export interface Seen {
  readonly method: string
  readonly url: URL
  readonly authorization: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly bytes: Uint8Array
  /** `bytes` as text. */
  readonly body: string
}

/** What a request is answered with; `cut` breaks the connection instead. */
export type Answer = Response | "cut"

export type Handler = (seen: Seen) => Answer | Effect.Effect<Answer>

/**
 * All origins of a small internet without sockets. The log holds each request in order: method,
 * URL, `Authorization` or `-`.
 */
export const internet = (origins: Readonly<Record<string, Handler>>) => {
  const log: Array<string> = []
  const seen: Array<Seen> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const broken = (cause: unknown) =>
        new HttpClientError.RequestError({ request, reason: "Transport", cause })
      const { body, headers, method } = request
      const bytes =
        body._tag === "Stream"
          ? yield* Effect.mapError(gather(body.stream), broken)
          : body._tag === "Uint8Array"
            ? body.body
            : new Uint8Array()
      const authorization = headers["authorization"]
      const arrived: Seen = {
        method,
        url,
        authorization,
        headers,
        bytes,
        body: new TextDecoder().decode(bytes)
      }
      log.push(`${method} ${request.url} ${authorization ?? "-"}`)
      seen.push(arrived)
      const answering = origins[url.origin]?.(arrived) ?? new Response(null, { status: 599 })
      const answer = Effect.isEffect(answering) ? yield* answering : answering
      return answer === "cut" ? yield* broken("cut") : HttpClientResponse.fromWeb(request, answer)
    })
  )
  return { client, log, seen }
}

export const json = (value: unknown, status = 200): Response =>
  new Response(JSON.stringify(value), { status })

export const unauthorized = (challenge?: string): Response =>
  new Response('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', {
    status: 401,
    ...(challenge === undefined ? {} : { headers: { "www-authenticate": challenge } })
  })

export const get = (url: string) => HttpClientRequest.get(url)
