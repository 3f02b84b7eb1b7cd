/**
 * Blobs from the registry: verified streams, and ranges, which cannot be verified. Both go on after
 * a fault from the byte where they were.
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as Operation from "../../protocol/Operation.js"
import type { Range, Registry } from "../../Registry.js"
import {
  type DigestMismatch,
  type Exchange,
  isTransient,
  ProtocolViolation,
  RangeMismatch,
  type SizeMismatch,
  TransportFailure,
  Unsupported
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import * as ContentCoding from "../http/ContentCoding.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Limits from "../http/Limits.js"
import type { Send } from "../http/Pipeline.js"
import * as Resume from "./Resume.js"

/** How many bytes are read ahead of the consumer. */
const ahead = 1024 * 1024

type RequestError = Effect.Effect.Error<ReturnType<typeof requested>>

/**
 * What a request for bytes `start` to `end` brought: from which byte on, and how many bytes should
 * come.
 */
interface Answered {
  readonly response: HttpClientResponse
  readonly start: number
  readonly length: number | undefined
}

const requested = (
  send: Send,
  repository: RepositoryName,
  digest: Digest.Digest,
  range: Range | undefined
) =>
  send(
    Operation.GetBlob({
      repository,
      digest,
      range: range && { start: range.start, ...(range.end !== undefined && { end: range.end }) }
    })
  )

/**
 * The operations that bring blobs from one registry. A download holds its place at the endpoint
 * from its first request to its end.
 */
export const make = (
  to: Endpoint,
  send: Send
): Pick<Registry.Service, "getBlob" | "getBlobRange"> => {
  /**
   * Bytes from `first` on as they arrive, over as many answers as it takes: after a fault from the
   * byte that comes next. What an answer repeats of the bytes delivered is dropped, so that none is
   * delivered twice (C28, trap 77). `begun` is what the first request brought, where it was made
   * already.
   */
  const received = <E>(
    first: number,
    subject: Transfer.Subject,
    ask: (at: number) => Effect.Effect<Option.Option<Answered>, E>,
    begun?: Answered
  ): Stream.Stream<Uint8Array, E | TransportFailure> =>
    Stream.suspend(() => {
      const again = Resume.patience(to, subject)
      let at = first
      const attempt = (): Stream.Stream<Uint8Array, E | TransportFailure> =>
        ByteStream.unwrap(
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
        ByteStream.unwrap(
          again(fault, at - first).pipe(
            Effect.zipRight(Transfer.emit({ _tag: "Resumed", subject, offset: at })),
            Effect.map(attempt)
          )
        )
      return begun === undefined ? attempt() : body(begun)
    })

  /** The body as it arrives, watched. */
  const arriving = ({ length, response }: Answered): Stream.Stream<Uint8Array, TransportFailure> =>
    ByteStream.watched(Limits.body(response), {
      ahead,
      length,
      stall: to.timeouts.response,
      onFault: (reason) => new TransportFailure({ ...Limits.factsOf(response), reason })
    })

  const getBlob: Registry.Service["getBlob"] = (repository, blob) =>
    to.concurrency.download((place) =>
      ByteStream.unwrap(
        Effect.gen(function* () {
          const known: { readonly digest: Digest.Digest; readonly size?: number } =
            typeof blob === "string" ? { digest: blob } : blob
          const { digest } = known
          const subject: Transfer.Subject = {
            direction: "download",
            repository,
            digest,
            size: known.size
          }
          const verifier = yield* ByteStream.verifier(known)
          const isObserved = Option.isSome(yield* Transfer.Observer)
          let size = known.size
          let ranges = true
          let coding = ""

          const whole = Effect.flatMap(
            requested(send, repository, digest, undefined),
            (response) => {
              const length = ContentCoding.length(response)
              size ??= length
              coding = response.headers["content-encoding"] ?? ""
              return response.status === 200
                ? Effect.succeed<Answered>({ response, start: 0, length })
                : Effect.fail(
                    violation(
                      Limits.factsOf(response),
                      "The registry answered a request for a whole blob with a part of it"
                    )
                  )
            }
          ).pipe(
            // No blob has a range when none was asked for.
            Effect.catchTag("RangeMismatch", (error) =>
              Effect.fail(violation(error, "The registry refuses a range that was not asked for"))
            )
          )

          const ask = (
            at: number
          ): Effect.Effect<
            Option.Option<Answered>,
            ProtocolViolation | Exclude<RequestError, RangeMismatch>
          > => {
            if (at === 0 || !ranges) return Effect.asSome(whole)
            if (at === size) return Effect.succeedNone
            const fromStart = Effect.suspend(() => {
              ranges = false
              return Effect.asSome(whole)
            })
            return requested(send, repository, digest, { start: at }).pipe(
              Effect.flatMap((response) => {
                if (response.status === 200)
                  return Effect.succeedSome({
                    response,
                    start: 0,
                    length: ContentCoding.length(response)
                  })
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

          const explained = <E extends { readonly _tag: string }>(
            error: E | DigestMismatch | SizeMismatch
          ) =>
            (error._tag === "DigestMismatch" || error._tag === "SizeMismatch") &&
            ContentCoding.parse(coding).length > 0
              ? new ProtocolViolation({
                  problem: `The blob came with Content-Encoding: ${coding.slice(0, 64)}, which was not asked for, and is not what it should be: something on the way to the registry may compress answers`
                })
              : error

          yield* Transfer.emit({ _tag: "Started", subject })
          const answered = yield* whole
          const bytes = Limits.gatheredOf(answered.response)
          if (bytes !== undefined && !isObserved) {
            place.leave()
            const problem = verifier.judge(bytes)
            return problem === undefined ? Stream.succeed(bytes) : Stream.fail(explained(problem))
          }
          const content = Stream.mapError(
            verifier.pass(Transfer.track(received(0, subject, ask, answered), subject)),
            explained
          )
          return place.shared(
            isObserved
              ? Stream.concat(
                  content,
                  Stream.execute(
                    Effect.zipRight(
                      Transfer.emit({ _tag: "Verified", subject, digest }),
                      Transfer.emit({ _tag: "Completed", subject, skipped: false })
                    )
                  )
                )
              : content
          )
        })
      )
    )

  const getBlobRange: Registry.Service["getBlobRange"] = (repository, digest, { end, start }) => {
    const range = end === undefined ? { start } : { start, end }
    if (!ByteRange.isRequest(range))
      return Stream.fail(
        new RangeMismatch({ expected: ByteRange.formatRequest(range), actual: "" })
      )
    const subject: Transfer.Subject = { direction: "download", repository, digest }
    const ask = (
      at: number
    ): Effect.Effect<Option.Option<Answered>, RangeMismatch | Unsupported | RequestError> => {
      if (end !== undefined && at > end) return Effect.succeedNone
      const expected = end === undefined ? { start: at } : { start: at, end }
      const read = (
        response: HttpClientResponse
      ): Effect.Effect<Option.Option<Answered>, RangeMismatch | Unsupported> => {
        const sent = rangeOf(response)
        // A range may end early, at the end of the blob, and nowhere else (RFC 9110 §14.2).
        return sent !== undefined &&
          sent.start === at &&
          (sent.end === end ||
            end === undefined ||
            (sent.total !== undefined && sent.end === sent.total - 1))
          ? Effect.succeedSome({ response, start: at, length: sent.end - at + 1 })
          : Effect.zipRight(
              Limits.excerpt(response),
              Effect.fail(
                response.status === 206
                  ? new RangeMismatch({
                      ...Limits.factsOf(response),
                      expected: ByteRange.formatRequest(expected),
                      actual: response.headers["content-range"] ?? ""
                    })
                  : new Unsupported({ ...Limits.factsOf(response), operation: "ranges of blobs" })
              )
            )
      }
      return Effect.flatMap(requested(send, repository, digest, expected), read)
    }
    return to.concurrency.download((place) => place.shared(received(start, subject, ask)))
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
