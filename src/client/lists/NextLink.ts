/**
 * Where a page says that its list goes on: its `Link`, in all the forms that registries give it, as
 * far as `Trust` allows it.
 */
import * as Option from "effect/Option"
import * as Link from "../../protocol/Link.js"
import * as Trust from "../../protocol/Trust.js"
import { ProtocolViolation, type UntrustedLocation } from "../../RegistryError.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Received from "../http/Received.js"

/**
 * What a page says of the next one.
 *
 * - `None`: it has no link to a next page.
 * - `Start`: it links to the start of the list, as Cloudflare's last page does.
 * - `Next`: it links to `url`.
 * - `Failed`: it has a link that cannot be followed.
 */
export type NextLink =
  | { readonly _tag: "None" }
  | { readonly _tag: "Start" }
  | { readonly _tag: "Next"; readonly url: string }
  | { readonly _tag: "Failed"; readonly error: UntrustedLocation | ProtocolViolation }

/** Reads the link of a page; `inBody` is one in its document, which counts without another. */
export const read = (
  to: Endpoint,
  response: Received.Received,
  inBody: string | undefined
): NextLink => {
  const header = response.headers["link"] ?? ""
  if (Link.hidesNext(header)) {
    const problem = "A page of a list has a Link that cannot be read, so that its end is not known"
    const error = new ProtocolViolation({ ...Received.exchangeOf(response), problem })
    return { _tag: "Failed", error }
  }
  const target = Option.getOrElse(Link.next(header), () => inBody)
  const from = response.request.url
  if (target === undefined) return { _tag: "None" }
  if (leadsToStart(target, from)) return { _tag: "Start" }
  const decision = Trust.decide(to.trust, {
    kind: "Link",
    registry: to.base,
    from,
    target: samePath(from, target)
  })
  return decision._tag === "Refused"
    ? {
        _tag: "Failed",
        error: Received.untrusted(response, "Link", decision)
      }
    : { _tag: "Next", url: decision.url }
}

/**
 * Cloudflare's catalog links from its end to its start, and without its port (quirks §5). An empty
 * `last` beside other parameters, such as a token, is not the start.
 */
const leadsToStart = (target: string, from: string): boolean => {
  if (!URL.canParse(target, from)) return false
  const { searchParams } = new URL(target, from)
  return (
    searchParams.get("last") === "" &&
    [...searchParams.keys()].every((name) => name === "last" || name === "n")
  )
}

/**
 * A list goes on where it is. Artifactory leaves the first components of the repository out of its
 * links, and Nexus puts others before them (quirks §5): of a link to the same kind of list on the
 * same origin only the query counts. No other repository's list is ever requested.
 */
const samePath = (from: string, target: string): string => {
  if (!URL.canParse(target, from)) return target
  const [here, there] = [new URL(from), new URL(target, from)]
  const kind = (url: URL) => url.pathname.split("/").slice(-2).join("/")
  const [path = ""] = from.split(/[?#]/, 1)
  const query = /\?[^#]*/.exec(target)?.[0] ?? ""
  return here.origin === there.origin &&
    here.pathname !== there.pathname &&
    kind(here) === kind(there)
    ? path + query
    : target
}
