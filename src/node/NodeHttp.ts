/**
 * The HTTP client on Node: undici, through `@effect/platform-node`. Unlike node:http, it keeps
 * backpressure, sends the declared length of a streamed body, and reads a response that arrives
 * before the body was sent.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import {
  Agent,
  buildConnector,
  type Dispatcher,
  Pool,
  ProxyAgent
} from "@effect/platform-node/Undici"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as CertificateFolders from "./CertificateFolders.js"
import { BufferPool } from "./internal/BufferPool.js"
import * as PooledSocket from "./internal/PooledSocket.js"
import * as ProxyError from "./internal/ProxyError.js"
import * as Socks from "./internal/Socks.js"
import * as TlsLookup from "./internal/TlsLookup.js"
import * as UndiciClient from "./internal/UndiciClient.js"
import * as UndiciDispatcher from "./internal/UndiciDispatcher.js"
import * as ProxySettings from "./ProxySettings.js"
import type { TlsSettings } from "./TlsSettings.js"

/**
 * How connections are made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The time limit for a connection, its TLS handshake included; 10 seconds by default. Through a
   * proxy, it applies to each step: the connection to the proxy, the tunnel, and TLS in the tunnel.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * Certificates of authorities, as PEM, to trust for all hosts and proxies in addition to those of
   * Node: a company's own, say.
   */
  readonly ca?: ReadonlyArray<string> | undefined
  /**
   * TLS settings of single hosts, by `host` or `host:port` as `Host.parse` takes them. A registry,
   * its mirrors, its token server, its storage and a proxy are a host each.
   */
  readonly tls?: Readonly<Record<string, TlsSettings | undefined>> | undefined
  /**
   * The folders with the certificates of hosts that `tls` does not name. By default those of docker
   * and podman (`CertificateFolders.defaultFolders`); `[]` for none.
   */
  readonly certificateFolders?: ReadonlyArray<string> | undefined
  /**
   * Which requests take a proxy. By default, the environment decides
   * (`ProxySettings.fromEnvironment`); `{}` for none.
   */
  readonly proxy?: ProxySettings.ProxySettings | undefined
}

/**
 * Provides an undici dispatcher, which is destroyed with its Scope. It makes at most 128
 * connections to one origin on behalf of one registry, each with one request at a time, and takes
 * responses with up to 64 KiB of headers (signed locations can exceed the 16 KiB that are undici's
 * default). It has no timeouts but that of connections: the client of a registry has others.
 *
 * Sockets read into buffers that are used again, of 64 KiB to 1 MiB, but for connections through a
 * proxy, on Bun and Deno, and with undici before 7.28.0, whose sockets are ordinary ones. Either
 * way, the arrays of a response are the caller's for good.
 *
 * No connection serves two origins or two registries, and each is made with the TLS settings of its
 * own host. The user name and password of a proxy are sent to the proxy alone.
 *
 * Connections that carry HEAD requests carry nothing else, and there are at most 128 of those as
 * well: a server that sends a body after the response to a HEAD, which has none
 * ([RFC 9110 section 9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2)), would have it
 * read as the response to the next request. Bytes that come in before the next request is written
 * close the connection, and the origin's HEAD requests take a connection each from then on. Bytes
 * that come in later are indistinguishable from the response to the next HEAD: a descriptor that
 * `headBlob` or `headManifest` returned is only as trustworthy as the server. undici looks at idle
 * connections from version 7.28.0 on; with an older one, which is logged as a warning, no
 * connection carries a second request after a HEAD.
 *
 * A `100 Continue` that nobody asked for, which
 * [RFC 9110 section 15.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.2) has clients ignore,
 * breaks the request: undici closes the connection before this library sees it. Operations then
 * fail with `TransportFailure`, whose cause is undici's "bad response". Other informational
 * responses are ignored.
 *
 * Fails with `InvalidUrl` when the URL of a proxy is not one of http, https or SOCKS, and with
 * `CredentialsFailure` when a certificate or key in `ca` or `tls` does not parse, a key of `tls` is
 * not a host, or two keys are the same host. Certificate folders are read when a host is connected
 * to, which fails with `CredentialsFailure` when they are broken. The package `socks` is loaded
 * when a request first takes a SOCKS proxy; where it is not installed, such requests fail with
 * `TransportFailure`, and others are not affected.
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
      const tlsFor = yield* TlsLookup.make({
        tls: options.tls ?? {},
        folders: options.certificateFolders ?? CertificateFolders.defaultFolders(),
        ca: options.ca ?? []
      })
      const proxies = options.proxy ?? ProxySettings.fromEnvironment(process.env)
      yield* checked("http", proxies.http)
      yield* checked("https", proxies.https)
      const reusable = yield* UndiciDispatcher.validatesIdleConnections
      if (!reusable)
        yield* Effect.logWarning(
          "undici is older than 7.28.0: each HEAD takes a connection of its own. Update undici"
        )
      const pooled = reusable && PooledSocket.isSupported
      if (!pooled) yield* Effect.logDebug("Sockets read into buffers of their own, not of a pool")
      const connections: Connections = {
        tlsFor,
        proxies,
        pool: pooled ? new BufferPool() : undefined,
        timeout: Duration.toMillis(options.connectTimeout ?? Duration.seconds(10))
      }
      const agent: UndiciDispatcher.MakeAgent = (registry, onUnrequested) =>
        new Agent({
          factory: (origin) => {
            const url = new URL(origin)
            return Either.getOrElse(
              dispatcherTo(url, registry, onUnrequested, connections),
              (failure) => refusing(url.origin, failure)
            )
          }
        })
      return yield* Effect.acquireRelease(
        Effect.sync(() => new UndiciDispatcher.UndiciDispatcher(agent, reusable, proxies)),
        (dispatcher) => Effect.promise(() => dispatcher.destroy())
      )
    })
  )

/**
 * What connections are made with; `timeout` in milliseconds, and `pool` where sockets can read into
 * its buffers.
 */
interface Connections {
  readonly pool: BufferPool | undefined
  readonly tlsFor: TlsLookup.TlsLookup
  readonly proxies: ProxySettings.ProxySettings
  readonly timeout: number
}

/** Makes the connections to an origin, with or without a proxy, on behalf of a registry. */
const dispatcherTo = (
  url: URL,
  registry: string,
  onUnrequested: (origin: string) => void,
  { pool, proxies, timeout, tlsFor }: Connections
): Either.Either<Dispatcher, CredentialsFailure> =>
  Either.gen(function* () {
    const secured = (url: URL, registry?: string) =>
      Either.map(
        url.protocol === "https:" ? tlsFor(url.host, registry) : Either.right({}),
        (tls) => ({
          ...tls,
          timeout
        })
      )
    const watched = (pool: Pool) =>
      pool.on("disconnect", (_, __, cause) => {
        if (UndiciDispatcher.isUnrequested(cause)) onUnrequested(url.origin)
      })
    const requestTls = yield* secured(url, registry)
    const proxy = ProxySettings.proxyFor(proxies, url)
    if (Option.isNone(proxy)) {
      const connect = pool === undefined ? requestTls : PooledSocket.connector(pool, requestTls)
      return watched(new Pool(url.origin, { ...bounds, connect }))
    }
    const uri = Redacted.value(proxy.value)
    if (Socks.isSocks(new URL(uri))) {
      const connect = Socks.connector(new URL(uri), requestTls)
      return watched(new Pool(url.origin, { ...bounds, connect }))
    }
    const proxyUrl = new URL(uri)
    const proxyTls = yield* secured(proxyUrl)
    const connect = ProxyError.connector(proxyUrl, buildConnector(proxyTls))
    return new ProxyAgent({
      ...bounds,
      uri,
      ...tokenOf(uri),
      // Many proxies allow tunnels to port 443 only, so plain http is not tunnelled.
      proxyTunnel: false,
      proxyTls,
      requestTls,
      // By default, tunnels are waited for five minutes, and plain http has other bounds.
      clientFactory: (proxy) =>
        new ProxyError.TunnelPool(proxy, { connect, headersTimeout: timeout }),
      factory: (origin, options) =>
        watched(
          new Pool(origin, {
            ...bounds,
            ...options,
            // Plain http goes to the proxy as it is.
            ...(new URL(origin).origin === proxyUrl.origin && { connect })
          })
        )
    })
  })

/** undici has no other way to fail before the first byte. */
const refusing = (origin: string, failure: CredentialsFailure) =>
  new Pool(origin, { connect: (_, done) => done(failure, null) })

/**
 * The number of connections is bounded against running out of file descriptors. It is far above
 * what concurrent transfers hold: one that needs a second connection must always get it.
 */
const bounds = { connections: 128, pipelining: 1, maxHeaderSize: 65_536 }

/** Checks the URL of a proxy. It can hold a password, so nothing of it is shown (T13). */
const checked = (
  scheme: "http" | "https",
  proxy: Redacted.Redacted | undefined
): Effect.Effect<void, InvalidUrl> => {
  const uri = proxy === undefined ? "http://none" : Redacted.value(proxy)
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  const problem =
    url === undefined || !(/^https?:$/.test(url.protocol) || Socks.isSocks(url))
      ? "its URL is not one such as http://proxy.example.com:3128 or socks5://proxy.example.com"
      : Either.isLeft(Either.try(() => tokenOf(uri)))
        ? "a % in its user name or password must be written as %25"
        : Socks.isSocks(url)
          ? Socks.problemOf(url)
          : undefined
  return problem === undefined
    ? Effect.void
    : Effect.fail(new InvalidUrl({ url: `the ${scheme} proxy`, problem }))
}

/**
 * Returns the login of a proxy. undici by itself leaves out a user name without a password, which
 * is how some proxies take tokens.
 */
const tokenOf = (uri: string): { readonly token?: string } => {
  const { password, username } = new URL(uri)
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return user === ":" ? {} : { token: `Basic ${Buffer.from(user).toString("base64")}` }
}

/**
 * Provides an `HttpClient` over a dispatcher of your own, which then is responsible for TLS,
 * proxies and the number of connections.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClientWithoutDispatcher: Layer.Layer<
  HttpClient.HttpClient,
  never,
  NodeHttpClient.Dispatcher
> = Layer.effect(HttpClient.HttpClient, Effect.map(NodeHttpClient.Dispatcher, UndiciClient.make))

/**
 * Provides an `HttpClient` over `layerDispatcher`, for `RegistryClient.layer`. Fails as
 * `layerDispatcher` does.
 *
 * @example
 * ```ts
 * import { readFileSync } from "node:fs"
 * import { NodeHttp } from "effect-oci/node"
 *
 * const live = NodeHttp.layer({
 *   tls: { "registry.example.com": { ca: [readFileSync("company.pem", "utf8")] } }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options
): Layer.Layer<HttpClient.HttpClient, InvalidUrl | CredentialsFailure> =>
  Layer.provide(layerHttpClientWithoutDispatcher, layerDispatcher(options))
