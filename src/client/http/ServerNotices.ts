/** What a registry tells its users besides: how much of a rate limit is left, and warnings. */
import type { Headers } from "@effect/platform/Headers"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sent from "../../auth/internal/Sent.js"
import { RateLimitObserver } from "../../internal/RateLimitObserver.js"
import * as Warning from "../../protocol/internal/Warning.js"
import * as Trust from "../../protocol/Trust.js"
import type { Endpoint } from "./Endpoint.js"
import * as RateLimit from "./RateLimit.js"

/** Whether a response says anything besides. */
export const has = ({ headers }: HttpClientResponse): boolean =>
  headers["warning"] !== undefined || RateLimit.has(headers)

const tell = (to: Endpoint, headers: Headers): Effect.Effect<void> =>
  Effect.gen(function* () {
    const said = RateLimit.fromHeaders(headers, yield* Clock.currentTimeMillis)
    if (Option.isNone(said)) return
    const { limit, remaining, reset, window } = said.value
    const observe = yield* RateLimitObserver
    const back = reset ?? Option.getOrUndefined(window)
    observe(remaining, back && Duration.toMillis(back))
    if (limit !== undefined) yield* to.onRateLimit({ ...said.value, limit })
  })

/**
 * Hands on what a response says. Rate limits are for the application, and warnings for people: each
 * text is logged once per endpoint, and nothing acts on it (C106). Those of another host, after a
 * redirect, are not the registry's.
 */
export const handOn = (
  to: Endpoint,
  { headers, request }: HttpClientResponse
): Effect.Effect<void> => {
  if (!Trust.isAt(to.origin, request.url)) return Effect.void
  const told = RateLimit.has(headers) ? tell(to, headers) : Effect.void
  const warnings = headers["warning"]
  if (warnings === undefined) return told
  const fresh = Warning.parse(warnings, Sent.redactorOf(Sent.of(request))).filter(
    (text) => !to.warned.has(text) && to.warned.size < 1000 && to.warned.add(text)
  )
  return Effect.zipRight(
    told,
    Effect.forEach(
      fresh,
      (text) =>
        Effect.zipRight(Effect.logWarning(`${to.origin} warns: ${text}`), to.onWarning(text)),
      { discard: true }
    )
  )
}
