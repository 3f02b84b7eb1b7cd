/**
 * What a registry says of its rate limit before it has to refuse: Docker Hub's `ratelimit-limit:
 * 100;w=21600` and `ratelimit-remaining: 20;w=21600` (quirks §6).
 */
import type * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * How many requests a registry allows in a `window` of time, if it says in which, and how many are
 * left.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  readonly window: Option.Option<Duration.Duration>
}

/** Reads both fields; none if either is missing or no number, as for users without a limit. */
export const fromHeaders = (headers: Headers.Headers): Option.Option<RateLimit> => {
  if (headers["ratelimit-limit"] === undefined) return Option.none()
  const limit = quantity.exec(headers["ratelimit-limit"])
  const remaining = quantity.exec(headers["ratelimit-remaining"] ?? "")
  return limit === null || remaining === null
    ? Option.none()
    : Option.some({
        limit: Number(limit[1]),
        remaining: Number(remaining[1]),
        window: Option.map(Option.fromNullable(limit[2]), (seconds) =>
          Duration.seconds(Number(seconds))
        )
      })
}

const quantity = /^([0-9]{1,12})(?:;w=([0-9]{1,12}))?$/
