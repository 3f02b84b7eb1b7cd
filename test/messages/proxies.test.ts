/** What people are told of a proxy that does not let them through: Debian's tinyproxy. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import { describeTinyproxy, proxyUser, tinyproxy } from "../support/tinyproxy.js"
import { type Row, tellsOf, told } from "./told.js"

const through = (login: string, url: string) =>
  Effect.gen(function* () {
    const { host } = yield* tinyproxy([1])
    const proxy = Redacted.make(`http://${login}${host}`)
    const layer = NodeRegistry.layer({
      url,
      http: { certificateFolders: [], proxy: { http: proxy, https: proxy } },
      retry: { attempts: 0 }
    }).pipe(Layer.provide(Credentials.layerAnonymous))
    const ping = Effect.flatMap(Registry, (registry) => registry.ping)
    return yield* told(Effect.provide(ping, layer), { PROXY: host })
  })

const walter = `${proxyUser.username}:${proxyUser.password}@`
const settings = "see HTTP_PROXY, HTTPS_PROXY and the option http.proxy"

const rows: ReadonlyArray<Row> = [
  ...(["http", "https"] as const).map(
    (scheme): Row => [
      `a proxy that wants a password, for ${scheme}`,
      through("", `${scheme}://registry.test:1`),
      "The proxy PROXY (407) wants a user name and password: write them into its URL; " +
        `${settings} (GET ${scheme}://registry.test:1/v2/)`
    ]
  ),
  [
    "a proxy that does not accept a password",
    through("walter:wrong@", "https://registry.test:1"),
    "The proxy PROXY (401) does not accept the user name and password in its URL: correct them; " +
      `${settings} (GET https://registry.test:1/v2/)`
  ],
  [
    "a proxy that does not allow a port",
    through(walter, "https://registry.test:2"),
    "The proxy PROXY does not let through to registry.test:2 (403): ask whoever runs it, or see " +
      `whether another is meant; ${settings} (GET https://registry.test:2/v2/)`
  ],
  [
    "a proxy that does not reach the registry",
    through(walter, "https://127.0.0.1:1"),
    "The proxy PROXY cannot reach 127.0.0.1:1 (500): check that name and port " +
      "(GET https://127.0.0.1:1/v2/)"
  ]
]

describeTinyproxy("people are told of", () => tellsOf(rows))
