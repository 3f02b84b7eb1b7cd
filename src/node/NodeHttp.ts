/**
 * The HTTP client that this library is measured and tested with: undici, through
 * `@effect/platform-node`. Unlike node:http it keeps backpressure, sends the declared length of a
 * streamed body and reads an answer that comes before the body was sent.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Agent, type Dispatcher, Pool, ProxyAgent } from "@effect/platform-node/Undici"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as CertificateFolders from "./CertificateFolders.js"
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
   * The time for one connection, its TLS handshake included. Through a proxy it counts for each
   * step: to the proxy, the tunnel, and to the host in it. 10 seconds by default.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /**
   * Certificates of authorities (PEM) to trust for all hosts and for proxies, besides those that
   * Node brings: a company's own, say.
   */
  readonly ca?: ReadonlyArray<string> | undefined
  /**
   * Settings for single hosts, by `host` or `host:port`: registries, their mirrors, token servers
   * and storage, and proxies, each by itself.
   */
  readonly tls?: Readonly<Record<string, TlsSettings | undefined>> | undefined
  /**
   * Where the settings of hosts that `tls` does not name are looked for: by default where docker
   * and podman have them, as `CertificateFolders.defaultFolders` says, and nowhere with `[]`.
   */
  readonly certificateFolders?: ReadonlyArray<string> | undefined
  /**
   * Which requests take a proxy: by default those that the environment says
   * (`ProxySettings.fromEnvironment`), and none at all with `{}`.
   */
  readonly proxy?: ProxySettings.ProxySettings | undefined
}

/**
 * An undici agent of its own, destroyed with its Scope: at most 128 connections to one origin on
 * behalf of one registry, each carrying one request at a time, and answers with up to 64 KiB of
 * headers (signed locations can take more than undici's 16 KiB). All other timeouts are left to
 * Effect.
 *
 * No connection serves two origins or two registries, and each is made with the settings of its own
 * host. A proxy's user name and password go to the proxy alone.
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
 * Fails with `InvalidUrl` when a proxy's URL does not parse or is not of http, https or SOCKS, and
 * with `CredentialsFailure` when TLS settings are broken, a key of `tls` is not a host, or two are
 * the same host. What is in certificate folders is read when a host is connected to: that fails with
 * `CredentialsFailure` then. Requests that would take a proxy of SOCKS 4 fail with
 * `TransportFailure`; those that take another way, or none, are not affected.
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
      const timeout = Duration.toMillis(options.connectTimeout ?? Duration.seconds(10))
      const secured = (url: URL, registry?: string) =>
        Either.map(
          url.protocol === "https:" ? tlsFor(url.host, registry) : Either.right({}),
          (tls) => ({
            ...tls,
            timeout
          })
        )
      const connect = (
        url: URL,
        registry: string,
        onUnrequested: (origin: string) => void
      ): Either.Either<Dispatcher, CredentialsFailure> =>
        Either.gen(function* () {
          const watched = (pool: Pool) =>
            pool.on("disconnect", (_, __, cause) => {
              if (UndiciDispatcher.isUnrequested(cause)) onUnrequested(url.origin)
            })
          const requestTls = yield* secured(url, registry)
          const proxy = ProxySettings.proxyFor(proxies, url)
          if (Option.isNone(proxy))
            return watched(new Pool(url.origin, { ...connections, connect: requestTls }))
          const uri = Redacted.value(proxy.value)
          if (Socks.isSocks(new URL(uri))) {
            const connect = Socks.connector(new URL(uri), requestTls)
            return watched(new Pool(url.origin, { ...connections, connect }))
          }
          const proxyTls = yield* secured(new URL(uri))
          return new ProxyAgent({
            ...connections,
            uri,
            ...tokenOf(uri),
            // Many proxies allow tunnels to port 443 only, so plain http is not tunnelled.
            proxyTunnel: false,
            proxyTls,
            requestTls,
            // By themselves, tunnels would be waited for five minutes, and plain http would be
            // bounded otherwise.
            clientFactory: (proxy, options) =>
              new Pool(proxy, { ...options, headersTimeout: timeout }),
            factory: (origin, options) => watched(new Pool(origin, { ...connections, ...options }))
          })
        })
      const agent: UndiciDispatcher.MakeAgent = (registry, onUnrequested) =>
        new Agent({
          factory: (origin) => {
            const url = new URL(origin)
            return Either.getOrElse(connect(url, registry, onUnrequested), (failure) =>
              refusing(url.origin, failure)
            )
          }
        })
      const reusable = yield* UndiciDispatcher.validatesIdleConnections
      if (!reusable)
        yield* Effect.logWarning(
          "undici is older than 7.28.0: each HEAD takes a connection of its own. Update undici"
        )
      return yield* Effect.acquireRelease(
        Effect.sync(() => new UndiciDispatcher.UndiciDispatcher(agent, reusable)),
        (dispatcher) => Effect.promise(() => dispatcher.destroy())
      )
    })
  )

/** undici has no other way to fail before the first byte. */
const refusing = (origin: string, failure: CredentialsFailure) =>
  new Pool(origin, { connect: (_, done) => done(failure, null) })

/**
 * The bound is against running out of file descriptors, far above what concurrent transfers hold:
 * one that needs a second connection while it holds its first must always get it.
 */
const connections = { connections: 128, pipelining: 1, maxHeaderSize: 65_536 }

/** A proxy's URL can hold a password, so of a broken one nothing is shown (T13). */
const checked = (
  scheme: "http" | "https",
  proxy: Redacted.Redacted | undefined
): Effect.Effect<void, InvalidUrl> => {
  const uri = proxy === undefined ? "http://none" : Redacted.value(proxy)
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  const problem =
    url === undefined || !(/^https?:$/.test(url.protocol) || Socks.isSocks(url))
      ? "its URL is not one such as http://proxy.example.com:3128 or socks5://proxy.example.com:1080"
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
 * undici by itself would leave out a user name without a password, as which some proxies take
 * tokens.
 */
const tokenOf = (uri: string): { readonly token?: string } => {
  const { password, username } = new URL(uri)
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return user === ":" ? {} : { token: `Basic ${Buffer.from(user).toString("base64")}` }
}

/**
 * An `HttpClient` over a dispatcher of the caller's, whose own affair TLS and proxies then are: see
 * `UndiciClient`.
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
 * An `HttpClient` over `layerDispatcher`, ready for `RegistryClient.layer`. Fails like that layer.
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

/**
 * `layer` with its defaults.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient: Layer.Layer<HttpClient.HttpClient, InvalidUrl | CredentialsFailure> =
  layer()
