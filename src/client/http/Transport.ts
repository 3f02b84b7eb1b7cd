/**
 * The innermost step of the pipeline: one request over the HTTP client. Every failure of that
 * client becomes a typed error here, every response must begin in time and keep coming, and its
 * headers are limited.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Stream from "effect/Stream"
import * as Sent from "../../auth/internal/Sent.js"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"
import * as Runtime from "../../internal/Runtime.js"
import { LimitExceeded, TransportFailure } from "../../RegistryError.js"
import * as AbortableClient from "./AbortableClient.js"
import * as BodyProgress from "./BodyProgress.js"
import { GatheredResponse } from "./BodyResponse.js"
import * as ClientFailure from "./ClientFailure.js"
import type { Limits } from "./Limits.js"
import * as Received from "./Received.js"
import { RegistryOrigin } from "./RegistryOrigin.js"
import * as Watchdog from "./Watchdog.js"

/**
 * What bounds one exchange: the limits, the milliseconds until a response must begin, the time (in
 * milliseconds of the clock) when all must be over, how long that is from the beginning, and who
 * watches both. `registry`: the origin that it is `RegistryOrigin`; `sent`: what no error of the
 * exchange may repeat.
 */
export interface Bounds {
  readonly limits: Limits
  readonly response: number
  until: number
  readonly overall: number
  readonly watchdog: Watchdog.Watchdog
  readonly registry: string
  readonly sent: Sent.Sent
}

/** The direction in which a blob travels. */
export type Transfer = "download" | "upload"

/** What becomes of a request. */
export type Outcome = Exit.Exit<HttpClientResponse, ClientFailure.ClientFailure>

type Responded = Effect.Effect<HttpClientResponse, ClientFailure.ClientFailure>

/**
 * Sends requests within their bounds. `ended` is called with what becomes of one, however it ends,
 * and may change it.
 */
export interface Bounded {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest,
    ended?: (outcome: Outcome) => Outcome
  ) => Responded
}

/** A request under way. `late`: what comes of it when its time is over. */
interface Exchange {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly bounds: Bounds
  readonly transfer: Transfer | undefined
  late: (deadline: Watchdog.Deadline) => Outcome
}

/** A body up to this size, in bytes, arrives with its response. */
const small = 64 * 1024

/** In milliseconds: so long is a body waited for at most of which nothing is wanted. */
const discardTime = 5000

/**
 * Types the failures of a client, and bounds its responses in time and in the size of their
 * headers. No span and no trace header of its own: the default ones would carry signed URLs and
 * reach strangers (T13).
 *
 * A response of up to 64 KiB that somebody is going to read arrives with its body, in the same
 * time: to read a body by itself costs more than to ask for it. A refusal or a redirect arrives
 * with the first 64 KiB of its body, or what of them came within 5 seconds; that it breaks off does
 * not matter. The time of a `transfer` is not counted: an upload with its response, a download from
 * its response on.
 */
export const bounded =
  (bounds: Bounds, transfer?: Transfer) =>
  (client: HttpClient.HttpClient): Bounded => ({
    execute: (request, ended) => {
      const exchange: Exchange = {
        request,
        bounds,
        transfer,
        late: (deadline) =>
          Exit.fail(
            new TransportFailure({
              ...ClientFailure.facts(request, bounds.sent),
              reason: "Timeout",
              ...spent(bounds, deadline, waitOf(request, bounds), transfer !== "upload")
            })
          )
      }
      const late = (deadline: Watchdog.Deadline) => exchange.late(deadline)
      return AbortableClient.isAbortable(client) && request.body._tag !== "Stream"
        ? Watchdog.watchAbortable(
            bounds.watchdog,
            (deadline) =>
              sent(exchange, deadline, (request) =>
                client[AbortableClient.executeAbortable](request, bounds.registry, (abort) => {
                  deadline.abort = abort
                })
              ),
            late,
            ended
          )
        : Watchdog.watch(
            bounds.watchdog,
            (deadline) =>
              sent(exchange, deadline, (request) =>
                Effect.zipRight(setUp(bounds.registry), client.execute(request))
              ),
            late,
            ended
          )
    }
  })

/** How long a response may take to begin, in milliseconds. */
const waitOf = (
  { body }: HttpClientRequest.HttpClientRequest,
  { response }: Pick<Bounds, "response">
): number => response + (body._tag === "Uint8Array" ? body.contentLength / 65.536 : 0)

/** The limit of time that was passed at a deadline: `wait`, or that of all if it `counts`. */
const spent = (
  { overall, until }: Pick<Bounds, "overall" | "until">,
  { at }: Watchdog.Deadline,
  wait: number,
  counts = true
): Pick<TransportFailure, "timeout" | "option"> =>
  counts && at >= until
    ? { timeout: overall, option: "timeouts.overall" }
    : { timeout: wait, option: "timeouts.response" }

const sent = (
  exchange: Exchange,
  deadline: Watchdog.Deadline,
  execute: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse, HttpClientError>
): Responded => {
  const { bounds, request, transfer } = exchange
  const began = Runtime.elapsed(deadline.clock)
  const wait = waitOf(request, bounds)
  const isUpload = transfer === "upload"
  const awaited = () => {
    const at = Runtime.elapsed(deadline.clock) + wait
    deadline.at = isUpload ? at : Math.min(bounds.until, at)
  }
  awaited()
  if (deadline.at <= began) return exchange.late(deadline)
  Sent.add(bounds.sent, request)
  return Effect.matchEffect(execute(observed(request, deadline, awaited)), {
    onFailure: (error) => Effect.fail(ClientFailure.ofRequest(request, error, bounds)),
    onSuccess: (response) => {
      if (isUpload) bounds.until += Runtime.elapsed(deadline.clock) - began
      return received(exchange, deadline, response)
    }
  })
}

/** For the fiber of one exchange, which the watchdog began: nothing has to be put back. */
const setUp = (registry: string): Effect.Effect<void> =>
  Effect.zipRight(
    FiberRef.set(HttpClient.currentTracerDisabledWhen, always),
    FiberRef.update(FiberRef.currentContext, Context.add(RegistryOrigin, registry))
  )

const always = () => true

/** A body is not late while its source is being waited for. */
const observed = (
  request: HttpClientRequest.HttpClientRequest,
  deadline: Watchdog.Deadline,
  awaited: () => void
): HttpClientRequest.HttpClientRequest => {
  const { body } = request
  if (body._tag !== "Stream") return request
  const stream = PullStream.observe(body.stream, {
    onPull: () => {
      deadline.at = Number.POSITIVE_INFINITY
    },
    onChunk: awaited,
    onEnd: awaited
  })
  return HttpClientRequest.setBody(
    request,
    HttpBody.stream(stream, body.contentType, body.contentLength)
  )
}

// -----------------------------------------------------------------------------
// Responses
// -----------------------------------------------------------------------------

const received = (
  exchange: Exchange,
  deadline: Watchdog.Deadline,
  response: HttpClientResponse
): Responded => {
  const { bounds, request, transfer } = exchange
  Sent.answered(bounds.sent, response.request)
  const { headers, status } = response
  // Plain http goes through proxies as it is; servers have no such status.
  if (status === 407)
    return excerpted(exchange, deadline, response, () =>
      Exit.fail(ClientFailure.ofProxy(request, status, bounds.sent))
    )
  let size = 0
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0)
  if (size > bounds.limits.headers)
    return excerpted(exchange, deadline, response, () =>
      Exit.fail(ClientFailure.tooManyHeaders(request, bounds))
    )
  if (status >= 300 && request.method !== "HEAD")
    return excerpted(exchange, deadline, response, (bytes) =>
      Exit.succeed(new GatheredResponse(response, bytes))
    )
  const until = transfer === "download" ? Number.POSITIVE_INFINITY : bounds.until
  exchange.late = (deadline) => Exit.fail(stalled(response, { ...bounds, until }, deadline))
  const length = Received.lengthOf(response)
  if (request.method !== "GET" || length === undefined || length > small)
    return Effect.succeed(response)
  return Effect.map(
    gathered(response, { ...bounds, until }, deadline),
    (bytes) => new GatheredResponse(response, bytes)
  )
}

const stalled = (response: HttpClientResponse, bounds: Bounds, deadline: Watchdog.Deadline) =>
  new TransportFailure({
    ...Received.exchangeOf(response),
    reason: "Stall",
    ...spent(bounds, deadline, bounds.response)
  })

/** What could be read in time of a body whose rest is of no interest. */
const excerpted = (
  exchange: Exchange,
  deadline: Watchdog.Deadline,
  response: HttpClientResponse,
  then: (bytes: Uint8Array) => Outcome
): Responded => {
  const parts: Array<Uint8Array> = []
  exchange.late = () => then(ByteStream.concat(parts).subarray(0, Received.discardable))
  const now = Runtime.elapsed(deadline.clock)
  deadline.at = Math.min(exchange.bounds.until, now + discardTime)
  return deadline.at <= now
    ? Effect.zipRight(Received.abandon(Received.from(response)), exchange.late(deadline))
    : Effect.flatMap(readBeginning(response, parts), () => exchange.late(deadline))
}

/** Reads the first 64 KiB of a body into `parts`, without failing. */
const readBeginning = (
  response: HttpClientResponse,
  parts: Array<Uint8Array>
): Effect.Effect<void> => {
  if (Received.hasNoBody(response)) return Effect.void
  if ((Received.lengthOf(response) ?? Number.POSITIVE_INFINITY) <= Received.discardable)
    return Effect.match(response.arrayBuffer, {
      onFailure: () => undefined,
      onSuccess: (buffer) => void parts.push(new Uint8Array(buffer))
    })
  let count = 0
  return Effect.ignore(
    Stream.runForEachWhile(Received.streamOf(response), (bytes) => {
      parts.push(bytes)
      count += bytes.length
      return Effect.succeed(count < Received.discardable)
    })
  )
}

/**
 * The whole body. It is late when nothing of it has arrived for as long as a response may take to
 * begin, whatever its size, and when the time of its exchange is over.
 */
const gathered = (
  response: HttpClientResponse,
  { response: wait, until }: Bounds,
  deadline: Watchdog.Deadline,
  limit: ByteStream.Limit = { what: "", limit: Number.POSITIVE_INFINITY }
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> => {
  const moved = (now: number) => {
    deadline.at = Math.min(until, now + wait)
  }
  moved(Runtime.elapsed(deadline.clock))
  if (!BodyProgress.tells(response) || limit.limit !== Number.POSITIVE_INFINITY)
    return Received.streamOf(response).pipe(
      ByteStream.tap(() => moved(Runtime.elapsed(deadline.clock))),
      ByteStream.collect(limit)
    )
  let arrived = 0
  deadline.onLook = (now) => {
    const count = response[BodyProgress.arrived]()
    if (count > arrived) moved(now)
    arrived = count
  }
  return Effect.matchEffect(response.arrayBuffer, {
    onFailure: (error) => Effect.fail(ClientFailure.ofBody(error)),
    onSuccess: (buffer) => Effect.succeed(new Uint8Array(buffer))
  })
}

/**
 * The whole body of a response that is a document, within `limit` bytes and the time of its
 * exchange.
 */
export const document = (
  response: HttpClientResponse,
  limit: ByteStream.Limit,
  bounds: Bounds
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> => {
  const tooLong = () => new LimitExceeded({ ...limit, ...Received.exchangeOf(response) })
  const within = (bytes: Uint8Array) =>
    bytes.length <= limit.limit ? Effect.succeed(bytes) : Effect.fail(tooLong())
  if (response instanceof GatheredResponse) return within(response.content)
  // HTTP clients see to it that a body is no longer than its `Content-Length`.
  const isShort = (Received.lengthOf(response) ?? Number.POSITIVE_INFINITY) <= limit.limit
  return Watchdog.watch(
    bounds.watchdog,
    (deadline) =>
      Effect.catchTag(
        Effect.flatMap(gathered(response, bounds, deadline, isShort ? undefined : limit), within),
        "LimitExceeded",
        () => Effect.fail(tooLong())
      ),
    (deadline) => Exit.fail(stalled(response, bounds, deadline))
  )
}
