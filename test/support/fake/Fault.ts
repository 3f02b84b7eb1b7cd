/**
 * How a registry, or the way to it, fails: quirks that lose what a healthy one does. Connections
 * that break without more are the outcome `cut` of any handler.
 */
import * as Effect from "effect/Effect"
import type { Outcome } from "./Handler.js"
import { is, type Kind, type Quirk } from "./Quirk.js"

/** The registry does what it is asked to, once, and nobody hears of it. */
export const losesAnswer =
  (kind: Kind, instead: Outcome = "cut"): Quirk =>
  (healthy) => {
    let lost = false
    return (seen) => {
      if (lost || !is(kind)(seen)) return healthy(seen)
      lost = true
      return Effect.as(healthy(seen), instead)
    }
  }

/** Of one request only the first bytes of the body arrive, and then the connection breaks. */
export const breaksOff =
  (kind: Kind, kept: number): Quirk =>
  (healthy) => {
    let broken = false
    return (seen) => {
      if (broken || !is(kind)(seen)) return healthy(seen)
      broken = true
      const headers = { ...seen.headers, "content-range": undefined, "content-length": undefined }
      const url = new URL(seen.url.pathname, seen.url)
      // What arrived of a closing PUT is stored, but nothing is closed.
      return Effect.as(
        healthy({ ...seen, method: "PATCH", url, headers, bytes: seen.bytes.subarray(0, kept) }),
        "cut"
      )
    }
  }
