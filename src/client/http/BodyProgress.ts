/**
 * How much of a body has arrived, by HTTP clients that can tell: others are read as a stream, which
 * costs more than all else of a small response.
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"

/** The method of a response that tells. */
export const arrived: unique symbol = Symbol.for("effect-oci/BodyProgress/arrived")

/**
 * A response that tells how many bytes of its body have arrived, while `arrayBuffer` gathers it.
 */
export interface Telling {
  readonly [arrived]: () => number
}

/** Whether a response tells. */
export const tells = (
  response: HttpClientResponse & Partial<Telling>
): response is HttpClientResponse & Telling => response[arrived] !== undefined
