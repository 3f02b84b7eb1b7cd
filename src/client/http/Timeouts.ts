/** How long a registry may take. */
import * as Duration from "effect/Duration"

/**
 * How long a client waits. Either limit may be overrun by a second. How long a connection may take
 * is a setting of the HTTP client; here it counts as waiting for a response.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  /**
   * The time until a response begins, and from then on until the next bytes of its body, 60 seconds
   * by default. It counts only while the registry is waited for: while a stream is sent, from the
   * moment that the registry took what there was. A request whose body is in memory has a second
   * more for each 64 KiB.
   */
  readonly response: Duration.DurationInput
  /**
   * The time of a whole exchange, with its redirects, refusals, token requests and the document at
   * the end, 2 minutes by default. The time in which a blob travels does not count: blobs take as
   * long as they keep moving.
   */
  readonly overall: Duration.DurationInput
}

/** The defaults that `Timeouts` documents. */
export const defaultTimeouts: Timeouts = {
  response: Duration.seconds(60),
  overall: Duration.minutes(2)
}
