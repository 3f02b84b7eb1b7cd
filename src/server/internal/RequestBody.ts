/**
 * The body of a request to a registry server: read as fast as it can be stored, and read on after
 * the response when that is an error in the middle of it.
 */
import type { RequestError } from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChangedResponse from "./ChangedResponse.js"

type Pull = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<RequestError>>

type Body = Stream.Stream<Uint8Array, RequestError>

/** How far the body of a request has been read, and the Scope of that request. */
interface Reading {
  readonly scope: Scope.Scope
  pull: Pull | undefined
  /** What the body is for whoever receives it. */
  change: (body: Body) => Body
  received: number
  ended: boolean
}

/** By what a platform has for a request, which is the same for all that are made from it. */
const readings = new WeakMap<object, Reading>()

const keyOf = (request: HttpServerRequest): object =>
  typeof request.source === "object" && request.source !== null ? request.source : request

/** Returns the one reading of a request, which the first who asks begins, within its Scope. */
const readingOf = (request: HttpServerRequest): Effect.Effect<Reading, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const key = keyOf(request)
    const reading = readings.get(key) ?? {
      scope,
      pull: undefined,
      change: (body: Body) => body,
      received: 0,
      ended: false
    }
    readings.set(key, reading)
    return reading
  })

/** Changes the body that the handler of a request is going to `receive`. */
export const change = (
  request: HttpServerRequest,
  f: (body: Body) => Body
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.map(readingOf(request), (reading) => {
    const { change } = reading
    reading.change = (body) => f(change(body))
  })

/**
 * Returns whether a body has more bytes than a limit. Where its length is not announced so many are
 * read, and kept for whoever receives it.
 */
export const exceeds = (
  request: HttpServerRequest,
  limit: number
): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.gen(function* () {
    const length = request.headers["content-length"]
    if (length !== undefined) return Number(length) > limit
    const pull = yield* Effect.flatMap(readingOf(request), (reading) => start(request, reading))
    let held: Body = Stream.empty
    let size = 0
    const read = Effect.map(pull, (chunk) => {
      for (const bytes of chunk) size += bytes.length
      held = Stream.concat(held, Stream.fromChunk(chunk))
    })
    yield* Effect.ignore(Effect.repeat(read, { until: () => size > limit }))
    yield* change(request, (body) => Stream.concat(held, body))
    return size > limit
  })

/**
 * Runs the handler of a request, and lets an error be read by a client that is still sending: a
 * connection that is closed with unread bytes is reset, and its client may never see the response.
 * The error goes out at once, with `Connection: close`; then the body is read and dropped, for at
 * most 10 seconds or 64 MiB, until the client has seen the response and stops. Successful
 * responses, and those to bodies that have been read or are small, are left as they are.
 */
export const handled = <E, R>(
  request: HttpServerRequest,
  handler: Effect.Effect<HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const reading = yield* readingOf(request)
    const response = yield* handler
    if (response.status < 400 || response.body._tag === "Stream" || !isUnread(request, reading))
      return response
    return ChangedResponse.withBody(
      ChangedResponse.withHeaders(response, { connection: "close" }),
      Stream.concat(
        ChangedResponse.bodyOf(response),
        Stream.drain(Stream.fromEffect(drop(request, reading)))
      )
    )
  })

/**
 * Returns the body as it arrives, or none if it is empty. It can be run once, while its request is
 * `handled`. Whoever stops reading it leaves the rest for later: a platform's own stream would
 * break the connection, and with it the response. Fails with the `RequestError` of a connection
 * that breaks.
 */
export const receive = (
  request: HttpServerRequest
): Effect.Effect<Option.Option<Body>, RequestError, Scope.Scope> => {
  const length = request.headers["content-length"]
  if (length === "0") return Effect.succeedNone
  const body = Effect.flatMap(readingOf(request), (reading) =>
    Effect.map(start(request, reading), (pull) => reading.change(fromPull(pull)))
  )
  // A web request without a body has a stream that fails, for no cause, instead of an empty one.
  return length !== undefined
    ? Effect.asSome(body)
    : Effect.catchIf(
        Effect.flatMap(body, begin),
        ({ cause }) => cause === undefined,
        () => Effect.succeedNone
      )
}

const start = (request: HttpServerRequest, reading: Reading): Effect.Effect<Pull> =>
  Effect.suspend(() => {
    if (reading.pull !== undefined) return Effect.succeed(reading.pull)
    return Effect.map(Scope.extend(Stream.toPull(request.stream), reading.scope), (pull) => {
      reading.pull = Effect.mapBoth(pull, {
        onSuccess: (chunk) => {
          for (const bytes of chunk) reading.received += bytes.length
          return chunk
        },
        onFailure: (end) => {
          reading.ended = true
          return end
        }
      })
      return reading.pull
    })
  })

const fromPull = (pull: Pull): Body => Stream.fromPull(Effect.succeed(pull))

/**
 * Runs a stream up to its first bytes, so that what fails before them can have a status of its own.
 * Returns none if it has no bytes.
 */
export const begin = <E>(
  stream: Stream.Stream<Uint8Array, E>
): Effect.Effect<Option.Option<Stream.Stream<Uint8Array, E>>, E, Scope.Scope> =>
  Effect.flatMap(Stream.toPull(stream), (pull) =>
    Effect.matchEffect(pull, {
      onFailure: Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail }),
      onSuccess: (first) =>
        Effect.succeedSome(
          Stream.concat(Stream.fromChunk(first), Stream.fromPull(Effect.succeed(pull)))
        )
    })
  )

const isUnread = ({ headers }: HttpServerRequest, { ended, pull, received }: Reading): boolean => {
  const length = headers["content-length"]
  if (ended) return false
  if (length === undefined) return headers["transfer-encoding"] !== undefined
  // What nobody has begun to read is read by the HTTP server itself, before the next request.
  return Number(length) > (pull === undefined ? smallBody : received)
}

/** In bytes. */
const smallBody = 64 * 1024

/** In bytes. */
const dropLimit = 64 * 1024 * 1024

/** Reads and drops what is left of a body, for at most 10 seconds or 64 MiB. */
export const drain = (request: HttpServerRequest): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(readingOf(request), (reading) => drop(request, reading))

const drop = Effect.fnUntraced(function* (request: HttpServerRequest, reading: Reading) {
  const pull = yield* start(request, reading)
  let dropped = 0
  yield* Effect.repeat(pull, {
    until: (chunk) => {
      for (const bytes of chunk) dropped += bytes.length
      return dropped >= dropLimit
    }
  }).pipe(Effect.timeout("10 seconds"), Effect.ignore)
})
