/**
 * Which requests take a proxy, by the conventions of the environment variables `HTTP_PROXY`,
 * `HTTPS_PROXY` and `NO_PROXY`.
 *
 * @since 0.1.0
 */
import { domainToASCII } from "node:url"
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
   * The URL of the proxy for http requests, with a user name and password if it takes them. Its
   * scheme is `http`, `https`, `socks5`
   * ([RFC 1928](https://www.rfc-editor.org/rfc/rfc1928)) or `socks4a`. The proxy always resolves
   * names: `socks` and `socks5h` mean the same as `socks5`, and `socks4` the same as `socks4a`,
   * which takes a user name and no password. SOCKS needs the package `socks`, an optional peer
   * dependency.
   */
  readonly http?: Redacted.Redacted | undefined
  /**
   * The URL of the proxy for https requests, likewise. They are tunnelled, by `CONNECT` or SOCKS:
   * the proxy sees no more of them than the name of the host.
   */
  readonly https?: Redacted.Redacted | undefined
  /**
   * What is reached without a proxy: a domain and all domains below it, with or without a leading
   * dot or `*.`; an IP address or a CIDR range; any of them but a range with a port; `*` for every
   * host. Names are not resolved for this.
   */
  readonly except?: ReadonlyArray<string> | undefined
}

/**
 * Reads the settings of the environment variables `http_proxy`, `https_proxy` and `no_proxy`, or of
 * the same in upper case. Lower case takes precedence, and an empty value means none. Loopback
 * hosts are never reached through a proxy of the environment. In a CGI program, which has
 * `REQUEST_METHOD`, a header of the client can set `HTTP_PROXY`, so that is ignored there
 * (CVE-2016-5385).
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
 * Returns the proxy that a request to a URL takes, if any.
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
  const domain = nameOf(name.replace(/^\*?\.|^\[|\]$/g, ""))
  if (
    port !== "" &&
    port !== (url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port)
  )
    return false
  const here = nameOf(host)
  return here === domain || here.endsWith(`.${domain}`)
}

/** A name as URLs have it, without the dot after which DNS looks for no other. */
const nameOf = (written: string): string => {
  const name = written.replace(/\.$/, "")
  return domainToASCII(name) || name.toLowerCase()
}
