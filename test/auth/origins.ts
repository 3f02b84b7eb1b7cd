import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"

/** A request as it went over the wire. */
export interface Seen {
  readonly method: string
  readonly url: URL
  readonly authorization: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

type Handler = (seen: Seen) => Response | Effect.Effect<Response>

/** All origins of a small internet without sockets. The log holds each request in order: method, URL, `Authorization` or `-`. */
export const internet = (origins: Readonly<Record<string, Handler>>) => {
  const log: Array<string> = []
  const seen: Array<Seen> = []
  const client = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      const authorization = request.headers["authorization"]
      const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
      const arrived: Seen = { method: request.method, url, authorization, headers: request.headers, body }
      log.push(`${request.method} ${request.url} ${authorization ?? "-"}`)
      seen.push(arrived)
      const answer = origins[url.origin]?.(arrived) ?? new Response(null, { status: 599 })
      return Effect.map(Effect.isEffect(answer) ? answer : Effect.succeed(answer), (response) =>
        HttpClientResponse.fromWeb(request, response)
      )
    })
  )
  return { client, log, seen }
}

export const json = (value: unknown, status = 200): Response => new Response(JSON.stringify(value), { status })

export const unauthorized = (challenge?: string): Response =>
  new Response('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', {
    status: 401,
    ...(challenge === undefined ? {} : { headers: { "www-authenticate": challenge } })
  })

export const get = (url: string) => HttpClientRequest.get(url)
