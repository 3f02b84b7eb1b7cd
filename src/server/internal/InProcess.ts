/** An HTTP client whose requests an application answers in this process, without sockets. */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Connection from "./Connection.js"

/**
 * Makes the client. The application runs with the runtime in which the client is made, and so on
 * its clock. Bodies stream both ways, `Content-Length` arrives as it was set, and an interrupted
 * request ends its handler. Requests to hosts that `serves` refuses fail as those to a name that
 * does not resolve.
 */
export const client = (
  app: HttpApp.Default<never, Scope.Scope>,
  serves: (host: string) => boolean
): Effect.Effect<HttpClient.HttpClient> =>
  Effect.map(Effect.runtime<never>(), (runtime) => {
    const handler = HttpApp.toWebHandlerRuntime(runtime)(app)
    return HttpClient.make((request, url, signal) =>
      Effect.gen(function* () {
        if (!serves(url.host)) return yield* unresolved(request, url)
        const body = yield* bodyOf(request)
        const sent = new Request(url, {
          method: request.method,
          headers: { ...lengthOf(request), ...request.headers },
          body,
          signal,
          ...(body instanceof ReadableStream && { duplex: "half" })
        })
        const response = yield* Effect.tryPromise({
          try: () => handler(sent),
          catch: (cause) => failure(request, cause)
        })
        const broken = Connection.failure(sent)
        return broken === undefined
          ? HttpClientResponse.fromWeb(request, response)
          : yield* failure(request, broken)
      })
    )
  })

const unresolved = (request: HttpClientRequest.HttpClientRequest, { hostname }: URL) =>
  failure(
    request,
    Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: "ENOTFOUND" })
  )

const failure = (request: HttpClientRequest.HttpClientRequest, cause: unknown) =>
  new HttpClientError.RequestError({ request, reason: "Transport", cause })

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Uint8Array | ReadableStream | null, HttpClientError.RequestError> => {
  switch (request.body._tag) {
    case "Uint8Array":
      return Effect.succeed(request.body.body)
    case "Stream":
      return Stream.toReadableStreamEffect(request.body.stream)
    case "Empty":
      return Effect.succeed(null)
    default:
      return failure(request, new Error(`Bodies of type ${request.body._tag} are not supported`))
  }
}

const lengthOf = ({ body }: HttpClientRequest.HttpClientRequest) =>
  body.contentLength === undefined ? {} : { "content-length": String(body.contentLength) }
