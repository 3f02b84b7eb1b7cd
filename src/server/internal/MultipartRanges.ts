/** Several ranges of a blob in one body: `multipart/byteranges` (RFC 9110 section 14.6). */
import * as Stream from "effect/Stream"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as MediaType from "../../spec/MediaType.js"

/** The body, with its exact size in bytes, and its media type, which names the boundary. */
export interface Multipart<E> {
  readonly body: Stream.Stream<Uint8Array, E>
  readonly size: number
  readonly mediaType: string
}

/** Puts ranges of content of `total` bytes together. `read` returns the bytes of one. */
export const make = <E>(
  ranges: ReadonlyArray<ByteRange.ByteRange>,
  total: number,
  read: (range: ByteRange.ByteRange) => Stream.Stream<Uint8Array, E>
): Multipart<E> => {
  const boundary = crypto.randomUUID()
  const encoder = new TextEncoder()
  const end = encoder.encode(`\r\n--${boundary}--\r\n`)
  const parts = ranges.map((range, index) => {
    const head = encoder.encode(
      [
        `${index === 0 ? "" : "\r\n"}--${boundary}`,
        `Content-Type: ${MediaType.octetStream}`,
        `Content-Range: ${ByteRange.formatContent(range, total)}`,
        "\r\n"
      ].join("\r\n")
    )
    return { range, head, size: head.length + range.end - range.start + 1 }
  })
  return {
    body: Stream.concat(
      Stream.flatMap(Stream.fromIterable(parts), ({ head, range }) =>
        Stream.concat(Stream.make(head), read(range))
      ),
      Stream.make(end)
    ),
    size: parts.reduce((sum, { size }) => sum + size, end.length),
    mediaType: `multipart/byteranges; boundary=${boundary}`
  }
}
