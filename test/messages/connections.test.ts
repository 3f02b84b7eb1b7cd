/** What people are told of connections: hosts, ports, certificates, proxies and time. */
import * as Net from "node:net"
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import * as Certificates from "../support/certificates.js"
import { authorities, hello, portOf, serve as serveSecurely } from "../support/https.js"
import { serve } from "../support/serve.js"
import { type Row, tellsOf, told } from "./told.js"

const ping = (url: string, { http, ...options }: Partial<NodeRegistry.Options> = {}) =>
  Effect.flatMap(Registry, (registry) => registry.ping).pipe(
    Effect.provide(
      NodeRegistry.layer({
        url,
        retry: { attempts: 0 },
        http: { certificateFolders: [], ...http },
        ...options
      }).pipe(Layer.provide(Credentials.layerAnonymous))
    )
  )

const through = (proxy: string) => {
  const url = Redacted.make(proxy)
  return { http: { proxy: { http: url, https: url } } }
}

/** Accepts connections, and says nothing. */
const silent = Effect.map(
  Effect.acquireRelease(
    Effect.async<Net.Server>((resume) => {
      const server = Net.createServer((socket) => socket.on("error", () => socket.destroy()))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => `127.0.0.1:${portOf(server)}`
)

/** A port of this machine at which nobody listens. */
const closed = Effect.scoped(silent)

const plain = Effect.map(
  serve((_, response) => response.end("{}")),
  ({ url }) => new URL(url).host
)

const trusted = Effect.map(authorities, ({ ours }) => ({ tls: { ca: [ours.cert] } }))

const settings = "see HTTP_PROXY, HTTPS_PROXY and the option http.proxy"
const authority =
  "its certificate is from an authority that is not trusted here; if that is a private one, " +
  "trust it, by the option tls: { ca }, in a folder certs.d or with NODE_EXTRA_CA_CERTS"
const between = "check host and port, and whether a firewall or proxy is in between"

const rows: ReadonlyArray<Row> = [
  [
    "http to a port of https",
    Effect.flatMap(serveSecurely(hello), (host) => told(ping(`http://${host}`), { HOST: host })),
    "The connection to the registry broke: UND_ERR_SOCKET; if the registry speaks https, give " +
      "its url as https://… (GET http://HOST/v2/)"
  ],
  [
    "https to a port of http",
    Effect.flatMap(plain, (host) => told(ping(`https://${host}`), { HOST: host })),
    "No secure connection to the registry: ERR_SSL_WRONG_VERSION_NUMBER; what responds does not " +
      "speak TLS; if it speaks plain http, give its url as http://… (GET https://HOST/v2/)"
  ],
  [
    "an authority that is not trusted",
    Effect.flatMap(serveSecurely(hello), (host) => told(ping(`https://${host}`), { HOST: host })),
    "No secure connection to the registry: UNABLE_TO_VERIFY_LEAF_SIGNATURE; " +
      `${authority} (GET https://HOST/v2/)`
  ],
  [
    "a certificate for another name",
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const other = yield* Certificates.server(ours, "other.test", "www.other.test")
      const host = yield* serveSecurely(hello, other)
      return yield* told(ping(`https://${host}`, yield* trusted), { HOST: host })
    }),
    "No secure connection to the registry: ERR_TLS_CERT_ALTNAME_INVALID; its certificate is for " +
      "other.test, www.other.test, 127.0.0.1; give the url with a name of the certificate, or have " +
      "one issued for this host (GET https://HOST/v2/)"
  ],
  [
    "no version of TLS in common",
    Effect.gen(function* () {
      const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1" } as const
      const host = yield* serveSecurely(hello, { ...old, ciphers: "DEFAULT:@SECLEVEL=0" })
      return yield* told(ping(`https://${host}`, yield* trusted), { HOST: host })
    }),
    "No secure connection to the registry: ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION; the server and " +
      "this machine have no version of TLS in common (GET https://HOST/v2/)"
  ],
  [
    "a port at which nothing listens",
    Effect.flatMap(closed, (host) => told(ping(`http://${host}`), { HOST: host })),
    "No connection to the registry: ECONNREFUSED HOST; nothing listens there; check host and port, " +
      "and that it runs (GET http://HOST/v2/)"
  ],
  [
    // A label has 63 characters at most, so that this is unknown without a name server as well.
    "an unknown host",
    told(ping(`https://${"a".repeat(64)}.test`), { HOST: `${"a".repeat(64)}.test` }),
    "No connection to the registry: ENOTFOUND HOST; no such host is known; check its spelling, and " +
      "the DNS of this machine (GET https://HOST/v2/)"
  ],
  [
    "a server that makes no connection in time",
    Effect.flatMap(silent, (host) =>
      told(ping(`https://${host}`, { http: { connectTimeout: "300 millis" } }), { HOST: host })
    ),
    "No connection to the registry: UND_ERR_CONNECT_TIMEOUT; not within 300 ms (option " +
      `http.connectTimeout); ${between} (GET https://HOST/v2/)`
  ],
  [
    "a registry that does not respond in time",
    Effect.flatMap(silent, (host) =>
      told(ping(`http://${host}`, { timeouts: { response: "300 millis" } }), { HOST: host })
    ),
    "The registry did not respond within 300 ms; the option timeouts.response allows more (GET " +
      "http://HOST/v2/)"
  ],
  [
    "an exchange that takes too long",
    Effect.flatMap(silent, (host) =>
      told(ping(`http://${host}`, { timeouts: { overall: "300 millis" } }), { HOST: host })
    ),
    "The registry did not respond within 300 ms; the option timeouts.overall allows more (GET " +
      "http://HOST/v2/)"
  ],
  [
    "a response that stops",
    Effect.flatMap(
      serve((_, response) => void response.writeHead(200, { "content-length": 2 }).write("{")),
      ({ url }) => told(ping(url, { timeouts: { response: "300 millis" } }), { ORIGIN: url })
    ),
    "The registry stopped sending for 300 ms; the option timeouts.response allows more (GET " +
      "ORIGINv2/ answered 200)"
  ],
  ...(["http", "https"] as const).map(
    (scheme): Row => [
      `a proxy that is down, for ${scheme}`,
      Effect.flatMap(closed, (host) =>
        told(ping(`${scheme}://registry.test`, through(`http://${host}`)), { PROXY: host })
      ),
      `No connection to the proxy: ECONNREFUSED PROXY; check that it runs; ${settings} ` +
        `(GET ${scheme}://registry.test/v2/)`
    ]
  ),
  [
    "a SOCKS proxy that is down",
    Effect.flatMap(closed, (host) =>
      told(ping("http://registry.test", through(`socks5://${host}`)), { PROXY: host })
    ),
    `No connection to the proxy: ECONNREFUSED PROXY; check that it runs; ${settings} ` +
      "(GET http://registry.test/v2/)"
  ],
  [
    // undici would connect to it again and again.
    "a proxy that closes connections instead of making tunnels",
    Effect.flatMap(serveSecurely(hello), (host) =>
      told(ping("https://registry.test", through(`http://${host}`)), { PROXY: host })
    ),
    "The proxy PROXY closed the connection: check that it is an HTTP proxy; " +
      `${settings} (GET https://registry.test/v2/)`
  ],
  [
    "a proxy by an authority that is not trusted",
    Effect.flatMap(serveSecurely(hello), (host) =>
      told(ping("https://registry.test", through(`https://${host}`)), { PROXY: host })
    ),
    "No secure connection to the proxy: UNABLE_TO_VERIFY_LEAF_SIGNATURE PROXY; " +
      `${authority} (GET https://registry.test/v2/)`
  ],
  [
    "a proxy that makes no tunnel in time",
    Effect.flatMap(silent, (host) =>
      told(
        ping("https://registry.test", {
          http: { ...through(`http://${host}`).http, connectTimeout: "300 millis" }
        })
      )
    ),
    "No connection to the registry: UND_ERR_CONNECT_TIMEOUT; the proxy did not make a tunnel in " +
      "time (option http.connectTimeout) (GET https://registry.test/v2/)"
  ]
]

describe("people are told of", () => tellsOf(rows))
