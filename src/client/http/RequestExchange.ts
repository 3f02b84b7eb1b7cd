/** Requests in the terms of HTTP (`Request`) on their way to an endpoint. */
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { factsOf } from "../../protocol/internal/OperationTable.js"
import * as RequestTemplate from "../../protocol/internal/RequestTemplate.js"
import * as RetryAfter from "../../protocol/internal/RetryAfter.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import {
  type BodyNotReplayable,
  InvalidUrl,
  isTransient,
  isTransientStatus,
  type ProtocolViolation,
  RegistryFailure,
  type UntrustedLocation
} from "../../RegistryError.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import type { InvalidReference, RepositoryName } from "../../spec/Reference.js"
import { locationOf } from "../blobs/UploadLocation.js"
import type { Request, Target } from "../Request.js"
import { type Endpoint, problemOfHeaders } from "./Endpoint.js"
import type { ExchangeError } from "./ExchangeError.js"
import type { Outgoing } from "./OperationRequest.js"
import { boundsOf, type Exchange } from "./Pipeline.js"
import * as Received from "./Received.js"
import * as RepeatedBody from "./RepeatedBody.js"
import * as Retry from "./Retry.js"

/**
 * What a request needs besides itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sending {
  /**
   * The scopes to authorize it for, by default those of the specification's request of the same
   * path, and of any other those that the registry's challenge names.
   */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** The repository of a template with `<name>` that does not say which. */
  readonly defaultName?: string | undefined
}

/**
 * What `execute` of a `Request` can fail with. `InvalidReference` and `InvalidUrl` say what is
 * wrong with the request; nothing is sent then. `BodyNotReplayable` says that the stream of its
 * body had to be sent again and had other bytes.
 *
 * @since 0.1.0
 * @category errors
 */
export type RequestError = ExchangeError | InvalidReference | InvalidUrl | BodyNotReplayable

/** Sends a request, and again where it may be and a temporary failure is met. */
export const execute = <R>(
  to: Endpoint,
  exchange: Exchange<R>,
  request: Request,
  sending: Sending
): Effect.Effect<HttpClientResponse, RequestError, R> =>
  Effect.gen(function* () {
    const { body, explained, hasFailed } = RepeatedBody.make(yield* bodyOf(request))
    const outgoing = yield* outgoingOf(to, request, body, sending)
    const once = Effect.flatMap(Effect.clock, (clock) =>
      explained(exchange(boundsOf(to, clock), outgoing, body))
    )
    const response = yield* request.retry ? retried(to, once, hasFailed) : once
    origins.set(response, {
      url: outgoing.request.url,
      repository: outgoing.demand.repository
    })
    return response
  })

/** Of responses, where their requests went before any redirect, and what they were about. */
const origins = new WeakMap<
  HttpClientResponse,
  { readonly url: string; readonly repository: RepositoryName | undefined }
>()

/** A response whose status says that trying again may help is the last of them when nothing did. */
const retried = <R>(
  to: Endpoint,
  once: Effect.Effect<HttpClientResponse, ExchangeError | BodyNotReplayable, R>,
  isHopeless: () => boolean
): Effect.Effect<HttpClientResponse, ExchangeError | BodyNotReplayable, R> =>
  Effect.gen(function* () {
    let last: HttpClientResponse | undefined
    const attempt = Effect.gen(function* () {
      last = undefined
      const response = yield* once
      if (!isTransientStatus(response.status)) return response
      last = response
      const now = yield* Clock.currentTimeMillis
      const wait = Option.flatMap(
        Option.fromNullable(SingleField.value(response.headers, "retry-after")),
        (text) => RetryAfter.parse(text, now)
      )
      return yield* new RegistryFailure({
        ...Received.exchangeOf(response),
        retryAfter: Option.getOrUndefined(Option.map(wait, Duration.toMillis))
      })
    })
    const again = Retry.attempts<ExchangeError | BodyNotReplayable>(
      to,
      yield* Clock.currentTimeMillis,
      (error) => isTransient(error) && !isHopeless()
    )
    return yield* Effect.catchAll(Retry.repeated(attempt, again), (error) =>
      last === undefined ? Effect.fail(error) : Effect.succeed(last)
    )
  })

// -----------------------------------------------------------------------------
// The request
// -----------------------------------------------------------------------------

/**
 * The body, of the type and the length that headers say. A length that is not that of the body
 * would be that of another request (T12).
 */
const bodyOf = Effect.fnUntraced(function* (request: Request) {
  const { headers } = request
  const body = yield* RepeatedBody.sendable(request.body)
  const type = headersOf(request)["content-type"]
  const text = headers["content-length"]
  const length = text === undefined ? undefined : /^\d{1,15}$/.test(text) ? Number(text) : -1
  const known = body._tag === "Empty" ? 0 : body.contentLength
  if (length !== undefined && length !== (known ?? length))
    return yield* invalid(
      "content-length",
      "its header content-length is not the length of its body"
    )
  switch (body._tag) {
    case "Stream":
      return HttpBody.stream(body.stream, type ?? body.contentType, known ?? length)
    case "Uint8Array":
      return HttpBody.uint8Array(body.body, type ?? body.contentType)
    default:
      return body
  }
})

/** All headers of a request besides its length, which is that of its body. */
const headersOf = (request: Request): Headers.Headers =>
  Headers.remove(Headers.setAll(request.headers, secretsOf(request)), "content-length")

const secretsOf = ({ redactedHeaders }: Request): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(redactedHeaders).map(([name, value]) => [name, Redacted.value(value)])
  )

const invalid = (url: string, problem: string) =>
  new InvalidUrl({ url: ServerText.plain(url, 128), problem })

const outgoingOf = (
  to: Endpoint,
  request: Request,
  body: HttpBody.HttpBody,
  sending: Sending
): Effect.Effect<Outgoing, InvalidReference | InvalidUrl | ProtocolViolation | UntrustedLocation> =>
  Effect.gen(function* () {
    const { method, target } = request
    const all = headersOf(request)
    const problem = problemOfHeaders(all)
    if (problem !== undefined) return yield* invalid(shownTarget(target), problem)
    if (request.query.flat().some((text) => /\p{Cs}/u.test(text)))
      return yield* invalid(shownTarget(target), "a parameter of its query is not valid Unicode")
    const url = withQuery(yield* urlOf(to, target, sending.defaultName), request.query)
    const headers = Headers.remove(request.headers, "content-length")
    const secrets = secretsOf(request)
    // Servers may repeat it when it is no more a header of the exchange (T13).
    for (const value of Object.values(secrets)) to.sent.add(value)
    const operation = yield* operationOf(to, method, url, all, body)
    const repository = repositoryOf(target, operation)
    const known = operation === undefined ? undefined : factsOf(operation)
    const scopes = sending.scopes ?? scopesOf(operation, repository)
    return {
      request: HttpClientRequest.make(method)(url, {
        headers: { ...to.standardHeaders, ...headers }
      }),
      isOwn: target._tag === "Path",
      demand: {
        origin: to.origin,
        repository,
        scopes,
        // What the registry asks for is asked for this very request.
        ...(scopes.length === 0 &&
          operation === undefined && { request: `${method} ${pathOf(url)}` })
      },
      template:
        known === undefined && target._tag === "Path"
          ? templateOf(target.template)
          : known?.template,
      transfer: known?.transfer ?? (body._tag === "Stream" ? "upload" : undefined),
      map: (sent) => {
        const mapped = request.map(sent)
        return Trust.isAt(to.origin, mapped.url)
          ? HttpClientRequest.setHeaders(mapped, secrets)
          : mapped
      }
    }
  })

const shownTarget = (target: Target): string =>
  target._tag === "Path" ? target.template : "the Location of a response"

const urlOf = (
  to: Endpoint,
  target: Target,
  name: string | undefined
): Effect.Effect<string, InvalidReference | InvalidUrl | ProtocolViolation | UntrustedLocation> => {
  if (target._tag === "Location") {
    const { response } = target
    return locationOf(
      to,
      Received.from(response),
      origins.get(response)?.url ?? response.request.url
    )
  }
  const { template, values } = target
  const filled = RequestTemplate.fill(template, { ...values, name: values.name ?? name })
  if (Either.isRight(filled)) return Effect.succeed(to.base + filled.right)
  return filled.left._tag === "InvalidPath" ? invalid(template, filled.left.problem) : filled.left
}

const withQuery = (url: string, query: Request["query"]): string =>
  query.reduce(
    (url, parameter) =>
      `${url}${url.includes("?") ? "&" : "?"}${parameter.map(encodeURIComponent).join("=")}`,
    url
  )

/** The template as the path of a span: without its query, and with the braces of OpenTelemetry. */
const templateOf = (template: string): string => {
  const [path = ""] = template.split("?", 1)
  return `${path.startsWith("/") ? "" : "/"}${path.replace(/<(\w+)>/g, "{$1}")}`
}

// -----------------------------------------------------------------------------
// What is known of it
// -----------------------------------------------------------------------------

/** The operation that a request is, if it is one of the specification's. */
const operationOf = (
  to: Endpoint,
  method: Request["method"],
  url: string,
  headers: Headers.Headers,
  body: HttpBody.HttpBody
): Effect.Effect<Operation.Operation | undefined> =>
  url.startsWith(`${to.base}/`)
    ? Effect.orElseSucceed(
        Operation.fromRequest({
          method,
          url: url.slice(to.base.length),
          headers: { "content-length": "0", ...headers, ...lengthOf(body) }
        }),
        () => undefined
      )
    : Effect.succeed(undefined)

const lengthOf = (body: HttpBody.HttpBody) =>
  body._tag === "Empty" || body.contentLength === undefined
    ? {}
    : { "content-length": String(body.contentLength) }

/** A location may be any URL: what the request was about that led to it, it is about as well. */
const repositoryOf = (
  target: Target,
  operation: Operation.Operation | undefined
): RepositoryName | undefined => {
  if (operation !== undefined && "repository" in operation) return operation.repository
  return target._tag === "Location" ? origins.get(target.response)?.repository : undefined
}

const scopesOf = (
  operation: Operation.Operation | undefined,
  repository: RepositoryName | undefined
): ReadonlyArray<string> => {
  if (operation !== undefined) return Operation.requiredScopes(operation)
  return repository === undefined ? [] : [`repository:${repository}:pull,push`]
}

const pathOf = (url: string): string => url.split("?", 1).join("")
