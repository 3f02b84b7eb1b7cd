/**
 * Content that arrives encoded although it was asked for as it is (rule 20). Which bytes were meant
 * is for the digest to say: a stored `.tar.gz` may be mislabelled, a proxy may really have
 * compressed the answer, and `fetch` decodes without a word and leaves the header (trap 26).
 */
import * as Headers from "@effect/platform/Headers"
import type { ResponseError } from "@effect/platform/HttpClientError"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import { LimitExceeded } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import { BodyResponse } from "./BodyResponse.js"

/** More make no sense, and each may multiply the size by a thousand (T10). */
const maxCodings = 5

/**
 * Of a blob, this much is held back to learn which bytes were meant: configurations and signatures
 * are smaller.
 */
const decidable = 1024 * 1024

/**
 * The codings that a `Content-Encoding` field names, in lower case and in the order of their
 * application; `identity` is none.
 */
export const parse = (header: string | undefined): ReadonlyArray<string> =>
  (header ?? "")
    .slice(0, 256)
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim().replace(/^x-gzip$/, "gzip"))
    .filter((coding) => coding !== "" && coding !== "identity")

/**
 * How many bytes of content an answer announces, if it does: what it says of encoded content is not
 * of the content (trap 26).
 */
export const length = ({ headers }: HttpClientResponse): number | undefined =>
  parse(headers["content-encoding"]).length > 0
    ? undefined
    : Option.getOrUndefined(
        ByteRange.parseLength(SingleField.value(headers, "content-length") ?? "")
      )

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

/**
 * An answer whose body is the blob that was meant, as far as this can be told: up to a mebibyte as
 * `plain` says, beyond that as it came. How long it is the answer no longer says: `Content-Length`
 * counts encoded bytes.
 */
export const plainBlob = (
  response: HttpClientResponse,
  digest: Digest.Digest
): HttpClientResponse => {
  const header = response.headers["content-encoding"]
  return parse(header).length === 0 ? response : new Plain(response, header, digest)
}

class Plain extends BodyResponse {
  constructor(
    private readonly response: HttpClientResponse,
    private readonly coding: string | undefined,
    private readonly digest: Digest.Digest
  ) {
    const { headers, request, status } = response
    super(request, status, Headers.remove(headers, "content-length"))
  }

  get stream(): Stream.Stream<Uint8Array, ResponseError> {
    return decided(this.response.stream, this.coding, this.digest)
  }

  get bytes(): Effect.Effect<Uint8Array, ResponseError> {
    return Effect.map(Stream.runCollect(this.stream), (parts) => ByteStream.concat([...parts]))
  }
}

const decided = <E>(
  received: Stream.Stream<Uint8Array, E>,
  header: string | undefined,
  digest: Digest.Digest
): Stream.Stream<Uint8Array, E> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const gather = (
    held: Bytes,
    size: number
  ): Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> =>
    Channel.readWithCause({
      onInput: (chunk: Bytes) => {
        const all = Chunk.appendAll(held, chunk)
        const total = Chunk.reduce(chunk, size, (sum, bytes) => sum + bytes.length)
        return total > decidable
          ? Channel.flatMap(Channel.write(all), () => passing)
          : gather(all, total)
      },
      onFailure: (cause) => Channel.failCause(cause),
      onDone: () => {
        const bytes = ByteStream.concat([...held])
        return Channel.unwrap(
          plain(bytes, header, digest, { what: "The decoded blob", limit: 8 * decidable }).pipe(
            // To be verified, and refused then.
            Effect.orElseSucceed(() => bytes),
            Effect.map((meant) => Channel.write(Chunk.of(meant)))
          )
        )
      }
    })
  const passing: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => Channel.flatMap(Channel.write(chunk), () => passing),
    onFailure: (cause) => Channel.failCause(cause),
    onDone: () => Channel.void
  })
  return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(received), gather(Chunk.empty(), 0)))
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
