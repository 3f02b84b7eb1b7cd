/**
 * The HTTP client that this library is measured and tested with: undici, through `@effect/platform-node`. Unlike node:http it keeps
 * backpressure, sends the declared length of a streamed body and reads an answer that comes before the body was sent.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Agent, Pool, ProxyAgent } from "@effect/platform-node/Undici"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as ProxySettings from "./ProxySettings.js"
import * as TlsSettings from "./TlsSettings.js"
import * as UndiciClient from "./UndiciClient.js"

/**
 * How connections are made.
 *
 * - `connectTimeout`: for one connection, its TLS handshake included, and for one through a proxy to each of proxy and host. 10 seconds by default.
 * - `ca`: certificates of authorities (PEM) to trust for all hosts and for proxies, besides those that Node brings: a company's own, say.
 * - `tls`: settings for single hosts, by `host` or `host:port`: registries, their mirrors, their token servers and storage, each by itself.
 * - `proxy`: which requests take a proxy; those of the environment (`ProxySettings.fromEnvironment`) by default, and none at all with `{}`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly ca?: ReadonlyArray<string> | undefined
  readonly tls?: Readonly<Record<string, TlsSettings.TlsSettings>> | undefined
  readonly proxy?: ProxySettings.ProxySettings | undefined
}

/**
 * An undici agent of its own, destroyed with its Scope: at most 128 connections to one origin, each carrying one request at a time, and answers
 * with up to 64 KiB of headers (signed locations can take more than undici's 16 KiB). All other timeouts are left to Effect.
 *
 * No connection serves two origins, and each is made with the settings of its own host. A proxy's user name and password go to the proxy alone.
 *
 * Fails with `InvalidUrl` when a proxy's URL does not parse or is not http or https, and with `CredentialsFailure` when TLS settings are broken.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDispatcher = (
  options: Options = {}
): Layer.Layer<NodeHttpClient.Dispatcher, InvalidUrl | CredentialsFailure> =>
  Layer.scoped(
    NodeHttpClient.Dispatcher,
    Effect.gen(function* () {
      const ca = options.ca ?? []
      const tlsFor = yield* TlsSettings.prepare(options.tls ?? {}, ca)
      const proxies = options.proxy ?? ProxySettings.fromEnvironment(process.env)
      yield* Effect.forEach([proxies.http, proxies.https], checked, { discard: true })
      const timeout = Duration.toMillis(options.connectTimeout ?? Duration.seconds(10))
      const proxyTls = { ...tlsFor(""), timeout }
      const connect = (origin: string | URL) => {
        const url = new URL(origin)
        const tls = { ...tlsFor(url.host), timeout }
        return Option.match(ProxySettings.proxyFor(proxies, url), {
          onNone: () => new Pool(url.origin, { ...connections, connect: tls }),
          // Many proxies allow tunnels to port 443 only, so plain http is not tunnelled.
          onSome: (proxy) =>
            new ProxyAgent({
              ...connections,
              uri: Redacted.value(proxy),
              proxyTunnel: false,
              proxyTls,
              requestTls: tls
            })
        })
      }
      return yield* Effect.acquireRelease(
        Effect.sync(() => new Agent({ factory: connect })),
        (agent) => Effect.promise(() => agent.destroy())
      )
    })
  )

/**
 * The bound is against running out of file descriptors, far above what concurrent transfers hold: one that needs a second connection while it holds
 * its first must always get it.
 */
const connections = { connections: 128, pipelining: 1, maxHeaderSize: 65_536 }

/** A proxy's URL can hold a password, so of a broken one nothing is shown (T13). */
const checked = (proxy: Redacted.Redacted | undefined): Effect.Effect<void, InvalidUrl> => {
  const url = proxy === undefined ? undefined : Redacted.value(proxy)
  return url === undefined || (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))
    ? Effect.void
    : Effect.fail(
        new InvalidUrl({ url: "of a proxy", problem: "it is not a URL such as http://proxy.example.com:3128" })
      )
}

/**
 * An `HttpClient` over a dispatcher of the caller's, whose own affair TLS and proxies then are: see `UndiciClient`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClientWithoutDispatcher: Layer.Layer<HttpClient.HttpClient, never, NodeHttpClient.Dispatcher> =
  Layer.effect(HttpClient.HttpClient, Effect.map(NodeHttpClient.Dispatcher, UndiciClient.make))

/**
 * An `HttpClient` over `layerDispatcher`, ready for `RegistryClient.layer`. Fails like that layer.
 *
 * @example
 * import { readFileSync } from "node:fs"
 * import { NodeHttp } from "effect-oci/node"
 *
 * const live = NodeHttp.layer({
 *   tls: { "registry.example.com": { ca: [readFileSync("company.pem", "utf8")] } }
 * })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<HttpClient.HttpClient, InvalidUrl | CredentialsFailure> =>
  Layer.provide(layerHttpClientWithoutDispatcher, layerDispatcher(options))

/**
 * `layer` with its defaults.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient: Layer.Layer<HttpClient.HttpClient, InvalidUrl | CredentialsFailure> = layer()
