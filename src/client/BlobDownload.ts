/**
 * Blobs from the registry: verified streams, and ranges, which cannot be verified.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as ByteRange from "../protocol/ByteRange.js"
import * as Operation from "../protocol/Operation.js"
import { redact } from "../protocol/RedactedUrl.js"
import type { Range, Registry } from "../Registry.js"
import {
  type DigestMismatch,
  type InvalidDigest,
  ProtocolViolation,
  RangeMismatch,
  type SizeMismatch,
  type TransportFailure,
  Unsupported
} from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import type { Digest } from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import * as Limits from "./Limits.js"
import type { Send } from "./Pipeline.js"

/**
 * `Registry.getBlob`.
 *
 * @since 0.1.0
 * @category operations
 */
export const getBlob =
  (send: Send): Registry.Service["getBlob"] =>
  (repository: RepositoryName, blob: Digest | Descriptor) => {
    const { digest, size } = typeof blob === "string" ? { digest: blob, size: undefined } : blob
    const subject: Transfer.Subject = { direction: "download", repository, digest, size }
    const received = Stream.unwrap(
      Effect.flatMap(send(Operation.GetBlob({ repository, digest })), (response) =>
        response.status === 200
          ? Effect.succeed(Limits.body(response))
          : Effect.fail(
              new ProtocolViolation({
                method: "GET",
                url: redact(response.request.url),
                status: response.status,
                problem: "The registry answered a request for a whole blob with a part of it"
              })
            )
      )
    ).pipe(
      // No blob has a range when none was asked for.
      Stream.catchTag("RangeMismatch", ({ method, url, status }) =>
        Stream.fail(
          new ProtocolViolation({ method, url, status, problem: "The registry refuses a range that was not asked for" })
        )
      )
    )
    return Stream.execute(Transfer.emit({ _tag: "Started", subject })).pipe(
      Stream.concat(ByteStream.verify(Transfer.track(received, subject), { digest, size })),
      Stream.concat(
        Stream.execute(
          Effect.zipRight(
            Transfer.emit({ _tag: "Verified", subject, digest }),
            Transfer.emit({ _tag: "Completed", subject, skipped: false })
          )
        )
      )
    )
  }

/**
 * `Registry.getBlobRange`.
 *
 * @since 0.1.0
 * @category operations
 */
export const getBlobRange =
  (send: Send): Registry.Service["getBlobRange"] =>
  (repository: RepositoryName, digest: Digest, range: Range) => {
    const wanted = range.end === undefined ? { start: range.start } : { start: range.start, end: range.end }
    const expected = ByteRange.formatRequest(wanted)
    return Stream.unwrap(
      Effect.flatMap(
        send(Operation.GetBlob({ repository, digest, range: wanted })),
        (
          response
        ): Effect.Effect<
          Stream.Stream<Uint8Array, TransportFailure | SizeMismatch | DigestMismatch | InvalidDigest>,
          Unsupported | RangeMismatch
        > => {
          const facts = { method: "GET", url: redact(response.request.url), status: response.status }
          if (response.status !== 206) return Effect.fail(new Unsupported({ ...facts, operation: "ranges of blobs" }))
          const header = response.headers["content-range"] ?? ""
          const sent = Option.getOrUndefined(ByteRange.parseContent(header))
          // A range may end early, at the end of the blob, and nowhere else (RFC 9110 §14.2).
          const last =
            sent === undefined ? undefined : Option.getOrUndefined(Option.map(sent.total, (total) => total - 1))
          const right =
            sent !== undefined &&
            sent.start === range.start &&
            (sent.end === range.end || range.end === undefined || sent.end === last)
          return right
            ? Effect.succeed(ByteStream.verify(Limits.body(response), { size: sent.end - sent.start + 1 }))
            : Effect.fail(new RangeMismatch({ ...facts, expected, actual: header }))
        }
      )
    ).pipe(
      Stream.catchTags({
        SizeMismatch: ({ actual, expected: size }) =>
          Stream.fail(new RangeMismatch({ expected: `${size} bytes (${expected})`, actual: `${actual} bytes` })),
        // Neither is possible where only a size is verified.
        DigestMismatch: Effect.die,
        InvalidDigest: Effect.die
      })
    )
  }
