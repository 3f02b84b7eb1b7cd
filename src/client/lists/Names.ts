/** The documents of tags and repositories: the names on one page of a list. */
import * as Effect from "effect/Effect"
import { ProtocolViolation } from "../../RegistryError.js"
import * as Classify from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type * as Received from "../http/Received.js"
import * as ReportedErrors from "../http/ReportedErrors.js"
import * as ErrorsInstead from "./ErrorsInstead.js"
import type { Page } from "./Pages.js"

/**
 * Reads the names on a page of tags or repositories. The list may be `null` or absent (trap 58);
 * entries that are not names, such as the digests and nulls of some registries (rule 15), are left
 * out, with a warning unless null, since no request could be made of them (T8).
 *
 * Fails with `ProtocolViolation` for anything else than a JSON object with a list, and for one that
 * reports errors, whatever its status.
 */
export const names = <A extends string>(
  to: Endpoint,
  [bytes, response]: readonly [bytes: Uint8Array, response: Received.Received],
  field: "tags" | "repositories",
  isName: (u: unknown) => u is A
): Effect.Effect<Page<A>, ProtocolViolation> => {
  const document = ReportedErrors.parse(bytes)
  const found = ReportedErrors.member(document, field)
  const list = found ?? []
  const isList = typeof document === "object" && document !== null && !Array.isArray(document)
  if (!isList || !Array.isArray(list)) {
    const problem = `The response is not a list of ${field}`
    return Effect.fail(new ProtocolViolation({ ...Classify.exchangeOf(response, bytes), problem }))
  }
  const errors = ErrorsInstead.of(response, document, found, field)
  if (errors !== undefined) return Effect.fail(errors)
  const next = ReportedErrors.member(document, "next")
  const page = {
    items: list.filter(isName),
    entries: list.length,
    next: typeof next === "string" && next !== "" ? next : undefined,
    response
  }
  const strange = list.filter((entry) => entry !== null && !isName(entry)).length
  return strange === 0
    ? Effect.succeed(page)
    : Effect.as(
        Effect.logWarning(
          `${to.origin} lists ${strange} invalid entries among its ${field}: left out`
        ),
        page
      )
}
