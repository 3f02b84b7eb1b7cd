/**
 * An `HttpClient` straight on undici's dispatcher, without a Node stream in between: a body arrives
 * in as many chunks at a time as have come in, is gathered without a stream where it is wanted
 * whole, and goes out as fast as the socket takes it. `NodeHttpClient.makeUndici` is the same for
 * other purposes than these.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import { type HttpClientError, RequestError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import { type Dispatcher, errors as Errors } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import { type AbortableClient, executeAbortable } from "../../client/http/AbortableClient.js"
import { RegistryOrigin } from "../../client/http/RegistryOrigin.js"
import * as SentArrays from "../../client/http/SentArrays.js"
import * as Runtime from "../../internal/Runtime.js"
import * as UrlQuery from "../../protocol/internal/UrlQuery.js"
import * as ProxyError from "./ProxyError.js"
import { UndiciDispatcher } from "./UndiciDispatcher.js"
import { RequestBody } from "./UndiciRequestBody.js"
import { make as makeResponse, ResponseBody } from "./UndiciResponse.js"

/**
 * Makes the client over a dispatcher, whose own affair connections, TLS and proxies are. It follows
 * no redirects, decodes no content codings, has no timeouts and makes no spans. Whether a
 * connection is used again after a HEAD is for the dispatcher to say; undici by itself closes it.
 *
 * A body that is a stream is started when its connection stands, and its finalizers have run when a
 * request that did not succeed ends. The body of a response has to be read, or its stream
 * abandoned; the connection of a response that nobody refers to any more is closed.
 */
export const make = (dispatcher: Dispatcher): AbortableClient => {
  const client = HttpClient.makeWith<HttpClientError, never, HttpClientError, never>(
    Effect.flatMap((request) => {
      const { body } = request
      if (body._tag !== "Stream")
        return Effect.flatMap(RegistryOrigin, (registry) =>
          send(dispatcher, registry, request, plainBody(body))
        )
      const streamed = new RequestBody(body.contentLength)
      return Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const pump = yield* Effect.forkDaemon(Effect.interruptible(streamed.pump(body.stream)))
          streamed.onClose = () => Runtime.interrupt(pump)
          const response = send(dispatcher, yield* RegistryOrigin, request, streamed)
          return yield* Effect.onError(restore(response), () => Fiber.interrupt(pump))
        })
      )
    }),
    Effect.succeed
  )
  return Object.assign(client, {
    [executeAbortable]: (
      request: HttpClientRequest.HttpClientRequest,
      registry: string,
      onStart: (abort: () => void) => void
    ) =>
      request.body._tag === "Stream"
        ? client.execute(request)
        : send(
            dispatcher,
            registry,
            request,
            request.body._tag === "Uint8Array"
              ? SentArrays.body(request.body.body)
              : plainBody(request.body),
            onStart
          )
  })
}

/** What a dispatcher is told: besides all that undici has, on whose behalf (`RegistryOrigin`). */
export interface Options extends Dispatcher.DispatchOptions {
  readonly registry: string
}

type Body = NonNullable<Dispatcher.DispatchOptions["body"]>

const plainBody = (
  body: Exclude<HttpClientRequest.HttpClientRequest["body"], { readonly _tag: "Stream" }>
) => {
  switch (body._tag) {
    case "Empty":
      return null
    case "FormData":
      return body.formData as Body
    default:
      return body.body as Body
  }
}

const send = (
  dispatcher: Dispatcher,
  registry: string,
  request: HttpClientRequest.HttpClientRequest,
  body: Body | RequestBody | SentArrays.ArrayBody | null,
  onStart: (abort: () => void) => void = constVoid
): Effect.Effect<HttpClientResponse, HttpClientError> => {
  const parsed = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  if (Either.isLeft(parsed))
    return Effect.fail(new RequestError({ request, reason: "InvalidUrl", cause: parsed.left }))
  const url = parsed.right
  const options: Options = {
    registry,
    origin: url.origin,
    path:
      url.pathname + (request.urlParams.length === 0 ? UrlQuery.ofUrl(request.url) : url.search),
    method: request.method,
    // A copy: undici's proxy agent adds the host to the very object, which other requests may
    // share.
    headers: { ...request.headers },
    // undici takes any iterable, which its types do not say.
    body: body as Body | null,
    // After a HEAD it is for the dispatcher to say.
    ...(request.method === "HEAD" ? {} : { reset: false }),
    headersTimeout: 0,
    bodyTimeout: 0
  }
  return Effect.async<HttpClientResponse, HttpClientError>((resume) => {
    let sent = false
    const handler = new ResponseBody({
      onResponse: (status, headers) =>
        resume(
          Effect.sync(() => makeResponse(request, status, Headers.fromInput(headers), handler))
        ),
      onFailure: (cause) =>
        resume(
          !sent && isClosed(cause)
            ? Effect.dieMessage(
                "This HttpClient was closed with the Scope of its layer: " +
                  "provide the layer further out"
              )
            : Effect.fail(
                new RequestError({
                  request,
                  reason: "Transport",
                  cause: ofProxy(cause, dispatcher, url)
                })
              )
        ),
      onEnd: () => {
        if (body instanceof RequestBody || body instanceof SentArrays.ArrayBody) body.close()
      }
    })
    // undici takes a connection back one turn of the event loop after the response; a request made
    // before that would open another.
    const next = setImmediate(() => {
      try {
        dispatcher.dispatch(options, handler)
        sent = true
      } catch (cause) {
        handler.fail(cause)
      }
    })
    const abandon = () => {
      clearImmediate(next)
      handler.abandon()
    }
    onStart(abandon)
    return Effect.sync(abandon)
  })
}

const ofProxy = (cause: unknown, dispatcher: Dispatcher, url: URL): unknown =>
  // No request of ours has this timeout, but one for a tunnel may.
  cause instanceof Errors.HeadersTimeoutError
    ? new Errors.ConnectTimeoutError("The proxy did not make a tunnel in time")
    : dispatcher instanceof UndiciDispatcher
      ? ProxyError.named(cause, dispatcher.proxyFor(url), url.host)
      : cause

const isClosed = (cause: unknown): boolean =>
  cause instanceof Errors.ClientDestroyedError || cause instanceof Errors.ClientClosedError
