/**
 * A registry that is a script: it sees each request with its whole body, and answers it or breaks
 * the connection.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import { gather } from "./fixtures.js"

export interface Received {
  /** Method, and path with query. */
  readonly line: string
  readonly headers: Readonly<Record<string, string | undefined>>
  /** What arrived before the body ended, or broke. */
  readonly body: Uint8Array
}

/** What a request is answered with; `cut` breaks the connection instead. */
export type Reply =
  | "cut"
  | {
      readonly status: number
      readonly headers?: Record<string, string>
      readonly body?: string | (() => ReadableStream<Uint8Array>)
    }

/**
 * A client of `http://registry.test` whose requests `answer` gets, and the lines of those requests.
 * Of the body of the request `unread` only the first piece is read before it is answered.
 */
export const scripted = (
  answer: (received: Received) => Reply,
  options: { readonly unread?: string } = {}
): Effect.Effect<{ readonly registry: Registry.Service; readonly wire: Array<string> }> =>
  Effect.gen(function* () {
    const wire: Array<string> = []
    const client = HttpClient.make((request, url) => {
      const broken = (cause: unknown) =>
        new HttpClientError.RequestError({ request, reason: "Transport", cause })
      const { body } = request
      const content =
        body._tag === "Stream"
          ? gather(
              `${request.method} ${url.pathname}` === options.unread
                ? Stream.take(body.stream, 1)
                : upTo(body.stream, body.contentLength)
            )
          : Effect.succeed(body._tag === "Uint8Array" ? body.body : new Uint8Array())
      return Effect.flatMap(Effect.mapError(content, broken), (bytes) => {
        const line = `${request.method} ${url.pathname}${url.search}`
        const length =
          body.contentLength === undefined ? {} : { "content-length": String(body.contentLength) }
        const headers: Received["headers"] = { ...length, ...request.headers }
        wire.push(
          `${line}${headers["content-range"] === undefined ? "" : ` ${headers["content-range"]}`}`
        )
        const reply = answer({ line, headers, body: bytes })
        if (reply === "cut") return Effect.fail(broken("cut"))
        const { body: text = null, ...init } = reply
        return Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(typeof text === "function" ? text() : text, init)
          )
        )
      })
    })
    const registry = yield* RegistryClient.make({
      url: "http://registry.test",
      retry: { attempts: 3, base: "1 millis", maxDelay: "5 millis", deadline: "1 minute" }
    }).pipe(
      Effect.provideService(HttpClient.HttpClient, client),
      Effect.provide(Layer.merge(Credentials.layerAnonymous, TokenCache.layerMemory)),
      Effect.orDie
    )
    return { registry, wire }
  })

/**
 * A registry answers when it has the bytes that it was told of, whether or not the client has more.
 */
const upTo = <E>(stream: Stream.Stream<Uint8Array, E>, length = Number.POSITIVE_INFINITY) => {
  let count = 0
  return Stream.takeUntil(stream, (bytes) => {
    count += bytes.length
    return count >= length
  })
}

/** A script whose replies come in order; running out of them is a broken connection. */
export const inOrder = (replies: ReadonlyArray<Reply>): ((received: Received) => Reply) => {
  const left = [...replies]
  return () => left.shift() ?? "cut"
}
