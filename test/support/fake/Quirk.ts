/**
 * How a registry differs from the specification: functions that change what a healthy one does. How
 * it fails is in `Fault`.
 */
import * as Effect from "effect/Effect"
import * as Route from "../../../src/protocol/internal/Route.js"
import type { Outcome, Seen } from "./Handler.js"

/**
 * What a registry does in place of the healthy one, or to its requests and answers. Made anew for
 * each world, so that it may keep something in mind.
 */
export type Quirk = (
  healthy: (seen: Seen) => Effect.Effect<Outcome>
) => (seen: Seen) => Effect.Effect<Outcome>

type Place = Route.Route["_tag"]

/**
 * Requests by method and route, such as `HEAD GET Manifest`; a route alone means all methods, and
 * nothing means everything.
 */
export type Kind = Place | `${string} ${Place}` | ""

export const is = (kind: Kind): ((seen: Seen) => boolean) => {
  const words = kind === "" ? [] : kind.split(" ")
  const place = words.at(-1)
  const methods = words.slice(0, -1)
  return ({ method, url }) =>
    (methods.length === 0 || methods.includes(method)) &&
    (place === undefined ||
      Route.match(url.pathname).pipe((route) => "value" in route && route.value._tag === place))
}

/** What is answered in place of the registry; `undefined` leaves it to the registry. */
export const answers =
  (kind: Kind, make: (seen: Seen) => Outcome | undefined): Quirk =>
  (healthy) =>
  (seen) => {
    const own = is(kind)(seen) ? make(seen) : undefined
    return own === undefined ? healthy(seen) : Effect.succeed(own)
  }

/** The same, for the first such request, or as many as it says. */
export const first =
  (kind: Kind, make: (seen: Seen) => Outcome, count = 1): Quirk =>
  (healthy) => {
    let left = count
    return (seen) => (is(kind)(seen) && left-- > 0 ? Effect.succeed(make(seen)) : healthy(seen))
  }

/** Other requests reach the registry than were sent. */
export const rewrites =
  (kind: Kind, rewrite: (seen: Seen) => Partial<Seen>): Quirk =>
  (healthy) =>
  (seen) =>
    healthy(is(kind)(seen) ? { ...seen, ...rewrite(seen) } : seen)

/** Successful answers are changed on their way. */
export const changes =
  (kind: Kind, change: (response: Response, seen: Seen) => Outcome): Quirk =>
  (healthy) =>
  (seen) =>
    Effect.map(healthy(seen), (answer) =>
      answer !== "cut" && answer.ok && is(kind)(seen) ? change(answer, seen) : answer
    )

/** Headers of successful answers: others, more, or fewer (`undefined`). */
export const sets = (
  kind: Kind,
  headers: (headers: Headers, seen: Seen) => Readonly<Record<string, string | undefined>>
): Quirk =>
  changes(kind, (response, seen) => withHeaders(response, headers(response.headers, seen)))

const withHeaders = (
  response: Response,
  wanted: Readonly<Record<string, string | undefined>>
): Response => {
  const headers = new Headers(response.headers)
  for (const [name, value] of Object.entries(wanted)) {
    if (value === undefined) headers.delete(name)
    else headers.set(name, value)
  }
  return new Response(response.body, { status: response.status, headers })
}

/**
 * Nobody is let in whose authorization is not accepted. `challenge` may depend on what was sent.
 */
export const guards = (
  accepts: (authorization: string, seen: Seen) => boolean,
  challenge: (seen: Seen) => Response
): Quirk =>
  answers("", (seen) =>
    seen.authorization !== undefined && accepts(seen.authorization, seen)
      ? undefined
      : challenge(seen)
  )
