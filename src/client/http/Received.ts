/** A response as the steps of the pipeline have it, and how its body is read. */
import type * as Headers from "@effect/platform/Headers"
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Sent from "../../auth/internal/Sent.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as PullStream from "../../internal/PullStream.js"
import * as Runtime from "../../internal/Runtime.js"
import { beginning, longestWait } from "../../internal/StreamBeginning.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type * as Trust from "../../protocol/Trust.js"
import { type TransportFailure, UntrustedLocation } from "../../RegistryError.js"
import * as ServerText from "../../spec/internal/ServerText.js"
import { GatheredResponse } from "./BodyResponse.js"
import * as ClientFailure from "./ClientFailure.js"

/**
 * A response and its body: the bytes, where they came with it or where there are none, else the
 * stream that brings them, to be read once. `redirects`: the statuses of the redirects that led to
 * it, in order. `until`: when the time of its exchange is over, if that counts for its body.
 */
export interface Received {
  readonly request: HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Uint8Array | Stream.Stream<Uint8Array, TransportFailure>
  readonly redirects: ReadonlyArray<number>
  readonly until?: number | undefined
}

/** The response of an HTTP client as a `Received`. */
export const from = (
  response: HttpClientResponse,
  redirects: ReadonlyArray<number> = [],
  until?: number
): Received => {
  const { headers, request, status } = response
  const body =
    response instanceof GatheredResponse
      ? response.content
      : hasNoBody(response)
        ? new Uint8Array()
        : streamOf(response)
  return { request, status, headers, body, redirects, until }
}

/** Whether a response says that it has no body. */
export const hasNoBody = ({ headers, request, status }: HttpClientResponse): boolean =>
  headers["content-length"] === "0" || status === 204 || request.method === "HEAD"

/**
 * The body of a response as it arrives, its failures typed. The chunks are plain `Uint8Array`s, on
 * Node too, whose `Buffer` has another `slice`.
 */
export const streamOf = (
  response: HttpClientResponse
): Stream.Stream<Uint8Array, TransportFailure> =>
  BorrowedStream.map(response.stream, (stream) =>
    PullStream.mapError(PullStream.mapChunks(stream, Chunk.map(plain)), ClientFailure.ofBody)
  )

const plain = (bytes: Uint8Array): Uint8Array =>
  bytes.constructor === Uint8Array
    ? bytes
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Of a body that is not wanted, as much is read, in bytes, as keeps its connection usable. */
export const discardable = 64 * 1024

/**
 * The first 64 KiB of a body whose rest is of no interest, such as that of an error: what could be
 * read of it in the time of its exchange, and in 5 seconds, without failing. The connection can be
 * used again if that was all, and is closed if not.
 */
export const excerpt = ({
  body,
  until = Number.POSITIVE_INFINITY
}: Received): Effect.Effect<Uint8Array> =>
  body instanceof Uint8Array
    ? Effect.succeed(body)
    : Effect.clockWith((clock) => {
        const left = Math.max(0, until - Runtime.elapsed(clock))
        return Effect.map(beginning(body, discardable, Math.min(left, longestWait)), (bytes) =>
          bytes.subarray(0, discardable)
        )
      })

/** Gives a body up of which nothing is wanted. Its connection is closed, unless all has arrived. */
export const abandon = ({ body }: Received): Effect.Effect<void> =>
  body instanceof Uint8Array
    ? Effect.void
    : // Reading has to begin before it can be given up.
      Effect.ignore(Effect.raceFirst(Stream.runDrain(body), Effect.yieldNow()))

/** The body as a stream. */
export const stream = ({ body }: Received): Stream.Stream<Uint8Array, TransportFailure> =>
  body instanceof Uint8Array
    ? body.length === 0
      ? PullStream.empty
      : PullStream.succeed(body)
    : body

/**
 * How many bytes of content a response announces, if it does: what it says of encoded content is
 * not of the content (trap 26).
 */
export const lengthOf = ({ headers }: Pick<Received, "headers">): number | undefined =>
  ContentDecoding.parse(headers["content-encoding"]).length > 0
    ? undefined
    : Option.getOrUndefined(
        ByteRange.parseLength(SingleField.value(headers, "content-length") ?? "")
      )

/** The facts of an exchange that an error may show. */
export const exchangeOf = ({
  request,
  status
}: Pick<Received, "request" | "status">): ReturnType<typeof ClientFailure.facts> & {
  readonly status: number
} => ({ ...ClientFailure.facts(request, Sent.of(request)), status })

/** Returns the error of a URL in a response that `Trust` refuses. */
export const untrusted = (
  response: Pick<Received, "request" | "status">,
  kind: UntrustedLocation["kind"],
  refused: Extract<Trust.Decision, { readonly _tag: "Refused" }>
): UntrustedLocation =>
  UntrustedLocation.from(
    kind,
    { ...refused, host: textOf(response, refused.host) },
    exchangeOf(response)
  )

/** Returns a text of the server that sent a response, such as a header, as it may be shown. */
export const textOf = ({ request }: Pick<Received, "request">, text: string, limit = 255): string =>
  ServerText.plain(Sent.redactorOf(Sent.of(request))(text), limit)
