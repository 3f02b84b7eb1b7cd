/** How long a registry may take. */
import * as Duration from "effect/Duration"

/**
 * How long to wait. Either may be overrun by a second. The time to connect is a setting of the HTTP
 * client, and counts as waiting for a response here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  /**
   * Until a response begins, for each request, 60 seconds by default, and from then on until the next
   * bytes of its body. Only the registry is waited for: while a stream is sent, the time since it
   * took what there was. A body in memory has a second more for each 64 KiB.
   */
  readonly response: Duration.DurationInput
  /**
   * For all of an exchange, its redirects, refusals, token requests and the document at the end
   * included, 2 minutes by default. The time in which a blob travels does not count: blobs take as
   * long as they keep moving.
   */
  readonly overall: Duration.DurationInput
}

/** The defaults that `Timeouts` documents. */
export const defaultTimeouts: Timeouts = {
  response: Duration.seconds(60),
  overall: Duration.minutes(2)
}
