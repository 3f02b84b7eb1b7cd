/**
 * Blobs from the registry: verified streams, and ranges, which cannot be verified. Both go on after
 * a fault from the byte where they were.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BlobBytes from "../../internal/BlobBytes.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import * as InlineData from "../../internal/InlineData.js"
import * as StreamChannel from "../../internal/StreamChannel.js"
import { watched } from "../../internal/WatchedStream.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import {
  DigestMismatch,
  type Exchange,
  isTransient,
  LimitExceeded,
  ProtocolViolation,
  RangeMismatch,
  SizeMismatch,
  TransportFailure,
  Unsupported
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as DownloadPlan from "./DownloadPlan.js"
import * as Resume from "./Resume.js"

/** How many bytes are read ahead of the consumer. */
const ahead = 1024 * 1024

/** What is read: the blob from byte `start` on, `length` bytes if that is known. */
interface Source {
  readonly response: Received.Received
  readonly start: number
  readonly length: number | undefined
}

/** A download of a whole blob, and what the last response said. */
interface Download extends DownloadPlan.BlobState {
  at: number
  size: number | undefined
  ranges: boolean
  exchange: Exchange
  coding: string
}

/**
 * The operations that bring blobs from one registry. A download holds its permit
 * from its first request to its end.
 */
export const make = (
  to: Endpoint,
  send: Send
): Pick<Registry.Service, "getBlob" | "getBlobBytes" | "getBlobRange"> => {
  const getBlob: Registry.Service["getBlob"] = (repository, blob) => {
    const inline = InlineData.read(blob)
    return inline === undefined ? download(repository, blob) : Stream.fromEffect(inline)
  }

  const download: Registry.Service["getBlob"] = (repository, blob) =>
    BorrowedStream.make(({ borrowed, hashed }) =>
      to.concurrency.download((permit) =>
        StreamChannel.unwrap(
          Effect.gen(function* () {
            const known: { readonly digest: Digest.Digest; readonly size?: number } =
              typeof blob === "string" ? { digest: blob } : blob
            const { digest, size } = known
            const subject: Transfer.Subject = { direction: "download", repository, digest, size }
            const verifier = yield* ByteStream.verifier(hashed ? known : { size })
            const isObserved = (yield* Transfer.Observer) !== undefined
            const download: Download = { at: 0, size, ranges: true, exchange: {}, coding: "" }
            const next = nextOfBlob(send, repository, digest, download)

            yield* Transfer.emit({ _tag: "Started", subject })
            const source = yield* next
            const bytes = source?.response.body
            if (bytes instanceof Uint8Array && !isObserved) {
              permit.release()
              const problem = verifier.finish(bytes)
              return problem === undefined
                ? Stream.succeed(bytes)
                : Stream.fail(explained(problem, download))
            }
            const content = Stream.mapError(
              verifier.verify(
                Transfer.track(received({ to, borrowed }, subject, download, next, source), subject)
              ),
              (error) => explained(error, download)
            )
            return permit.revocable(
              isObserved ? Stream.concat(content, completed(subject, digest)) : content
            )
          })
        )
      )
    )

  const getBlobRange: Registry.Service["getBlobRange"] = (repository, digest, { end, start }) => {
    const range = end === undefined ? { start } : { start, end }
    if (!ByteRange.isRequest(range))
      return Stream.fail(
        new RangeMismatch({ expected: ByteRange.formatRequest(range), actual: "" })
      )
    const subject: Transfer.Subject = { direction: "download", repository, digest }
    return BorrowedStream.make(({ borrowed }) =>
      to.concurrency.download((permit) =>
        permit.revocable(
          Stream.suspend(() => {
            const progress = { at: start, end }
            const next = nextOfRange(send, repository, digest, progress)
            return received({ to, borrowed }, subject, progress, next)
          })
        )
      )
    )
  }

  return {
    getBlob,
    getBlobBytes: BlobBytes.make(getBlob, (repository, blob, limit) =>
      to.concurrency.exchange(gathered(to, send, repository, blob, limit))
    ),
    getBlobRange
  }
}

/**
 * The whole blob in one array. A small one comes with its response, and only a larger one is a
 * stream, which goes on after a fault where it was.
 */
const gathered = Effect.fnUntraced(function* (
  to: Endpoint,
  send: Send,
  repository: RepositoryName,
  { digest, size }: BlobBytes.Known,
  limit: ByteStream.Limit
) {
  const verifier = yield* ByteStream.verifier({ digest, size })
  const download: Download = { at: 0, size, ranges: true, exchange: {}, coding: "" }
  const next = nextOfBlob(send, repository, digest, download)
  const source = yield* next
  const within = { ...limit, ...download.exchange }
  const body = source?.response.body
  if (source !== undefined && (source.length ?? 0) > limit.limit) {
    yield* Received.abandon(source.response)
    return yield* new LimitExceeded(within)
  }
  if (body instanceof Uint8Array) {
    const problem = verifier.finish(body)
    return problem === undefined ? body : yield* explained(problem, download)
  }
  const subject: Transfer.Subject = { direction: "download", repository, digest, size }
  return yield* verifier
    .verify(received({ to, borrowed: false }, subject, download, next, source))
    .pipe(
      Stream.mapError((error) => explained(error, download)),
      ByteStream.collect(within)
    )
})

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

const requested = (
  send: Send,
  repository: RepositoryName,
  digest: Digest.Digest,
  range: ByteRange.RangeRequest | undefined
) => send(Operation.GetBlob({ repository, digest, range }))

const factsOf = (response: Received.Received): DownloadPlan.Facts => ({
  status: response.status,
  contentRange: SingleField.required(response.headers, "content-range"),
  length: Received.lengthOf(response)
})

type BlobError = Exclude<Effect.Effect.Error<ReturnType<typeof requested>>, RangeMismatch>

/** What a download of a whole blob reads next, as its plan says; nothing when all is there. */
const nextOfBlob = (
  send: Send,
  repository: RepositoryName,
  digest: Digest.Digest,
  download: Download
): Effect.Effect<Source | undefined, BlobError | ProtocolViolation> =>
  Effect.suspend(() => {
    const asked = DownloadPlan.requestOfBlob(download)
    if (asked._tag === "Nothing") return Effect.succeed(undefined)
    const unusable = (
      meaning: DownloadPlan.Unusable,
      exchange: Exchange
    ): ReturnType<typeof nextOfBlob> => {
      if (meaning._tag === "Violation") return Effect.fail(violation(exchange, meaning.problem))
      download.ranges = false
      return nextOfBlob(send, repository, digest, download)
    }
    const range = asked._tag === "Part" ? asked.range : undefined
    return Effect.matchEffect(requested(send, repository, digest, range), {
      onFailure: (error) =>
        error._tag === "RangeMismatch"
          ? unusable(DownloadPlan.refusalOfBlob(asked), error)
          : Effect.fail(error),
      onSuccess: (response) => {
        const meaning = DownloadPlan.responseOfBlob(download, asked, factsOf(response))
        const exchange = Received.exchangeOf(response)
        if (meaning._tag !== "Content")
          return Effect.zipRight(Received.abandon(response), unusable(meaning, exchange))
        const { length, start } = meaning
        if (range === undefined) download.size ??= length
        download.exchange = exchange
        const coding = response.headers["content-encoding"]
        download.coding = coding === undefined ? "" : Received.textOf(response, coding, 64)
        return Effect.succeed({ response, start, length })
      }
    })
  })

/** What a download of a range reads next, as its plan says; nothing when all is there. */
const nextOfRange = (
  send: Send,
  repository: RepositoryName,
  digest: Digest.Digest,
  progress: DownloadPlan.RangeState
) =>
  Effect.gen(function* () {
    const asked = DownloadPlan.requestOfRange(progress)
    if (asked._tag === "Nothing") return undefined
    const response = yield* requested(send, repository, digest, asked.range)
    const meaning = DownloadPlan.responseOfRange(progress, factsOf(response))
    if (meaning._tag === "Content") return { ...meaning, response }
    yield* Received.abandon(response)
    const exchange = Received.exchangeOf(response)
    switch (meaning._tag) {
      case "NoRanges":
        return yield* new Unsupported({ ...exchange, operation: "ranges of blobs" })
      case "OtherRange":
        return yield* new RangeMismatch({
          ...exchange,
          expected: ByteRange.formatRequest(asked.range),
          actual: Received.textOf(response, response.headers["content-range"] ?? "")
        })
      case "Violation":
        return yield* violation(exchange, meaning.problem)
    }
  })

// -----------------------------------------------------------------------------
// Bodies
// -----------------------------------------------------------------------------

/** From where bodies come, and whether whoever reads them borrows their arrays. */
interface Reading {
  readonly to: Endpoint
  readonly borrowed: boolean
}

/**
 * Bytes as they arrive, over as many responses as it takes: after a fault from the byte that comes
 * next. What a response repeats of the bytes delivered is dropped, so that none is delivered twice
 * (C28, trap 77). `begun` is what the first request brought, where it was made already.
 */
const received = <E>(
  reading: Reading,
  subject: Transfer.Subject,
  progress: { at: number },
  next: Effect.Effect<Source | undefined, E>,
  begun?: Source
): Stream.Stream<Uint8Array, E | TransportFailure> =>
  Stream.suspend(() => {
    const again = Resume.make(reading.to, subject)
    const first = progress.at
    const attempt = (): Stream.Stream<Uint8Array, E | TransportFailure> =>
      StreamChannel.unwrap(
        Effect.map(next, (source) => (source === undefined ? Stream.empty : body(source)))
      )
    const body = (source: Source) =>
      arriving(reading, source).pipe(
        ByteStream.drop(progress.at - source.start),
        ByteStream.tap((bytes) => {
          progress.at += bytes.length
        }),
        Stream.catchAll((fault) => (isTransient(fault) ? resume(fault) : Stream.fail(fault)))
      )
    const resume = (fault: TransportFailure) =>
      StreamChannel.unwrap(
        again(fault, progress.at - first).pipe(
          Effect.zipRight(Transfer.emit({ _tag: "Resumed", subject, offset: progress.at })),
          Effect.map(attempt)
        )
      )
    return begun === undefined ? attempt() : body(begun)
  })

/** The body as it arrives, watched. */
const arriving = (
  { borrowed, to }: Reading,
  { length, response }: Source
): Stream.Stream<Uint8Array, TransportFailure> => {
  const body = Received.stream(response)
  return watched(borrowed ? BorrowedStream.of(body) : body, {
    ahead,
    length,
    stall: to.timeouts.response,
    onFault: (reason) =>
      new TransportFailure({
        ...Received.exchangeOf(response),
        reason,
        ...(reason === "Stall" && {
          timeout: Duration.toMillis(to.timeouts.response),
          option: "timeouts.response"
        })
      })
  })
}

/** The events at the end of a download that was observed. */
const completed = (subject: Transfer.Subject, digest: Digest.Digest) =>
  Stream.execute(
    Effect.zipRight(
      Transfer.emit({ _tag: "Verified", subject, digest }),
      Transfer.emit({ _tag: "Completed", subject, skipped: false })
    )
  )

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const violation = (facts: Exchange, problem: string) =>
  new ProtocolViolation({ ...exchangeOf(facts), problem })

/** A mismatch with the request whose response it is in, or what probably made it. */
const explained = <E extends { readonly _tag: string }>(
  error: E | DigestMismatch | SizeMismatch,
  { coding, exchange }: Download
) => {
  if (!(error instanceof DigestMismatch || error instanceof SizeMismatch)) return error
  if (ContentDecoding.parse(coding).length > 0)
    return violation(
      exchange,
      `The blob came with Content-Encoding: ${coding}, which was not asked for, ` +
        "and is not what it should be: something on the way to the registry may compress responses"
    )
  return error instanceof DigestMismatch
    ? new DigestMismatch({ ...exchange, expected: error.expected, actual: error.actual })
    : new SizeMismatch({ ...exchange, expected: error.expected, actual: error.actual })
}
