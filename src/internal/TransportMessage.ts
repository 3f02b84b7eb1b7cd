/** What is said of a connection that could not be made, broke, or was too slow. */
import * as ServerText from "../spec/internal/ServerText.js"
import { codeOf, placeOf, wordsOf } from "./CauseDetails.js"
import { serverOf } from "./ErrorMessage.js"

/** What of a `TransportFailure` its message is made of. */
interface Failure {
  readonly reason: keyof typeof problems
  readonly cause?: unknown
  readonly url?: string | undefined
  readonly status?: number | undefined
  readonly timeout?: number | undefined
  readonly option?: string | undefined
  readonly server?: "TokenServer" | "Redirect" | undefined
}

const problems = {
  Connect: (server: string) => `No connection to the ${server}`,
  Tls: (server: string) => `No secure connection to the ${server}`,
  Proxy: (server: string) => `A proxy on the way to the ${server} refuses`,
  Reset: (server: string) => `The connection to the ${server} broke`,
  Malformed: (server: string) => `The response of the ${server} is not valid HTTP`,
  Timeout: (server: string) => `The ${server} did not respond in time`,
  Stall: (server: string) => `The ${server} stopped sending`
}

/** Returns what happened to a connection, in words and as the system has it, and what to do. */
export const ofTransport = (failure: Failure): string => {
  const { cause, option, reason, timeout } = failure
  const code = codeOf(cause)
  // This library's own words of a proxy say all there is to say.
  if (/^ERR_PROXY_/.test(code)) return wordsOf(cause)
  if (timeout !== undefined) {
    const more = option === undefined ? "" : `; the option ${option} allows more`
    return `${waitOf(failure)} ${seconds(timeout)}${more}`
  }
  const detail = [code, placeOf(cause)].filter((part) => part !== "").join(" ")
  const advice = adviceOf(failure, code)
  return (
    problems[reason](serverOf(failure)) +
    (detail === "" ? "" : `: ${detail}`) +
    (advice === "" ? "" : detail === "" ? `: ${advice}` : `; ${advice}`)
  )
}

const waitOf = (failure: Failure): string => {
  const server = serverOf(failure)
  if (failure.reason !== "Stall") return `The ${server} did not respond within`
  return failure.option === "timeouts.overall"
    ? `The response of the ${server} did not arrive as a whole within`
    : `The ${server} stopped sending for`
}

const seconds = (milliseconds: number): string =>
  milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : `${Math.round(milliseconds / 100) / 10} s`

const useHttps = "if the registry speaks https, give its url as https://…"

const adviceOf = ({ cause, reason, status, url = "" }: Failure, code: string): string => {
  const isPlain = url.startsWith("http:")
  switch (reason) {
    case "Connect":
      return status === undefined
        ? ofConnect(code, cause)
        : `a proxy on the way answered ${status}, since it cannot reach it; check its name and port`
    case "Tls":
      return ofTls(cause)
    case "Proxy":
      return (
        (status === undefined ? "" : `it answered ${status}; `) +
        "check which proxy is used, and the user name and password for it"
      )
    case "Reset":
      // Servers of https close a connection that does not begin with a handshake.
      return isPlain && status === undefined ? useHttps : ""
    case "Malformed":
      return isPlain ? useHttps : ""
    default:
      return ""
  }
}

const ofConnect = (code: string, cause: unknown): string => {
  const words = wordsOf(cause)
  const [, limit] = /timeout: (\d+) ?ms/.exec(words) ?? []
  switch (code) {
    case "ENOTFOUND":
      return "no such host is known; check its spelling, and the DNS of this machine"
    case "EAI_AGAIN":
      return "its name cannot be looked up now; check the network and the DNS of this machine"
    case "ECONNREFUSED":
      return "nothing listens there; check host and port, and that it runs"
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "no way leads there; check the network, or whether a proxy is needed"
    case "ETIMEDOUT":
      return "check host and port, and whether a firewall or proxy is in between"
    case "UND_ERR_CONNECT_TIMEOUT":
      if (/^The (SOCKS )?proxy/.test(words))
        return `${words.replace("The", "the")} (option http.connectTimeout)`
      return limit === undefined
        ? "check host and port, and whether a firewall or proxy is in between"
        : `not within ${seconds(Number(limit))} (option http.connectTimeout); ` +
            "check host and port, and whether a firewall or proxy is in between"
    default:
      return ""
  }
}

/** Returns what to do about a handshake of TLS that failed. */
export const ofTls = (cause: unknown): string => {
  const code = codeOf(cause)
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return ofOtherName(cause)
  const found = tlsAdvice.find(([codes]) => codes.test(code))
  return found === undefined ? "check its certificate, and the tls options for its host" : found[1]
}

const tlsAdvice: ReadonlyArray<readonly [codes: RegExp, advice: string]> = [
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/,
    "what responds does not speak TLS; if it speaks plain http, give its url as http://…"
  ],
  [/^CERT_HAS_EXPIRED$/, "its certificate has expired; have it renewed"],
  [/^CERT_NOT_YET_VALID$/, "its certificate is not valid yet; check the clock of this machine"],
  [/^CERT_REVOKED$/, "its certificate was revoked; have it replaced"],
  [
    /UNABLE_TO_(GET_ISSUER|VERIFY)|SELF_SIGNED|INVALID_CA|UNTRUSTED/,
    "its certificate is from an authority that is not trusted here; if that is a private one, " +
      "trust it, by the option tls: { ca }, in a folder certs.d or with NODE_EXTRA_CA_CERTS"
  ],
  [
    /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN|HANDSHAKE_FAILURE)/,
    "the server may want a certificate of the client; give one by the option " +
      "tls: { certificates } or in a folder certs.d"
  ],
  [
    /UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/,
    "the server and this machine have no version of TLS in common"
  ]
]

/** Node's words are `… is not in the cert's altnames: DNS:a.example, IP Address:10.0.0.1`. */
const ofOtherName = (cause: unknown): string => {
  const [, names] = /cert's altnames: (.+)$/.exec(wordsOf(cause)) ?? []
  const shown =
    names === undefined
      ? "other names"
      : ServerText.plain(names.replace(/\b(DNS|IP Address):/g, ""), 255)
  return (
    `its certificate is for ${shown}; ` +
    "give the url with a name of the certificate, or have one issued for this host"
  )
}
