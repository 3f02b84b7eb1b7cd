/** The end of a download, as observers hear of it. */
import * as Effect from "effect/Effect"
import type { Digest } from "../spec/Digest.js"
import * as Transfer from "../Transfer.js"

/** Tells observers that all of a download has arrived, and is what it should be. */
export const emit = (subject: Transfer.Subject, digest: Digest): Effect.Effect<void> =>
  Effect.zipRight(
    Transfer.emit({ _tag: "Verified", subject, digest }),
    Transfer.emit({ _tag: "Completed", subject, skipped: false })
  )
