/** Who is told how many requests a registry still allows. */
import * as Context from "effect/Context"

/**
 * Called for every response that says it, with the number of requests, and with the milliseconds
 * until more are allowed, at the latest, if that is known. It must not throw.
 */
export class RateLimitObserver extends Context.Reference<RateLimitObserver>()(
  "effect-oci/RateLimitObserver",
  { defaultValue: (): ((remaining: number, reset?: number) => void) => () => {} }
) {}
