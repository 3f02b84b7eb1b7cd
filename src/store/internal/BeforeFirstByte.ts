/** Reads of a blob that may be had from another registry. */
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"

/**
 * Reads from elsewhere, as `other` says, what fails before its first byte. What fails later was
 * there, and may have been other content than elsewhere.
 */
export const orElse = <E, R>(
  read: Stream.Stream<Uint8Array, E, R>,
  other: (error: E) => Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  PullStream.suspend(() => {
    let begun = false
    const marked = ByteStream.tap(read, () => {
      begun = true
    })
    return PullStream.catchAll(marked, (error) => (begun ? PullStream.fail(error) : other(error)))
  })
