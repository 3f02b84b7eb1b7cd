/**
 * Which URLs of a server may be followed, and which of them may receive credentials: one policy for
 * redirects, upload locations, next pages, token realms and layer URLs. Credentials go to the
 * registry's own origin and to the token servers accepted here, and nowhere else.
 *
 * Hosts are judged as written, after URL normalisation, so that every spelling of an address counts
 * (`0x7f.1` is `127.0.0.1`). A name that resolves to a private address is not detected: that takes
 * a connector that checks the address it connects to.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import ipaddr from "ipaddr.js"
import * as Host from "../spec/Host.js"
import * as ServerText from "../spec/internal/ServerText.js"
import * as FieldValue from "./internal/FieldValue.js"
import * as UrlQuery from "./internal/UrlQuery.js"

/**
 * The exceptions to the strict rules. An entry is `host` (meaning the scheme's default port) or
 * `host:port`, as `Host.parse` takes it, and names exactly the URLs that `Host.isAt` says are
 * there: it is never a suffix, a substring or a pattern. A listed host may have a private
 * address; nothing permits a scheme other than http and https, a step from https to http, or user
 * info.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  /**
   * Hosts that redirects may carry a request body to, and that redirects and layer URLs may reach
   * on private addresses.
   */
  readonly allowStorage: ReadonlyArray<string>
  /** Token servers that may receive credentials. */
  readonly allowTokens: ReadonlyArray<string>
  /** Hosts that upload locations may lead to. They receive the content and no credentials. */
  readonly allowUploads: ReadonlyArray<string>
}

/**
 * The default: no exceptions.
 *
 * @since 0.1.0
 * @category constructors
 */
export const strict: Policy = { allowStorage: [], allowTokens: [], allowUploads: [] }

/**
 * A URL to decide about: `target` as the server sent it, `from` the URL of the request it responded
 * to, `registry` the registry's base URL, with the path before `/v2/` if there is one.
 *
 * - `Redirect`: a `Location` of a 3xx; `method` is that of the request that would be sent there.
 * - `Upload`: a `Location` of an upload session.
 * - `Link`: the next page of a list.
 * - `Realm`: a token server; `credentials` says whether the token request would carry any,
 *   `sameDomain` (of `RegistrableDomain`) which hosts belong together: without it, credentials go
 *   to the registry's own origin only.
 * - `Layer`: one of a descriptor's `urls`.
 *
 * @since 0.1.0
 * @category models
 */
export type Request = {
  readonly registry: string
  readonly from: string
  readonly target: string
} & (
  | { readonly kind: "Redirect"; readonly method: string }
  | {
      readonly kind: "Realm"
      readonly credentials: boolean
      readonly sameDomain?: ((first: string, second: string) => boolean) | undefined
    }
  | { readonly kind: "Upload" | "Link" | "Layer" }
)

/**
 * Why a URL is refused.
 *
 * - `Malformed`: it does not parse, or holds what parsers read differently: control characters,
 *   backslashes, empty labels in the host.
 * - `Scheme`, `UserInfo`: neither http nor https; a user name or password inside.
 * - `Downgrade`: from https to http.
 * - `PrivateAddress`: from a public registry to a loopback, private, link-local or otherwise
 *   special address.
 * - `OtherOrigin`: an origin, or for realms a domain, that is not the registry's.
 * - `OtherPath`: a next page outside of the registry's `/v2/`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  | "Malformed"
  | "Scheme"
  | "UserInfo"
  | "Downgrade"
  | "PrivateAddress"
  | "OtherOrigin"
  | "OtherPath"

/**
 * `Allowed`: `url` is what to request, absolute and without fragment. Its scheme, host, port and
 * path are what a URL parser made of `target` and what was judged; its query is that of `target`,
 * byte for byte, since it may be signed. `credentials` says whether they may go along; if not, no
 * header that the caller set may either.
 *
 * `Refused`: `host` is where the URL leads (empty if that is unknown), `option` the list of
 * `Policy` that would permit it, and `message` completes "is not followed:". None of them shows a
 * query or user info.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = Data.TaggedEnum<{
  Allowed: { readonly url: string; readonly credentials: boolean }
  Refused: {
    readonly host: string
    readonly reason: Reason
    readonly option: Option.Option<keyof Policy>
    readonly message: string
  }
}>

/**
 * Makes decisions, tells them apart and matches them, with `$is` and `$match`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const Decision: Data.TaggedEnum.Constructor<Decision> = Data.taggedEnum<Decision>()

/**
 * Decides about a URL.
 *
 * - Redirects may lead anywhere with GET and HEAD, but credentials stay at the registry's origin.
 *   Anything else, a body above all, stays there too, or goes to `allowStorage`, and does not come
 *   back from there.
 * - Upload locations are at the registry's origin, or in `allowUploads`. One that another origin
 *   names does not lead back to the registry, whatever is listed.
 * - Next pages are at the registry's origin, under its `/v2/`, and named by that origin.
 * - Realms are named by the registry's origin only. One that would receive credentials has that
 *   origin, the same registrable domain (of names, never of addresses or single labels), or is in
 *   `allowTokens`.
 * - Layer URLs never receive credentials.
 *
 * @example
 * ```ts
 * import * as Trust from "effect-oci/Trust"
 *
 * Trust.decide(Trust.strict, {
 *   kind: "Redirect",
 *   registry: "https://registry.example.com",
 *   from: "https://registry.example.com/v2/a/blobs/sha256:0123",
 *   target: "https://storage.example.net/0123?signature=45",
 *   method: "GET"
 * }) // Allowed, without credentials
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const decide = (policy: Policy, request: Request): Decision => {
  const registry = parseUrl(request.registry)
  const from = parseUrl(request.from)
  const absolute = parseUrl(request.target)
  const target = absolute ?? parseUrl(request.target, from?.href)
  if (
    registry === undefined ||
    from === undefined ||
    target === undefined ||
    isAmbiguous(request.target, target)
  )
    return refuse(target, "Malformed", "it is not a valid URL")

  if (!isHttp(target)) return refuse(target, "Scheme", "its scheme is neither http nor https")
  if (target.username !== "" || target.password !== "")
    return refuse(target, "UserInfo", "it holds a user name or password")
  if (target.protocol === "http:" && (registry.protocol === "https:" || from.protocol === "https:"))
    return refuse(
      target,
      "Downgrade",
      "it leads from https to http; the registry may not know its external URL"
    )

  const option = optionFor[request.kind]
  const listed =
    option !== undefined && policy[option].some((entry) => Host.isAt(entry, target.href))
  if (!listed && !isReachable(registry, target))
    return refuse(
      target,
      "PrivateAddress",
      "it leads to a local or private address, and the registry is not on such a one",
      option
    )

  const atRegistry = target.origin === registry.origin
  const allow = (credentials: boolean): Decision =>
    Decision.Allowed({
      url: UrlQuery.restored(target, request.target, request.from),
      credentials
    })
  // A chain that has left the registry does not get the credentials back by returning to it (T1).
  const own = atRegistry && from.origin === registry.origin
  // Nor does another origin choose what is written to the registry, or read with its credentials:
  // they go by the URL of a request, and its answer would have chosen that.
  const returns = atRegistry && !own

  switch (request.kind) {
    case "Redirect":
      if (returns && !isSafe(request.method)) return refuse(target, "OtherOrigin", returning)
      return atRegistry || listed || isSafe(request.method)
        ? allow(own)
        : refuse(
            target,
            "OtherOrigin",
            "it would take a request that is not a GET or HEAD to another origin",
            option
          )
    case "Upload":
      if (returns) return refuse(target, "OtherOrigin", returning)
      return atRegistry || listed
        ? allow(own)
        : refuse(target, "OtherOrigin", "it would send the content to another origin", option)
    case "Link":
      if (!atRegistry) return refuse(target, "OtherOrigin", "it leads to another origin")
      if (returns) return refuse(target, "OtherOrigin", returning)
      return target.pathname.startsWith(`${registry.pathname.replace(/\/$/, "")}/v2/`)
        ? allow(own)
        : refuse(target, "OtherPath", "it leads out of the registry's /v2/")
    case "Realm":
      if (from.origin !== registry.origin)
        return refuse(target, "OtherOrigin", "it was named by another origin than the registry's")
      return !request.credentials ||
        atRegistry ||
        listed ||
        request.sameDomain?.(registry.hostname, target.hostname) === true
        ? allow(request.credentials)
        : refuse(target, "OtherOrigin", "it would send credentials to another domain", option)
    case "Layer":
      return allow(false)
  }
}

/**
 * Returns the origin of an http or https URL as `scheme://host` or `scheme://host:port`, in lower
 * case and without a default port: the form in which origins are compared.
 *
 * @since 0.1.0
 * @category combinators
 */
export const origin = (url: string): Option.Option<string> => {
  const parsed = parseUrl(url)
  return parsed !== undefined && isHttp(parsed) ? Option.some(parsed.origin) : Option.none()
}

/**
 * Returns whether a URL is at an origin, which is as `origin` has it.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAt = (place: string, url: string): boolean =>
  // Most URLs begin with the origin as it is written, and parsing one costs as much as all else
  // that is done with it.
  url.startsWith(`${place}/`) || Option.contains(origin(url), place)

const returning = "another origin sends it back to the registry, to a path of its own choice"

const optionFor: Record<Request["kind"], keyof Policy | undefined> = {
  Redirect: "allowStorage",
  Upload: "allowUploads",
  Link: undefined,
  Realm: "allowTokens",
  Layer: "allowStorage"
}

const refuse = (
  target: URL | undefined,
  reason: Reason,
  message: string,
  option?: keyof Policy
): Decision =>
  Decision.Refused({
    host: ServerText.plain(target?.host ?? "", 255),
    reason,
    option: Option.fromNullable(option),
    message
  })

const parseUrl = (url: string, base?: string): URL | undefined =>
  url.length <= FieldValue.maxLength && URL.canParse(url, base) ? new URL(url, base) : undefined

/**
 * The URL standard drops tabs and newlines and reads `\` as `/` (T8); other parsers do not, and see
 * another host. Empty labels are no valid host either, but resolvers and lists of domains may
 * ignore them.
 */
const isAmbiguous = (text: string, url: URL): boolean =>
  FieldValue.hasControl(text) ||
  text.includes("\\") ||
  url.hostname.startsWith(".") ||
  url.hostname.includes("..")

const isHttp = (url: URL): boolean => url.protocol === "https:" || url.protocol === "http:"

const isSafe = (method: string): boolean => method === "GET" || method === "HEAD"

const isReachable = (registry: URL, target: URL): boolean => {
  if (registry.hostname === target.hostname) return true
  const reached = network(target)
  if (reached === "Public") return true
  return reached !== "Special" && reached === network(registry)
}

/**
 * `Special` is every address that is neither public nor of an ordinary network: link-local (cloud
 * metadata), unspecified, multicast, tunnels.
 */
const network = (url: URL): "Public" | "Loopback" | "Private" | "Special" => {
  if (Host.isLoopback(url.host)) return "Loopback"
  const host = url.hostname.replace(/^\[|\]$|\.$/g, "")
  if (!ipaddr.isValid(host)) return "Public"
  // `process` turns v4-mapped addresses into those that they map.
  const address = ipaddr.process(host)
  switch (address.range()) {
    case "private":
    case "uniqueLocal":
    case "carrierGradeNat":
      return "Private"
    case "unicast":
      // Of IPv6, only 2000::/3 is assigned to the public; `::7f00:1` embeds 127.0.0.1.
      return address.kind() === "ipv4" || (address.toByteArray()[0] ?? 0) >> 5 === 1
        ? "Public"
        : "Special"
    default:
      return "Special"
  }
}
