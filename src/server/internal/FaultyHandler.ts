/** Performs the faults of a registry server. */
import { RequestError } from "@effect/platform/HttpServerError"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Fault, Faults, Target } from "../Faults.js"
import * as ChangedResponse from "./ChangedResponse.js"
import * as Connection from "./Connection.js"
import type { Handler, Received } from "./Handler.js"
import * as RequestBody from "./RequestBody.js"
import * as ServerResponse from "./ServerResponse.js"

/**
 * Stands before a handler with faults. A request without a fault goes to the handler as it is, and
 * its response as well (V36).
 */
export const make =
  (faults: Faults, isToken: (request: HttpServerRequest) => boolean) =>
  (handler: Handler): Handler =>
  (received) =>
    Effect.flatMap(faults.draw(targetOf(received, isToken)), (drawn) =>
      Option.isNone(drawn) ? handler(received) : perform(drawn.value, received, handler)
    )

const targetOf = (
  { operation, request }: Received,
  isToken: (request: HttpServerRequest) => boolean
): Target | undefined =>
  Either.isRight(operation) ? operation.right._tag : isToken(request) ? "Token" : undefined

const perform = (fault: Fault, received: Received, handler: Handler): ReturnType<Handler> => {
  const { request } = received
  switch (fault._tag) {
    case "Status":
      return Effect.as(
        fault.at === "Handled" ? handler(received) : Effect.void,
        ChangedResponse.withBytes(
          ServerResponse.empty(fault.status, fault.headers),
          new TextEncoder().encode(fault.body)
        )
      )
    case "Redirect":
      return Effect.succeed(
        ServerResponse.empty(fault.status, { location: fault.origin + request.url })
      )
    case "DropHeader":
      return Effect.map(handler(received), (response) =>
        ChangedResponse.withHeaders(response, { [fault.name]: undefined })
      )
    case "RepeatHeader":
      return Effect.map(handler(received), (response) => repeated(response, fault))
    case "Corrupt":
      return "request" in fault.at
        ? Effect.zipRight(
            RequestBody.change(request, corrupted(fault.at.request)),
            handler(received)
          )
        : Effect.map(handler(received), changesBody(corrupted(fault.at.response)))
    case "Delay":
      return happen(fault.at, Effect.sleep(fault.duration), received, handler)
    case "Stall":
      return happen(fault.at, Effect.never, received, handler)
    case "Cut":
      return cut(fault, received, handler)
  }
}

// -----------------------------------------------------------------------------
// Where something happens
// -----------------------------------------------------------------------------

type Point = Extract<Fault, { readonly _tag: "Cut" }>["at"]

/** Has something happen at a point of an exchange, which then goes on. */
const happen = (
  at: Point,
  event: Effect.Effect<void>,
  received: Received,
  handler: Handler
): ReturnType<Handler> => {
  // Applications run uninterruptibly, and clients go away meanwhile.
  const interruptible = Effect.interruptible(event)
  if (at === "Received") return Effect.zipRight(interruptible, handler(received))
  if (at === "Handled") return Effect.zipLeft(handler(received), interruptible)
  return "request" in at
    ? Effect.zipRight(
        RequestBody.change(received.request, atByte(at.request, event)),
        handler(received)
      )
    : Effect.map(handler(received), changesBody(atByte(at.response, event)))
}

const cut = (
  { at, how }: Extract<Fault, { readonly _tag: "Cut" }>,
  received: Received,
  handler: Handler
): ReturnType<Handler> =>
  Effect.gen(function* () {
    const { request } = received
    // In one process the client learns of it by other means than this response.
    const breaks = Effect.as(Connection.breakOff(request, how), ServerResponse.empty(502))
    if (at === "Received") return yield* breaks
    if (at === "Handled") return yield* Effect.zipRight(handler(received), breaks)
    if ("response" in at) {
      const scope = yield* Effect.scope
      const end = Effect.zipRight(
        Effect.provideService(Connection.breakOff(request, how), Scope.Scope, scope),
        Effect.fail(Connection.errorOf(how))
      )
      return changesBody(atByte(at.response, end))(yield* handler(received))
    }
    let isBroken = false
    yield* RequestBody.change(
      request,
      atByte(
        at.request,
        Effect.suspend(() => {
          isBroken = true
          return Effect.fail(
            new RequestError({ request, reason: "Decode", cause: Connection.errorOf(how) })
          )
        })
      )
    )
    const response = yield* handler(received)
    return isBroken ? yield* breaks : response
  })

const changesBody =
  (change: (body: Stream.Stream<Uint8Array, unknown>) => Stream.Stream<Uint8Array, unknown>) =>
  (response: HttpServerResponse): HttpServerResponse =>
    response.body._tag === "Empty"
      ? response
      : ChangedResponse.withBody(response, change(ChangedResponse.bodyOf(response)))

/**
 * Has something happen after so many bytes, when more are there. What came before is emitted by
 * itself, empty as it may be, so that the head of a response is on its way.
 */
const atByte =
  <E2>(offset: number, event: Effect.Effect<void, E2>) =>
  <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E | E2> =>
    Stream.suspend(() => {
      let left = offset
      return Stream.flatMap(body, (bytes): Stream.Stream<Uint8Array, E | E2> => {
        const before = left
        left -= bytes.length
        if (before < 0 || left >= 0) return Stream.make(bytes)
        return Stream.make(bytes.subarray(0, before)).pipe(
          Stream.concat(Stream.drain(Stream.fromEffect(event))),
          Stream.concat(Stream.make(bytes.subarray(before)))
        )
      })
    })

const corrupted =
  (offset: number) =>
  <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
    Stream.mapAccum(body, offset, (left, bytes) => {
      if (left < 0 || left >= bytes.length) return [left - bytes.length, bytes]
      const changed = bytes.slice()
      changed[left] = ~(bytes[left] ?? 0)
      return [-1, changed]
    })

const repeated = (
  response: HttpServerResponse,
  { name, value }: Extract<Fault, { readonly _tag: "RepeatHeader" }>
): HttpServerResponse => {
  const sent = response.headers[name]
  return sent === undefined
    ? response
    : ChangedResponse.withHeaders(response, { [name]: [sent, value ?? sent] })
}
