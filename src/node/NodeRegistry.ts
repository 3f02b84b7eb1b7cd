/**
 * Layers of registries on Node, over undici and with tokens kept in memory. All they require is
 * `Credentials`, and `layerDefault` has those of this machine.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Credentials } from "../auth/Credentials.js"
import * as TokenCache from "../auth/TokenCache.js"
import * as RegistryClient from "../client/RegistryClient.js"
import type { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import * as NodeCredentials from "./NodeCredentials.js"
import * as NodeHttp from "./NodeHttp.js"
import type { TlsSettings } from "./TlsSettings.js"

/** Layers without options of their own share one HTTP client, and with it its connections. */
const common = Layer.merge(NodeHttp.layer(), TokenCache.layerMemory)

/**
 * How connections to all hosts are made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connections {
  /**
   * The options of the HTTP client. The TLS settings of hosts other than registries, such as
   * storage, are given here.
   */
  readonly http?: NodeHttp.Options | undefined
}

/**
 * How connections to one host are secured.
 *
 * @since 0.1.0
 * @category models
 */
export interface Secured {
  /**
   * The TLS settings of the host in `url`. They take precedence over those that `http` has for it.
   */
  readonly tls?: TlsSettings | undefined
}

/**
 * How to reach one registry.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends RegistryClient.Options<R>, Secured, Connections {}

/**
 * How to reach a mirror.
 *
 * @since 0.1.0
 * @category models
 */
export interface MirrorOptions extends RegistryClient.MirrorOptions, Secured {}

/**
 * How to reach one host of many, and its mirrors.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostOptions extends RegistryClient.HostOptions, Secured {
  readonly mirrors?: ReadonlyArray<MirrorOptions> | undefined
}

/**
 * How to reach all registries.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistriesOptions extends Connections {
  /** Options for single hosts, as in `RegistryClient.layerRegistries`. */
  readonly hosts?: Readonly<Record<string, HostOptions | undefined>> | undefined
}

/**
 * Provides the client of one registry as `Registry`. Fails as `RegistryClient.layer` and
 * `NodeHttp.layer` do.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Layer from "effect/Layer"
 *
 * const Local = NodeRegistry.layer({ url: "localhost:5000" }).pipe(
 *   Layer.provide(Credentials.layerAnonymous)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  options: Options<R>
): Layer.Layer<Registry, InvalidUrl | CredentialsFailure, Credentials | R> =>
  Layer.provide(RegistryClient.layer(options), services(options.http, [options]))

/**
 * Provides the clients of all registries as `Registries`. Fails as
 * `RegistryClient.layerRegistries` and `NodeHttp.layer` do.
 *
 * @example
 * ```ts
 * import { readFileSync } from "node:fs"
 * import { NodeRegistry } from "effect-oci/node"
 *
 * const layer = NodeRegistry.layerRegistries({
 *   hosts: {
 *     "docker.io": {
 *       mirrors: [
 *         {
 *           url: "https://harbor.lan",
 *           prefix: "docker-hub",
 *           tls: { ca: [readFileSync("lan.pem", "utf8")] }
 *         }
 *       ]
 *     },
 *     "registry.lan:5000": { url: "http://registry.lan:5000" }
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistries = (
  options: RegistriesOptions = {}
): Layer.Layer<Registries, InvalidUrl | CredentialsFailure, Credentials> =>
  Layer.provide(
    RegistryClient.layerRegistries(options),
    services(
      options.http,
      Object.entries(options.hosts ?? {}).flatMap(([host, settings]) => [
        { url: settings?.url ?? host, tls: settings?.tls },
        ...(settings?.mirrors ?? [])
      ])
    )
  )

/**
 * Provides all registries as this machine reaches them, with nothing to choose: the logins of
 * docker and podman (`NodeCredentials.layer`), their certificates (`CertificateFolders`), and the
 * proxies of the environment (`ProxySettings.fromEnvironment`). It is `layerRegistries()` over
 * `NodeCredentials.layer`.
 *
 * Fails with `InvalidUrl` when the environment names a proxy whose URL cannot be used, and with
 * `CredentialsFailure` when the environment cannot be read.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const digest = Registries.resolve("ghcr.io/owner/name:1.0.0").pipe(
 *   Effect.map(({ descriptor }) => descriptor.digest),
 *   Effect.provide(NodeRegistry.layerDefault)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDefault: Layer.Layer<Registries, InvalidUrl | CredentialsFailure> = Layer.provide(
  RegistryClient.layerRegistries(),
  Layer.merge(common, NodeCredentials.layer)
)

/** What the options of a layer ask for. */
const services = (
  http: NodeHttp.Options | undefined,
  endpoints: ReadonlyArray<Secured & { readonly url: string }>
) => {
  const own = new Map(
    endpoints.flatMap(({ tls, url }) => {
      const host = hostOf(url.trim().replace(/^https?:\/\/|\/.*$/gi, ""))
      // What is not a URL fails when the registry is opened.
      return tls === undefined || host === undefined ? [] : [[host, tls] as const]
    })
  )
  const others = Object.entries(http?.tls ?? {}).filter(([key]) => {
    const host = hostOf(key)
    return host === undefined || !own.has(host)
  })
  return http === undefined && own.size === 0
    ? common
    : Layer.merge(
        NodeHttp.layer({ ...http, tls: Object.fromEntries([...others, ...own]) }),
        TokenCache.layerMemory
      )
}

const hostOf = (text: string): Host.Host | undefined =>
  Option.getOrUndefined(Host.fromString(text, "https"))
