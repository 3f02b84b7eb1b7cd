/**
 * What a registry says of its rate limit before it has to refuse: Docker Hub's `ratelimit-limit:
 * 100;w=21600` and `ratelimit-remaining: 20;w=21600` (quirks §6), and what others say with
 * `x-ratelimit-` before the same names.
 */
import type * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * How many requests a registry allows in a `window` of time, if it says in which, and how many are
 * left; `reset` is the time until all are allowed again, if it says that.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimit {
  readonly limit: number
  readonly remaining: number
  readonly window: Option.Option<Duration.Duration>
  readonly reset?: Duration.Duration | undefined
}

/** What is said of a rate limit, of which `limit` may not be. */
export type Said = Omit<RateLimit, "limit"> & Partial<Pick<RateLimit, "limit">>

/** Whether headers say anything of a rate limit. */
export const has = (headers: Headers.Headers): boolean =>
  headers["ratelimit-remaining"] !== undefined || headers["x-ratelimit-remaining"] !== undefined

/**
 * Reads the fields; none if it is not said how many requests are left, as for users without a
 * limit. An empty value is not known, and not zero (CP26). `now` is in milliseconds since the
 * epoch.
 */
export const fromHeaders = (headers: Headers.Headers, now: number): Option.Option<Said> => {
  const prefix = ["ratelimit-", "x-ratelimit-"].find((prefix) =>
    quantity.test(headers[`${prefix}remaining`] ?? "")
  )
  if (prefix === undefined) return Option.none()
  const read = (name: string) => quantity.exec(headers[prefix + name] ?? "") ?? []
  const [[, limit, ofLimit], [, remaining, ofRemaining], [, reset]] = [
    read("limit"),
    read("remaining"),
    read("reset")
  ]
  const window = ofLimit ?? ofRemaining
  return Option.some({
    ...(limit !== undefined && { limit: Number(limit) }),
    remaining: Number(remaining),
    window: window === undefined ? Option.none() : Option.some(Duration.seconds(Number(window))),
    ...(reset !== undefined && { reset: Duration.millis(until(Number(reset), now)) })
  })
}

/** Some count the seconds until then, and some from the epoch. */
const until = (seconds: number, now: number): number =>
  seconds < 1_000_000_000 ? seconds * 1000 : Math.max(0, seconds * 1000 - now)

const quantity = /^([0-9]{1,12})(?:;w=([0-9]{1,12}))?$/
