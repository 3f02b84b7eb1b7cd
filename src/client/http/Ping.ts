/** Whether what answered a ping is a registry. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { Unsupported } from "../../RegistryError.js"
import * as JsonText from "../../spec/internal/JsonText.js"
import { exchangeOf, isMarkup, isPage, readable } from "./Classify.js"
import { distributionApi } from "./OperationErrors.js"
import type * as Received from "./Received.js"

/**
 * Fails with `Unsupported` for a page: portals and web servers have one for every path. Any other
 * 200 is a registry's (C9), and so is one that says it in Docker's header or in JSON, whatever its
 * type: Quay's response to a ping is `true` as text/html.
 */
export const check = (response: Received.Received): Effect.Effect<void, Unsupported> =>
  Effect.flatMap(readable(response), (body) => {
    const text = new TextDecoder().decode(body).trim()
    const isSuspect = isPage(response) || isMarkup(text)
    return isSuspect &&
      response.headers["docker-distribution-api-version"] === undefined &&
      Either.isLeft(JsonText.parse(text))
      ? Effect.fail(new Unsupported({ ...exchangeOf(response, body), operation: distributionApi }))
      : Effect.void
  })
