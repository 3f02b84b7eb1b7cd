/**
 * One request, from an operation to a classified answer. From the wire outwards: limits and
 * timeouts, redirects, authorization (`Exchange`), classification, retries; each in its own file,
 * put together here.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import type * as ByteStream from "../../ByteStream.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type { Operation } from "../../protocol/Operation.js"
import type { LimitExceeded } from "../../RegistryError.js"
import { type Digest, isDigest } from "../../spec/Digest.js"
import * as Classify from "./Classify.js"
import * as ContentCoding from "./ContentCoding.js"
import type { Endpoint } from "./Endpoint.js"
import { boundsOf, type ExchangeError, type Exchanging } from "./Exchange.js"
import type { OwnErrors } from "./OperationErrors.js"
import * as Received from "./Received.js"
import * as Redirect from "./Redirect.js"
import * as Retry from "./Retry.js"
import * as Transport from "./Transport.js"

/**
 * Sends an operation through the whole pipeline: challenges answered, temporary failures retried,
 * and any answer that is no success of this operation a typed error. The body is an array, or a
 * stream that is sent once. What the answer has for a body is the caller's to read: of a blob all,
 * of anything else no more than `Received.excerpt`.
 */
export type Send = <O extends Operation>(
  operation: O,
  body?: HttpBody.HttpBody
) => Effect.Effect<Received.Received, OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError>

/**
 * Like `Send`, for an operation whose answer is a document: that one arrives as a whole or is asked
 * for again. `expected` is the digest of the document, which tells what was meant if it comes
 * encoded; whether it has this digest is for the caller to verify.
 */
export type Read = <O extends Operation>(
  operation: O,
  limit: ByteStream.Limit,
  expected?: Digest
) => Effect.Effect<
  readonly [bytes: Uint8Array, response: Received.Received],
  OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError
>

type Deletion = Case<"DeleteManifest" | "DeleteBlob">

/**
 * Deletes. When an earlier attempt went unanswered or failed on the registry's side, it may have
 * deleted all the same, and the next one finds nothing: then `absent`, asked once, decides whether
 * that is success.
 */
export type Remove = <O extends Deletion>(
  operation: O,
  absent: Effect.Effect<boolean>
) => Effect.Effect<void, OwnErrors[O["_tag"]] | Classify.StatusError | ExchangeError>

/** The ways through the pipeline. */
export interface Pipeline {
  readonly send: Send
  readonly read: Read
  readonly remove: Remove
}

const gone: ReadonlySet<string> = new Set(["BlobUnknown", "ManifestUnknown", "NameUnknown"])

/**
 * The pipeline to one registry, over an exchange that answers challenges. A place in the endpoint's
 * line is held for one exchange, not while waiting between two attempts; what moves a stream takes
 * none, since that would make one caller's code wait for another's.
 */
export const pipeline = (to: Endpoint, exchange: Exchanging): Pipeline => {
  const classified = <O extends Operation>(operation: O, response: HttpClientResponse) =>
    Classify.classify(
      operation,
      Received.from(response, Redirect.statusesBefore(response)),
      to.origin
    )

  const once = <O extends Operation>(operation: O, body?: HttpBody.HttpBody) => {
    const answered = Effect.flatMap(Effect.clock, (clock) =>
      Effect.flatMap(exchange(boundsOf(to, clock), operation, body ?? HttpBody.empty), (response) =>
        classified(operation, response)
      )
    )
    return body?._tag === "Stream" || operation._tag === "GetBlob"
      ? answered
      : to.concurrency.exchange(answered)
  }

  const send: Send = (operation, body) => {
    const sent = Retry.retried(once(operation, body), operation, to, body?._tag !== "Stream")
    return operation._tag === "GetBlob" && operation.range === undefined
      ? Effect.map(sent, (response) => ContentCoding.plainBlob(response, operation.digest))
      : sent
  }

  const read: Read = <O extends Operation>(
    operation: O,
    limit: ByteStream.Limit,
    expected?: Digest
  ) => {
    const attempt = Effect.flatMap(Effect.clock, (clock) => {
      const bounds = boundsOf(to, clock)
      return Effect.flatMap(exchange(bounds, operation, HttpBody.empty), (response) =>
        Effect.flatMap(classified(operation, response), (received) =>
          Effect.map(
            Effect.flatMap(Transport.document(response, limit, bounds), (bytes) =>
              plain(bytes, received, limit, expected)
            ),
            (bytes) => [bytes, received] as const
          )
        )
      )
    })
    return Retry.retried(to.concurrency.exchange(attempt), operation, to)
  }

  const remove: Remove = (operation, absent) =>
    Effect.suspend(() => {
      let attempts = 0
      const attempt = Effect.suspend(() => {
        attempts++
        return Effect.flatMap(once(operation), Received.excerpt)
      })
      return Retry.retried(attempt, operation, to).pipe(
        Effect.asVoid,
        Effect.catchIf(
          (error) =>
            attempts > 1 && (gone.has(error._tag) || ("status" in error && error.status === 404)),
          (error) =>
            Effect.flatMap(absent, (isAbsent) => (isAbsent ? Effect.void : Effect.fail(error)))
        )
      )
    })

  return { send, read, remove }
}

/** The bytes of a document that were meant, if it came encoded. */
const plain = (
  bytes: Uint8Array,
  { headers }: Received.Received,
  limit: ByteStream.Limit,
  expected: Digest | undefined
): Effect.Effect<Uint8Array, LimitExceeded> => {
  const coding = headers["content-encoding"]
  if (coding === undefined) return Effect.succeed(bytes)
  const announced = SingleField.value(headers, "docker-content-digest")
  return ContentDecoding.plain(
    bytes,
    coding,
    expected ?? (isDigest(announced) ? announced : undefined),
    limit
  )
}
