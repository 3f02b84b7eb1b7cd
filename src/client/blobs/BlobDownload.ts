/**
 * Blobs from the registry: verified streams, and ranges, which cannot be verified. Both go on after
 * a fault from the byte where they were.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BlobBytes from "../../internal/BlobBytes.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as CompletedDownload from "../../internal/CompletedDownload.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as InlineData from "../../internal/InlineData.js"
import * as PullStream from "../../internal/PullStream.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import type { Registry } from "../../Registry.js"
import { DigestMismatch, LimitExceeded, RangeMismatch, SizeMismatch } from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import { received, transferred } from "./BlobContent.js"
import { type Download, nextOfBlob, nextOfRange, type Subject, violation } from "./BlobRequests.js"

/**
 * The operations that bring blobs from one registry. A download holds its permit
 * from its first request to its end.
 */
export const make = (
  to: Endpoint,
  send: Send
): Pick<Registry.Service, "getBlob" | "getBlobBytes" | "getBlobRange"> => {
  const getBlob = InlineData.orElse((repository, blob) =>
    BorrowedStream.make(({ borrowed, hashed }) =>
      to.concurrency.download((permit) =>
        PullStream.unwrap(
          Effect.gen(function* () {
            const known: { readonly digest: Digest.Digest; readonly size?: number } =
              typeof blob === "string" ? { digest: blob } : blob
            const { digest, size } = known
            const subject: Subject = { direction: "download", repository, digest, size }
            const verifier = yield* ByteStream.verifier(hashed ? known : { size })
            const isObserved = (yield* Transfer.Observer) !== undefined
            const download: Download = { at: 0, size, ranges: true, exchange: {}, coding: "" }
            const next = nextOfBlob(send, subject, download)

            yield* Transfer.emit({ _tag: "Started", subject })
            const source = yield* next
            const bytes = source?.response.body
            if (bytes instanceof Uint8Array && !isObserved) {
              permit.release()
              const problem = verifier.finish(bytes)
              return problem === undefined
                ? PullStream.succeed(bytes)
                : PullStream.fail(explained(problem, download))
            }
            const content = PullStream.mapError(
              verifier.verify(
                Transfer.track(
                  transferred({ to, send, subject, borrowed }, permit, download, next, source),
                  subject
                )
              ),
              (error) => explained(error, download)
            )
            return permit.revocable(
              isObserved
                ? PullStream.ending(content, CompletedDownload.emit(subject, digest))
                : content
            )
          })
        )
      )
    )
  )

  const getBlobRange: Registry.Service["getBlobRange"] = (repository, digest, { end, start }) => {
    const range = end === undefined ? { start } : { start, end }
    if (!ByteRange.isRequest(range))
      return Stream.fail(
        new RangeMismatch({ expected: ByteRange.formatRequest(range), actual: "" })
      )
    const subject: Subject = { direction: "download", repository, digest }
    return BorrowedStream.make(({ borrowed }) =>
      to.concurrency.download((permit) =>
        permit.revocable(
          PullStream.suspend(() => {
            const progress = { at: start, end }
            const next = nextOfRange(send, subject, progress)
            return PullStream.unwrap(
              Effect.map(next, (source) =>
                transferred({ to, send, subject, borrowed }, permit, progress, next, source)
              )
            )
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
  const subject: Subject = { direction: "download", repository, digest, size }
  const next = nextOfBlob(send, subject, download)
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
  return yield* verifier
    .verify(received({ to, send, subject, borrowed: false }, download, next, source))
    .pipe(
      Stream.mapError((error) => explained(error, download)),
      ByteStream.collect(within)
    )
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

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
