/** The locations of upload sessions: what registries name, as far as `Trust` allows. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as UrlQuery from "../../protocol/internal/UrlQuery.js"
import * as Trust from "../../protocol/Trust.js"
import { ProtocolViolation, UntrustedLocation } from "../../RegistryError.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Received from "../http/Received.js"

const noLocation: Record<SingleField.Problem, string> = {
  absent: "The registry opened an upload without a Location",
  blank: "The registry names a blank Location for an upload",
  repeated: "The registry names more than one Location for an upload"
}

/** The location that a response names; `sentTo`: where the request went before any redirect. */
export const locationOf = (
  to: Endpoint,
  response: Received.Received,
  sentTo: string
): Effect.Effect<string, ProtocolViolation | UntrustedLocation> => {
  const named = SingleField.requiredReference(response.headers, "location")
  if (Either.isLeft(named))
    return Effect.fail(
      new ProtocolViolation({ ...Received.exchangeOf(response), problem: noLocation[named.left] })
    )
  const target = named.right
  const { url } = response.request
  // Another origin that redirects to the registry has chosen what the registry answers.
  return Trust.isAt(to.origin, sentTo) || !URL.canParse(target, url)
    ? trusted(to, url, target, response)
    : trusted(to, sentTo, UrlQuery.restored(new URL(target, url), target, url), response)
}

const blank = Trust.Decision.Refused({
  host: "",
  reason: "Malformed",
  option: Option.none(),
  message: "it is blank"
})

/** The location that `from` names as `target`; `response`: the one that names it, if any does. */
export const trusted = (
  to: Endpoint,
  from: string,
  target: string,
  response?: Received.Received
): Effect.Effect<string, UntrustedLocation> => {
  const decision = target.trim().replace(/^#.*/, "")
    ? Trust.decide(to.trust, { kind: "Upload", registry: to.base, from, target })
    : blank
  return decision._tag === "Allowed"
    ? Effect.succeed(decision.url)
    : Effect.fail(
        response === undefined
          ? UntrustedLocation.from("Upload", decision, {})
          : Received.untrusted(response, "Upload", decision)
      )
}
