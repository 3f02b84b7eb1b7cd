/**
 * Blobs from the registry: verified streams, and ranges, which cannot be verified. Both go on after a fault from the byte where they were.
 *
 * @since 0.1.0
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as ByteRange from "../protocol/ByteRange.js"
import * as Operation from "../protocol/Operation.js"
import { redact } from "../protocol/RedactedUrl.js"
import type { Range, Registry } from "../Registry.js"
import {
  type Exchange,
  isTransient,
  ProtocolViolation,
  RangeMismatch,
  TransportFailure,
  Unsupported
} from "../RegistryError.js"
import type { Digest } from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import * as ContentCoding from "./ContentCoding.js"
import * as Limits from "./Limits.js"
import type { Endpoint, Send } from "./Pipeline.js"
import * as Resume from "./Resume.js"
import * as Watchdog from "./Watchdog.js"

/** How many bytes are read ahead of the consumer. */
const ahead = 1024 * 1024

/** Bytes that are not worth watching one by one. */
const small = 64 * 1024

type RequestError = Effect.Effect.Error<ReturnType<typeof requested>>

/** What a request for bytes `start` to `end` brought: from which byte on, and how many bytes should come. */
interface Answered {
  readonly response: HttpClientResponse
  readonly start: number
  readonly length: number | undefined
}

const requested = (send: Send, repository: RepositoryName, digest: Digest, range: Range | undefined) =>
  send(
    Operation.GetBlob({
      repository,
      digest,
      range: range && { start: range.start, ...(range.end !== undefined && { end: range.end }) }
    })
  )

/**
 * The operations that bring blobs from one registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (to: Endpoint, send: Send): Pick<Registry.Service, "getBlob" | "getBlobRange"> => {
  /**
   * Bytes from `first` on as they arrive, over as many answers as it takes: after a fault from the byte that comes next. What an answer repeats of the
   * bytes delivered is dropped, so that none is delivered twice (C28, trap 77).
   */
  const received = <E>(
    first: number,
    subject: Transfer.Subject,
    ask: (at: number) => Effect.Effect<Option.Option<Answered>, E>
  ): Stream.Stream<Uint8Array, E | TransportFailure> =>
    Stream.suspend(() => {
      const again = Resume.patience(to, subject)
      let at = first
      const attempt = (): Stream.Stream<Uint8Array, E | TransportFailure> =>
        Stream.unwrap(
          Effect.map(
            Effect.suspend(() => ask(at)),
            Option.match({ onNone: () => Stream.empty, onSome: body })
          )
        )
      const body = (answered: Answered) =>
        arriving(answered).pipe(
          ByteStream.drop(at - answered.start),
          ByteStream.tap((bytes) => {
            at += bytes.length
          }),
          Stream.catchAll((fault) => (isTransient(fault) ? resume(fault) : Stream.fail(fault)))
        )
      const resume = (fault: TransportFailure) =>
        Stream.unwrap(
          again(fault, at - first).pipe(
            Effect.zipRight(Transfer.emit({ _tag: "Resumed", subject, offset: at })),
            Effect.map(attempt)
          )
        )
      return attempt()
    })

  /** The body as it arrives, watched. A small blob is waited for as a whole, which costs less. */
  const arriving = ({ length, response, start }: Answered): Stream.Stream<Uint8Array, TransportFailure> => {
    const onFault = (reason: "Stall" | "Reset") => new TransportFailure({ ...facts(response), reason })
    if (length === undefined || length > small || start > 0)
      return ByteStream.watched(Limits.body(response), { ahead, length, stall: to.timeouts.response, onFault })
    return Stream.fromEffect(
      Watchdog.watch(
        to.watchdog,
        (deadline) => {
          deadline.at = deadline.clock.unsafeCurrentTimeMillis() + Duration.toMillis(to.timeouts.response)
          return ByteStream.collect(Limits.body(response), { what: "A small blob", limit: Number.MAX_SAFE_INTEGER })
        },
        () => onFault("Stall")
      ).pipe(
        Effect.catchTag("LimitExceeded", Effect.die),
        Effect.filterOrFail(
          (bytes) => bytes.length >= length,
          () => onFault("Reset")
        )
      )
    )
  }

  const getBlob: Registry.Service["getBlob"] = (repository, blob) => {
    const known: { readonly digest: Digest; readonly size?: number } =
      typeof blob === "string" ? { digest: blob } : blob
    const { digest } = known
    const subject: Transfer.Subject = { direction: "download", repository, digest, size: known.size }
    return Stream.unwrap(
      Effect.gen(function* () {
        let size = known.size
        let ranges = true

        const whole = Effect.flatMap(requested(send, repository, digest, undefined), (response) => {
          const length = ContentCoding.length(response)
          size ??= length
          return response.status === 200
            ? Effect.succeedSome<Answered>({ response, start: 0, length })
            : Effect.fail(
                violation(facts(response), "The registry answered a request for a whole blob with a part of it")
              )
        }).pipe(
          // No blob has a range when none was asked for.
          Effect.catchTag("RangeMismatch", (error) =>
            Effect.fail(violation(error, "The registry refuses a range that was not asked for"))
          )
        )

        const ask = (
          at: number
        ): Effect.Effect<Option.Option<Answered>, ProtocolViolation | Exclude<RequestError, RangeMismatch>> => {
          if (at === 0 || !ranges) return whole
          if (at === size) return Effect.succeedNone
          const fromStart = Effect.suspend(() => {
            ranges = false
            return whole
          })
          return requested(send, repository, digest, { start: at }).pipe(
            Effect.flatMap((response) => {
              if (response.status === 200)
                return Effect.succeedSome({ response, start: 0, length: ContentCoding.length(response) })
              const sent = rangeOf(response)
              if (
                sent === undefined ||
                sent.start > at ||
                (size !== undefined && sent.total !== undefined && sent.total !== size)
              )
                return Effect.zipRight(Limits.excerpt(response), fromStart)
              // An answer that ends before the blob does is a fault, too.
              return Effect.succeedSome({
                response,
                start: sent.start,
                length: (size ?? sent.total ?? sent.end + 1) - sent.start
              })
            }),
            Effect.catchTag("RangeMismatch", () => fromStart)
          )
        }

        yield* Transfer.emit({ _tag: "Started", subject })
        const content = ByteStream.verify(Transfer.track(received(0, subject, ask), subject), known)
        return Option.isNone(yield* Transfer.Observer)
          ? content
          : Stream.concat(
              content,
              Stream.execute(
                Effect.zipRight(
                  Transfer.emit({ _tag: "Verified", subject, digest }),
                  Transfer.emit({ _tag: "Completed", subject, skipped: false })
                )
              )
            )
      })
    )
  }

  const getBlobRange: Registry.Service["getBlobRange"] = (repository, digest, { end, start }) => {
    const subject: Transfer.Subject = { direction: "download", repository, digest }
    const ask = (at: number): Effect.Effect<Option.Option<Answered>, RangeMismatch | Unsupported | RequestError> => {
      if (end !== undefined && at > end) return Effect.succeedNone
      const expected = end === undefined ? { start: at } : { start: at, end }
      const read = (
        response: HttpClientResponse
      ): Effect.Effect<Option.Option<Answered>, RangeMismatch | Unsupported> => {
        const sent = rangeOf(response)
        // A range may end early, at the end of the blob, and nowhere else (RFC 9110 §14.2).
        return sent !== undefined &&
          sent.start === at &&
          (sent.end === end || end === undefined || (sent.total !== undefined && sent.end === sent.total - 1))
          ? Effect.succeedSome({ response, start: at, length: sent.end - at + 1 })
          : Effect.zipRight(
              Limits.excerpt(response),
              Effect.fail(
                response.status === 206
                  ? new RangeMismatch({
                      ...facts(response),
                      expected: ByteRange.formatRequest(expected),
                      actual: response.headers["content-range"] ?? ""
                    })
                  : new Unsupported({ ...facts(response), operation: "ranges of blobs" })
              )
            )
      }
      return Effect.flatMap(requested(send, repository, digest, expected), read)
    }
    return received(start, subject, ask)
  }

  return { getBlob, getBlobRange }
}

const rangeOf = (response: HttpClientResponse) =>
  response.status !== 206
    ? undefined
    : Option.getOrUndefined(
        Option.map(ByteRange.parseContent(response.headers["content-range"] ?? ""), (range) => ({
          ...range,
          total: Option.getOrUndefined(range.total)
        }))
      )

const violation = ({ method, status, url }: Exchange, problem: string) =>
  new ProtocolViolation({ method, status, url, problem })

const facts = (response: HttpClientResponse) => ({
  method: "GET",
  url: redact(response.request.url),
  status: response.status
})
