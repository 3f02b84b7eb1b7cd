/** Blobs whose content arrives encoded: which bytes were meant. */
import * as Headers from "@effect/platform/Headers"
import * as Effect from "effect/Effect"
import { parse, plain } from "../../internal/ContentDecoding.js"
import { mapSmall } from "../../internal/StreamBeginning.js"
import type * as Digest from "../../spec/Digest.js"
import * as Received from "./Received.js"

/**
 * Of a blob, this much is held back to learn which bytes were meant: configurations and signatures
 * are smaller.
 */
const decidable = 1024 * 1024

const limit = { what: "The decoded blob", limit: 8 * decidable }

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
        body: mapSmall(Received.stream(received), decidable, (bytes) =>
          // To be verified, and refused then.
          Effect.orElseSucceed(plain(bytes, coding, digest, limit), () => bytes)
        )
      }
}
