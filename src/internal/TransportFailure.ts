/** The error of a request that got no response, or half of one. */
import * as Schema from "effect/Schema"
import { exchange, exchangeOf, sentence } from "./ErrorMessage.js"
import { ofTransport } from "./TransportMessage.js"

/**
 * Occurs when there is no response of the server, or half of one. `Connect`: no connection, with
 * `status` if a proxy reported it; `Tls`: no secure one; `Proxy`: a proxy on the way refuses to let
 * the request through, with `status`; `Reset`: the connection broke; `Malformed`: the response is
 * not HTTP; `Timeout`: no response in time; `Stall`: a body stopped arriving. `Tls`, `Proxy` and
 * `Malformed` are never retried. `cause` is what the HTTP client failed with, less what it holds of
 * the request and the response. The message has the code of the system or of TLS, such as
 * `ENOTFOUND`, if the cause has one, and what could not be reached, which may be a proxy. `timeout`
 * is how long a response or the next bytes were waited for, in milliseconds, and `option` the
 * setting for it.
 */
export class TransportFailure extends Schema.TaggedError<TransportFailure>(
  "effect-oci/TransportFailure"
)("TransportFailure", {
  ...exchange,
  reason: Schema.Literal("Connect", "Tls", "Proxy", "Reset", "Malformed", "Timeout", "Stall"),
  cause: Schema.optional(Schema.Defect),
  timeout: Schema.optional(Schema.Number),
  option: Schema.optional(Schema.String)
}) {
  override get message(): string {
    // The status is a proxy's, where there was no response of the server.
    const { status } = this.reason === "Connect" || this.reason === "Proxy" ? {} : this
    return sentence(ofTransport(this), { ...exchangeOf(this), status })
  }
}
