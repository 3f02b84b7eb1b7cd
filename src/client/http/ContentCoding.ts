/** Blobs whose content arrives encoded: which bytes were meant. */
import * as Headers from "@effect/platform/Headers"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { parse, plain } from "../../internal/ContentDecoding.js"
import type * as Digest from "../../spec/Digest.js"
import * as Received from "./Received.js"

/**
 * Of a blob, this much is held back to learn which bytes were meant: configurations and signatures
 * are smaller.
 */
const decidable = 1024 * 1024

/**
 * A response whose body is the blob that was meant, as far as this can be told: up to a mebibyte as
 * `ContentDecoding.plain` says, beyond that as it came. How long it is the response no longer says:
 * `Content-Length` counts encoded bytes.
 */
export const plainBlob = (
  received: Received.Received,
  digest: Digest.Digest
): Received.Received => {
  const coding = received.headers["content-encoding"]
  return parse(coding).length === 0
    ? received
    : {
        ...received,
        headers: Headers.remove(received.headers, "content-length"),
        body: decided(Received.stream(received), coding, digest)
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
