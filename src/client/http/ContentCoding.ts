/** Responses whose content arrives encoded: how long it is, and which blob was meant. */
import * as Headers from "@effect/platform/Headers"
import type { ResponseError } from "@effect/platform/HttpClientError"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { parse, plain } from "../../internal/ContentDecoding.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type * as Digest from "../../spec/Digest.js"
import { BodyResponse } from "./BodyResponse.js"

/**
 * Of a blob, this much is held back to learn which bytes were meant: configurations and signatures
 * are smaller.
 */
const decidable = 1024 * 1024

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
