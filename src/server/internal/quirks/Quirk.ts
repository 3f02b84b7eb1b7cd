/** What quirks are made of: functions that change what a handler gets, and what it responds. */
import * as Headers from "@effect/platform/Headers"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ErrorBody from "../../../protocol/ErrorBody.js"
import type { Case, Operation } from "../../../protocol/Operation.js"
import type { Quirks, Reply } from "../../Quirks.js"
import * as ChangedResponse from "../ChangedResponse.js"
import * as Handler from "../Handler.js"
import * as ServerResponse from "../ServerResponse.js"

/** A handler in place of another, which it may ask. */
export type Quirk = <R extends Handler.Received>(next: Handler.Handler<R>) => Handler.Handler<R>

/** The quirks of some switches, made of their values, the first the outermost. */
export type Table<Name extends keyof Quirks> = {
  readonly [N in Name]-?: (value: Exclude<Quirks[N], undefined>, quirks: Quirks) => Quirk
}

type Tag = Operation["_tag"]
type Response = HttpServerResponse

/** Returns the operation of a request if it is one of these. */
export const operationOf = <T extends Tag>(
  { operation }: Handler.Received,
  ...tags: ReadonlyArray<T>
): Case<T> | undefined =>
  Either.isRight(operation) && tags.some((tag) => tag === operation.right._tag)
    ? (operation.right as Case<T>)
    : undefined

/** Responds to such requests in place of the next handler, or leaves them to it. */
export const answers =
  <T extends Tag>(
    tags: ReadonlyArray<T>,
    f: (
      operation: Case<T>,
      request: HttpServerRequest
    ) => Reply | undefined | Effect.Effect<Reply | undefined, never, Scope.Scope>
  ): Quirk =>
  (next) =>
  (received) => {
    const operation = operationOf(received, ...tags)
    if (operation === undefined) return next(received)
    const reply = f(operation, received.request)
    return Effect.flatMap(Effect.isEffect(reply) ? reply : Effect.succeed(reply), (reply) =>
      reply === undefined ? next(received) : Effect.succeed(toResponse(reply))
    )
  }

/** Has other requests reach the next handler than such as were received. */
export const rewrites =
  <T extends Tag>(
    tags: ReadonlyArray<T>,
    f: (operation: Case<T>, request: HttpServerRequest) => Rewritten | undefined
  ): Quirk =>
  (next) =>
  (received) => {
    const operation = operationOf(received, ...tags)
    const rewritten = operation && f(operation, received.request)
    return rewritten === undefined
      ? next(received)
      : Effect.flatMap(modified(received, rewritten), next)
  }

/** Has another operation carried out than such as were asked for. */
export const becomes =
  <T extends Tag>(tags: ReadonlyArray<T>, f: (operation: Case<T>) => Operation): Quirk =>
  (next) =>
  (received) => {
    const operation = operationOf(received, ...tags)
    return next(operation === undefined ? received : asking(received, f(operation)))
  }

/** Returns what is received as if it asked for another operation. */
export const asking = <R extends Handler.Received>(received: R, operation: Operation): R => ({
  ...received,
  operation: Either.right(operation)
})

/** Another path and query, and headers that are other ones or absent. */
export interface Rewritten {
  readonly url?: string
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** Returns what is received with another path and query, or other headers. */
export const modified = <R extends Handler.Received>(
  received: R,
  { headers = {}, url = received.request.url }: Rewritten
): Effect.Effect<R> => {
  const changed = Object.entries(headers).reduce(
    (all, [name, value]) =>
      value === undefined ? Headers.remove(all, name) : Headers.set(all, name, value),
    received.request.headers
  )
  return Effect.map(
    Handler.received(received.request.modify({ url, headers: changed })),
    ({ operation, request }) => ({ ...received, operation, request })
  )
}

/** Changes successful responses to such requests. */
export const changes = <T extends Tag>(
  tags: ReadonlyArray<T>,
  f: (
    response: Response,
    operation: Case<T>,
    request: HttpServerRequest
  ) => Response | Effect.Effect<Response>
): Quirk =>
  changesAll((response, received) => {
    const operation = operationOf(received, ...tags)
    return operation === undefined || response.status >= 300
      ? response
      : f(response, operation, received.request)
  })

/** Changes all responses. */
export const changesAll =
  (
    f: (response: Response, received: Handler.Received) => Response | Effect.Effect<Response>
  ): Quirk =>
  (next) =>
  (received) =>
    Effect.flatMap(next(received), (response) => {
      const changed = f(response, received)
      return isResponse(changed) ? Effect.succeed(changed) : changed
    })

const isResponse = (value: Response | Effect.Effect<Response>): value is Response =>
  "status" in value

/** Has successful responses to such requests with other headers. */
export const sets = <T extends Tag>(
  tags: ReadonlyArray<T>,
  f: (
    headers: Response["headers"],
    operation: Case<T>,
    request: HttpServerRequest
  ) => ChangedResponse.Changes
): Quirk =>
  changes(tags, (response, operation, request) =>
    ChangedResponse.withHeaders(response, f(response.headers, operation, request))
  )

/** Responds to such requests with the same thing always. */
export const always = <T extends Tag>(tags: ReadonlyArray<T>, reply: Reply): Quirk =>
  answers(tags, () => reply)

/** Returns a quirk that is several, the first the outermost. */
export const all =
  (...quirks: ReadonlyArray<Quirk>): Quirk =>
  (next) =>
    quirks.reduceRight((inner, quirk) => quirk(inner), next)

/** Makes a response of what a switch says. */
export const toResponse = ({ body = "", code, headers = {}, message, status }: Reply): Response => {
  const text = code === undefined ? body : ErrorBody.encode([errorOf(code, message)])
  return ChangedResponse.withBytes(
    ServerResponse.empty(status, {
      ...(code === undefined ? {} : { "content-type": "application/json" }),
      ...headers
    }),
    new TextEncoder().encode(text)
  )
}

const errorOf = (code: string, message: string | undefined) => ({
  code,
  message: message ?? code.toLowerCase().replaceAll("_", " ")
})

/** Returns the text of a response, which is not one of a blob. */
export const textOf = (response: Response): Effect.Effect<string> =>
  Effect.map(Stream.runCollect(Stream.orDie(ChangedResponse.bodyOf(response))), (chunks) => {
    const decoder = new TextDecoder()
    return (
      Chunk.toReadonlyArray(chunks)
        .map((bytes) => decoder.decode(bytes, { stream: true }))
        .join("") + decoder.decode()
    )
  })

/** Returns the object that a response is in JSON, empty where it is none. */
export const documentOf = (response: Response): Effect.Effect<Readonly<Record<string, unknown>>> =>
  Effect.map(textOf(response), (text) =>
    Option.getOrElse(
      Option.liftThrowable((): Readonly<Record<string, unknown>> => Object(JSON.parse(text)))(),
      () => ({})
    )
  )

/** Returns a response with another document, and otherwise the same. */
export const withDocument = (
  response: Response,
  document: unknown,
  headers: ChangedResponse.Changes = {}
): Response =>
  ChangedResponse.withBytes(response, new TextEncoder().encode(JSON.stringify(document)), headers)

/** Returns path and query of a request. */
export const urlOf = ({ url }: HttpServerRequest): URL => new URL(url, "http://registry.invalid")

/** Returns path and query as text. */
export const pathOf = ({ pathname, search }: URL): string => pathname + search

/** Returns path and query with other parameters; `undefined` removes one. */
export const withParameters = (
  request: HttpServerRequest,
  parameters: Readonly<Record<string, string | undefined>>
): string => {
  const url = urlOf(request)
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  }
  return pathOf(url)
}
