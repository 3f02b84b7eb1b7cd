/**
 * What an operator sees of the requests: a span for each that the caller asked for, lines in the
 * log at debug level, and `Metrics`. Nothing shows a header, a query that may be signed, or the
 * address of an upload, a token server or a redirect's target beyond what `RedactedUrl` leaves
 * (T13).
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type { ResponseError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import type * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { Sender } from "../../auth/Authorization.js"
import * as Sent from "../../auth/internal/Sent.js"
import * as ByteStream from "../../ByteStream.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import * as Runtime from "../../internal/Runtime.js"
import * as Metrics from "../../Metrics.js"
import * as BodyProgress from "./BodyProgress.js"
import { BodyResponse, GatheredResponse } from "./BodyResponse.js"
import type { ClientFailure } from "./ClientFailure.js"
import type { Bounded, Outcome } from "./Transport.js"

/** Of one endpoint, what spans and metrics say of it, computed once. */
export interface Observation {
  readonly host: string
  readonly address: string
  readonly port: number
  readonly path: string
  readonly propagation: boolean
  readonly labels: (...pairs: ReadonlyArray<readonly [name: string, value: string]>) => Labels
  readonly requestLabels: (method: string, status: string) => Labels
}

type Labels = ReadonlyArray<MetricLabel.MetricLabel>

/**
 * The observation of the registry at `base`. `propagation`: whether its own requests carry the
 * trace.
 */
export const make = (base: string, propagation: boolean): Observation => {
  const { host, hostname, pathname, port, protocol } = new URL(base)
  const labels = Metrics.labelsOf(host)
  const ofRequests = new Map<string, Labels>()
  return {
    host,
    address: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    path: pathname.replace(/\/$/, ""),
    propagation,
    labels,
    requestLabels: (method, status) => {
      const key = method + status
      const found = ofRequests.get(key) ?? labels(["method", method], ["status", status])
      ofRequests.set(key, found)
      return found
    }
  }
}

/**
 * Observes the requests of a client. Only the request that `template` is the path of, if there is
 * one, has a span (and, where asked
 * for, the headers of the trace). Token requests and followed redirects are logged and counted
 * only.
 */
export const observed =
  (of: Observation, template: string | undefined, sent: Sent.Sent) =>
  (client: Bounded): Sender<ClientFailure> => ({
    execute: (request) =>
      Runtime.withFiber((fiber) => {
        const body = counted(request)
        const ended = (outcome: Outcome) => {
          count(of, fiber, request.method, outcome, body.count(Exit.isSuccess(outcome)))
          return Exit.isSuccess(outcome)
            ? Exit.succeed(countedResponse(of, outcome.value))
            : outcome
        }
        const spanned = request.url === sent.url ? template : undefined
        const isTraced = spanned !== undefined && Runtime.isRecorded(fiber)
        const isLogged = Runtime.isLogged(fiber, LogLevel.Debug)
        if (!isTraced && !isLogged) return client.execute(body.request, ended)
        const clock = Runtime.clockOf(fiber)
        const shown = Sent.shownUrl(sent, request)
        const send: Send = (request) => client.execute(request, ended)
        const sending = isTraced
          ? inSpan(send, of, sent, body.request, shown, spanned, fiber.currentSpan, clock)
          : send(body.request)
        return isLogged ? logged(sending, `${request.method} ${shown}`, clock) : sending
      })
  })

type Send = (
  request: HttpClientRequest.HttpClientRequest
) => Effect.Effect<HttpClientResponse, ClientFailure>

const logged = (sending: ReturnType<Send>, line: string, clock: Clock.Clock): ReturnType<Send> =>
  Effect.suspend(() => {
    const began = clock.unsafeCurrentTimeMillis()
    return Effect.zipRight(
      Effect.logDebug(line),
      Effect.onExit(sending, (exit) => {
        const took = clock.unsafeCurrentTimeMillis() - began
        return Effect.logDebug(`${line} ${outcomeOf(exit)} (${took} ms)`)
      })
    )
  })

const count = (
  of: Observation,
  fiber: Runtime.RunningFiber,
  method: string,
  outcome: Outcome,
  uploaded: number
): void => {
  const status = Exit.isSuccess(outcome) ? `${Math.trunc(outcome.value.status / 100)}xx` : "error"
  const labels = of.requestLabels(method, status)
  Metrics.unsafeUpdate(fiber, Metrics.requests, 1, labels)
  if (uploaded > 0)
    Metrics.unsafeUpdate(fiber, Metrics.bytes, uploaded, of.labels(["direction", "upload"]))
  const downloaded =
    Exit.isSuccess(outcome) && outcome.value instanceof GatheredResponse
      ? outcome.value.content.length
      : 0
  if (downloaded > 0)
    Metrics.unsafeUpdate(fiber, Metrics.bytes, downloaded, of.labels(["direction", "download"]))
}

/** The status of a response, or what came instead of one. */
const outcomeOf = (exit: Outcome): string =>
  Exit.isSuccess(exit)
    ? String(exit.value.status)
    : Option.match(Cause.failureOption(exit.cause), {
        onNone: () => (Cause.isInterrupted(exit.cause) ? "interrupted" : "defect"),
        onSome: (error) => ("reason" in error ? `${error._tag}.${error.reason}` : error._tag)
      })

// -----------------------------------------------------------------------------
// Spans
// -----------------------------------------------------------------------------

/**
 * Follows OpenTelemetry's conventions for HTTP clients. The span ends when the response begins; one
 * of 400 or more is its error, unless it is a challenge that is answered: that is how a request to
 * a registry begins.
 */
const inSpan = (
  send: Send,
  of: Observation,
  sent: Sent.Sent,
  request: HttpClientRequest.HttpClientRequest,
  shown: string,
  template: string,
  parent: Tracer.AnySpan | undefined,
  clock: Clock.Clock
): ReturnType<Send> => {
  const resends = resendsOf(parent, `${request.method} ${request.url}`)
  const attributes = {
    "http.request.method": request.method,
    "server.address": of.address,
    "server.port": of.port,
    "url.full": shown,
    "url.template": of.path + template,
    ...(resends.count > 0 && { "http.request.resend_count": resends.count })
  }
  const name = `${request.method} ${of.path}${template}`
  return Effect.flatMap(
    Effect.makeSpan(name, { kind: "client", captureStackTrace: false, attributes }),
    (span) =>
      send(
        of.propagation
          ? HttpClientRequest.setHeaders(request, HttpTraceContext.toHeaders(span))
          : request
      ).pipe(
        Effect.withParentSpan(span),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            const outcome = outcomeOf(exit)
            if (Exit.isSuccess(exit)) span.attribute("http.response.status_code", exit.value.status)
            const failed = Exit.isFailure(exit) || exit.value.status >= 400
            resends.ended(failed)
            const at = clock.unsafeCurrentTimeNanos()
            const end = (isError: boolean) => {
              if (isError) span.attribute("error.type", outcome)
              const error = Exit.isFailure(exit) ? exit : Exit.fail(`The response is ${outcome}`)
              span.end(at, isError ? error : Exit.void)
            }
            const isKnown = !failed || Exit.isFailure(exit) || !sent.isAuthorized
            if (isKnown) end(failed)
            else sent.settle = (isAnswered) => end(!isAnswered)
          })
        )
      )
  )
}

/**
 * The failed requests of each operation under way, by method and URL: what is sent again is not
 * sent because it went well.
 */
const failedRequests = new WeakMap<Tracer.AnySpan, Map<string, number>>()

const resendsOf = (parent: Tracer.AnySpan | undefined, key: string) => {
  const failed =
    (parent === undefined ? undefined : failedRequests.get(parent)) ?? new Map<string, number>()
  const count = failed.get(key) ?? 0
  return {
    count,
    ended: (again: boolean) => {
      if (again) failed.set(key, count + 1)
      else failed.delete(key)
      if (again && parent !== undefined) failedRequests.set(parent, failed)
    }
  }
}

// -----------------------------------------------------------------------------
// Bytes and durations
// -----------------------------------------------------------------------------

const received = (of: Observation, count: number): Effect.Effect<void> =>
  count === 0
    ? Effect.void
    : Metrics.update(Metrics.bytes, count, of.labels(["direction", "download"]))

const counted = (request: HttpClientRequest.HttpClientRequest) => {
  const { body } = request
  // How much of an array went without a response, only the HTTP client knows.
  if (body._tag !== "Stream")
    return { request, count: (succeeded: boolean) => (succeeded ? (body.contentLength ?? 0) : 0) }
  let count = 0
  const stream = ByteStream.tap(body.stream, (bytes) => {
    count += bytes.length
  })
  return {
    request: HttpClientRequest.setBody(
      request,
      HttpBody.stream(stream, body.contentType, body.contentLength)
    ),
    count: () => count
  }
}

const countedResponse = (of: Observation, response: HttpClientResponse): HttpClientResponse =>
  response.request.method === "HEAD" || response instanceof GatheredResponse
    ? response
    : new Counted(of, response)

/** A response whose body is counted, in whatever way it is read. */
class Counted extends BodyResponse {
  readonly [BodyProgress.arrived]?: () => number

  constructor(
    private readonly of: Observation,
    private readonly response: HttpClientResponse
  ) {
    super(response.request, response.status, response.headers)
    if (BodyProgress.tells(response))
      this[BodyProgress.arrived] = () => response[BodyProgress.arrived]()
  }

  get stream(): Stream.Stream<Uint8Array, ResponseError> {
    return BorrowedStream.map(this.response.stream, (stream) =>
      PullStream.suspend(() => {
        let count = 0
        const counted = ByteStream.tap(stream, (bytes) => {
          count += bytes.length
        })
        return PullStream.ensuring(counted, () => received(this.of, count))
      })
    )
  }

  override get arrayBuffer(): Effect.Effect<ArrayBuffer, ResponseError> {
    return Effect.onExit(this.response.arrayBuffer, (exit) =>
      received(
        this.of,
        Exit.isSuccess(exit) ? exit.value.byteLength : (this[BodyProgress.arrived]?.() ?? 0)
      )
    )
  }

  get bytes(): Effect.Effect<Uint8Array, ResponseError> {
    return Effect.map(this.arrayBuffer, (buffer) => new Uint8Array(buffer))
  }
}
