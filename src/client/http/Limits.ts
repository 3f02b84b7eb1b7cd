/**
 * The innermost step of the pipeline: what a request may cost. Every failure of the HTTP client
 * becomes a `TransportFailure` here, every answer must begin in time, and bodies are read under a
 * limit.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Stream from "effect/Stream"
import type { Sender } from "../../auth/Authorization.js"
import * as Sent from "../../auth/internal/Sent.js"
import * as ByteStream from "../../ByteStream.js"
import { LimitExceeded, TransportFailure } from "../../RegistryError.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import * as BodyProgress from "./BodyProgress.js"
import { BodyResponse } from "./BodyResponse.js"
import * as ClientFailure from "./ClientFailure.js"
import * as ContentCoding from "./ContentCoding.js"
import { OnBehalfOf } from "./OnBehalfOf.js"
import { onTurn } from "./Turns.js"
import * as Watchdog from "./Watchdog.js"

/**
 * Upper bounds on what a registry may send (T4, T6). Going over one is `LimitExceeded`, never a
 * truncated value.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** Bytes of a manifest, 8 MiB by default (C70). */
  readonly manifest: number
  /** Bytes of one page of a list, 8 MiB by default. */
  readonly page: number
  /** Pages of one list, 10,000 by default. */
  readonly pages: number
  /** Entries of one list, 1,000,000 by default. */
  readonly items: number
  /**
   * Bytes of the header section of an answer, names and values, 64 KiB by default. The HTTP client
   * may have a lower limit.
   */
  readonly headers: number
  /** Redirects of one request, 10 by default. */
  readonly redirects: number
}

/**
 * How long to wait. Either may be overrun by a second. The time to connect is a setting of the HTTP
 * client, and counts as waiting for an answer here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  /**
   * Until an answer begins, for each request, 60 seconds by default, and from then on until the next
   * bytes of its body. Only the registry is waited for: while a stream is sent, the time since it
   * took what there was. A body in memory has a second more for each 64 KiB.
   */
  readonly response: Duration.DurationInput
  /**
   * For all of an exchange, its redirects, refusals, token requests and the document at the end
   * included, 2 minutes by default. The time in which a blob travels does not count: blobs take as
   * long as they keep moving.
   */
  readonly overall: Duration.DurationInput
}

/** The defaults that `Limits` documents. */
export const defaultLimits: Limits = {
  manifest: 8 * 1024 * 1024,
  page: 8 * 1024 * 1024,
  pages: 10_000,
  items: 1_000_000,
  headers: 64 * 1024,
  redirects: 10
}

/** The defaults that `Timeouts` documents. */
export const defaultTimeouts: Timeouts = {
  response: Duration.seconds(60),
  overall: Duration.minutes(2)
}

/** Of an answer that is not wanted, as much is read as keeps its connection usable. */
const discardable = 64 * 1024

/** In milliseconds: so long is such an answer waited for at most. */
const discardTime = 5000

/**
 * What bounds one exchange: the limits, the milliseconds until an answer must begin, the time (in
 * milliseconds of the clock) when all must be over, and who watches both. `registry`: the origin
 * that it is `OnBehalfOf`; `sent`: what no error of the exchange may repeat.
 */
export interface Bounds {
  readonly limits: Limits
  readonly response: number
  until: number
  readonly watchdog: Watchdog.Watchdog
  readonly registry: string
  readonly sent: Sent.Sent
}

/** The direction in which a blob travels. */
export type Transfer = "download" | "upload"

/**
 * The client with its failures typed and its answers bounded in time and in the size of their
 * headers. No span and no trace header of its own: the default ones would carry signed URLs and
 * reach strangers (T13).
 *
 * An answer of up to 64 KiB that somebody is going to read arrives with its body, in the same time:
 * to read a body by itself costs more than to ask for it. A refusal or a redirect arrives with the
 * first 64 KiB of its body, or what of them came within 5 seconds; that it breaks off does not
 * matter. The time of a `transfer` is not counted: an upload with its response, a download from its
 * response on.
 */
export const limited =
  (bounds: Bounds, transfer?: Transfer) =>
  (client: HttpClient.HttpClient): Sender<ClientFailure.ClientFailure> => ({
    execute: (request) => {
      let late = (): Effect.Effect<HttpClientResponse, ClientFailure.ClientFailure> =>
        Effect.fail(
          new TransportFailure({
            ...ClientFailure.facts(request, bounds.sent),
            reason: "Timeout"
          })
        )
      return Watchdog.watch(
        bounds.watchdog,
        (deadline) => {
          const { body } = request
          const isUpload = transfer === "upload"
          const patience =
            bounds.response + (body._tag === "Uint8Array" ? body.contentLength / 65.536 : 0)
          const began = deadline.clock.unsafeCurrentTimeMillis()
          const awaited = () => {
            const at = deadline.clock.unsafeCurrentTimeMillis() + patience
            deadline.at = isUpload ? at : Math.min(bounds.until, at)
          }
          awaited()
          if (deadline.at <= began) return late()
          Sent.add(bounds.sent, request)
          const answered = Effect.zipRight(
            setUp(bounds.registry),
            client.execute(observed(request, deadline, awaited))
          )
          return Effect.matchEffect(answered, {
            onFailure: (error) => Effect.fail(ClientFailure.ofRequest(request, error, bounds)),
            onSuccess: (
              response
            ): Effect.Effect<HttpClientResponse, ClientFailure.ClientFailure> => {
              Sent.answered(bounds.sent, response.request)
              const now = deadline.clock.unsafeCurrentTimeMillis()
              if (isUpload) bounds.until += now - began
              const { headers, status } = response
              /** What could be read of a body in time, whose rest is of no interest. */
              const excerpted = (
                then: (
                  bytes: Uint8Array
                ) => Effect.Effect<HttpClientResponse, ClientFailure.ClientFailure>
              ) => {
                const parts: Array<Uint8Array> = []
                late = () => then(ByteStream.concat(parts).subarray(0, discardable))
                deadline.at = Math.min(bounds.until, now + discardTime)
                return deadline.at <= now
                  ? Effect.zipRight(abandon(response), late())
                  : Effect.flatMap(readBeginning(response, parts), late)
              }
              // Plain http goes through proxies as it is; servers have no such status.
              if (status === 407)
                return excerpted(() =>
                  Effect.fail(ClientFailure.ofProxy(request, status, bounds.sent))
                )
              let size = 0
              for (const name in headers) size += name.length + (headers[name]?.length ?? 0)
              if (size > bounds.limits.headers)
                return excerpted(() => Effect.fail(ClientFailure.tooManyHeaders(request, bounds)))
              if (status >= 300 && request.method !== "HEAD")
                return excerpted((bytes) => Effect.succeed(withBody(response, bytes)))
              late = () =>
                Effect.fail(new TransportFailure({ ...factsOf(response), reason: "Stall" }))
              return gathered(
                response,
                transfer === "download" ? { ...bounds, until: Number.POSITIVE_INFINITY } : bounds,
                deadline
              )
            }
          })
        },
        () => late()
      )
    }
  })

/** For the fiber of one exchange, which the watchdog began: nothing has to be put back. */
const setUp = (registry: string): Effect.Effect<void> =>
  Effect.zipRight(
    FiberRef.set(HttpClient.currentTracerDisabledWhen, always),
    FiberRef.update(FiberRef.currentContext, Context.add(OnBehalfOf, registry))
  )

const always = () => true

/** A response whose body arrived with it. */
class Gathered extends BodyResponse {
  constructor(
    response: HttpClientResponse,
    readonly content: Uint8Array
  ) {
    super(response.request, response.status, response.headers)
  }

  get stream(): Stream.Stream<Uint8Array> {
    return this.content.length === 0 ? Stream.empty : Stream.succeed(this.content)
  }

  get bytes(): Effect.Effect<Uint8Array> {
    return Effect.succeed(this.content)
  }
}

/** The body of a response that arrived with it, if it did. */
export const gatheredOf = (response: HttpClientResponse): Uint8Array | undefined =>
  response instanceof Gathered ? response.content : undefined

/** The response with its body, which was read already. */
export const withBody = (response: HttpClientResponse, bytes: Uint8Array): HttpClientResponse =>
  new Gathered(response, bytes)

const gathered = (
  response: HttpClientResponse,
  bounds: Bounds,
  deadline: Watchdog.Deadline
): Effect.Effect<HttpClientResponse, ClientFailure.ClientFailure> => {
  const length = ContentCoding.length(response)
  return response.request.method !== "GET" || length === undefined || length > discardable
    ? Effect.succeed(response)
    : Effect.map(moving(response, bounds, deadline), (bytes) => withBody(response, bytes))
}

/** Reads the first 64 KiB of a body into `parts`, without failing. */
const readBeginning = (
  response: HttpClientResponse,
  parts: Array<Uint8Array>
): Effect.Effect<void> => {
  if (hasNoBody(response)) return Effect.void
  if ((ContentCoding.length(response) ?? Number.POSITIVE_INFINITY) <= discardable)
    return Effect.match(response.arrayBuffer, {
      onFailure: () => undefined,
      onSuccess: (buffer) => void parts.push(new Uint8Array(buffer))
    })
  let count = 0
  return Effect.ignore(
    Stream.runForEachWhile(body(response), (bytes) => {
      parts.push(bytes)
      count += bytes.length
      return Effect.succeed(count < discardable)
    })
  )
}

const hasNoBody = ({ headers, request, status }: HttpClientResponse): boolean =>
  headers["content-length"] === "0" || status === 204 || request.method === "HEAD"

/**
 * The whole body, however long. It is late when nothing of it has arrived for as long as a response
 * may take to begin, whatever its size, and when the time of its exchange is over.
 */
const moving = (
  response: HttpClientResponse,
  { response: patience, until }: Bounds,
  deadline: Watchdog.Deadline,
  limit: ByteStream.Limit = { what: "", limit: Number.POSITIVE_INFINITY }
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> => {
  const moved = (now: number) => {
    deadline.at = Math.min(until, now + patience)
  }
  moved(deadline.clock.unsafeCurrentTimeMillis())
  if (!BodyProgress.tells(response) || limit.limit !== Number.POSITIVE_INFINITY)
    return body(response).pipe(
      ByteStream.tap(() => moved(deadline.clock.unsafeCurrentTimeMillis())),
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

/** A body is not late while its source is being waited for. */
const observed = (
  request: HttpClientRequest.HttpClientRequest,
  deadline: Watchdog.Deadline,
  awaited: () => void
): HttpClientRequest.HttpClientRequest => {
  const { body } = request
  if (body._tag !== "Stream") return request
  const asked = () => {
    deadline.at = Number.POSITIVE_INFINITY
  }
  const stream = onTurn(body.stream, { asked, given: awaited })
  return HttpClientRequest.setBody(
    request,
    HttpBody.stream(stream, body.contentType, body.contentLength)
  )
}

/**
 * The body of an answer, its failures typed. The chunks are plain `Uint8Array`s, on Node too, whose
 * `Buffer` has another `slice`.
 */
export const body = (response: HttpClientResponse): Stream.Stream<Uint8Array, TransportFailure> =>
  response.stream.pipe(Stream.mapChunks(Chunk.map(plain)), Stream.mapError(ClientFailure.ofBody))

const plain = (bytes: Uint8Array): Uint8Array =>
  bytes.constructor === Uint8Array
    ? bytes
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * The whole body of an answer that is a document, within `limit` bytes and the time of its
 * exchange.
 */
export const document = (
  response: HttpClientResponse,
  limit: ByteStream.Limit,
  bounds: Bounds
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> => {
  const tooLong = () => new LimitExceeded({ ...limit, ...factsOf(response) })
  const within = (bytes: Uint8Array) =>
    bytes.length <= limit.limit ? Effect.succeed(bytes) : Effect.fail(tooLong())
  const known = gatheredOf(response)
  if (known !== undefined) return within(known)
  // HTTP clients see to it that a body is no longer than its `Content-Length`.
  const isShort = (ContentCoding.length(response) ?? Number.POSITIVE_INFINITY) <= limit.limit
  return Watchdog.watch(
    bounds.watchdog,
    (deadline) =>
      Effect.catchTag(
        Effect.flatMap(moving(response, bounds, deadline, isShort ? undefined : limit), within),
        "LimitExceeded",
        () => Effect.fail(tooLong())
      ),
    () => Effect.fail(new TransportFailure({ ...factsOf(response), reason: "Stall" }))
  )
}

/**
 * The first 64 KiB of a body whose rest is of no interest, such as that of an error: what could be
 * read of it, without failing. The connection can be used again if that was all, and is closed if
 * not.
 */
export const excerpt = (response: HttpClientResponse): Effect.Effect<Uint8Array> => {
  const known = gatheredOf(response)
  if (known !== undefined) return Effect.succeed(known)
  if (hasNoBody(response)) return Effect.succeed(new Uint8Array())
  return Effect.map(ByteStream.beginning(body(response), discardable), (bytes) =>
    bytes.subarray(0, discardable)
  )
}

/** Gives a body up of which nothing is wanted. Its connection is closed, unless all has arrived. */
export const abandon = (response: HttpClientResponse): Effect.Effect<void> =>
  gatheredOf(response) !== undefined || response.request.method === "HEAD"
    ? Effect.void
    : // Reading has to begin before it can be given up.
      Effect.ignore(Effect.raceFirst(Stream.runDrain(response.stream), Effect.yieldNow()))

/** The facts of an exchange that an error may show. */
export const factsOf = ({
  request,
  status
}: HttpClientResponse): {
  readonly method: string
  readonly url: string
  readonly status: number
} => ({
  ...ClientFailure.facts(request, Sent.of(request)),
  status
})

/** Returns a text of the server that sent a response, such as a header, as it may be shown. */
export const textOf = ({ request }: HttpClientResponse, text: string, limit = 255): string =>
  ServerText.plain(Sent.redactorOf(Sent.of(request))(text), limit)
