/**
 * Content that arrives encoded although it was asked for as it is (rule 20). Which bytes were meant
 * is for the digest to say: a stored `.tar.gz` may be mislabelled, a proxy may really have
 * compressed the response, and `fetch` decodes without a word and leaves the header (trap 26).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import { LimitExceeded } from "../RegistryError.js"
import * as Digest from "../spec/Digest.js"

/** More make no sense, and each may multiply the size by a thousand (T10). */
const maxCodings = 5

/**
 * The codings that a `Content-Encoding` field names, in lower case and in the order of their
 * application; `identity` is none.
 */
export const parse = (header: string | undefined): ReadonlyArray<string> =>
  header === undefined
    ? []
    : header
        .slice(0, 256)
        .toLowerCase()
        .split(",")
        .map((coding) => coding.trim().replace(/^x-gzip$/, "gzip"))
        .filter((coding) => coding !== "" && coding !== "identity")

/**
 * The bytes of a document that were meant: as they came if they have the digest, else decoded if
 * that is possible. Without a digest, whatever can be decoded was encoded: no document begins like
 * compressed data. Fails with `LimitExceeded` when they decode to more than `limit` allows, or name
 * more than five codings.
 */
export const plain = (
  bytes: Uint8Array,
  header: string | undefined,
  digest: Digest.Digest | undefined,
  limit: ByteStream.Limit
): Effect.Effect<Uint8Array, LimitExceeded> => {
  const codings = parse(header)
  if (codings.length === 0 || (digest !== undefined && isOf(digest, bytes)))
    return Effect.succeed(bytes)
  if (codings.length > maxCodings)
    return Effect.fail(
      new LimitExceeded({ what: "The number of content codings", limit: maxCodings })
    )
  return codings
    .reduceRight(
      (received: Effect.Effect<Uint8Array, LimitExceeded | NotEncoded>, coding) =>
        Effect.flatMap(received, (bytes) => decode(bytes, coding, limit)),
      Effect.succeed(bytes)
    )
    .pipe(Effect.catchTag("NotEncoded", () => Effect.succeed(bytes)))
}

interface NotEncoded {
  readonly _tag: "NotEncoded"
}

const decode = (
  bytes: Uint8Array,
  coding: string,
  limit: ByteStream.Limit
): Effect.Effect<Uint8Array, LimitExceeded | NotEncoded> =>
  Option.match(formatOf(coding, bytes), {
    onNone: () => Effect.fail<NotEncoded>({ _tag: "NotEncoded" }),
    onSome: (format) =>
      Stream.fromReadableStream<Uint8Array, NotEncoded>({
        evaluate: () =>
          new ReadableStream<Uint8Array>({
            start: (controller) => {
              controller.enqueue(bytes)
              controller.close()
            }
          }).pipeThrough(new DecompressionStream(format)),
        onError: () => ({ _tag: "NotEncoded" })
      }).pipe(ByteStream.collect(limit))
  })

/** What was meant by deflate is the zlib format (RFC 9110 §8.4.1.2), but some send the bare one. */
const formatOf = (
  coding: string,
  bytes: Uint8Array
): Option.Option<"gzip" | "deflate" | "deflate-raw"> => {
  const [first = 0, second = 0] = bytes
  if (coding === "gzip")
    return first === 0x1f && second === 0x8b ? Option.some("gzip") : Option.none()
  if (coding !== "deflate") return Option.none()
  return Option.some(
    (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0 ? "deflate" : "deflate-raw"
  )
}

const isOf = (digest: Digest.Digest, bytes: Uint8Array): boolean =>
  Digest.fromBytes(bytes, Digest.algorithm(digest) === "sha512" ? "sha512" : "sha256") === digest
