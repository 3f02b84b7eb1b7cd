/** Options that hold for all registries, beneath those of each. */
import * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import { type Overrides, withDefaults } from "../../internal/Options.js"
import type { AuthChallenge } from "../../RegistryError.js"
import type { EndpointOptions } from "./Endpoint.js"
import { defaultTimeouts } from "./Timeouts.js"

/**
 * Options for all hosts, beneath those of each. `trust`, `limits`, `timeouts` and `retry` are
 * merged member by member: a host with `timeouts: { overall: "1 hour" }` keeps the other timeouts
 * of the defaults. All else that a host gives replaces the default. A member that is `undefined`
 * counts as absent.
 *
 * What belongs to one host is not among them: `url`, `namespace`, `authScope`, and `headers`, which
 * can be secrets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Defaults<out R = never>
  extends Omit<EndpointOptions, "url" | "namespace" | "authScope" | "headers"> {
  /**
   * Decides whether to try again after a challenge, for hosts that have no `schedule` of their own.
   */
  readonly schedule?: Schedule.Schedule<unknown, AuthChallenge, R> | undefined
}

/** Options of an endpoint, and how its challenges are answered. */
type Settings<R> = EndpointOptions & Pick<Defaults<R>, "schedule">

/** Returns the options of a host over the defaults. */
export const merged = <R>(defaults: Defaults<R>, own: Settings<R>): Settings<R> => ({
  ...withDefaults<Settings<R>>({ ...defaults, url: own.url }, own),
  trust: both(defaults.trust, own.trust),
  limits: both(defaults.limits, own.limits),
  timeouts: both(defaults.timeouts, own.timeouts),
  retry: both(defaults.retry, own.retry)
})

/**
 * Returns the defaults of mirrors. One that fails is passed over, so that it is neither waited for
 * as long as the host itself, nor retried or logged in to, unless its own options say so (V29).
 */
export const ofMirrors = <R>(defaults: Defaults<R>): Defaults => {
  const { overall, response } = withDefaults(defaultTimeouts, defaults.timeouts)
  return {
    ...defaults,
    schedule: undefined,
    retry: { ...defaults.retry, attempts: 0 },
    timeouts: {
      response: Duration.min(response, mirrorTimeouts.response),
      overall: Duration.min(overall, mirrorTimeouts.overall)
    }
  }
}

const mirrorTimeouts = { response: Duration.seconds(10), overall: Duration.seconds(30) }

const both = <A extends object>(
  defaults: Overrides<A> | undefined,
  own: Overrides<A> | undefined
): Overrides<A> => withDefaults<Overrides<A>>(defaults ?? {}, own)
