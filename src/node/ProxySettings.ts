/**
 * Proxies on the way out: which of them a request takes, by the conventions of the environment
 * variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import ipaddr from "ipaddr.js"

/**
 * Which requests take a proxy.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProxySettings {
  /**
   * The proxy for http URLs, as a URL, in which a user name and password may stand; without one,
   * such requests go straight. Its scheme is `http`, `https`, or `socks5` for a proxy that speaks
   * SOCKS 5 ([RFC 1928](https://www.rfc-editor.org/rfc/rfc1928)); `socks` and `socks5h` mean the
   * same, since names are always resolved by the proxy.
   */
  readonly http?: Redacted.Redacted | undefined
  /**
   * The proxy for https URLs, likewise. https is tunnelled (by `CONNECT` or SOCKS): the proxy sees
   * neither requests nor certificates.
   */
  readonly https?: Redacted.Redacted | undefined
  /**
   * Hosts that are reached without a proxy: a domain stands for itself and all below it, with or
   * without a leading dot or `*.`; an address and a CIDR range stand for themselves; a port
   * restricts a name to it; `*` is every host. No name is resolved for this.
   */
  readonly except?: ReadonlyArray<string> | undefined
}

/**
 * The settings that environment variables hold: `http_proxy`, `https_proxy` and `no_proxy`, or the
 * same in upper case. Lower case wins, an empty value means none. This machine itself (`localhost`,
 * loopback addresses) is never reached through a proxy of the environment. Within a CGI program,
 * which has `REQUEST_METHOD`, `HTTP_PROXY` is what its client sent as a header `Proxy`, and is not
 * heeded (CVE-2016-5385 and others).
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromEnvironment = (
  environment: Readonly<Record<string, string | undefined>>
): ProxySettings => {
  const variable = (name: string) => {
    const forged = name === "http_proxy" && environment["REQUEST_METHOD"] !== undefined
    return environment[name] ?? (forged ? undefined : environment[name.toUpperCase()]) ?? ""
  }
  const proxy = (name: string) => {
    const url = variable(name).trim()
    // Curl and Go take a proxy without scheme, too.
    return url === "" ? undefined : Redacted.make(url.includes("://") ? url : `http://${url}`)
  }
  return {
    http: proxy("http_proxy"),
    https: proxy("https_proxy"),
    except: [
      ...variable("no_proxy")
        .split(/[\s,]+/)
        .filter((entry) => entry !== ""),
      ...thisMachine
    ]
  }
}

/**
 * The proxy that a request takes, if any.
 *
 * @since 0.1.0
 * @category getters
 */
export const proxyFor = (settings: ProxySettings, url: URL): Option.Option<Redacted.Redacted> => {
  const proxy = url.protocol === "https:" ? settings.https : settings.http
  return settings.except?.some((entry) => covers(entry, url)) === true
    ? Option.none()
    : Option.fromNullable(proxy)
}

const thisMachine = ["localhost", "127.0.0.0/8", "::1"]

const covers = (entry: string, url: URL): boolean => {
  if (entry === "*") return true
  const host = url.hostname.replace(/^\[|\]$/g, "")
  const bare = entry.replace(/^\[|\]$/g, "")
  if (ipaddr.isValid(host)) {
    const address = ipaddr.process(host)
    if (ipaddr.isValid(bare)) return ipaddr.process(bare).toString() === address.toString()
    if (ipaddr.isValidCIDR(bare))
      return ipaddr.subnetMatch(address, { in: [ipaddr.parseCIDR(bare)] }, "out") === "in"
  }
  const [, name = "", port = ""] = /^(.+?)(?::(\d+))?$/.exec(entry) ?? []
  const domain = name.replace(/^\*?\.|^\[|\]$/g, "").toLowerCase()
  if (
    port !== "" &&
    port !== (url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port)
  )
    return false
  return host === domain || host.endsWith(`.${domain}`)
}
