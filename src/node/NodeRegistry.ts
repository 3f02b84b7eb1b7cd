/**
 * Layers of registries on Node, over undici and with tokens kept in memory, with encoders and
 * decoders for the layers of images, and with the platform of this machine as that of images
 * (`NodePlatform.layer`). All they require is `Credentials`, and `layerDefault` has those of this
 * machine.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Credentials } from "../auth/Credentials.js"
import * as TokenCache from "../auth/TokenCache.js"
import type { Compression } from "../Compression.js"
import * as RegistryClient from "../client/RegistryClient.js"
import type { Decompression } from "../Decompression.js"
import { invalidHost } from "../internal/HostProblem.js"
import type { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import type { CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import * as MachineHosts from "./internal/machine/MachineHosts.js"
import * as MachineRegistries from "./MachineRegistries.js"
import * as NodeCompression from "./NodeCompression.js"
import * as NodeCredentials from "./NodeCredentials.js"
import * as NodeDecompression from "./NodeDecompression.js"
import * as NodeHttp from "./NodeHttp.js"
import * as NodePlatform from "./NodePlatform.js"
import type { TlsSettings } from "./TlsSettings.js"

/** Layers without options of their own share one HTTP client, and with it its connections. */
const client = NodeHttp.layer()

/** What `Image` and `ImageBuild` ask for. */
const forImages = Layer.mergeAll(NodeCompression.layer, NodeDecompression.layer, NodePlatform.layer)

/**
 * What the clients of all hosts share.
 *
 * @since 0.1.0
 * @category models
 */
export interface Shared {
  /**
   * The options of the HTTP client. The TLS settings of hosts other than registries, such as
   * storage, are given here.
   */
  readonly http?: NodeHttp.Options | undefined
  /**
   * Where tokens are kept; in memory by default (`TokenCache.layerMemory`), which layers that are
   * built together share. Give another for tokens that outlive the layer: see `TokenCache.make` and
   * `TokenCache.layerKeyValueStore`.
   */
  readonly tokenCache?: Layer.Layer<TokenCache.TokenCache> | undefined
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
   * A loopback host that has either is reached over https, unless its URL says http.
   */
  readonly tls?: TlsSettings | undefined
}

/**
 * How to reach one registry.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> extends RegistryClient.LayerOptions<R>, Secured, Shared {}

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
export interface HostOptions<out R = never> extends RegistryClient.HostOptions<R>, Secured {
  readonly mirrors?: ReadonlyArray<MirrorOptions> | undefined
}

/**
 * How to reach all registries.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistriesOptions<out R = never>
  extends Omit<RegistryClient.RegistriesOptions<R>, "hosts">,
    Shared {
  /** Options for single hosts, as in `RegistryClient.layerRegistries`. */
  readonly hosts?: Readonly<Record<string, HostOptions<R> | undefined>> | undefined
  /**
   * Heeds what this machine says of registries: `true` for its files, as `MachineRegistries.read`
   * finds them, or what was read from them. Not heeded by default.
   *
   * Images are read from where their rule says, its mirrors first, and all else (lists, and
   * everything that writes) is at the host itself, as with podman. Each registry is reached with
   * the credentials for its own host, and with its options in `hosts`. What is blocked fails with
   * `Denied`. An insecure registry is reached whatever its certificate, which is logged as a
   * warning, and over http where it does not respond to https. A host whose `url` or `mirrors` are
   * in `hosts` is reached as these say, unless it is blocked.
   */
  readonly machine?: boolean | MachineRegistries.MachineRegistries | undefined
}

/**
 * Provides the client of one registry as `Registry`, and as `RegistryClient` for requests in the
 * terms of HTTP. Fails as `RegistryClient.layer` and `NodeHttp.layer` do.
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
): Layer.Layer<
  Registry | RegistryClient.RegistryClient | Compression | Decompression,
  InvalidUrl | CredentialsFailure,
  Credentials | R
> =>
  RegistryClient.layer({ ...options, url: addressOf(options, options.http) }).pipe(
    Layer.provide(services(options, [options])),
    Layer.merge(forImages)
  )

/**
 * Provides what `layer` does, with options that it reads from the configuration. Options that are
 * functions or layers are given by `Config.succeed`. Fails as `layer` does, and with `ConfigError`
 * if a value is missing or cannot be read.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import { NodeRegistry, TlsSettings } from "effect-oci/node"
 * import * as Config from "effect/Config"
 * import * as Layer from "effect/Layer"
 *
 * const Configured = NodeRegistry.layerConfig({
 *   url: Config.withDefault(Config.string("REGISTRY_URL"), "http://127.0.0.1:8080"),
 *   tls: { ca: TlsSettings.configCa("REGISTRY_CA_CERT") }
 * }).pipe(Layer.provide(Credentials.layerAnonymous))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<
  Registry | RegistryClient.RegistryClient | Compression | Decompression,
  InvalidUrl | CredentialsFailure | ConfigError.ConfigError,
  Credentials
> => Layer.unwrapEffect(Effect.map(Config.unwrap(options), (options) => layer(options)))

/**
 * Provides the clients of all registries as `Registries`. Fails as
 * `RegistryClient.layerRegistries` and `NodeHttp.layer` do, and with `machine: true` as
 * `MachineRegistries.read` does.
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
export const layerRegistries = <R = never>(
  options: RegistriesOptions<R> = {}
): Layer.Layer<
  Registries | Compression | Decompression,
  InvalidUrl | CredentialsFailure,
  Credentials | R
> => {
  const hosts = addressed(options)
  const registries = RegistryClient.layerRegistries<R>({ defaults: options.defaults, hosts })
  return (
    options.machine === undefined || options.machine === false
      ? registries
      : Layer.provide(onMachine(options, hosts, options.machine), registries)
  ).pipe(
    Layer.provide(
      services(
        options,
        Object.entries(hosts).flatMap(([host, settings]) => [
          { url: settings?.url ?? host, tls: settings?.tls },
          ...(settings?.mirrors ?? [])
        ])
      )
    ),
    Layer.merge(forImages)
  )
}

/** Provides registries as the files of a machine have them, over those that the program names. */
const onMachine = <R>(
  { defaults = {}, http = {} }: RegistriesOptions<R>,
  hosts: Readonly<Record<string, HostOptions<R> | undefined>>,
  machine: true | MachineRegistries.MachineRegistries
) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const said = machine === true ? yield* MachineRegistries.read : machine
      const byHost = yield* Effect.mapError(Host.byHost(hosts), invalidHost("this key of hosts"))
      return MachineHosts.layer<R>(said, { defaults, hosts: byHost, http })
    })
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
export const layerDefault: Layer.Layer<
  Registries | Compression | Decompression,
  InvalidUrl | CredentialsFailure
> = RegistryClient.layerRegistries().pipe(
  Layer.provide(Layer.mergeAll(client, TokenCache.layerMemory, NodeCredentials.layer)),
  Layer.merge(forImages)
)

/**
 * Provides what `layerDefault` does, and heeds what docker and podman are told of registries on
 * this machine (`MachineRegistries`): mirrors, other locations, and insecure and blocked
 * registries. It is `layerRegistries({ machine: true })` over `NodeCredentials.layer`.
 *
 * Fails as `layerDefault` does, and with `InvalidUrl` when there is a `registries.conf` and the
 * package [`smol-toml`](https://www.npmjs.com/package/smol-toml) is not installed.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const pulled = Artifact.pull("docker.io/owner/name:1.0.0").pipe(
 *   Effect.provide(NodeRegistry.layerMachine)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMachine: Layer.Layer<
  Registries | Compression | Decompression,
  InvalidUrl | CredentialsFailure
> = Layer.provide(
  Layer.suspend(() => layerRegistries({ machine: true })),
  NodeCredentials.layer
)

/** The hosts that the HTTP client has TLS settings for, each with the key that names it. */
const secured = (http: NodeHttp.Options | undefined): ReadonlyMap<Host.Host | undefined, string> =>
  new Map(
    Object.entries(http?.tls ?? {}).flatMap(([key, tls]) =>
      tls === undefined ? [] : [[hostOf(key), key] as const]
    )
  )

/**
 * Returns the URL of an endpoint with its scheme, where that is not what its text means by itself:
 * https for a loopback host with TLS settings.
 */
const addressOf = (
  { tls, url }: Secured & { readonly url: string },
  http: NodeHttp.Options | undefined
): string => {
  const host = nameOf(url)
  return !hasScheme.test(url) &&
    Host.isLoopback(host) &&
    (tls !== undefined || secured(http).has(hostOf(host)))
    ? `https://${url.trim()}`
    : url
}

/** Returns the options of hosts with such URLs. Those that `http` secures have options as well. */
const addressed = <R>({
  hosts = {},
  http
}: RegistriesOptions<R>): Readonly<Record<string, HostOptions<R> | undefined>> => {
  const named = new Set(
    Object.keys(hosts).map((key) => Option.getOrUndefined(Host.fromString(key)))
  )
  const others = [...secured(http).values()].filter(
    (key) => Host.isLoopback(key) && !named.has(Option.getOrUndefined(Host.fromString(key)))
  )
  return Object.fromEntries([
    ...Object.entries(hosts).map(([key, settings = {}]) => {
      const { mirrors, tls, url = key } = settings
      const address = addressOf({ tls, url }, http)
      return [
        key,
        {
          ...settings,
          url: address === url ? settings.url : address,
          mirrors: mirrors?.map((mirror) => ({ ...mirror, url: addressOf(mirror, http) }))
        }
      ]
    }),
    ...others.map((key) => [key, { url: addressOf({ url: key }, http) }])
  ])
}

const hasScheme = /^\s*https?:\/\//i

/** Returns the host in a URL, with or without a scheme. */
const nameOf = (url: string): string => url.replace(hasScheme, "").trim().split("/", 1).join("")

/** What the options of a layer ask for. */
const services = (
  { http, tokenCache = TokenCache.layerMemory }: Shared,
  endpoints: ReadonlyArray<Secured & { readonly url: string }>
) => {
  const own = new Map(
    endpoints.flatMap(({ tls, url }) => {
      const host = hostOf(nameOf(url))
      // What is not a URL fails when the registry is opened.
      return tls === undefined || host === undefined ? [] : [[host, tls] as const]
    })
  )
  const others = Object.entries(http?.tls ?? {}).filter(([key]) => {
    const host = hostOf(key)
    return host === undefined || !own.has(host)
  })
  return Layer.merge(
    http === undefined && own.size === 0
      ? client
      : NodeHttp.layer({ ...http, tls: Object.fromEntries([...others, ...own]) }),
    tokenCache
  )
}

const hostOf = (text: string): Host.Host | undefined =>
  Option.getOrUndefined(Host.fromString(text, "https"))
