/**
 * Which hosts belong together, by the list of public suffixes: `auth.docker.io` and
 * `registry-1.docker.io` do, two customers of `github.io` do not.
 */
import * as Effect from "effect/Effect"

/**
 * Tells whether two hosts have the same registrable domain. Addresses and single labels have none.
 */
export type SameDomain = (first: string, second: string) => boolean

let loaded: SameDomain | undefined

/**
 * Returns the comparison. The list is loaded when it is first asked for, since to read it takes a
 * fifth of the time in which all else of this library starts.
 */
export const sameDomain: Effect.Effect<SameDomain> = Effect.suspend(() =>
  loaded === undefined
    ? Effect.map(
        Effect.promise(() => import("tldts")),
        ({ getDomain }): SameDomain => {
          // Private suffixes count as public ones, since the customers of github.io do not trust
          // each other.
          const domainOf = (host: string) =>
            getDomain(host, { allowPrivateDomains: true, extractHostname: false })
          loaded = (first, second) => {
            const domain = domainOf(first)
            return domain !== null && domain === domainOf(second)
          }
          return loaded
        }
      )
    : Effect.succeed(loaded)
)
